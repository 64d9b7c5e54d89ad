/* The chain of overlaps on a device: the steps of chain.c, each replica by one block of threads.
 *
 * A block has numbers for GROUP steps, and memory for one step and four (K, K) matrices. */

KERNEL void chain_blocks(const Problem *p, double *aligned, double *apart, const double *teachers, double *g,
                         double *w, double *shift, const double *v, const uint32_t *keys, int64_t replicas,
                         int64_t first, int64_t last, REAL *numbers, int64_t numbers_each, double *memory,
                         int64_t memory_each)
{
    int64_t K = p->students, M = p->teachers, b = p->batch, units = K + M, rank = b < K ? b : K;
    int64_t drawn = b * units, mixed = rank * (rank - 1) / 2, thread = threadIdx.x, threads = blockDim.x;
    double root = sqrt(p->variance), factor = p->rate / (double)b, outside = (double)(p->size - units);
    REAL *normal = numbers + blockIdx.x * numbers_each, *noises = normal + 4 * ((GROUP * drawn + 3) / 4);
    REAL *mixing = noises + 4 * ((GROUP * b + 3) / 4);
    Work s = work_in(p, memory + blockIdx.x * memory_each);
    double *along = s.fields + work_length(p), *wishart = along + K * K, *out = wishart + K * K;
    double *gram = out + K * K;
    for (int64_t r = blockIdx.x; r < replicas; r += gridDim.x) {
        double *a = aligned + r * K * M, *q = apart + r * K * K, *gr = g + r * K, *wr = w + r * K;
        double *sr = shift + r * K;
        const double *B = teachers + r * M * M;
        const uint32_t *key = keys + 2 * r;
        for (int64_t step = first; step < last; step++) {
            int64_t place = step % GROUP;
            if (place == 0 || step == first) {
                block_normals(normal, GROUP * drawn, key, 0, step / GROUP, INPUTS);
                if (p->label_noise) block_normals(noises, GROUP * b, key, 0, step / GROUP, NOISE);
                if (mixed) block_normals(mixing, GROUP * mixed, key, 0, step / GROUP, ORTHOGONAL_MIXING);
                __syncthreads();
            }
            /* xi / root (b, M + K); fields (b, K + M) */
            const REAL *xi = normal + place * drawn;
            for (int64_t job = thread; job < drawn; job += threads) {
                int64_t unit = job % units;
                const REAL *z = xi + job - unit;
                double field = 0;
                for (int64_t m = 0; m < M; m++)
                    field += (unit < K ? a[unit * M + m] : B[(unit - K) * M + m]) * (double)z[m];
                if (unit < K)
                    for (int64_t k = 0; k < K; k++) field += q[unit * K + k] * (double)z[M + k];
                s.fields[job] = root * field;
            }
            if (needs_norms(p))
                for (int64_t i = thread; i < K; i += threads) {
                    double norm = 0;
                    for (int64_t m = 0; m < M; m++) norm += a[i * M + m] * a[i * M + m];
                    for (int64_t k = 0; k < K; k++) norm += q[i * K + k] * q[i * K + k];
                    s.squared_norms[i] = norm;
                }
            block_gradient(p, gr, wr, sr, v, noises + place * b, &s);
            /* within the K + M directions */
            for (int64_t job = thread; job < K * units; job += threads) {
                int64_t i = job / units, column = job % units;
                double *entry = column < M ? a + i * M + column : q + i * K + column - M;
                double moved = (1 - p->rate * s.radial[i]) * *entry;
                for (int64_t u = 0; u < b; u++)
                    moved -= factor * s.signals[u * K + i] * root * (double)xi[u * units + column];
                *entry = moved;
            }
            /* outside them: the signals, or the factor of their Gram matrix, times a Bartlett factor */
            for (int64_t job = thread; job < K * rank; job += threads) {
                int64_t i = job / rank, j = job % rank;
                double sum = 0;
                if (b > rank)
                    for (int64_t u = 0; u < b; u++) sum += s.signals[u * K + i] * s.signals[u * K + j];
                along[job] = b > rank ? factor * factor * sum : factor * s.signals[j * K + i];
            }
            for (int64_t job = thread; job < rank * rank; job += threads) {
                int64_t i = job / rank, j = job % rank;
                wishart[job] = i == j  ? chi(outside - (double)i, key, (uint32_t)i, step)
                               : i < j ? 0
                                       : (double)mixing[place * mixed + i * (i - 1) / 2 + j];
            }
            __syncthreads();
            if (thread == 0 && b > rank) cholesky(along, K);
            __syncthreads();
            for (int64_t job = thread; job < K * rank; job += threads) {
                double sum = 0;
                for (int64_t l = 0; l < rank; l++)
                    sum += along[job / rank * rank + l] * wishart[l * rank + job % rank];
                out[job] = root * sum;
            }
            __syncthreads();
            for (int64_t job = thread; job < K * K; job += threads) {
                const double *left = q + job / K * K, *right = q + job % K * K;
                const double *x = out + job / K * rank, *y = out + job % K * rank;
                double sum = 0;
                for (int64_t k = 0; k < K; k++) sum += left[k] * right[k];
                for (int64_t l = 0; l < rank; l++) sum += x[l] * y[l];
                gram[job] = sum;
            }
            __syncthreads();
            if (thread == 0) cholesky(gram, K);
            __syncthreads();
            for (int64_t job = thread; job < K * K; job += threads) q[job] = gram[job];
            for (int64_t i = thread; i < K; i += threads) move_parameters(p, gr, wr, sr, &s, i);
            __syncthreads();
        }
    }
}
