"""Experiment (a): the derived flow against simulation, for every gradient map.

Every replica starts at the same overlaps, realized exactly, so the theory has no free number.  Means over
replicas at several sizes are extrapolated linearly in 1/N; the flow must lie within what noise allows.
Criterion: over all entries, times and cases no rejection by Holm's procedure at a family-wise level of 1 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from validate import statistics
from validate.experiments import Context, Curves, Experiment, Job, simulate_all, theory_of
from validate.experiments.comparison import Comparison, compare, level_of_one, rejected
from validate.experiments.takagi2020.starts import asymmetric
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate import Setup, Trajectories
from validate.statistics import FAMILY_LEVEL

MAPS = ("none", "batch", "batch-without-radial", "weight")
OTHER_MAP = {
    "batch": ("radial term dropped", "batch-without-radial"),
    "batch-without-radial": ("radial term kept", "batch"),
}
CRITERION = f"no entry rejected by Holm's procedure over all entries, times and cases, level {FAMILY_LEVEL:g}"


@dataclass(frozen=True)
class Case:
    """One learning problem, simulated at several sizes."""

    normalization: str
    input_variance: float = 1.0
    batch_size: int = 1
    activation: str = "erf"
    students: int = 2
    teachers: int = 3
    learning_rate: float = 1.0
    stop: float = 2.0
    method: str = "direct"
    sizes: tuple[int, ...] = (100, 200, 400)
    replicas: tuple[int, ...] = (512, 256, 128)

    @property
    def name(self) -> str:
        return (
            f"{self.normalization}, {self.activation}, K={self.students}, M={self.teachers}, "
            f"tau={self.input_variance:g}, b={self.batch_size}"
        )

    @property
    def setup(self) -> Setup:
        gains = self.normalization != "none"
        return Setup(
            self.students, self.teachers, activation=self.activation, normalization=self.normalization,
            learning_rate=self.learning_rate, input_variance=self.input_variance, batch_size=self.batch_size,
            **asymmetric(self.students, self.teachers, gains),
        )  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What is run.  ``points`` times are recorded, equally spaced from 0; those at ``tested`` are judged."""

    cases: tuple[Case, ...]
    points: int = 9
    tested: tuple[int, ...] = (4, 8)
    seed: int = 2020


def _shapes(number: int) -> dict[str, Any]:
    """More, fewer and as many students as teachers, in turn."""
    students, teachers = ((2, 3), (3, 2), (2, 2))[number % 3]
    return {"students": students, "teachers": teachers}


def _quick() -> Settings:
    direct = [
        Case(name, tau, batch_size=(1, 5)[(m + t) % 2], **_shapes(m + t))
        for m, name in enumerate(MAPS)
        for t, tau in enumerate((0.5, 1.0, 2.0))
    ]
    chain = Case(
        "none", batch_size=100, learning_rate=3.0, stop=1.0, method="chain", sizes=(2000, 4000),
        replicas=(64, 64),
    )  # fmt: skip
    kinked = Case("none", activation="relu", learning_rate=0.4, students=2, teachers=2, batch_size=2)
    return Settings((chain, replace(chain, normalization="batch"), *direct, kinked))


def _full() -> Settings:
    sizes, replicas = (100, 300, 1000, 2000), (2048, 1024, 512, 256)
    direct = [
        Case(name, tau, b, sizes=sizes, replicas=tuple(s // (1 if b == 1 else 2) for s in replicas),
             **_shapes(m + t))
        for m, name in enumerate(MAPS)
        for t, tau in enumerate((0.5, 1.0, 2.0))
        for b in (1, 5)
    ]  # fmt: skip
    chain = [
        Case(name, batch_size=100, learning_rate=3.0, stop=1.0, method="chain", sizes=(2000, 8000, 32000),
             replicas=(64, 64, 64))
        for name in MAPS
    ]  # fmt: skip
    million = replace(chain[1], stop=0.1, sizes=(2000, 50_000, 1_000_000), replicas=(512, 128, 32))
    kinked = [
        Case(
            name, tau, b, "relu", **_shapes(m + t), learning_rate=0.4, sizes=sizes[:3], replicas=replicas[:3]
        )
        for m, name in enumerate(MAPS)
        for t, (tau, b) in enumerate(((0.5, 1), (1.0, 2), (2.0, 5)))
    ]
    return Settings((million, *chain, *direct, *kinked))


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Simulate all cases, compare each with its flow and with the wrong ones, and judge."""
    grids = [np.linspace(0.0, case.stop, settings.points) for case in settings.cases]
    measured = _simulate(settings, grids, context)
    theories = [_theories(case, grid) for case, grid in zip(settings.cases, grids, strict=True)]
    comparisons = [
        compare(runs, right, wrong, settings.tested)
        for runs, (right, wrong) in zip(measured, theories, strict=True)
    ]
    failed = rejected(comparisons)
    level = level_of_one(comparisons)
    checks = [
        _check(case, comparison, not bad, level)
        for case, comparison, bad in zip(settings.cases, comparisons, failed, strict=True)
    ]
    checks.append(_linear_in_inverse_size(comparisons))
    return context.result(
        _answer(settings, comparisons, failed, level),
        checks=checks,
        findings=[_second_order(settings, theories, comparisons)],
        figures=_figures(settings, grids, measured, theories, comparisons),
        tables=[_table(settings, comparisons, level)],
        seeds={
            "seed": settings.seed,
            "of a job": "seed, case and size as one number: seed 1000 + 10 case + size",
        },
    )


def _simulate(settings: Settings, grids: Sequence[np.ndarray], context: Context) -> list[list[Trajectories]]:
    jobs, owners = [], []
    for c, (case, grid) in enumerate(zip(settings.cases, grids, strict=True)):
        for n, (size, replicas) in enumerate(zip(case.sizes, case.replicas, strict=True)):
            seed = 1000 * settings.seed + 10 * c + n
            jobs.append(Job(case.setup, tuple(grid), replicas, size, seed, case.method))
            owners.append(c)
    runs = simulate_all(context, jobs, "trajectories")
    return [
        [r for r, owner in zip(runs, owners, strict=True) if owner == c] for c in range(len(settings.cases))
    ]


def _theories(case: Case, grid: np.ndarray) -> tuple[Curves, dict[str, Curves]]:
    """The flow of a case, and theories that are wrong in one respect.

    The batch size enters the flow only as eta^2 tau / b, so mistakes in that factor are other values of b.
    """
    mistakes: dict[str, float] = {"no eta^2 term": np.inf}
    if case.input_variance != 1:
        mistakes["no tau in the eta^2 term"] = case.batch_size * case.input_variance
    if case.batch_size > 1:
        mistakes["no 1/b in the eta^2 term"] = 1.0
    theory = theory_of(case.activation, case.normalization)
    curves = theory.solve(case.setup, grid, b=np.array([case.batch_size, *mistakes.values()]))
    wrong = {name: curves[k] for k, name in enumerate(mistakes, 1)}
    if case.normalization in OTHER_MAP:
        name, other = OTHER_MAP[case.normalization]
        wrong[name] = theory_of(case.activation, other).solve(case.setup, grid)
    return curves[0], wrong


def _check(case: Case, comparison: Comparison, passed: bool, level: float) -> Check:
    worst = comparison.worst()
    return Check(
        name=f"trajectories: {case.name}",
        statement=f"the simulated means at infinite N follow the flow ({case.name})",
        predicted=worst["predicted"], measured=worst["measured"], standard_error=worst["error"],
        criterion=CRITERION, passed=passed, z=worst["z"], p_value=worst["p_value"],
        power=comparison.power(level),
        details={
            "shown": f"the entry of largest |z|: {worst['entry']} at t = {worst['time']:g}",
            "entries": comparison.z.size,
            "z of wrong theories": comparison.wrong_z(),
        },
    )  # fmt: skip


def _linear_in_inverse_size(comparisons: Sequence[Comparison]) -> Check:
    """Whether a line in 1/N describes the means, where there are more than two sizes."""
    p = np.concatenate([c.limit.goodness.ravel() for c in comparisons])
    p = p[np.isfinite(p)]
    bad = int(statistics.holm(p).sum())
    return Check(
        name="trajectories: approach to infinite N",
        statement="finite-size corrections of the means are linear in 1/N",
        predicted=0, measured=bad, passed=bad == 0, p_value=float(p.min()),
        criterion=f"no chi-squared of a fit rejected by Holm's procedure, level {FAMILY_LEVEL:g}",
        details={"fits": int(p.size), "measured": "number of fits rejected"},
    )  # fmt: skip


def _caught(comparisons: Sequence[Comparison], level: float) -> dict[str, tuple[int, int, float]]:
    """Each wrong theory: in how many of its cases the measurement rejects it, and the smallest |z| there."""
    found: dict[str, list[tuple[bool, float]]] = {}
    for comparison in comparisons:
        for name, z in comparison.wrong_z().items():
            found.setdefault(name, []).append((bool(statistics.p_value(z, comparison.degrees) < level), z))
    return {
        name: (sum(hit for hit, _ in hits), len(hits), min(z for _, z in hits))
        for name, hits in found.items()
    }


def _answer(
    settings: Settings, comparisons: Sequence[Comparison], failed: Sequence[bool], level: float
) -> str:
    largest = max(float(np.abs(c.z).max()) for c in comparisons)
    count = sum(c.z.size for c in comparisons)
    words = [
        f"The derived flow describes the simulation in {len(failed) - sum(failed)} of {len(failed)} cases; "
        f"the largest deviation among {count} entries is {largest:.1f} standard errors."
    ]
    for name, (hits, cases, least) in _caught(comparisons, level).items():
        words.append(
            f"The same data reject a theory with {name} in {hits} of {cases} cases (|z| from {least:.1f})."
        )
    bad = [case.name for case, f in zip(settings.cases, failed, strict=True) if f]
    if bad:
        words.append(f"It fails for {'; '.join(bad)}.")
    return " ".join(words)


def _second_order(
    settings: Settings,
    theories: Sequence[tuple[Curves, dict[str, Curves]]],
    comparisons: Sequence[Comparison],
) -> Finding:
    """The claim that the eta^2 / b term is negligible for large b: its share of what moves, for each b."""
    shares: dict[int, list[float]] = {}
    scores: dict[int, list[float]] = {}
    for case, (right, wrong), comparison in zip(settings.cases, theories, comparisons, strict=True):
        moved = np.abs(right.Q - right.Q[0]).max()
        without = wrong["no eta^2 term"].Q
        shares.setdefault(case.batch_size, []).append(float(np.abs(right.Q - without).max() / moved))
        scores.setdefault(case.batch_size, []).append(comparison.wrong_z()["no eta^2 term"])
    parts = [f"{max(shares[b]):.0%} at b = {b}" for b in sorted(shares)]
    plateau = _on_a_plateau()
    return Finding(
        claim="takagi2020.claim-eta2-negligible",
        says="the eta^2 / b term of dQ/dt is negligible when b is large",
        answer=(
            "Compared with the largest change of an overlap Q, the term contributes up to "
            f"{', '.join(parts)}; the simulation sees it everywhere: a theory without it is off by "
            f"{min(map(min, scores.values())):.0f} standard errors or more. It falls as 1/b, but under "
            "the exact gradient of the normalization it is all that moves the norms, and a plateau gives "
            f"it time: at {plateau['where']} the error halves at t = {plateau['with the term']:.0f}, "
            f"without the term at t = {plateau['without']:.0f}."
        ),
        verdict="conditional",
        evidence={
            "largest contribution to Q, relative to its largest change, by b": shares,
            "z of the theory without the term, by b": scores, "plateau": plateau,
        },
    )  # fmt: skip


def _on_a_plateau() -> dict[str, Any]:
    """When the plateau of four units under the exact gradient is left, with the eta^2 / b term and without.

    The error of the plateau is that at t = 100; it is left when half of that is gone.
    """
    units, batch = 4, 100
    R = 0.01 + np.diag(np.linspace(2e-3, 1e-3, units))
    setup = Setup(
        units, units, normalization="batch", learning_rate=1.0, batch_size=batch, Q=np.eye(units) / 4, R=R,
        g=np.full(units, 0.5),
    )  # fmt: skip
    times = np.linspace(0.0, 300.0, 601)
    curves = theory_of("erf", "batch").solve(setup, times, b=np.array([batch, np.inf]))
    left = [float(times[np.argmax(e < e[200] / 2)]) for e in curves.generalization_error]
    return {
        "where": f"K = M = {units}, eta = 1, b = {batch}", "with the term": left[0], "without": left[1],
        "Q_11 at the start": float(curves.Q[0, 0, 0, 0]),
        "Q_11 when left": float(curves.Q[0, 2 * int(left[0]), 0, 0]),
    }  # fmt: skip


def _table(settings: Settings, comparisons: Sequence[Comparison], level: float) -> Table:
    rows = []
    for case, comparison in zip(settings.cases, comparisons, strict=True):
        wrong, power = comparison.wrong_z(), comparison.power(level)
        rows.append((
            case.normalization, case.activation, f"{case.students}, {case.teachers}", case.input_variance,
            case.batch_size, case.learning_rate, case.method, ", ".join(map(str, case.sizes)),
            round(float(np.abs(comparison.z).max()), 2),
            "; ".join(f"{name}: {z:.0f} ({power[name]:.2f})" for name, z in wrong.items()),
        ))  # fmt: skip
    return Table(
        "Every case: the largest |z| of the derived flow over all entries and times, and of wrong theories "
        f"on the same data (in brackets the power, at the level {level:.1e} of one test).",
        ("map", "activation", "K, M", "tau", "b", "eta", "method", "N", "largest |z|", "wrong theories"),
        tuple(rows),
    )


def _figures(
    settings: Settings, grids: Sequence[np.ndarray], measured: Sequence[Sequence[Trajectories]],
    theories: Sequence[tuple[Curves, dict[str, Curves]]], comparisons: Sequence[Comparison],
) -> dict[str, Picture]:  # fmt: skip
    from validate.experiments.takagi2020 import trajectories_figures as draw

    shown = [
        next(
            k
            for k, c in enumerate(settings.cases)
            if c.normalization == m
            and c.method == "direct"
            and c.activation == "erf"
            and c.input_variance == 2
        )
        for m in MAPS
    ]
    return {
        "trajectories": draw.curves(
            [settings.cases[k] for k in shown], [measured[k][-1] for k in shown], [theories[k] for k in shown]
        ),
        "trajectories-sizes": draw.sizes(settings.cases[shown[1]], measured[shown[1]], comparisons[shown[1]],
                                         settings.tested),
        "trajectories-scores": draw.scores(
            [case.name for case in settings.cases], comparisons, level_of_one(comparisons)
        ),
    }  # fmt: skip


EXPERIMENT = Experiment(
    title="Flow against simulation",
    question="Do the derived order-parameter equations describe online learning, for every gradient map?",
    run=run,
    full=_full(),
    quick=_quick(),
)
