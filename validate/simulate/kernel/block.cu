/* What the kernels on a device share: a block of threads a replica, sums over the lanes of a warp. */

#ifdef __CUDACC__
#define KERNEL extern "C" __global__
#define LANES 32
#endif

static double lane_sum(double value)
{
    for (int offset = LANES / 2; offset; offset /= 2) value += __shfl_down_sync(0xFFFFFFFFu, value, offset);
    return value;
}

/* Fields are in place, and squared norms where they are needed: the gradient, by all threads of the block. */
static void block_gradient(const Problem *p, const double *g, const double *w, const double *shift,
                           const double *v, const REAL *noise, const Work *s)
{
    __syncthreads();
    if (p->normalization != NONE)
        for (int64_t i = threadIdx.x; i < p->students; i += blockDim.x) normalize(p, s, i);
    __syncthreads();
    for (int64_t u = threadIdx.x; u < p->batch; u += blockDim.x) respond(p, g, w, shift, v, noise, s, u);
    __syncthreads();
    for (int64_t i = threadIdx.x; i < p->students; i += blockDim.x) collect(p, g, s, i);
    __syncthreads();
}

/* Standard normals as ``normals`` draws them, by all threads of the block. */
static void block_normals(REAL *out, int64_t count, const uint32_t key[2], uint32_t sample, int64_t step,
                          uint32_t purpose)
{
    int64_t blocks = (count + 3) / 4;
    for (int64_t i = threadIdx.x; i < blocks; i += blockDim.x)
        four_normals(out, i, blocks, key, sample, step, purpose);
}
