"""Experiment: what batches as large as the network do, the pairs u != v of one batch.

The flow keeps, at order eta^2, each sample with itself.  Two samples of one batch contribute the term
``finite_batch``, eta^2 (1 - 1/b) / N <gradient_i>.<gradient_j>, of relative size b/N.  At finite N and large
b the overlaps follow X -> X + F(X)/N in steps of 1/N, with that term in F, up to corrections of order 1/(N b).
Criterion: no entry, time or size is rejected against this recursion by Holm's procedure at a family-wise
level of 1 %, at replicas so few that 1/(N b) stays below half a standard error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from derive.online import Flow
from numerics.kernel.flow import flow_kernel, rate_name
from validate import statistics
from validate.experiments import Context, Curves, Experiment, Job, simulate_all, theory_of
from validate.experiments.comparison import entries
from validate.experiments.takagi2020.starts import asymmetric
from validate.experiments.theory import committee_flow, scalars
from validate.report.model import Check, ExperimentResult, Picture
from validate.simulate import Setup, Trajectories
from validate.statistics import FAMILY_LEVEL

WRONG = ("recursion without the term", "flow at infinite N")
CRITERION = f"no entry rejected by Holm's procedure over all entries, times and sizes, level {FAMILY_LEVEL:g}"


@dataclass(frozen=True)
class Settings:
    """Sizes N, with batches of ``batch_size`` in each; ``points`` equally spaced times are judged."""

    replicas: int
    sizes: tuple[int, ...] = (100, 200)
    batch_size: int = 200
    learning_rate: float = 2.0
    stop: float = 1.0
    points: int = 5
    seed: int = 7


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Simulate small networks with large batches; compare with the recursion, with and without the term."""
    setup = Setup(
        2, 2, batch_size=settings.batch_size, learning_rate=settings.learning_rate, **asymmetric(2, 2)
    )  # fmt: skip
    times = np.linspace(0.0, settings.stop, settings.points + 1)
    jobs = [
        Job(setup, tuple(times), settings.replicas, size, 1000 * settings.seed + k, "chain")
        for k, size in enumerate(settings.sizes)
    ]
    measured = simulate_all(context, jobs, "finite batch")
    flow = committee_flow("erf", "none")
    infinite = entries(theory_of("erf", "none").solve(setup, times))[1]
    curves = [
        (recursion(with_pairs(flow), setup, times, size), recursion(flow, setup, times, size), infinite)
        for size in settings.sizes
    ]
    checks, largest = _checks(settings, measured, curves)
    rejected = [check.details["z of wrong theories"] for check in checks]
    least = {name: min(z[name] for z in rejected) for name in WRONG}
    return context.result(
        f"The derived term of pairs describes what batches of b = {settings.batch_size} do at N = "
        f"{' and '.join(map(str, settings.sizes))} "
        f"({'largest' if all(c.passed for c in checks) else 'NOT within noise: largest'} |z| "
        f"{largest:.1f}); the "
        + ", the ".join(f"{name} is off by {z:.0f} standard errors" for name, z in least.items())
        + " or more.",
        checks=checks,
        figures={"finite-batch": _figure(settings, times, measured, curves)},
        seeds={"seed": settings.seed, "of a job": "1000 seed + its number"},
    )


def with_pairs(flow: Flow) -> Flow:
    """The flow with the term of pairs of samples, and N among its parameters."""
    state = tuple(
        replace(v, averages=v.averages + flow.finite_batch) if v.name == "Q" else v for v in flow.state
    )
    return replace(flow, state=state)


def recursion(flow: Flow, setup: Setup, times: np.ndarray, size: int) -> np.ndarray:
    """Entries of Q and R at ``times`` (steps / N) under X -> X + F(X)/N: (times, entries)."""
    kernel = flow_kernel(flow, "numpy")
    fixed = {**scalars(setup), "N": size, "T": setup.T, "v": setup.v, "w": setup.w}
    Q, R = setup.Q, setup.R
    recorded = {}
    steps = np.rint(times * size).astype(int)
    for step in range(steps[-1] + 1):
        if step in steps:
            recorded[step] = (Q, R)
        rates = kernel({**fixed, "Q": Q, "R": R})
        Q, R = Q + rates[rate_name("Q")] / size, R + rates[rate_name("R")] / size
    Qs, Rs = (np.stack([recorded[step][k] for step in steps]) for k in (0, 1))
    nothing = np.zeros(len(times))
    return entries(Curves(times, Qs, Rs, nothing, None, nothing))[1]


Three = tuple[np.ndarray, np.ndarray, np.ndarray]


def _checks(
    settings: Settings, measured: Sequence[Trajectories], curves: Sequence[Three]
) -> tuple[list[Check], float]:
    degrees = settings.replicas - 1
    found = [statistics.estimate(entries(run)[1][:, 1:]) for run in measured]
    z = [
        [statistics.z_score(f, theory[1:]) for theory in theories]
        for f, theories in zip(found, curves, strict=True)
    ]
    p = np.stack([statistics.p_value(right, degrees) for right, *_ in z])
    bad = statistics.holm(p)
    level = statistics.single_level(p.size)
    names = entries(measured[0])[0]
    checks = []
    for size, f, theories, scores, rejected in zip(settings.sizes, found, curves, z, bad, strict=True):
        t, e = np.unravel_index(np.abs(scores[0]).argmax(), scores[0].shape)
        checks.append(
            Check(
                name=f"finite batch: N={size}, b={settings.batch_size}",
                statement=f"the means at N = {size}, b = {settings.batch_size} follow the recursion with "
                "pairs",
                predicted=float(theories[0][1:][t, e]), measured=float(f.value[t, e]),
                standard_error=float(f.error[t, e]), criterion=CRITERION, passed=not rejected.any(),
                z=float(scores[0][t, e]), p_value=float(statistics.p_value(scores[0][t, e], degrees)),
                power={
                    name: float(statistics.power((wrong - theories[0])[1:], f.error, level, degrees).max())
                    for name, wrong in zip(WRONG, theories[1:], strict=True)
                },
                details={
                    "shown": f"the entry of largest |z|: {names[e]}", "entries": scores[0].size,
                    "z of wrong theories": {
                        name: float(np.abs(wrong).max())
                        for name, wrong in zip(WRONG, scores[1:], strict=True)
                    },
                },
            )
        )  # fmt: skip
    return checks, max(float(np.abs(scores[0]).max()) for scores in z)


def _figure(
    settings: Settings, times: np.ndarray, measured: Sequence[Trajectories], curves: Sequence[Three]
) -> Picture:
    from validate.experiments.takagi2020.trajectories_figures import mathematical
    from validate.report.figures import COLOURS, FAINT, panels

    figure, axes = panels(len(settings.sizes), 1, sharey=True)
    names = entries(measured[0])[0]
    for ax, size, run, (right, without, infinite) in zip(
        np.atleast_1d(axes), settings.sizes, measured, curves, strict=True
    ):
        found = statistics.estimate(entries(run)[1])
        for colour, name in zip(COLOURS, ("Q_11", "Q_22", "R_11"), strict=False):
            e = names.index(name)
            ax.plot(times, (right - infinite)[:, e], color=colour, label=mathematical(name))
            ax.plot(times, (without - infinite)[:, e], color=colour, ls="--", lw=1)
            ax.errorbar(
                times, found.value[:, e] - infinite[:, e], 2 * found.error[:, e], fmt="o", ms=4, mfc="white",
                color=colour,
            )  # fmt: skip
        ax.axhline(0.0, color=FAINT, lw=0.6)
        ax.set_title(f"$N = {size}$, $b = {settings.batch_size}$")
        ax.set_xlabel("time, steps / $N$")
    np.atleast_1d(axes)[0].set_ylabel("deviation from the flow")
    np.atleast_1d(axes)[0].legend()
    return Picture(
        figure,
        f"Batches larger than the network. Points: means over {settings.replicas} replicas minus the flow "
        "at infinite N, bars two standard errors. Lines: the recursion in steps of 1/N with the derived "
        "term of pairs of samples; dashed: without it. Criterion: the points agree with the full lines.",
    )


EXPERIMENT = Experiment(
    title="Batches as large as the network",
    question="What do pairs of samples of one batch contribute where b/N is not small?",
    run=run,
    full=Settings(replicas=2000),
    quick=Settings(replicas=1000),
)
