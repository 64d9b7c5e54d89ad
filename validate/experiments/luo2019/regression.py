"""Experiment: linear students of fixed examples, Fig. 1(a): least squares, gamma decay, batch normalization.

Criterion: no mean error of least squares or of a ridge, extrapolated to infinite N, is rejected against the
replica-symmetric one by Holm's procedure at a family-wise level of 1 %; and the gain that batch normalization
learns is the in-sample correlation times the expected root mean square of M normal variables, within 0.1/M.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.comparison import Comparison, level_of_one, rejected
from validate.experiments.luo2019.generalization import expected_scale, shrunk, theory
from validate.experiments.luo2019.generalization_figures import linear_figure
from validate.report.model import Check, ExperimentResult, Finding, Table
from validate.simulate.batch_training import train_with_batches
from validate.simulate.regression import draw_examples, generalization_error, least_squares
from validate.statistics import FAMILY_LEVEL, Estimate, estimate

CRITERION = f"no entry rejected by Holm's procedure over loads and methods, level {FAMILY_LEVEL:g}"
GAIN_ERROR = 0.1
"""In units of 1/M, of which what tells the theories apart is at least a quarter."""
GAIN_CRITERION = f"the ratio is the derived one within {GAIN_ERROR:g}/M"
STUDENT = "linear"


@dataclass(frozen=True)
class Settings:
    """``sizes`` and ``replicas`` are those of the direct solutions; batch normalization is trained at the
    largest size, with ``trained`` replicas, for every number of ``epochs``."""

    sizes: tuple[int, ...]
    replicas: tuple[int, ...]
    trained: int
    epochs: tuple[int, ...] = (25, 100, 400)
    loads: tuple[float, ...] = (0.5, 0.8, 1.25, 2.0, 3.0)
    trained_loads: tuple[float, ...] = (0.5, 0.8, 1.0, 1.25, 2.0, 3.0)
    batch: int = 32
    gain_batches: tuple[int, ...] = (8, 32)
    gain_epochs: int = 200
    gain_replicas: int = 16
    noise: float = 0.25
    best: float = 0.25
    seed: int = 43

    @property
    def decay(self) -> float:
        """The strength that the paper calls equivalent to batch normalization."""
        return 1 / (2 * self.batch)


def direct(
    size: int, load: float, noise: float, ridges: Sequence[float], replicas: int, seed: int
) -> dict[str, np.ndarray]:
    """Errors of the direct solutions, (replicas, ridges)."""
    rows = []
    for replica in range(replicas):
        e = draw_examples(size, load, noise, (seed, size, replica))
        found = np.stack([least_squares(e, r) for r in ridges])
        rows.append(generalization_error(found, e.teacher, STUDENT))
    return {"error": np.array(rows)}


def trained(
    size: int,
    load: float,
    noise: float,
    batch: int,
    epochs: int,
    replicas: int,
    seed: int,
    student: str = STUDENT,
) -> dict[str, np.ndarray]:
    """Of batch normalization: errors, and the gain over the in-sample correlation of field and target."""
    errors, ratios = [], []
    for replica in range(replicas):
        e = draw_examples(size, load, noise, (seed, size, replica))
        found = train_with_batches(e, batch, student, epochs, (seed, size, replica, batch, epochs))
        field = e.inputs @ found.weights
        correlation = (field * e.targets).mean() / np.sqrt((field**2).mean())
        errors.append(float(generalization_error(found.weights, e.teacher, student)))
        ratios.append(found.gain / correlation)
    return {"error": np.array(errors), "ratio": np.array(ratios)}


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Solve and train at every load, and compare with the replica-symmetric theory."""
    comparisons = _direct(settings, context)
    bad, level = rejected(comparisons), level_of_one(comparisons)
    checks = [
        _check(settings, load, c, not wrong, level)
        for load, c, wrong in zip(settings.loads, comparisons, bad, strict=True)
    ]
    curves = _trained(settings, context)
    checks += _gain_checks(settings, context)
    scores = _scores(settings, curves[settings.epochs[-1]])
    worst = max(scores, key=lambda s: abs(s["z"]))
    z = max(float(np.abs(c.z).max()) for c in comparisons)
    return context.result(
        f"Least squares and ridges generalize as derived (largest |z| {z:.1f}). Batch normalization of "
        f"{settings.batch} does not follow gamma decay of 1/(2M): after {settings.epochs[-1]} epochs its error at "
        f"alpha = {worst['load']:g} is {worst['batch']:.3f} ({worst['error']:.3f}) for {worst['decay']:.3f}. Its "
        "penalty acts on the outputs on the training set, not on the weights: it shrinks least squares by "
        f"{1 - expected_scale(settings.batch):.4f} and leaves the peak at alpha = 1, which longer training reaches.",
        checks=checks,
        findings=_findings(settings, scores, worst, curves),
        figures={"linear-generalization": linear_figure(settings, comparisons, curves)},
        tables=[_table(settings, curves)],
        seeds={"seed": settings.seed},
    )


def ridges(settings: Settings, load: float) -> dict[str, float]:
    """The methods that are solved directly, and their lambda."""
    return {
        "least squares": 0.0,
        "1/(2M), beside the sum": settings.decay,
        "1/(2M), beside the mean": load * settings.decay,
        f"{settings.best:g}, beside the sum": settings.best,
    }


def _direct(settings: Settings, context: Context) -> list[Comparison]:
    jobs = [
        {"size": size, "load": load, "noise": settings.noise, "ridges": list(ridges(settings, load).values()),
         "replicas": count, "seed": settings.seed + 100 * k}
        for k, load in enumerate(settings.loads)
        for size, count in zip(settings.sizes, settings.replicas, strict=True)
    ]  # fmt: skip
    found = [estimate(piece["error"]) for piece in context.pieces(direct, jobs, "direct regression")]
    count = len(settings.sizes)
    comparisons = []
    for k, load in enumerate(settings.loads):
        part = found[k * count : (k + 1) * count]
        limit = statistics.extrapolate(
            np.array(settings.sizes), np.stack([e.value for e in part])[:, None],
            np.stack([e.error for e in part])[:, None],
        )  # fmt: skip
        methods = ridges(settings, load)

        def errors(noise: float, scale: float = 1.0, a: float = load, m: Any = methods) -> np.ndarray:
            return np.array([[float(theory([a], noise, scale * r)[0]) for r in m.values()]])

        wrong = {"half the noise": errors(settings.noise / 2), "twice the ridge": errors(settings.noise, 2.0)}
        comparisons.append(
            Comparison(
                tuple(methods),
                np.array([load]),
                limit,
                errors(settings.noise),
                wrong,
                min(settings.replicas) - 1,
            )
        )
    return comparisons


def _trained(settings: Settings, context: Context) -> dict[int, list[Estimate]]:
    jobs = [
        {"size": settings.sizes[-1], "load": load, "noise": settings.noise, "batch": settings.batch,
         "epochs": epochs, "replicas": settings.trained, "seed": settings.seed + 1000 + k}
        for epochs in settings.epochs
        for k, load in enumerate(settings.trained_loads)
    ]  # fmt: skip
    found = [estimate(piece["error"]) for piece in context.pieces(trained, jobs, "batch normalization")]
    count = len(settings.trained_loads)
    return {epochs: found[k * count : (k + 1) * count] for k, epochs in enumerate(settings.epochs)}


def _gain_checks(settings: Settings, context: Context) -> list[Check]:
    jobs = [
        {"size": settings.sizes[-1], "load": 2.0, "noise": settings.noise, "batch": batch,
         "epochs": settings.gain_epochs, "replicas": settings.gain_replicas, "seed": settings.seed + 2000}
        for batch in settings.gain_batches
    ]  # fmt: skip
    from scipy.stats import norm

    checks = []
    for batch, piece in zip(settings.gain_batches, context.pieces(trained, jobs, "gain"), strict=True):
        ratio = estimate(piece["ratio"])
        expected = expected_scale(batch)
        wrong = {
            "shrunk by 1/(2M)": 1 / (1 + 1 / (2 * batch)), "shrunk by 3/(4M)": 1 / (1 + 3 / (4 * batch)),
            "not shrunk": 1.0,
        }  # fmt: skip
        spread = float(ratio.error)
        checks.append(
            Check(
                name=f"regression: gain, M = {batch}",
                statement="the trained gain over the in-sample correlation is the expected root mean square of M "
                "normal variables",
                predicted=expected, measured=float(ratio.value), standard_error=spread, criterion=GAIN_CRITERION,
                passed=abs(float(ratio.value) - expected) <= GAIN_ERROR / batch,
                z=float(statistics.z_score(ratio, expected)),
                power={
                    name: float(norm.cdf((abs(value - expected) - GAIN_ERROR / batch) / spread))
                    for name, value in wrong.items()
                },
            )
        )  # fmt: skip
    return checks


def _check(settings: Settings, load: float, comparison: Comparison, passed: bool, level: float) -> Check:
    worst = comparison.worst()
    return Check(
        name=f"regression: alpha = {load:g}",
        statement="mean errors of least squares and ridges, extrapolated to infinite N, are the replica method's",
        predicted=worst["predicted"], measured=worst["measured"], standard_error=worst["error"],
        criterion=CRITERION, passed=passed, z=worst["z"], p_value=worst["p_value"], power=comparison.power(level),
        details={"shown": f"the method of largest |z|: {worst['entry']}", "z of wrong theories": comparison.wrong_z()},
    )  # fmt: skip


def _scores(settings: Settings, found: Sequence[Estimate]) -> list[dict[str, Any]]:
    """Batch normalization less gamma decay by the paper's curve, in standard errors."""
    decay = theory(settings.trained_loads, settings.noise, settings.decay)
    limits = shrunk(settings.trained_loads, settings.noise, settings.batch)
    return [
        {"load": load, "batch": float(e.value), "error": float(e.error), "decay": float(d),
         "shrunk": float(s) if np.isfinite(s) else None, "z": float(statistics.z_score(e, d))}
        for load, e, d, s in zip(settings.trained_loads, found, decay, limits, strict=True)
    ]  # fmt: skip


def _findings(
    settings: Settings,
    scores: Sequence[Mapping[str, Any]],
    worst: Mapping[str, Any],
    curves: Mapping[int, Any],
) -> list[Finding]:
    limit = statistics.single_level(len(scores))
    differs = any(statistics.p_value(s["z"], settings.trained - 1) < limit for s in scores)
    peak = settings.trained_loads.index(1.0)
    grows = ", ".join(f"{float(found[peak].value):.2f} after {epochs}" for epochs, found in curves.items())
    return [
        Finding(
            claim="luo2019.claim-bn-equals-decay",
            says="linear student: batch normalization of batches of M generalizes as gamma decay of 1/(2M)",
            answer=(
                f"At alpha = {worst['load']:g}, M = {settings.batch} and N = {settings.sizes[-1]} the error of batch "
                f"normalization is {worst['batch']:.3f} ({worst['error']:.3f}), that of gamma decay "
                f"{worst['decay']:.3f}. On fixed examples <(h/s)^2> = 1 whatever the weights, so the noise of s "
                "penalizes the outputs on the training set and not |w|^2: the minimum is least squares times "
                f"{expected_scale(settings.batch):.4f}, with its peak at alpha = 1. There the error is {grows} "
                "epochs: what looks like decay is training that stopped early."
            ),
            verdict="refuted" if differs else "confirmed",
            evidence={"loads": list(scores), "replicas": settings.trained},
        ),
    ]  # fmt: skip


def _table(settings: Settings, curves: Mapping[int, Sequence[Estimate]]) -> Table:
    decay = theory(settings.trained_loads, settings.noise, settings.decay)
    limits = shrunk(settings.trained_loads, settings.noise, settings.batch)
    rows = []
    for k, load in enumerate(settings.trained_loads):
        found = [f"{float(c[k].value):.3f} ({float(c[k].error):.3f})" for c in curves.values()]
        rows.append((load, *found, f"{limits[k]:.3f}", f"{decay[k]:.3f}"))
    return Table(
        f"Error of batch normalization of {settings.batch} (standard error) by epochs of training, of least squares "
        "shrunk as it shrinks, and of gamma decay 1/(2M).",
        ("alpha", *(f"{epochs} epochs" for epochs in curves), "shrunk least squares", "gamma decay"),
        tuple(rows),
    )


EXPERIMENT = Experiment(
    title="Generalization of linear students",
    question="Do least squares, gamma decay and batch normalization generalize as Fig. 1(a) says?",
    run=run,
    full=Settings(sizes=(1024, 2048, 4096), replicas=(32, 16, 8), trained=8, epochs=(25, 100, 300)),
    quick=Settings(sizes=(64, 128, 256), replicas=(96, 64, 48), trained=8, epochs=(25, 200)),
)
"""Fig. 1(a) has N = 4096, M = 32, S = 0.25."""
