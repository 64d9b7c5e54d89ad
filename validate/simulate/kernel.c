/* Stochastic gradient descent of the committee machine, one replica after another, inputs drawn where they
 * are used.
 *
 * REAL is float or double. Random numbers: Philox4x32-10 (Salmon et al., SC 2011) with the key of the replica
 * and the counter (block, sample, step, step's high bits and purpose), so that a number depends on its place
 * alone. Box-Muller makes four normals of the four 32-bit words of a block; none exceeds 6.8 in size.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#define IS_DOUBLE (sizeof(REAL) == 8)

enum { NONE, BATCH, BATCH_WITHOUT_RADIAL, WEIGHT };
enum { POPULATION, CENTRED, UNCENTRED };
enum { ERF, RELU, IDENTITY, TANH, GELU };
enum { INPUTS, NOISE };

typedef struct {
    int64_t students, teachers, batch, size;
    int64_t normalization, statistics, activation, shift;
    double slope; /* of RELU at negative arguments */
    double rate, gain_rate, output_rate; /* learning rates over N */
    double variance, label_noise, weight_decay, gain_decay;
} Problem;

/* ---- random numbers ------------------------------------------------------------------------------ */

typedef struct {
    uint32_t a, b, c, d;
} Words;

static inline Words philox(Words w, uint32_t k0, uint32_t k1)
{
    /* Words in lanes of 64 bits: products then need no rearrangement of a vector. */
    uint64_t a = w.a, b = w.b, c = w.c, d = w.d;
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = 0xD2511F53u * a, p1 = 0xCD9E8D57u * c;
        a = (p1 >> 32) ^ b ^ k0;
        b = p1 & 0xFFFFFFFFu;
        c = (p0 >> 32) ^ d ^ k1;
        d = p0 & 0xFFFFFFFFu;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    Words result = { (uint32_t)a, (uint32_t)b, (uint32_t)c, (uint32_t)d };
    return result;
}

/* -2 log(u) of u = (word + 1/2) / 2^32, by log m = 2 atanh((m - 1) / (m + 1)) with m in [2/3, 4/3). */
static inline REAL minus_two_log(uint32_t word)
{
    REAL u = ((REAL)word + (REAL)0.5) * (REAL)0x1p-32;
    union { float f; uint32_t i; } bits = { .f = (float)u };
    int32_t exponent = (int32_t)(bits.i - 0x3F2AAAABu) >> 23;
    union { float f; uint32_t i; } power = { .i = (uint32_t)(127 - exponent) << 23 };
    REAL m = u * (REAL)power.f, s = (m - 1) / (m + 1), s2 = s * s, series;
    if (IS_DOUBLE) {
        series = (REAL)(1.0 / 19);
        series = series * s2 + (REAL)(1.0 / 17);
        series = series * s2 + (REAL)(1.0 / 15);
        series = series * s2 + (REAL)(1.0 / 13);
        series = series * s2 + (REAL)(1.0 / 11);
        series = series * s2 + (REAL)(1.0 / 9);
    } else {
        series = (REAL)(1.0 / 9);
    }
    series = series * s2 + (REAL)(1.0 / 7);
    series = series * s2 + (REAL)(1.0 / 5);
    series = series * s2 + (REAL)(1.0 / 3);
    series = series * s2 + 1;
    return -2 * ((REAL)exponent * (REAL)0.693147180559945309 + 2 * s * series);
}

/* Cosine and sine of a uniform angle: two bits choose the quadrant, thirty the place in [-pi/4, pi/4). */
static inline void direction(uint32_t word, REAL *cosine, REAL *sine)
{
    REAL place = (REAL)(int32_t)(word & 0x3FFFFFFFu) - (REAL)(0x1p29 - 0.5);
    REAL a = place * (REAL)(0x1p-30 * 1.57079632679489662);
    REAL a2 = a * a, c, s;
    if (IS_DOUBLE) {
        c = (REAL)(1.0 / 20922789888000);
        c = c * a2 - (REAL)(1.0 / 87178291200);
        c = c * a2 + (REAL)(1.0 / 479001600);
        c = c * a2 - (REAL)(1.0 / 3628800);
        s = (REAL)(-1.0 / 1307674368000);
        s = s * a2 + (REAL)(1.0 / 6227020800);
        s = s * a2 - (REAL)(1.0 / 39916800);
    } else {
        c = (REAL)(-1.0 / 3628800);
        s = 0;
    }
    c = c * a2 + (REAL)(1.0 / 40320);
    c = c * a2 - (REAL)(1.0 / 720);
    c = c * a2 + (REAL)(1.0 / 24);
    c = c * a2 - (REAL)0.5;
    c = c * a2 + 1;
    s = s * a2 + (REAL)(1.0 / 362880);
    s = s * a2 - (REAL)(1.0 / 5040);
    s = s * a2 + (REAL)(1.0 / 120);
    s = s * a2 - (REAL)(1.0 / 6);
    s = a + a * a2 * s;
    int odd = (word >> 30) & 1, second_half = word >> 31;
    REAL first = odd ? s : c, other = odd ? c : s;
    *cosine = (odd ^ second_half) ? -first : first;
    *sine = second_half ? -other : other;
}

/* Standard normals: out holds 4 ceil(count / 4) numbers, of which the first count are to be used. */
void normals(REAL *restrict out, int64_t count, const uint32_t key[2], uint32_t sample, int64_t step,
             uint32_t purpose)
{
    int64_t blocks = (count + 3) / 4;
    uint32_t k0 = key[0], k1 = key[1], low = (uint32_t)step, high = (uint32_t)(step >> 32) << 4 | purpose;
#pragma omp simd
    for (int64_t i = 0; i < blocks; i++) {
        Words counter = { (uint32_t)i, sample, low, high }, c = philox(counter, k0, k1);
        REAL cosine, sine, length = (REAL)(IS_DOUBLE ? sqrt(minus_two_log(c.a)) : sqrtf(minus_two_log(c.a)));
        direction(c.b, &cosine, &sine);
        out[i] = length * cosine;
        out[blocks + i] = length * sine;
        length = (REAL)(IS_DOUBLE ? sqrt(minus_two_log(c.c)) : sqrtf(minus_two_log(c.c)));
        direction(c.d, &cosine, &sine);
        out[2 * blocks + i] = length * cosine;
        out[3 * blocks + i] = length * sine;
    }
}

/* ---- vectors ------------------------------------------------------------------------------------- */

static double dot(const REAL *restrict a, const REAL *restrict b, int64_t n)
{
    REAL sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Inner products of ``rows`` rows of length n with a vector, four rows a pass. */
static void products(const REAL *restrict matrix, int64_t rows, const REAL *restrict vector, int64_t n,
                     double *out)
{
    int64_t r = 0;
    for (; r + 3 < rows; r += 4) {
        const REAL *a = matrix + r * n, *b = a + n, *c = b + n, *d = c + n;
        REAL first = 0, second = 0, third = 0, fourth = 0;
#pragma omp simd reduction(+ : first, second, third, fourth)
        for (int64_t i = 0; i < n; i++) {
            first += a[i] * vector[i];
            second += b[i] * vector[i];
            third += c[i] * vector[i];
            fourth += d[i] * vector[i];
        }
        out[r] = first;
        out[r + 1] = second;
        out[r + 2] = third;
        out[r + 3] = fourth;
    }
    for (; r < rows; r++) out[r] = dot(matrix + r * n, vector, n);
}

/* J = keep J - coefficient xi */
static void move(REAL *restrict J, double keep, double coefficient, const REAL *restrict xi, int64_t n)
{
    REAL k = (REAL)keep, c = (REAL)coefficient;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) J[i] = k * J[i] - c * xi[i];
}

/* ---- the model ----------------------------------------------------------------------------------- */

static double density(double h) { return 0.398942280401432678 * exp(-0.5 * h * h); }

static double phi(const Problem *p, double h)
{
    switch (p->activation) {
    case ERF: return erf(h * 0.707106781186547524);
    case RELU: return h > 0 ? h : p->slope * h;
    case TANH: return tanh(h);
    case GELU: return 0.5 * h * erfc(-h * 0.707106781186547524);
    default: return h;
    }
}

static double slope_of_phi(const Problem *p, double h)
{
    double t;
    switch (p->activation) {
    case ERF: return 2 * density(h);
    case RELU: return h > 0 ? 1 : p->slope;
    case TANH: t = tanh(h); return 1 - t * t;
    case GELU: return 0.5 * erfc(-h * 0.707106781186547524) + h * density(h);
    default: return 1;
    }
}

/* Arrays of one step: fields (batch, K + M), students before teachers; normalized fields and signals
 * (batch, K); the others (K). */
typedef struct {
    double *fields, *normalized, *signals, *deviation, *radial, *dg, *dw, *dshift;
} Work;

static void normalize(const Problem *p, const REAL *J, Work *s)
{
    int64_t K = p->students, b = p->batch, units = K + p->teachers;
    for (int64_t i = 0; i < K; i++) {
        double mean = 0, square = 0;
        if (p->statistics == POPULATION) {
            square = dot(J + i * p->size, J + i * p->size, p->size);
            if (p->normalization != WEIGHT) square *= p->variance;
        } else {
            if (p->statistics == CENTRED)
                for (int64_t u = 0; u < b; u++) mean += s->fields[u * units + i] / (double)b;
            for (int64_t u = 0; u < b; u++) {
                double centred = s->fields[u * units + i] - mean;
                square += centred * centred / (double)b;
            }
        }
        s->deviation[i] = sqrt(square);
        for (int64_t u = 0; u < b; u++)
            s->normalized[u * K + i] = (s->fields[u * units + i] - mean) / s->deviation[i];
    }
}

/* From fields to what moves: signals become dloss/dx, radial the coefficient of J_i in dloss/dJ_i. */
static void gradient(const Problem *p, const REAL *J, const double *g, const double *w, const double *shift,
                     const double *v, const REAL *noise, Work *s)
{
    int64_t K = p->students, M = p->teachers, b = p->batch, units = K + M;
    int gained = p->normalization != NONE;
    if (gained) normalize(p, J, s);
    for (int64_t i = 0; i < K; i++) s->radial[i] = p->weight_decay, s->dg[i] = s->dw[i] = s->dshift[i] = 0;
    for (int64_t u = 0; u < b; u++) {
        const double *x = s->fields + u * units, *y = x + K;
        double *signal = s->signals + u * K, *n = s->normalized + u * K;
        double delta = p->label_noise ? -p->label_noise * (double)noise[u] : 0;
        for (int64_t m = 0; m < M; m++) delta -= v[m] * phi(p, y[m]);
        for (int64_t i = 0; i < K; i++) {
            signal[i] = gained ? g[i] * n[i] + shift[i] : x[i]; /* h, for now */
            delta += w[i] * phi(p, signal[i]);
        }
        for (int64_t i = 0; i < K; i++) {
            double h = signal[i];
            s->dw[i] += delta * phi(p, h) / (double)b;
            signal[i] = delta * w[i] * slope_of_phi(p, h);
            s->dshift[i] += signal[i] / (double)b;
            if (gained) s->dg[i] += signal[i] * n[i] / (double)b;
        }
    }
    if (!gained) return;
    for (int64_t i = 0; i < K; i++) {
        double scale = g[i] / s->deviation[i];
        for (int64_t u = 0; u < b; u++) {
            double *signal = s->signals + u * K + i;
            if (p->statistics != POPULATION) *signal -= s->normalized[u * K + i] * s->dg[i];
            if (p->statistics == CENTRED) *signal -= s->dshift[i];
            *signal *= scale;
        }
        if (p->statistics == POPULATION && p->normalization != BATCH_WITHOUT_RADIAL) {
            double tau = p->normalization == WEIGHT ? 1 : p->variance;
            s->radial[i] -= tau * g[i] * s->dg[i] / (s->deviation[i] * s->deviation[i]);
        }
        s->dg[i] += p->gain_decay * g[i];
    }
}

/* Steps first..last-1 of replicas begin..end-1. weights (S, K + M, N); g, w, shift (S, K); keys (S, 2). */
int learn(const Problem *p, REAL *weights, double *g, double *w, double *shift, const double *v,
          const uint32_t *keys, int64_t begin, int64_t end, int64_t first, int64_t last)
{
    int64_t K = p->students, b = p->batch, n = p->size, units = K + p->teachers;
    int64_t row = 4 * ((n + 3) / 4), noises = 4 * ((b + 3) / 4);
    double root = sqrt(p->variance);
    REAL *xi = malloc((size_t)(b * row + noises) * sizeof(REAL));
    double *memory = malloc((size_t)(b * (units + 2 * K) + 5 * K) * sizeof(double));
    if (!xi || !memory) {
        free(xi);
        free(memory);
        return 1;
    }
    REAL *noise = xi + b * row;
    Work s = { .fields = memory };
    s.normalized = s.fields + b * units;
    s.signals = s.normalized + b * K;
    s.deviation = s.signals + b * K;
    s.radial = s.deviation + K;
    s.dg = s.radial + K;
    s.dw = s.dg + K;
    s.dshift = s.dw + K;
    for (int64_t r = begin; r < end; r++) {
        REAL *J = weights + r * units * n;
        double *gr = g + r * K, *wr = w + r * K, *sr = shift + r * K;
        for (int64_t step = first; step < last; step++) {
            for (int64_t u = 0; u < b; u++) {
                normals(xi + u * row, n, keys + 2 * r, (uint32_t)u, step, INPUTS);
                products(J, units, xi + u * row, n, s.fields + u * units);
            }
            for (int64_t k = 0; k < b * units; k++) s.fields[k] *= root;
            if (p->label_noise) normals(noise, b, keys + 2 * r, 0, step, NOISE);
            gradient(p, J, gr, wr, sr, v, noise, &s);
            for (int64_t i = 0; i < K; i++) {
                double keep = 1 - p->rate * s.radial[i], factor = p->rate * root / (double)b;
                for (int64_t u = 0; u < b; u++) {
                    move(J + i * n, keep, factor * s.signals[u * K + i], xi + u * row, n);
                    keep = 1;
                }
                if (p->normalization != NONE) gr[i] -= p->gain_rate * s.dg[i];
                if (p->shift) sr[i] -= p->gain_rate * s.dshift[i];
                wr[i] -= p->output_rate * s.dw[i];
            }
        }
    }
    free(xi);
    free(memory);
    return 0;
}
