/* The chain of overlaps: see chain.py, whose steps these are. */

/* out (n, m) += factor * a (n, k) b (k, m) */
static void multiply(double *restrict out, double factor, const double *restrict a, const double *restrict b,
                     int64_t n, int64_t k, int64_t m)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t l = 0; l < k; l++)
            for (int64_t j = 0; j < m; j++) out[i * m + j] += factor * a[i * k + l] * b[l * m + j];
}

/* gram (n, n) += factor * a a^T, a (n, k) */
static void add_gram(double *restrict gram, double factor, const double *restrict a, int64_t n, int64_t k)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t l = 0; l < k; l++) gram[i * n + j] += factor * a[i * k + l] * a[j * k + l];
}

/* Steps first..last-1 of replicas begin..end-1. aligned (S, K, M), apart (S, K, K), teachers (S, M, M). */
int chain(const Problem *p, double *aligned, double *apart, const double *teachers, double *g, double *w,
          double *shift, const double *v, const uint32_t *keys, int64_t begin, int64_t end, int64_t first,
          int64_t last)
{
    int64_t K = p->students, M = p->teachers, b = p->batch, units = K + M, rank = b < K ? b : K;
    int64_t drawn = b * units, mixed = rank * (rank - 1) / 2;
    double root = sqrt(p->variance), factor = p->rate / (double)b, outside = (double)(p->size - units);
    size_t numbers = (size_t)(GROUP * (drawn + b + mixed) + 12);
    REAL *normal = malloc(numbers * sizeof(REAL)), *noises = normal + 4 * ((GROUP * drawn + 3) / 4);
    REAL *mixing = noises + 4 * ((GROUP * b + 3) / 4);
    double *signals = malloc((size_t)(K * b + 4 * K * K + drawn) * sizeof(double));
    double *square = signals + K * b, *wishart = square + K * K, *step_out = wishart + K * K;
    double *gram = step_out + K * K, *xi = gram + K * K;
    double *work = malloc((size_t)work_length(p) * sizeof(double));
    Work s = work_in(p, work);
    int failed = !normal || !signals || !work;
    if (failed) begin = end;
    for (int64_t r = begin; r < end; r++) {
        double *a = aligned + r * K * M, *q = apart + r * K * K, *gr = g + r * K, *wr = w + r * K;
        double *sr = shift + r * K;
        const double *B = teachers + r * M * M;
        const uint32_t *key = keys + 2 * r;
        for (int64_t step = first; step < last; step++) {
            int64_t place = step % GROUP;
            if (place == 0 || step == first) {
                normals(normal, GROUP * drawn, key, 0, step / GROUP, INPUTS);
                if (p->label_noise) normals(noises, GROUP * b, key, 0, step / GROUP, NOISE);
                if (mixed) normals(mixing, GROUP * mixed, key, 0, step / GROUP, ORTHOGONAL_MIXING);
            }
            /* xi (b, M + K); fields (b, K + M) */
            for (int64_t k = 0; k < drawn; k++) xi[k] = root * (double)normal[place * drawn + k];
            for (int64_t u = 0; u < b; u++) {
                double *field = s.fields + u * units, *z = xi + u * units;
                for (int64_t i = 0; i < K; i++) {
                    double x = 0;
                    for (int64_t m = 0; m < M; m++) x += a[i * M + m] * z[m];
                    for (int64_t k = 0; k < K; k++) x += q[i * K + k] * z[M + k];
                    field[i] = x;
                }
                for (int64_t n = 0; n < M; n++) {
                    double y = 0;
                    for (int64_t m = 0; m < M; m++) y += B[n * M + m] * z[m];
                    field[K + n] = y;
                }
            }
            if (needs_norms(p))
                for (int64_t i = 0; i < K; i++) {
                    double norm = 0;
                    for (int64_t m = 0; m < M; m++) norm += a[i * M + m] * a[i * M + m];
                    for (int64_t k = 0; k < K; k++) norm += q[i * K + k] * q[i * K + k];
                    s.squared_norms[i] = norm;
                }
            gradient(p, gr, wr, sr, v, noises + place * b, &s);
            /* within the K + M directions */
            for (int64_t i = 0; i < K; i++) {
                double keep = 1 - p->rate * s.radial[i];
                for (int64_t m = 0; m < M; m++) a[i * M + m] *= keep;
                for (int64_t k = 0; k < K; k++) q[i * K + k] *= keep;
                for (int64_t u = 0; u < b; u++) {
                    double c = factor * s.signals[u * K + i];
                    signals[i * b + u] = c;
                    for (int64_t m = 0; m < M; m++) a[i * M + m] -= c * xi[u * units + m];
                    for (int64_t k = 0; k < K; k++) q[i * K + k] -= c * xi[u * units + M + k];
                }
            }
            /* outside them: factor of the signals' Gram matrix times a Bartlett factor */
            const double *along = signals;
            if (b > rank) {
                for (int64_t k = 0; k < K * K; k++) square[k] = 0;
                add_gram(square, 1, signals, K, b);
                cholesky(square, K);
                along = square;
            }
            for (int64_t i = 0; i < rank; i++)
                for (int64_t j = 0; j < rank; j++)
                    wishart[i * rank + j] = i == j  ? chi(outside - (double)i, key, (uint32_t)i, step)
                                            : i < j ? 0
                                                    : (double)mixing[place * mixed + i * (i - 1) / 2 + j];
            for (int64_t k = 0; k < K * rank; k++) step_out[k] = 0;
            multiply(step_out, root, along, wishart, K, rank, rank);
            for (int64_t k = 0; k < K * K; k++) gram[k] = 0;
            add_gram(gram, 1, q, K, K);
            add_gram(gram, 1, step_out, K, rank);
            cholesky(gram, K);
            for (int64_t k = 0; k < K * K; k++) q[k] = gram[k];
            for (int64_t i = 0; i < K; i++) move_parameters(p, gr, wr, sr, &s, i);
        }
    }
    free(normal);
    free(signals);
    free(work);
    return failed;
}
