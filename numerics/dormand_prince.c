/* Dormand-Prince 5(4) with step control per trajectory, dense output and events (Hairer, Norsett, Wanner:
   Solving Ordinary Differential Equations I, II.5 and II.6).  Included once for one trajectory (LANES 1, its
   kernel vectorized over units) and once for LANES trajectories side by side, element-major. */

#define L @LANES@

static void @SCHEDULE@_rates_at(struct kernel *k, const double *y, double *rates)
{
    bind_state(k, y, rates, L);
    rates_@SCHEDULE@(k);
}

static void @SCHEDULE@_watch_at(struct kernel *k, const double *y, double *values)
{
    bind_state(k, y, 0, L);
    bind_watched(k, values, L);
    observables_@SCHEDULE@(k);
}

/* The interpolant of one step at the fraction theta, per lane: y1 at 1, y0 at 0, of fourth order between. */
static void @SCHEDULE@_interpolate(long n, const double *theta, const double *y, const double *y1, const double *h,
                                   double *const *s, double *at)
{
    for (long e = 0; e < n; ++e)
        for (int l = 0; l < L; ++l) {
            const long q = e * L + l;
            const double dy = y1[q] - y[q];
            const double r3 = h[l] * s[0][q] - dy;
            const double r4 = dy - h[l] * s[6][q] - r3;
            const double r5 = h[l] * (-12715105075.0 / 11282082432.0 * s[0][q] + 87487479700.0 / 32700410799.0 * s[2][q]
                              - 10690763975.0 / 1880347072.0 * s[3][q] + 701980252875.0 / 199316789632.0 * s[4][q]
                              - 1453857185.0 / 822651844.0 * s[5][q] + 69997945.0 / 29380423.0 * s[6][q]);
            const double a = theta[l], b = 1.0 - a;
            at[q] = a == 1.0 ? y1[q] : y[q] + a * (dy + b * (r3 + a * (r4 + b * r5)));
        }
}

/* Root mean square of v relative to the tolerances at y (and z). */
static void @SCHEDULE@_norm(long n, const double *v, const double *y, const double *z, double rtol, double atol,
                            double *norm)
{
    double sum[L];
    for (int l = 0; l < L; ++l) sum[l] = 0.0;
    for (long e = 0; e < n; ++e)
        for (int l = 0; l < L; ++l) {
            const long q = e * L + l;
            const double a = fabs(y[q]), b = fabs(z[q]);
            const double x = v[q] / (atol + rtol * (a > b ? a : b));
            sum[l] += x * x;
        }
    for (int l = 0; l < L; ++l) norm[l] = sqrt(sum[l] / n);
}

/* Integrates from times[0].  out: [time][element][lane]; what is not reached stays as it is.  work holds
   11 n L doubles.  Everything with a lane index is [...][lane]. */
void solve_@SCHEDULE@(struct kernel *k, const struct task *task, const double *initial, double *out,
                      double *event_times, double *reached, long *steps, int *status, double *work)
{
    const long n = task->length;
    const double rtol = task->rtol, atol = task->atol;
    const double end = task->times[task->time_count - 1];
    double *y = work, *y1 = y + n * L, *at = y1 + n * L, *error = at + n * L, *s[7];
    double t[L], h[L], old[L], norm[L], size[L], theta[L], seen[L * MAX_WATCHED], now[L * MAX_WATCHED];
    double values[L * MAX_WATCHED];
    long next[L];
    for (int i = 0; i < 7; ++i) s[i] = error + (i + 1) * n * L;
    memcpy(y, initial, n * L * sizeof(double));
    @SCHEDULE@_rates_at(k, y, s[0]);
    if (task->event_count) @SCHEDULE@_watch_at(k, y, seen);

    /* The first step: from the sizes of y and y' and of a trial Euler step's change of y'. */
    @SCHEDULE@_norm(n, y, y, y, rtol, atol, size);
    @SCHEDULE@_norm(n, s[0], y, y, rtol, atol, norm);
    for (int l = 0; l < L; ++l) {
        h[l] = size[l] < 1e-5 || norm[l] < 1e-5 ? 1e-6 : 0.01 * size[l] / norm[l];
        old[l] = norm[l];
    }
    for (long e = 0; e < n; ++e)
        for (int l = 0; l < L; ++l) y1[e * L + l] = y[e * L + l] + h[l] * s[0][e * L + l];
    @SCHEDULE@_rates_at(k, y1, s[1]);
    for (long q = 0; q < n * L; ++q) error[q] = s[1][q] - s[0][q];
    @SCHEDULE@_norm(n, error, y, y, rtol, atol, norm);
    for (int l = 0; l < L; ++l) {
        const double curvature = norm[l] / h[l], larger = curvature > old[l] ? curvature : old[l];
        const double trial = larger <= 1e-15 ? fmax(1e-6, 1e-3 * h[l]) : pow(0.01 / larger, 0.2);
        h[l] = fmin(fmin(100.0 * h[l], trial), end - task->times[0]);
        old[l] = 1e-4;
        t[l] = task->times[0];
        next[l] = 0;
        if (status[l] == RUNNING) {
            for (long e = 0; e < n; ++e) out[e * L + l] = y[e * L + l];
            next[l] = 1;
            steps[l] = steps[L + l] = 0;
            if (next[l] == task->time_count) status[l] = FINISHED;
        }
    }

    for (;;) {
        int running = 0;
        for (int l = 0; l < L; ++l) {
            if (status[l] != RUNNING) { h[l] = 0.0; continue; }
            if (!(h[l] > 4e-16 * fabs(t[l])) || !(h[l] > 1e-300)) { status[l] = STEP_TOO_SMALL; h[l] = 0.0; continue; }
            if (steps[l] + steps[L + l] >= task->max_steps) { status[l] = TOO_MANY_STEPS; h[l] = 0.0; continue; }
            if (t[l] + 1.01 * h[l] > end) h[l] = end - t[l];
            running = 1;
        }
        if (!running) break;

#define STAGE(number, combination)                                                                      \
        for (long e = 0; e < n; ++e)                                                                    \
            for (int l = 0; l < L; ++l) {                                                               \
                const long q = e * L + l;                                                               \
                at[q] = y[q] + h[l] * (combination);                                                    \
            }                                                                                           \
        @SCHEDULE@_rates_at(k, at, s[number]);
        STAGE(1, 0.2 * s[0][q])
        STAGE(2, 3.0 / 40 * s[0][q] + 9.0 / 40 * s[1][q])
        STAGE(3, 44.0 / 45 * s[0][q] - 56.0 / 15 * s[1][q] + 32.0 / 9 * s[2][q])
        STAGE(4, 19372.0 / 6561 * s[0][q] - 25360.0 / 2187 * s[1][q] + 64448.0 / 6561 * s[2][q]
                 - 212.0 / 729 * s[3][q])
        STAGE(5, 9017.0 / 3168 * s[0][q] - 355.0 / 33 * s[1][q] + 46732.0 / 5247 * s[2][q] + 49.0 / 176 * s[3][q]
                 - 5103.0 / 18656 * s[4][q])
#undef STAGE
        for (long e = 0; e < n; ++e)
            for (int l = 0; l < L; ++l) {
                const long q = e * L + l;
                y1[q] = y[q] + h[l] * (35.0 / 384 * s[0][q] + 500.0 / 1113 * s[2][q] + 125.0 / 192 * s[3][q]
                                       - 2187.0 / 6784 * s[4][q] + 11.0 / 84 * s[5][q]);
            }
        @SCHEDULE@_rates_at(k, y1, s[6]);
        for (long e = 0; e < n; ++e)
            for (int l = 0; l < L; ++l) {
                const long q = e * L + l;
                error[q] = h[l] * (71.0 / 57600 * s[0][q] - 71.0 / 16695 * s[2][q] + 71.0 / 1920 * s[3][q]
                                   - 17253.0 / 339200 * s[4][q] + 22.0 / 525 * s[5][q] - 1.0 / 40 * s[6][q]);
            }
        @SCHEDULE@_norm(n, error, y, y1, rtol, atol, norm);

        double step[L];
        int accepted[L], any = 0;
        for (int l = 0; l < L; ++l) {
            accepted[l] = 0;
            step[l] = h[l];
            if (status[l] != RUNNING) continue;
            if (!isfinite(norm[l])) {
                h[l] *= 0.1;
                ++steps[L + l];
                continue;
            }
            const double growth = pow(fmax(norm[l], 1e-10), 0.17);
            if (norm[l] <= 1.0) {
                h[l] *= fmin(10.0, fmax(0.2, 0.9 * pow(old[l], 0.04) / growth));
                old[l] = fmax(norm[l], 1e-4);
                accepted[l] = any = 1;
                ++steps[l];
            } else {
                h[l] *= fmax(0.1, 0.9 / growth);
                ++steps[L + l];
            }
        }
        if (!any) continue;

        /* Events: where a watched value crossed its threshold within the step, by bisection. */
        double last[L];
        for (int l = 0; l < L; ++l) last[l] = t[l] + step[l];
        if (task->event_count) {
            @SCHEDULE@_watch_at(k, y1, now);
            for (long v = 0; v < task->event_count; ++v) {
                const struct event *event = &task->events[v];
                double low[L], high[L];
                int crossed[L], found = 0;
                for (int l = 0; l < L; ++l) {
                    const double before = seen[event->watched * L + l] - event->threshold;
                    const double after = now[event->watched * L + l] - event->threshold;
                    const int up = before < 0.0 && after >= 0.0, down = before > 0.0 && after <= 0.0;
                    crossed[l] = accepted[l] && isnan(event_times[v * L + l])
                                 && ((event->direction >= 0 && up) || (event->direction <= 0 && down));
                    found |= crossed[l];
                    low[l] = 0.0;
                    high[l] = 1.0;
                }
                for (int round = 0; found && round < 50; ++round) {
                    for (int l = 0; l < L; ++l) theta[l] = 0.5 * (low[l] + high[l]);
                    @SCHEDULE@_interpolate(n, theta, y, y1, step, s, at);
                    @SCHEDULE@_watch_at(k, at, values);
                    for (int l = 0; l < L; ++l) {
                        const double before = seen[event->watched * L + l] - event->threshold;
                        const double middle = values[event->watched * L + l] - event->threshold;
                        if ((before < 0.0) == (middle < 0.0)) low[l] = theta[l];
                        else high[l] = theta[l];
                    }
                }
                for (int l = 0; l < L; ++l) {
                    if (!crossed[l]) continue;
                    event_times[v * L + l] = t[l] + high[l] * step[l];
                    if (event->terminal) {
                        status[l] = STOPPED_BY_EVENT;
                        last[l] = fmin(last[l], event_times[v * L + l]);
                    }
                }
            }
            for (long v = 0; v < MAX_WATCHED; ++v)
                for (int l = 0; l < L; ++l)
                    if (accepted[l]) seen[v * L + l] = now[v * L + l];
        }

        for (;;) {  /* requested times within the step */
            int due = 0;
            for (int l = 0; l < L; ++l) {
                theta[l] = 0.0;
                if (accepted[l] && next[l] < task->time_count && task->times[next[l]] <= last[l]) {
                    due = 1;
                    theta[l] = task->times[next[l]] == t[l] + step[l] ? 1.0 : (task->times[next[l]] - t[l]) / step[l];
                }
            }
            if (!due) break;
            @SCHEDULE@_interpolate(n, theta, y, y1, step, s, at);
            for (int l = 0; l < L; ++l) {
                if (theta[l] == 0.0) continue;
                for (long e = 0; e < n; ++e) out[(next[l] * n + e) * L + l] = at[e * L + l];
                ++next[l];
            }
        }

        for (int l = 0; l < L; ++l) {
            if (!accepted[l]) continue;
            /* The last step ends at the end exactly, whatever t + (end - t) rounds to. */
            t[l] = status[l] == STOPPED_BY_EVENT ? last[l] : (step[l] == end - t[l] ? end : t[l] + step[l]);
            if (status[l] == RUNNING && t[l] >= end) {
                status[l] = FINISHED;
                if (next[l] < task->time_count)
                    for (long e = 0; e < n; ++e) out[(next[l] * n + e) * L + l] = y1[e * L + l];
            }
            for (long e = 0; e < n; ++e) {
                y[e * L + l] = y1[e * L + l];
                s[0][e * L + l] = s[6][e * L + l];
            }
        }
    }
    for (int l = 0; l < L; ++l) reached[l] = t[l];
}

#undef L
