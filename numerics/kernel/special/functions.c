/* Special functions and operations of kernels: branch-free, so that loops over lanes vectorize, and text that
   C and CUDA share.  OP is how a target declares an inline function.  Error bounds are measured against mpmath
   by tests/test_kernel_special.py.  Polynomial coefficients interpolate at Chebyshev points (60 digits). */

OP double op_sqrt(double x) { return sqrt(x > 0.0 ? x : 0.0); }

OP double op_rsqrt_or_zero(double x) { return x > 0.0 ? 1.0 / sqrt(x) : 0.0; }

/* a b - c c to 1.5 ulp, however much cancels (Kahan). */
OP double op_minus_square(double a, double b, double c)
{
    const double square = c * c;
    const double residue = fma(-c, c, square);
    return fma(a, b, -square) + residue;
}

/* The angle whose sine and cosine are given: sine^2 + cosine^2 = 1, cosine >= 0.  Within 1.5 ulp of pi/2, and
   relative to the angle where it is small.  One of three rotations leaves an angle below pi/8. */
OP double op_angle(double sine, double cosine)
{
    const double s = fabs(sine);
    const double middle = (s - cosine) * 0.70710678118654752;
    double x = s > 0.38268343236508977 ? middle : s;
    double offset = s > 0.38268343236508977 ? 0.78539816339744831 : 0.0;
    x = middle > 0.38268343236508977 ? -cosine : x;
    offset = middle > 0.38268343236508977 ? 1.5707963267948966 : offset;
    const double z = x * x;
    double p = 0.016468645712014278;
    p = fma(p, z, 0.006924569126700292);
    p = fma(p, z, 0.012070300491340377);
    p = fma(p, z, 0.013908959824591177);
    p = fma(p, z, 0.017356446193822463);
    p = fma(p, z, 0.022372012509623364);
    p = fma(p, z, 0.030381947779903183);
    p = fma(p, z, 0.04464285710445364);
    p = fma(p, z, 0.075000000000171);
    p = fma(p, z, 0.16666666666666655);
    const double angle = fma(x * z, p, x) + offset;
    return copysign(angle, sine);
}

/* The cosine of asin(n / sqrt(d1 d2)), with scale = 1 / sqrt(d1 d2). */
OP double op_ratio_cosine(double n, double d1, double d2, double scale)
{
    return op_sqrt(op_minus_square(d1, d2, n)) * scale;
}

/* asin(n / sqrt(d1 d2)): the cosine comes from the exact d1 d2 - n^2, so no digit is lost near a ratio of 1, and
   a ratio that rounding pushed above 1 gives pi/2. */
OP double op_ratio_arcsine(double n, double d1, double d2, double scale)
{
    return op_angle(n * scale, op_ratio_cosine(n, d1, d2, scale));
}

/* n / sqrt(d1 d2), exactly 1 where all three are equal: sqrt(d d) is d, a product of roots is not. */
OP double op_correlation(double n, double d1, double d2)
{
    const double product = d1 * d2;
    return product > 0.0 ? n / sqrt(product) : 0.0;
}

/* x, or 0 where it is within the noise of its rounding. */
OP double op_snap(double x, double noise) { return x > noise ? x : 0.0; }

/* The same for n, d1, d2 that carry rounding of their own: a squared cosine within the noise is 0. */
OP double op_noisy_cosine(double n, double d1, double d2, double scale, double noise)
{
    return sqrt(op_snap(op_minus_square(d1, d2, n), noise)) * scale;
}

OP double op_noisy_arcsine(double n, double d1, double d2, double scale, double noise)
{
    return op_angle(n * scale, op_noisy_cosine(n, d1, d2, scale, noise));
}

OP double op_less(double a, double b) { return a < b ? 1.0 : 0.0; }
OP double op_less_equal(double a, double b) { return a <= b ? 1.0 : 0.0; }
OP double op_equal(double a, double b) { return a == b ? 1.0 : 0.0; }
OP double op_select(double c, double a, double b) { return c != 0.0 ? a : b; }
OP double op_sign(double x) { return (x > 0.0 ? 1.0 : 0.0) - (x < 0.0 ? 1.0 : 0.0); }
OP double op_heaviside(double x, double at_zero) { return x > 0.0 ? 1.0 : (x < 0.0 ? 0.0 : at_zero); }
OP double op_fabs(double x) { return fabs(x); }
OP double op_fmax(double a, double b) { return a > b ? a : b; }
OP double op_fmin(double a, double b) { return a < b ? a : b; }

OP double op_exp(double x) { return exp(x); }
OP double op_log(double x) { return log(x); }
OP double op_sin(double x) { return sin(x); }
OP double op_cos(double x) { return cos(x); }
OP double op_tan(double x) { return tan(x); }
OP double op_sinh(double x) { return sinh(x); }
OP double op_cosh(double x) { return cosh(x); }
OP double op_tanh(double x) { return tanh(x); }
OP double op_atan(double x) { return atan(x); }
OP double op_atan2(double y, double x) { return atan2(y, x); }
OP double op_erf(double x) { return erf(x); }
OP double op_erfc(double x) { return erfc(x); }
OP double op_pow(double x, double y) { return pow(x, y); }
