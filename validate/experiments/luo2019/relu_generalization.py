"""Experiment: ReLU students of a noisy linear teacher, Fig. 1(b): minimization, gamma decay, batch normalization.

Criterion: no mean error, extrapolated to infinite N, of the shortest weights that interpolate against the exact
replica-symmetric minimum, and of least squares on the positive targets alone against (25), is rejected by
Holm's procedure at a family-wise level of 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Rational

from derive.papers.luo2019.generalization import relu_interpolation
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.comparison import Comparison, level_of_one, rejected
from validate.experiments.luo2019.generalization import printed, theory
from validate.experiments.luo2019.generalization_figures import relu_figure
from validate.experiments.luo2019.regression import trained
from validate.report.model import Check, ExperimentResult, Finding, Table
from validate.simulate.regression import (
    Examples,
    descend,
    draw_examples,
    generalization_error,
    least_squares,
    shortest_interpolation,
)
from validate.statistics import FAMILY_LEVEL, Estimate, estimate

CRITERION = f"no entry rejected by Holm's procedure over loads and rules, level {FAMILY_LEVEL:g}"
STUDENT = "relu"
STARTS = ("small", "random", "targets")
"""Of gradient descent: random weights of length 1e-3 sqrt N, of length sqrt N, and 1e-3 times sum_j t_j x_j."""
RULES = ("shortest interpolation", "least squares on positive targets")


@dataclass(frozen=True)
class Settings:
    """``sizes`` and ``replicas`` are those of the direct solutions; training runs at ``size``, ``runs`` times.

    ``decays``: strengths of gamma decay in units of 1/M.
    """

    sizes: tuple[int, ...]
    replicas: tuple[int, ...]
    size: int
    runs: int
    steps: int
    epochs: tuple[int, ...]
    loads: tuple[float, ...] = (0.4, 0.8, 1.1)
    trained_loads: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0)
    batches: tuple[int, ...] = (16, 32)
    decays: tuple[float, ...] = (0.25, 0.5)
    noise: float = 0.25
    seed: int = 47

    @property
    def strengths(self) -> tuple[float, ...]:
        """Every zeta of gamma decay, 0 included."""
        return (0.0, *sorted({decay / batch for decay in self.decays for batch in self.batches}))


def rules(size: int, load: float, noise: float, replicas: int, seed: int) -> dict[str, np.ndarray]:
    """Errors of both direct rules, (replicas, 2); NaN where no weights interpolate."""
    rows = []
    for replica in range(replicas):
        e = draw_examples(size, load, noise, (seed, size, replica))
        shortest = shortest_interpolation(e)
        positive = least_squares(e.chosen(e.targets > 0), 0.0)
        rows.append(
            [
                np.nan if w is None else float(generalization_error(w, e.teacher, STUDENT))
                for w in (shortest, positive)
            ]
        )
    return {"error": np.array(rows)}


def descended(
    size: int, load: float, noise: float, strengths: Sequence[float], steps: int, replicas: int, seed: int
) -> dict[str, np.ndarray]:
    """Errors of gradient descent (replicas, strengths, starts), and on labels without noise (replicas, starts);
    a strength is beside the mean of the squared errors."""
    noisy, clean = [], []
    for replica in range(replicas):
        e, quiet = (draw_examples(size, load, s, (seed, size, replica)) for s in (noise, 0.0))
        start = _starts(e, (seed, size, replica, 1))
        noisy.append([_errors(e, start, load * z, steps) for z in strengths])
        clean.append(_errors(quiet, start, 0.0, steps))
    return {"noisy": np.array(noisy), "clean": np.array(clean)}


def _starts(examples: Examples, seed: tuple[int, ...]) -> np.ndarray:
    draw = np.random.default_rng(np.random.SeedSequence(seed)).standard_normal(examples.size)
    return np.stack([1e-3 * draw, draw, 1e-3 * examples.targets @ examples.inputs])


def _errors(examples: Examples, start: np.ndarray, ridge: float, steps: int) -> np.ndarray:
    found = descend(examples, start, STUDENT, ridge, steps)
    return generalization_error(found.weights, examples.teacher, STUDENT)


@dataclass(frozen=True)
class Curves:
    """Samples over runs by load: ``noisy`` (loads, runs, strengths, starts), ``clean`` (loads, runs, starts),
    ``batch`` by M and epochs (loads, runs)."""

    noisy: np.ndarray
    clean: np.ndarray
    batch: Mapping[tuple[int, int], np.ndarray]


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Solve both rules, descend from several starts with and without decay, and train batch normalization."""
    comparisons = _rules(settings, context)
    bad, level = rejected(comparisons), level_of_one(comparisons)
    checks = [
        _check(load, c, not wrong, level)
        for load, c, wrong in zip(settings.loads, comparisons, bad, strict=True)
    ]
    curves = _curves(settings, context)
    z = max(float(np.abs(c.z).max()) for c in comparisons)
    end = relu_interpolation().threshold(Rational(settings.noise), 20)
    findings = _findings(settings, curves)
    return context.result(
        f"The exact replica-symmetric minimum describes the shortest interpolating weights, and (25) least squares "
        f"on the positive targets alone (largest |z| {z:.1f}); interpolation ends at alpha = "
        f"{float(end['alpha']):.3f}. "
        f"Neither describes gradient descent, which depends on its start; with decay it does not, and the "
        "replica-symmetric minimum with that ridge, although unstable, is close. " + findings[0].answer,
        checks=checks,
        findings=findings,
        figures={"relu-generalization": relu_figure(settings, comparisons, curves, STARTS)},
        tables=[_table(settings, curves)],
        seeds={"seed": settings.seed},
    )


def _rules(settings: Settings, context: Context) -> list[Comparison]:
    jobs = [
        {
            "size": size,
            "load": load,
            "noise": settings.noise,
            "replicas": count,
            "seed": settings.seed + 100 * k,
        }
        for k, load in enumerate(settings.loads)
        for size, count in zip(settings.sizes, settings.replicas, strict=True)
    ]
    found = [estimate(piece["error"]) for piece in context.pieces(rules, jobs, "interpolation")]
    count = len(settings.sizes)
    comparisons = []
    for k, load in enumerate(settings.loads):
        part = found[k * count : (k + 1) * count]
        limit = statistics.extrapolate(
            np.array(settings.sizes), np.stack([e.value for e in part])[:, None],
            np.stack([e.error for e in part])[:, None],
        )  # fmt: skip
        exact = float(theory([load], settings.noise, 0.0, STUDENT)[0])
        paper = printed(load, settings.noise)
        half = [float(theory([load], settings.noise / 2, 0.0, STUDENT)[0]), printed(load, settings.noise / 2)]
        wrong = {"the two exchanged": np.array([[paper, exact]]), "half the noise": np.array([half])}
        comparisons.append(
            Comparison(
                RULES, np.array([load]), limit, np.array([[exact, paper]]), wrong, min(settings.replicas) - 1
            )
        )
    return comparisons


def _check(load: float, comparison: Comparison, passed: bool, level: float) -> Check:
    worst = comparison.worst()
    return Check(
        name=f"relu generalization: alpha = {load:g}",
        statement="the shortest interpolating weights have the exact replica-symmetric error, least squares on the "
        "positive targets that of (25)",
        predicted=worst["predicted"], measured=worst["measured"], standard_error=worst["error"],
        criterion=CRITERION, passed=passed, z=worst["z"], p_value=worst["p_value"], power=comparison.power(level),
        details={"shown": f"the rule of largest |z|: {worst['entry']}", "z of wrong theories": comparison.wrong_z()},
    )  # fmt: skip


def _curves(settings: Settings, context: Context) -> Curves:
    common = [
        {"size": settings.size, "load": load, "noise": settings.noise, "replicas": settings.runs,
         "seed": settings.seed + 1000 + k}
        for k, load in enumerate(settings.trained_loads)
    ]  # fmt: skip
    descents = context.pieces(
        descended,
        [{**job, "strengths": list(settings.strengths), "steps": settings.steps} for job in common],
        "gradient descent",
    )
    keys = [(batch, epochs) for batch in settings.batches for epochs in settings.epochs]
    jobs = [
        {**job, "batch": batch, "epochs": epochs, "student": STUDENT}
        for batch, epochs in keys
        for job in common
    ]
    found = context.pieces(trained, jobs, "batch normalization")
    count = len(common)
    return Curves(
        np.stack([d["noisy"] for d in descents]), np.stack([d["clean"] for d in descents]),
        {key: np.stack([p["error"] for p in found[k * count : (k + 1) * count]]) for k, key in enumerate(keys)},
    )  # fmt: skip


def _paired(first: np.ndarray, second: np.ndarray) -> tuple[Estimate, float]:
    """The mean difference over runs of the same examples, and its score."""
    gap = estimate(first - second)
    return gap, float(statistics.z_score(gap, 0.0))


def _findings(settings: Settings, curves: Curves) -> list[Finding]:
    return [
        _batch_finding(settings, curves),
        _curve_finding(settings, curves),
        _bound_finding(settings, curves),
    ]


def _batch_finding(settings: Settings, curves: Curves) -> Finding:
    rows: list[dict[str, Any]] = []
    for batch in settings.batches:
        for decay in settings.decays:
            position = settings.strengths.index(decay / batch)
            for k, load in enumerate(settings.trained_loads):
                measured = curves.batch[batch, settings.epochs[-1]][k]
                gap, z = _paired(measured, curves.noisy[k, :, position, 0])
                rows.append(
                    {"M": batch, "zeta M": decay, "load": load, "difference": float(gap.value),
                     "error": float(gap.error), "z": z, "batch": float(measured.mean())}
                )  # fmt: skip
    level = statistics.single_level(len(rows))
    differs = {
        decay: any(
            statistics.p_value(r["z"], settings.runs - 1) < level for r in rows if r["zeta M"] == decay
        )
        for decay in settings.decays
    }
    worst = max(rows, key=lambda r: abs(r["difference"]))
    peak = settings.trained_loads.index(worst["load"])
    trend = ", ".join(
        f"{curves.batch[worst['M'], epochs][peak].mean():.3f} after {epochs}" for epochs in settings.epochs
    )
    return Finding(
        claim="luo2019.claim-bn-equals-decay-relu",
        says="ReLU student: batch normalization generalizes as gamma decay of the equivalent strength",
        answer=(
            f"At alpha = {worst['load']:g}, batch normalization of {worst['M']} less gamma decay of "
            f"{worst['zeta M']:g}/M on the same examples is {worst['difference']:+.3f} ({worst['error']:.3f}); the "
            f"error of batch normalization is {trend} epochs."
        ),
        verdict="refuted" if all(differs.values()) else "confirmed",
        evidence={"differences": rows, "runs": settings.runs, "size": settings.size},
    )


def _curve_finding(settings: Settings, curves: Curves) -> Finding:
    loads = [k for k, load in enumerate(settings.trained_loads) if load < 2]
    rows: list[dict[str, Any]] = []
    for k in loads:
        paper = printed(settings.trained_loads[k], settings.noise)
        for s, start in enumerate(STARTS):
            found = estimate(curves.noisy[k, :, 0, s])
            rows.append(
                {"load": settings.trained_loads[k], "start": start, "error": float(found.value),
                 "standard error": float(found.error), "printed": paper,
                 "z": float(statistics.z_score(found, paper))}
            )  # fmt: skip
    level = statistics.single_level(len(rows))
    small = [r for r in rows if r["start"] == "small"]
    off = any(statistics.p_value(r["z"], settings.runs - 1) < level for r in small)
    last, other = small[-1], rows[-2]
    return Finding(
        claim="luo2019.claim-relu-curve",
        says="trained long enough, the ReLU student follows (25); what is left is due to finite time and step size",
        answer=(
            f"Descent from small weights, at rest, has the error {last['error']:.3f} ({last['standard error']:.3f}) at "
            f"alpha = {last['load']:g}, from weights of the teacher's length {other['error']:.3f}; (25) says "
            f"{last['printed']:.3f}. It stops in a local minimum that its start selects: positive targets whose field "
            "is negative have no gradient."
        ),
        verdict="refuted" if off else "confirmed",
        evidence={"descents": rows},
    )


def _bound_finding(settings: Settings, curves: Curves) -> Finding:
    rows: list[dict[str, Any]] = []
    for k, load in enumerate(settings.trained_loads):
        clean = curves.clean[k, :, 0]
        others = {f"decay {z:g}": curves.noisy[k, :, p, 0] for p, z in enumerate(settings.strengths)}
        others |= {
            f"batches of {m}, {epochs} epochs": found[k] for (m, epochs), found in curves.batch.items()
        }
        for name, found in others.items():
            gap, z = _paired(found, clean)
            rows.append(
                {"load": load, "method": name, "above": float(gap.value), "error": float(gap.error), "z": z}
            )
    least = min(rows, key=lambda r: r["z"])
    level = statistics.single_level(len(rows))
    below = least["z"] < 0 and statistics.p_value(least["z"], settings.runs - 1) < level
    return Finding(
        claim="luo2019.claim-noise-free-bound",
        says="training on labels without noise is a lower bound of the ReLU student's error",
        answer=(
            f"Among gamma decay and batch normalization the one that comes nearest to descent without noise, from the "
            f"same small start, is {least['method']} at alpha = {least['load']:g}: {least['above']:+.4f} "
            f"({least['error']:.4f})."
        ),
        verdict="refuted" if below else "confirmed",
        evidence={"methods": rows},
    )


def _table(settings: Settings, curves: Curves) -> Table:
    def shown(samples: np.ndarray) -> str:
        e = estimate(samples)
        return f"{float(e.value):.3f} ({float(e.error):.3f})"

    header = ["alpha", "(25)", *(f"descent, {start}" for start in STARTS)]
    header += [f"decay {z:.3g}" for z in settings.strengths[1:]]
    header += [f"M = {m}, {epochs} epochs" for m, epochs in curves.batch]
    rows = []
    for k, load in enumerate(settings.trained_loads):
        row: list[Any] = [load, f"{printed(load, settings.noise):.3f}" if load < 2 else "none"]
        row += [shown(curves.noisy[k, :, 0, s]) for s in range(len(STARTS))]
        row += [shown(curves.noisy[k, :, p, 0]) for p in range(1, len(settings.strengths))]
        row += [shown(found[k]) for found in curves.batch.values()]
        rows.append(tuple(row))
    return Table(
        f"Errors of ReLU students (standard error over {settings.runs} runs) at N = {settings.size}; decay is beside "
        "the mean of the squared errors, from small weights.",
        tuple(header), tuple(rows),
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="Generalization of ReLU students",
    question="Which rule does (25) describe, and do gamma decay and batch normalization agree as Fig. 1(b) says?",
    run=run,
    full=Settings(
        sizes=(100, 200, 400), replicas=(640, 320, 160), size=512, runs=12, steps=3000, epochs=(50, 400)
    ),
    quick=Settings(
        sizes=(50, 100, 200), replicas=(240, 120, 60), size=192, runs=8, steps=1500, epochs=(30, 150)
    ),
)
