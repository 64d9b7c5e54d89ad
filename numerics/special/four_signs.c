/* <sign z1 sign z2 sign z3 sign z4> of zero-mean unit-variance Gaussian fields with the given correlations.
   C99 and CUDA; the method and its names are explained in orthant.py.  Correlations beyond [-1, 1] by more than
   1e-10, and NaN, give NaN. */
#ifdef __CUDACC__
#define FOUR_SIGNS_TABLE static __device__ const
#define FOUR_SIGNS_FUNCTION static __device__ __forceinline__
#else
#include <math.h>
#define FOUR_SIGNS_TABLE static const
#define FOUR_SIGNS_FUNCTION static inline
#endif

#define FOUR_SIGNS_LONGEST @LONGEST@
/* Gauss-Legendre nodes and weights on half the interval, all rules in one row; for each rule where it starts, its
   length, the largest x_end/tau it serves, and the triplings by which sinh v is reached from |v| < 0.52. */
@TABLES@
/* The positions of c_ij, c_ik, c_il, c_jk, c_jl, c_kl for each moving pair (i, j) and its hinge (k, l). */
@ORDERS@

/* A path from the edge of the cone, and the signs of the orthant that closes there. */
typedef struct {
    double ratio, end, tau, swing, hinge, near1, far1, near2, far2, m0, m1, m2;
    double s1, s2, s3, s4;
    int pair;
} four_signs_path;

/* Without the library calls that the treatment of NaN costs fmin and fmax; a NaN in first place is dropped. */
FOUR_SIGNS_FUNCTION double four_signs_min(double a, double b) { return a < b ? a : b; }
FOUR_SIGNS_FUNCTION double four_signs_max(double a, double b) { return a > b ? a : b; }

/* atan2(y, x) for y >= 0; inlined, so that loops over it vectorize. */
FOUR_SIGNS_FUNCTION double four_signs_angle(double y, double x) {
    double z = fabs(x), low = four_signs_min(z, y), high = four_signs_max(z, y);
    int fold = low > 0.41421356237309503 * high;
    double t = (fold ? low - high : low) / ((fold ? low + high : high) + 1e-300), u = t * t;
    double angle = t + t * u * @ATAN@;
    angle = fold ? angle + 0.78539816339744831 : angle;
    angle = z < y ? 1.5707963267948966 - angle : angle;
    return x < 0 ? 3.1415926535897932 - angle : angle;
}

/* length - dot >= 0, where length^2 = dot^2 + cross^2, without cancellation. */
FOUR_SIGNS_FUNCTION double four_signs_gap(double length, double dot, double cross) {
    return dot > 0 ? cross * cross / (length + dot) : length - dot;
}

/* The 3x3 minor of three fields from the squared sines of its edges and the bordered minors where two meet. */
FOUR_SIGNS_FUNCTION double four_signs_volume(double qa, double qb, double qc, double ac, double bc, double ab) {
    double pac = qa * qc, pbc = qb * qc, pab = qa * qb;
    double volume = pac <= pbc ? pac - ac * ac : pbc - bc * bc;
    if (pab <= pac && pab <= pbc) volume = pab - ab * ab;
    return volume > 0 ? volume : 0;
}

/* Completes a path that is to start at one end of the cone, and keeps the better of it and *best. */
FOUR_SIGNS_FUNCTION void four_signs_consider(four_signs_path *best, four_signs_path path, double from_near,
                                             double from_far, double tau2, double v3, double v4) {
    path.end = sqrt(from_near / from_far);
    path.tau = four_signs_max(sqrt(tau2), path.end / 1e17);
    path.ratio = path.swing == 0 || from_near == 0 ? 0 : path.end / path.tau;
    path.s3 = v4 < 0 ? 1 : -1;
    path.s4 = v3 < 0 ? -1 : 1;
    if (path.ratio < best->ratio) *best = path;
}

/* Both paths of the moving pair (1, 2) with hinge (3, 4). */
FOUR_SIGNS_FUNCTION void four_signs_pair(four_signs_path *best, int pair, const double *correlation,
                                         const double *sine) {
    const int *order = four_signs_orders[pair];
    double flip = correlation[order[0]] < 0 ? -1 : 1;
    double c12 = flip * correlation[order[0]], c13 = correlation[order[1]], c14 = correlation[order[2]];
    double c23 = flip * correlation[order[3]], c24 = flip * correlation[order[4]], c34 = correlation[order[5]];
    double q13 = sine[order[1]], q14 = sine[order[2]], q23 = sine[order[3]], q24 = sine[order[4]];
    double q34 = sine[order[5]], hinge = sqrt(q34), inverse = 1 / hinge;

    double k1 = fma(-c13, c34, c14), k2 = fma(-c23, c34, c24), l1 = fma(-c14, c34, c13), l2 = fma(-c24, c34, c23);
    double b1 = k1 * inverse, b2 = k2 * inverse, h1 = l1 * inverse, h2 = l2 * inverse;
    double a1 = sqrt(four_signs_volume(q13, q14, q34, k1, l1, fma(-c13, c14, c34))) * inverse;
    double a2 = sqrt(four_signs_volume(q23, q24, q34, k2, l2, fma(-c23, c24, c34))) * inverse;

    double a_sum = a1 + a2, a_gap = a1 - a2, b_sum = b1 + b2, c_sum = c13 + c23, c_gap = c13 - c23;
    double b_gap = fma(-c_gap, c34, c14 - c24) * inverse;
    double gap = b_gap * b_gap + c_gap * c_gap, sum = b_sum * b_sum + c_sum * c_sum;
    double minus_same = (a_gap * a_gap + gap) / 2, minus_opposite = (a_sum * a_sum + gap) / 2;
    double plus_same = (a_sum * a_sum + sum) / 2, plus_opposite = (a_gap * a_gap + sum) / 2;
    double swing = a1 * a2, from_same = 1 - c12 - minus_same, from_opposite = minus_opposite - (1 - c12);
    from_same = from_same > 0 ? from_same : 0;
    from_opposite = from_opposite > 0 ? from_opposite : 0;

    double t1 = a_sum > 0 ? a1 : 1, t2 = a_sum > 0 ? a2 : 1;
    double v3_same = t2 * b1 - t1 * b2, v4_same = t1 * h2 - t2 * h1;
    double v3_opposite = -(t2 * b1 + t1 * b2), v4_opposite = t1 * h2 + t2 * h1;
    double m_same = v3_same * v4_same, m_opposite = v3_opposite * v4_opposite;
    double m_middle = 2 * c34 * swing * swing - (a2 * a2 * b1 * h1 + a1 * a1 * b2 * h2);

    double r3 = sqrt(q13 * q23), r4 = sqrt(q14 * q24), d3 = b1 * b2, d4 = h1 * h2;
    double same3 = four_signs_gap(r3, swing + d3, v3_same) / four_signs_gap(r3, d3 - swing, v3_opposite);
    double same4 = four_signs_gap(r4, swing + d4, v4_same) / four_signs_gap(r4, d4 - swing, v4_opposite);
    double opposite3 = four_signs_gap(r3, swing - d3, v3_opposite) / four_signs_gap(r3, -swing - d3, v3_same);
    double opposite4 = four_signs_gap(r4, swing - d4, v4_opposite) / four_signs_gap(r4, -swing - d4, v4_same);

    four_signs_path path = {0, 0, 0, swing, hinge, minus_same, minus_opposite, plus_same, plus_opposite,
                            m_same, m_middle, m_opposite, -1, flip, 0, 0, pair};
    four_signs_consider(best, path, from_same, from_opposite,
                        four_signs_min(minus_same / minus_opposite, four_signs_min(same3, same4)), v3_same, v4_same);
    path.near1 = minus_opposite, path.far1 = minus_same, path.near2 = plus_opposite, path.far2 = plus_same;
    path.m0 = m_opposite, path.m2 = m_same, path.s1 = 1;
    four_signs_consider(best, path, from_opposite, from_same,
                        four_signs_min(plus_opposite / plus_same, four_signs_min(opposite3, opposite4)), v3_opposite, v4_opposite);
}

/* The integral of b dl along a path. */
FOUR_SIGNS_FUNCTION double four_signs_integral(four_signs_path path) {
    int rule = 0;
    while (path.ratio > four_signs_reach[rule]) rule++;
    const double *node = four_signs_nodes + four_signs_start[rule];
    const double *weight = four_signs_weights + four_signs_start[rule];
    int count = four_signs_start[rule + 1] - four_signs_start[rule], triplings = four_signs_triplings[rule];
    double v_end = asinh(path.ratio), scale = v_end, height = 2 * path.swing * path.hinge;
    double sign = path.m0 < 0 ? -1 : 1, total = 0;
    double m0 = sign * path.m0, m1 = 2 * sign * path.m1, m2 = sign * path.m2;
    double s[FOUR_SIGNS_LONGEST], c[FOUR_SIGNS_LONGEST];
    for (int k = 0; k < triplings; k++) scale /= 3;
    for (int k = 0; k < count; k++) {
        double v = scale * node[k], u = v * v;
        s[k] = v + v * u * @SINH@;
        c[k] = sqrt(1 + s[k] * s[k]);
    }
    for (int j = 0; j < triplings; j++)
        for (int k = 0; k < count; k++) {
            double u = 4 * s[k] * s[k];
            s[k] *= 3 + u;
            c[k] *= 1 + u;
        }
    for (int k = 0; k < count; k++) {
        double x = path.tau * s[k], y = x * x;
        double root = sqrt((path.near1 + path.far1 * y) * (path.near2 + path.far2 * y));
        double angle = four_signs_angle(height * x * root, m0 + (m1 + m2 * y) * y);
        total += weight[k] * (angle * x / ((1 + y) * root) * c[k]);
    }
    return v_end * 4 * path.swing * path.tau * total;
}

FOUR_SIGNS_FUNCTION double four_signs(double c12, double c13, double c14, double c23, double c24, double c34) {
    double c[6] = {c12, c13, c14, c23, c24, c34}, sine[6], arcsine[6], widest = 0;
    for (int k = 0; k < 6; k++) {
        if (!(fabs(c[k]) <= 1 + 1e-10)) return nan("");
        c[k] = four_signs_min(four_signs_max(c[k], -1), 1);
        sine[k] = (1 - c[k]) * (1 + c[k]);
        widest = four_signs_max(widest, sine[k]);
    }
    if (widest == 0) return c[0] * c[5];
    for (int k = 0; k < 6; k++) {
        double angle = four_signs_angle(fabs(c[k]), sqrt(sine[k])) * 0.63661977236758134;
        arcsine[k] = c[k] < 0 ? -angle : angle;
    }

    /* The first pair that a rule of 24 nodes serves is good enough; the best of all is rarely much cheaper. */
    four_signs_path best = {1e300, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    for (int pair = 0; pair < 6 && best.ratio > four_signs_reach[2]; pair++)
        if (sine[four_signs_orders[pair][5]] >= widest / 16) four_signs_pair(&best, pair, c, sine);

    const int *order = four_signs_orders[best.pair];
    double s1 = best.s1, s2 = best.s2, s3 = best.s3, s4 = best.s4;
    double pairs = s1 * s2 * arcsine[order[0]] + s1 * s3 * arcsine[order[1]] + s1 * s4 * arcsine[order[2]]
                 + s2 * s3 * arcsine[order[3]] + s2 * s4 * arcsine[order[4]] + s3 * s4 * arcsine[order[5]];
    double orthant = best.ratio > 0 ? four_signs_integral(best) : 0;
    return s1 * s2 * s3 * s4 * (0.40528473456935109 * orthant - 1 - pairs);
}
