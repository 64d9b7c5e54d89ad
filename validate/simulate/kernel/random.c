/* Random numbers: Philox4x32-10 (Salmon et al., SC 2011) with the key of the replica and the counter (block,
 * sample, step, step's high bits and purpose), so that a number depends on its place alone. Box-Muller makes
 * four normals of the four 32-bit words of a block; none exceeds 6.8 in size. REAL is float or double.
 */
#ifdef __CUDACC_RTC__ /* no headers there, and C++ */
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#define restrict __restrict__
#else
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#endif

#define IS_DOUBLE (sizeof(REAL) == 8)

enum { INPUTS, NOISE, ORTHOGONAL_LENGTH, ORTHOGONAL_MIXING };

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
    union { float f; uint32_t i; } bits, power;
    bits.f = (float)u;
    int32_t exponent = (int32_t)(bits.i - 0x3F2AAAABu) >> 23;
    power.i = (uint32_t)(127 - exponent) << 23;
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

/* Four standard normals: those of block i among ``blocks``, a quarter of them apart. */
static inline void four_normals(REAL *restrict out, int64_t i, int64_t blocks, const uint32_t key[2],
                                uint32_t sample, int64_t step, uint32_t purpose)
{
    Words counter = { (uint32_t)i, sample, (uint32_t)step, (uint32_t)(step >> 32) << 4 | purpose };
    Words c = philox(counter, key[0], key[1]);
    REAL cosine, sine, length = (REAL)(IS_DOUBLE ? sqrt(minus_two_log(c.a)) : sqrtf(minus_two_log(c.a)));
    direction(c.b, &cosine, &sine);
    out[i] = length * cosine;
    out[blocks + i] = length * sine;
    length = (REAL)(IS_DOUBLE ? sqrt(minus_two_log(c.c)) : sqrtf(minus_two_log(c.c)));
    direction(c.d, &cosine, &sine);
    out[2 * blocks + i] = length * cosine;
    out[3 * blocks + i] = length * sine;
}

/* Standard normals: out holds 4 ceil(count / 4) numbers, of which the first count are to be used. */
void normals(REAL *restrict out, int64_t count, const uint32_t key[2], uint32_t sample, int64_t step,
             uint32_t purpose)
{
    int64_t blocks = (count + 3) / 4;
#pragma omp simd
    for (int64_t i = 0; i < blocks; i++) four_normals(out, i, blocks, key, sample, step, purpose);
}
