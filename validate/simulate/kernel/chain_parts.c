/* What a step of the chain of overlaps needs, on a processor or a device: chi variables, Cholesky factors. */

enum { GROUP = 64 }; /* steps whose normals are drawn together */

/* Chi variable with ``degrees`` of freedom (Marsaglia and Tsang 2000, for shapes of at least 1/2). */
double chi(double degrees, const uint32_t key[2], uint32_t which, int64_t step)
{
    double boost = 1, shape = degrees / 2;
    uint32_t low = (uint32_t)step, high = (uint32_t)(step >> 32) << 4 | ORTHOGONAL_LENGTH;
    for (uint32_t attempt = 0;; attempt++) {
        Words counter = { attempt, which, low, high }, c = philox(counter, key[0], key[1]);
        if (degrees < 2 && attempt == 0) { /* one more, times a power of a uniform */
            boost = pow(((double)c.a + 0.5) * 0x1p-32, 1 / shape);
            shape += 1;
            continue;
        }
        REAL cosine, sine;
        direction(c.b, &cosine, &sine);
        double d = shape - 1.0 / 3, z = sqrt((double)minus_two_log(c.a)) * (double)cosine;
        double root = 1 + z / sqrt(9 * d), cube = root * root * root, u = ((double)c.c + 0.5) * 0x1p-32;
        if (root <= 0) continue;
        if (u < 1 - 0.0331 * z * z * z * z || log(u) < 0.5 * z * z + d * (1 - cube + log(cube)))
            return sqrt(2 * d * cube * boost);
    }
}

/* matrix (n, n), positive semidefinite, becomes its lower triangular factor; rounding pivots become zero. */
static void cholesky(double *matrix, int64_t n)
{
    for (int64_t j = 0; j < n; j++) {
        double diagonal = matrix[j * n + j], pivot = diagonal;
        for (int64_t k = 0; k < j; k++) pivot -= matrix[j * n + k] * matrix[j * n + k];
        double scale = pivot <= 1e-14 * diagonal ? 0 : 1 / sqrt(pivot);
        for (int64_t i = j + 1; i < n; i++) {
            double below = matrix[i * n + j];
            for (int64_t k = 0; k < j; k++) below -= matrix[i * n + k] * matrix[j * n + k];
            matrix[i * n + j] = below * scale;
            matrix[j * n + i] = 0;
        }
        matrix[j * n + j] = pivot * scale;
    }
}
