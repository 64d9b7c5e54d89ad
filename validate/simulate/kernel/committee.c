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

/* Arrays of one step: fields (batch, K + M), students before teachers; normalized fields, signals and
 * weighted, the hidden units' values times the error, (batch, K); the others (K). */
typedef struct {
    double *fields, *normalized, *signals, *weighted, *squared_norms, *deviation, *radial, *dg, *dw, *dshift;
} Work;

/* Numbers that the arrays of one step take. */
static int64_t work_length(const Problem *p)
{
    return p->batch * (4 * p->students + p->teachers) + 6 * p->students;
}

/* The arrays of one step in ``memory``. */
static Work work_in(const Problem *p, double *memory)
{
    int64_t K = p->students, b = p->batch;
    Work s;
    s.fields = memory;
    s.normalized = s.fields + b * (K + p->teachers);
    s.signals = s.normalized + b * K;
    s.weighted = s.signals + b * K;
    s.squared_norms = s.weighted + b * K;
    s.deviation = s.squared_norms + K;
    s.radial = s.deviation + K;
    s.dg = s.radial + K;
    s.dw = s.dg + K;
    s.dshift = s.dw + K;
    return s;
}

static int needs_norms(const Problem *p) { return p->normalization != NONE && p->statistics == POPULATION; }

/* Student i: deviation and normalized fields. */
static void normalize(const Problem *p, const Work *s, int64_t i)
{
    int64_t K = p->students, b = p->batch, units = K + p->teachers;
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

/* Sample u: the error, and with it signals = dloss/dh and weighted = dloss/dw of this sample. */
static void respond(const Problem *p, const double *g, const double *w, const double *shift, const double *v,
                    const REAL *noise, const Work *s, int64_t u)
{
    int64_t K = p->students, M = p->teachers;
    int gained = p->normalization != NONE;
    const double *x = s->fields + u * (K + M), *y = x + K, *n = s->normalized + u * K;
    double *signal = s->signals + u * K, *hidden = s->weighted + u * K;
    double delta = p->label_noise ? -p->label_noise * (double)noise[u] : 0;
    for (int64_t m = 0; m < M; m++) delta -= v[m] * phi(p, y[m]);
    for (int64_t i = 0; i < K; i++) {
        signal[i] = gained ? g[i] * n[i] + shift[i] : x[i]; /* h, for now */
        hidden[i] = phi(p, signal[i]);
        delta += w[i] * hidden[i];
    }
    for (int64_t i = 0; i < K; i++) {
        hidden[i] *= delta;
        signal[i] = delta * w[i] * slope_of_phi(p, signal[i]);
    }
}

/* Student i: averages over the batch; signals become dloss/dx, radial the coefficient of J_i in dloss/dJ_i. */
static void collect(const Problem *p, const double *g, const Work *s, int64_t i)
{
    int64_t K = p->students, b = p->batch;
    int gained = p->normalization != NONE;
    double dg = 0, dw = 0, dshift = 0;
    for (int64_t u = 0; u < b; u++) {
        dw += s->weighted[u * K + i] / (double)b;
        dshift += s->signals[u * K + i] / (double)b;
        if (gained) dg += s->signals[u * K + i] * s->normalized[u * K + i] / (double)b;
    }
    s->radial[i] = p->weight_decay;
    if (gained) {
        double scale = g[i] / s->deviation[i];
        for (int64_t u = 0; u < b; u++) {
            double *signal = s->signals + u * K + i;
            if (p->statistics != POPULATION) *signal -= s->normalized[u * K + i] * dg;
            if (p->statistics == CENTRED) *signal -= dshift;
            *signal *= scale;
        }
        if (p->statistics == POPULATION && p->normalization != BATCH_WITHOUT_RADIAL) {
            double tau = p->normalization == WEIGHT ? 1 : p->variance;
            s->radial[i] -= tau * g[i] * dg / (s->deviation[i] * s->deviation[i]);
        }
        dg += p->gain_decay * g[i];
    }
    s->dg[i] = dg;
    s->dw[i] = dw;
    s->dshift[i] = dshift;
}

/* From fields to what moves. */
static void gradient(const Problem *p, const double *g, const double *w, const double *shift, const double *v,
                     const REAL *noise, const Work *s)
{
    if (p->normalization != NONE)
        for (int64_t i = 0; i < p->students; i++) normalize(p, s, i);
    for (int64_t u = 0; u < p->batch; u++) respond(p, g, w, shift, v, noise, s, u);
    for (int64_t i = 0; i < p->students; i++) collect(p, g, s, i);
}

/* The parameters of student i. */
static void move_parameters(const Problem *p, double *g, double *w, double *shift, const Work *s, int64_t i)
{
    if (p->normalization != NONE) g[i] -= p->gain_rate * s->dg[i];
    if (p->shift) shift[i] -= p->gain_rate * s->dshift[i];
    w[i] -= p->output_rate * s->dw[i];
}
