/* Direct simulation: all weight components, inputs drawn where they are used. */

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

/* Steps first..last-1 of replicas begin..end-1. weights (S, K + M, N); g, w, shift (S, K); keys (S, 2). */
int direct(const Problem *p, REAL *weights, double *g, double *w, double *shift, const double *v,
           const uint32_t *keys, int64_t begin, int64_t end, int64_t first, int64_t last)
{
    int64_t K = p->students, b = p->batch, n = p->size, units = K + p->teachers;
    int64_t row = 4 * ((n + 3) / 4), noises = 4 * ((b + 3) / 4);
    double root = sqrt(p->variance);
    REAL *xi = malloc((size_t)(b * row + noises) * sizeof(REAL)), *noise = xi + b * row;
    double *work = malloc((size_t)work_length(p) * sizeof(double));
    Work s = work_in(p, work);
    int failed = !xi || !work;
    if (failed) begin = end;
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
            if (needs_norms(p))
                for (int64_t i = 0; i < K; i++) s.squared_norms[i] = dot(J + i * n, J + i * n, n);
            gradient(p, gr, wr, sr, v, noise, &s);
            for (int64_t i = 0; i < K; i++) {
                double keep = 1 - p->rate * s.radial[i], factor = p->rate * root / (double)b;
                for (int64_t u = 0; u < b; u++) {
                    move(J + i * n, keep, factor * s.signals[u * K + i], xi + u * row, n);
                    keep = 1;
                }
            }
            for (int64_t i = 0; i < K; i++) move_parameters(p, gr, wr, sr, &s, i);
        }
    }
    free(xi);
    free(work);
    return failed;
}
