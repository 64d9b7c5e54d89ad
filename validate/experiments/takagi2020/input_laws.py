"""Experiment (f): do inputs of any law with the same mean and variance give the same dynamics?

The same learning problem, simulated with every component drawn, for Gaussian, binary, uniform and
heavy-tailed inputs at several N, and extrapolated in 1/N.  Weights start in random directions, spread over
all inputs.  Criterion: for every law no order parameter is rejected against the flow, by Holm's procedure
over all entries, times and laws at a family-wise level of 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from validate import statistics
from validate.experiments import Context, Experiment, Job, simulate_all, theory_of
from validate.experiments.comparison import Comparison, compare, entries, level_of_one, rejected
from validate.experiments.takagi2020.starts import asymmetric
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate import Setup, Trajectories
from validate.statistics import FAMILY_LEVEL

LAWS = ("gaussian", "binary", "uniform", "heavy-tailed")
CRITERION = f"no entry rejected by Holm's procedure over all entries, times and laws, level {FAMILY_LEVEL:g}"
SHOWN = ("Q_11", "R_11", "R_12")


@dataclass(frozen=True)
class Settings:
    """What is run, for each normalization and law.  The overlaps at ``times`` are judged."""

    sizes: tuple[int, ...]
    replicas: tuple[int, ...]
    normalizations: tuple[str, ...] = ("none", "batch")
    times: tuple[float, ...] = (1.0, 2.0)
    input_variance: float = 2.0
    learning_rate: float = 1.0
    seed: int = 6


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Simulate every law, extrapolate, compare with the one flow, and judge."""
    cases = [(name, law) for name in settings.normalizations for law in LAWS]
    measured = _simulate(settings, cases, context)
    comparisons = []
    for (name, _), runs in zip(cases, measured, strict=True):
        curves = theory_of("erf", name).solve(_setup(settings, name, "gaussian"), (0.0, *settings.times))
        comparisons.append(compare(runs, curves, {}, range(1, len(settings.times) + 1)))
    failed = rejected(comparisons)
    passed = [
        not any(bad for (_, law), bad in zip(cases, failed, strict=True) if law == each) for each in LAWS
    ]
    return context.result(
        _answer(passed, comparisons),
        checks=[
            _check(name, law, comparison, not bad)
            for (name, law), comparison, bad in zip(cases, comparisons, failed, strict=True)
        ],
        findings=[_finding(passed, comparisons, settings)],
        figures={"input-laws": _figure(settings, cases, measured, comparisons)},
        tables=[_table(cases, comparisons)],
        seeds={"seed": settings.seed, "of a job": "1000 seed + its number"},
    )


def _setup(settings: Settings, normalization: str, law: str) -> Setup:
    return Setup(
        2, 2, normalization=normalization, learning_rate=settings.learning_rate, input_law=law,
        input_variance=settings.input_variance, **asymmetric(2, 2, normalization != "none"),
    )  # fmt: skip


def _simulate(
    settings: Settings, cases: Sequence[tuple[str, str]], context: Context
) -> list[list[Trajectories]]:
    sizes = list(zip(settings.sizes, settings.replicas, strict=True))
    jobs = [
        (Job(_setup(settings, *case), (0.0, *settings.times), replicas, size, 0)) for case in cases
        for size, replicas in sizes
    ]  # fmt: skip
    jobs = [Job(j.setup, j.times, j.replicas, j.size, 1000 * settings.seed + n) for n, j in enumerate(jobs)]
    runs = simulate_all(context, jobs, "input laws")
    count = len(sizes)
    return [runs[c * count : (c + 1) * count] for c in range(len(cases))]


def _check(name: str, law: str, comparison: Comparison, passed: bool) -> Check:
    worst = comparison.worst()
    return Check(
        name=f"input laws: {law}, {name}",
        statement=f"{law} inputs follow the flow at infinite N (normalization: {name})",
        predicted=worst["predicted"], measured=worst["measured"], standard_error=worst["error"],
        criterion=CRITERION, passed=passed, z=worst["z"], p_value=worst["p_value"],
        details={
            "shown": f"the entry of largest |z|: {worst['entry']} at t = {worst['time']:g}",
            "entries": comparison.z.size,
        },
    )  # fmt: skip


def _answer(passed: Sequence[bool], comparisons: Sequence[Comparison]) -> str:
    largest = max(float(np.abs(c.z).max()) for c in comparisons)
    good = [law for law, ok in zip(LAWS, passed, strict=True) if ok]
    bad = [law for law, ok in zip(LAWS, passed, strict=True) if not ok]
    words = f"At infinite N {', '.join(good) or 'no'} inputs follow the one flow (largest |z| {largest:.1f})."
    return words + (f" {', '.join(bad)} inputs do not." if bad else "")


def _finding(passed: Sequence[bool], comparisons: Sequence[Comparison], settings: Settings) -> Finding:
    """The claim holds for the laws tested where weights are spread, and not for a weight on one input."""
    gaussian, binary = first_speed()
    level = level_of_one(comparisons)
    reach = max(float(c.limit.limit.error.max()) for c in comparisons) * _threshold(level)
    return Finding(
        claim="takagi2020.claim-input-law",
        says="inputs with i.i.d. components of any law with mean 0 and variance sigma^2 give the same "
        "dynamics",
        answer=(
            f"{_answer(passed, comparisons)} A deviation of an overlap by {reach:.2g} would have been "
            "seen. The claim needs weights spread over many inputs, so that the fields become Gaussian: "
            f"for a teacher that looks at a single input R starts at {binary / gaussian:.2f} times the "
            "Gaussian speed where that input is binary."
        ),
        verdict="conditional" if all(passed) else "refuted",
        evidence={
            "largest |z| by law": {
                law: max(float(np.abs(c.z).max()) for c in comparisons[k :: len(LAWS)])
                for k, law in enumerate(LAWS)
            },
            "sizes": settings.sizes, "replicas": settings.replicas, "seed": settings.seed,
            "dR/dt at J = 0, teacher on one input": {"gaussian": gaussian, "binary": binary},
        },
    )  # fmt: skip


def first_speed() -> tuple[float, float]:
    """<phi'(0) phi(y) y> for erf units: dR/dt at J = 0 and eta = 1, where the teacher's field y is one input
    of variance 1, Gaussian or binary."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    phi = np.array([math.erf(y / math.sqrt(2)) for y in nodes])
    slope = math.sqrt(2 / math.pi)
    return slope * float(weights @ (phi * nodes) / weights.sum()), slope * math.erf(1 / math.sqrt(2))


def _threshold(level: float) -> float:
    from scipy.stats import norm

    return float(norm.isf(level / 2))


def _table(cases: Sequence[tuple[str, str]], comparisons: Sequence[Comparison]) -> Table:
    rows = []
    for (name, law), c in zip(cases, comparisons, strict=True):
        row: list[object] = [name, law, round(float(np.abs(c.z).max()), 2)]
        for entry in SHOWN:
            e = c.names.index(entry)
            row.append(f"{c.limit.slope.value[-1, e]:.2f} ± {c.limit.slope.error[-1, e]:.2f}")
        rows.append(tuple(row))
    return Table(
        "The largest |z| of the flow at infinite N, and the coefficient of 1/N of single overlaps at the "
        "last time.",
        ("normalization", "input law", "largest |z|", *(f"{entry} × N" for entry in SHOWN)),
        tuple(rows),
    )


def _figure(
    settings: Settings, cases: Sequence[tuple[str, str]], measured: Sequence[Sequence[Trajectories]],
    comparisons: Sequence[Comparison],
) -> Picture:  # fmt: skip
    from validate.experiments.takagi2020.trajectories_figures import mathematical
    from validate.report.figures import COLOURS, FAINT, panels, trend

    figure, axes = panels(len(SHOWN), len(settings.normalizations), sharex=True)
    axes = np.atleast_2d(axes)
    inverse = 1 / np.array(settings.sizes)
    for (name, law), runs, comparison in zip(cases, measured, comparisons, strict=True):
        found = [statistics.estimate(entries(run)[1][:, -1]) for run in runs]
        k = LAWS.index(law)
        for ax, entry in zip(axes[settings.normalizations.index(name)], SHOWN, strict=True):
            e = comparison.names.index(entry)
            flow = comparison.theory[-1, e]
            fit = (
                float(comparison.limit.limit.value[-1, e] - flow),
                float(comparison.limit.slope.value[-1, e]),
            )
            trend(
                ax, inverse * (1 + 0.03 * (k - 1.5)), [f.value[e] - flow for f in found],
                [f.error[e] for f in found], label=law, colour=COLOURS[k], fit=fit,
            )  # fmt: skip
            ax.set_title(f"{mathematical(entry)}, normalization: {name}")
            ax.axhline(0.0, color=FAINT, lw=0.6)
    for ax in axes[-1]:
        ax.set_xlabel("$1/N$")
    for row in axes:
        row[0].set_ylabel("mean − flow")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LAWS))
    largest = max(float(np.abs(c.z).max()) for c in comparisons)
    return Picture(
        figure,
        f"Deviation of the mean overlaps from the flow at $t = {settings.times[-1]:g}$ for four laws of "
        f"the inputs, all of variance {settings.input_variance:g} (points shifted sideways a little, bars "
        "two standard errors). Laws differ in their finite-size corrections and meet at 1/N = 0. "
        "Criterion: none deviates there beyond noise at a family-wise level of 1 %; the largest |z| is "
        f"{largest:.1f}.",
    )


EXPERIMENT = Experiment(
    title="Laws of the inputs",
    question="Do inputs of any law with the same mean and variance give the same dynamics?",
    run=run,
    full=Settings((50, 100, 200, 400, 800, 1600), (8192, 4096, 2048, 1024, 512, 256)),
    quick=Settings((100, 200, 400), (256, 128, 64)),
)
