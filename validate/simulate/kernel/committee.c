/* The committee machine: from the fields of a batch to the gradient. Shapes are row-major. */

enum { NONE, BATCH, BATCH_WITHOUT_RADIAL, WEIGHT };
enum { POPULATION, CENTRED, UNCENTRED };
enum { ERF, RELU, IDENTITY, TANH, GELU };

typedef struct {
    int64_t students, teachers, batch, size;
    int64_t normalization, statistics, activation, shift;
    double slope; /* of RELU at negative arguments */
    double rate, gain_rate, output_rate; /* learning rates over N */
    double variance, label_noise, weight_decay, gain_decay;
} Problem;

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
    double *fields, *normalized, *signals, *hidden, *squared_norms, *deviation, *radial, *dg, *dw, *dshift;
} Work;

/* Memory for one step; NULL fields where there is none. To be freed by free(work.fields). */
static Work allocate(const Problem *p)
{
    int64_t K = p->students, b = p->batch, units = K + p->teachers;
    Work s = { .fields = calloc((size_t)(b * (units + 2 * K) + 7 * K), sizeof(double)) };
    s.normalized = s.fields + b * units;
    s.signals = s.normalized + b * K;
    s.hidden = s.signals + b * K;
    s.squared_norms = s.hidden + K;
    s.deviation = s.squared_norms + K;
    s.radial = s.deviation + K;
    s.dg = s.radial + K;
    s.dw = s.dg + K;
    s.dshift = s.dw + K;
    return s;
}

static int needs_norms(const Problem *p) { return p->normalization != NONE && p->statistics == POPULATION; }

static void normalize(const Problem *p, Work *s)
{
    int64_t K = p->students, b = p->batch, units = K + p->teachers;
    for (int64_t i = 0; i < K; i++) {
        double mean = 0, square = 0;
        if (p->statistics == POPULATION) {
            square = s->squared_norms[i] * (p->normalization == WEIGHT ? 1 : p->variance);
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
static void gradient(const Problem *p, const double *g, const double *w, const double *shift, const double *v,
                     const REAL *noise, Work *s)
{
    int64_t K = p->students, M = p->teachers, b = p->batch, units = K + M;
    int gained = p->normalization != NONE;
    if (gained) normalize(p, s);
    for (int64_t i = 0; i < K; i++) s->radial[i] = p->weight_decay, s->dg[i] = s->dw[i] = s->dshift[i] = 0;
    for (int64_t u = 0; u < b; u++) {
        const double *x = s->fields + u * units, *y = x + K;
        double *signal = s->signals + u * K, *n = s->normalized + u * K;
        double delta = p->label_noise ? -p->label_noise * (double)noise[u] : 0;
        for (int64_t m = 0; m < M; m++) delta -= v[m] * phi(p, y[m]);
        for (int64_t i = 0; i < K; i++) {
            signal[i] = gained ? g[i] * n[i] + shift[i] : x[i]; /* h, for now */
            s->hidden[i] = phi(p, signal[i]);
            delta += w[i] * s->hidden[i];
        }
        for (int64_t i = 0; i < K; i++) {
            s->dw[i] += delta * s->hidden[i] / (double)b;
            signal[i] = delta * w[i] * slope_of_phi(p, signal[i]);
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

static void move_parameters(const Problem *p, double *g, double *w, double *shift, const Work *s)
{
    for (int64_t i = 0; i < p->students; i++) {
        if (p->normalization != NONE) g[i] -= p->gain_rate * s->dg[i];
        if (p->shift) shift[i] -= p->gain_rate * s->dshift[i];
        w[i] -= p->output_rate * s->dw[i];
    }
}
