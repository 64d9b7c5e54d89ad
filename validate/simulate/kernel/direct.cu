/* Direct simulation on a device: the steps of direct.c, each replica by one block of threads. */

enum { TILE = 4 }; /* samples that share one reading of the weights */

/* Inner products of one vector with up to TILE others, ``row`` apart, by one warp; complete in its lane 0. */
static void tile_products(const REAL *J, const REAL *xi, int64_t row, int64_t samples, int64_t n, double *out)
{
    REAL sums[TILE] = { 0 };
    for (int64_t k = threadIdx.x % LANES; k < n; k += LANES) {
        REAL weight = J[k];
        for (int t = 0; t < TILE; t++)
            if (t < samples) sums[t] += weight * xi[t * row + k];
    }
    for (int t = 0; t < TILE; t++) out[t] = lane_sum(sums[t]);
}

/* A block has numbers for the inputs and the noise of a batch, each sample's rounded up to whole fours, and
 * memory for one step. */
KERNEL void direct_blocks(const Problem *p, REAL *weights, double *g, double *w, double *shift,
                          const double *v, const uint32_t *keys, int64_t replicas, int64_t first,
                          int64_t last, REAL *numbers, int64_t numbers_each, double *memory,
                          int64_t memory_each)
{
    int64_t K = p->students, b = p->batch, n = p->size, units = K + p->teachers;
    int64_t row = 4 * ((n + 3) / 4), tiles = (b + TILE - 1) / TILE;
    int64_t warp = threadIdx.x / LANES, warps = blockDim.x / LANES, lane = threadIdx.x % LANES;
    double root = sqrt(p->variance), factor = p->rate * root / (double)b;
    REAL *xi = numbers + blockIdx.x * numbers_each, *noise = xi + b * row;
    Work s = work_in(p, memory + blockIdx.x * memory_each);
    for (int64_t r = blockIdx.x; r < replicas; r += gridDim.x) {
        REAL *J = weights + r * units * n;
        double *gr = g + r * K, *wr = w + r * K, *sr = shift + r * K;
        const uint32_t *key = keys + 2 * r;
        for (int64_t step = first; step < last; step++) {
            for (int64_t u = 0; u < b; u++) block_normals(xi + u * row, n, key, (uint32_t)u, step, INPUTS);
            if (p->label_noise) block_normals(noise, b, key, 0, step, NOISE);
            __syncthreads();
            for (int64_t job = warp; job < units * tiles; job += warps) {
                int64_t unit = job % units, u = job / units * TILE, samples = b - u < TILE ? b - u : TILE;
                double sums[TILE];
                tile_products(J + unit * n, xi + u * row, row, samples, n, sums);
                if (lane == 0)
                    for (int64_t t = 0; t < samples; t++) s.fields[(u + t) * units + unit] = root * sums[t];
            }
            if (needs_norms(p))
                for (int64_t i = warp; i < K; i += warps) {
                    double norm[TILE];
                    tile_products(J + i * n, J + i * n, 0, 1, n, norm);
                    if (lane == 0) s.squared_norms[i] = norm[0];
                }
            block_gradient(p, gr, wr, sr, v, noise, &s);
            for (int64_t i = 0; i < K; i++) {
                REAL keep = (REAL)(1 - p->rate * s.radial[i]);
                for (int64_t k = threadIdx.x; k < n; k += blockDim.x) {
                    REAL moved = keep * J[i * n + k];
                    for (int64_t u = 0; u < b; u++)
                        moved -= (REAL)(factor * s.signals[u * K + i]) * xi[u * row + k];
                    J[i * n + k] = moved;
                }
            }
            for (int64_t i = threadIdx.x; i < K; i += blockDim.x) move_parameters(p, gr, wr, sr, &s, i);
            __syncthreads();
        }
    }
}
