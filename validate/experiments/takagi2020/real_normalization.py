"""Experiment: batch normalization as it is done, with the statistics of the batch, as the batch grows.

Simulations whose b samples are normalized by their own mean and variance (or root mean square),
differentiated through them, at N = 20 b.  Whatever separates them from the theory of population statistics
(noise of the statistics, the eta^2 / b term, finite N) is a series in 1/b; a cubic in 1/b through the means
over replicas leads to infinite b.  Criterion: there every order parameter agrees with the flow of the exact
gradient, by Holm's procedure at a family-wise level of 1 %.

A pilot used a parabola, whose own truncation shows at the precision of Q_ii (chi-squared of the fit 21 for
one degree of freedom); the cubic was fixed before the seeds used here were drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from derive.equation import VerdictKind
from validate import statistics
from validate.experiments import Context, Experiment, Job, simulate_all, theory_of
from validate.experiments.comparison import entries
from validate.experiments.takagi2020.starts import asymmetric
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate import Setup, Trajectories
from validate.statistics import FAMILY_LEVEL, Estimate

VARIANTS: Mapping[str, dict[str, Any]] = {
    "mean and variance": {"statistics": "batch"},
    "mean, variance and shift": {"statistics": "batch", "shift": True},
    "root mean square": {"statistics": "batch-uncentred"},
}
EXACT, PRINTED = "batch", "batch-without-radial"
CRITERION = f"no entry rejected by Holm's procedure over all entries of erf units, level {FAMILY_LEVEL:g}"


@dataclass(frozen=True)
class Settings:
    """Batch sizes and replicas at each, for pairs of activation and variant.  Only erf units are judged: the
    outputs of relu units have a mean, which a shift can learn."""

    batches: tuple[int, ...]
    replicas: tuple[int, ...]
    cases: tuple[tuple[str, str], ...]
    inputs_per_sample: int = 20
    input_variance: float = 2.0
    learning_rate: float = 1.0
    stop: float = 2.0
    seed: int = 5


@dataclass(frozen=True)
class Limit:
    """One variant: means and errors at each b (batches, entries), the cubic in 1/b through them (4, entries),
    its limit of infinite b, and both flows."""

    activation: str
    variant: str
    names: tuple[str, ...]
    means: np.ndarray
    errors: np.ndarray
    coefficients: np.ndarray
    limit: Estimate
    exact: np.ndarray
    printed: np.ndarray

    @property
    def z(self) -> np.ndarray:
        """Of the flow of the exact gradient at infinite b."""
        return statistics.z_score(self.limit, self.exact)

    @property
    def z_printed(self) -> np.ndarray:
        """Of the flow with the radial term dropped."""
        return statistics.z_score(self.limit, self.printed)


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Simulate every variant at every b, go to infinite b, and compare with both flows."""
    limits = _limits(settings, context)
    degrees = min(settings.replicas) - 1
    judged = [limit for limit in limits if limit.activation == "erf"]
    p = np.concatenate([statistics.p_value(limit.z, degrees) for limit in judged])
    verdicts = np.split(statistics.holm(p), len(judged))
    level = statistics.single_level(p.size)
    checks = [
        _check(limit, not bad.any(), level, degrees) for limit, bad in zip(judged, verdicts, strict=True)
    ]
    passed = all(check.passed for check in checks)
    return context.result(
        _answer(settings, judged, passed),
        checks=checks,
        findings=[_radial(settings, judged, passed), _mean(settings, limits, degrees)],
        figures={"real-normalization": _figure(settings, limits)},
        tables=[_table(limits)],
        seeds={"seed": settings.seed, "of a job": "1000 seed + its number"},
    )


def _setup(settings: Settings, activation: str, batch: int, **kind: Any) -> Setup:
    rate = settings.learning_rate * (1.0 if activation == "erf" else 0.4)
    return Setup(
        2, 2, activation=activation, normalization="batch", learning_rate=rate, batch_size=batch,
        input_variance=settings.input_variance, **asymmetric(2, 2, True), **kind,
    )  # fmt: skip


def _limits(settings: Settings, context: Context) -> list[Limit]:
    cases = settings.cases
    jobs = [
        Job(_setup(settings, activation, batch, **VARIANTS[variant]), (0.0, settings.stop), replicas,
            settings.inputs_per_sample * batch, 0, "chain")
        for activation, variant in cases
        for batch, replicas in zip(settings.batches, settings.replicas, strict=True)
    ]  # fmt: skip
    jobs = [
        Job(j.setup, j.times, j.replicas, j.size, 1000 * settings.seed + n, j.method)
        for n, j in enumerate(jobs)
    ]
    order = sorted(range(len(jobs)), key=lambda n: -jobs[n].size * jobs[n].replicas)
    runs = simulate_all(context, [jobs[n] for n in order], "real normalization")
    found = dict(zip(order, runs, strict=True))
    count = len(settings.batches)
    return [
        _limit(settings, *case, [found[c * count + k] for k in range(count)]) for c, case in enumerate(cases)
    ]


def _limit(settings: Settings, activation: str, variant: str, runs: Sequence[Trajectories]) -> Limit:
    names = entries(runs[0])[0]
    found = [statistics.estimate(entries(r)[1][:, -1]) for r in runs]
    means, errors = np.stack([f.value for f in found]), np.stack([f.error for f in found])
    flows = []
    for normalization in (EXACT, PRINTED):
        setup = _setup(settings, activation, 1)
        curves = theory_of(activation, normalization).solve(setup, [settings.stop], b=np.inf)
        flows.append(entries(curves)[1][-1])
    coefficients, deviations = cubic(1 / np.array(settings.batches), means, errors)
    limit = Estimate(coefficients[0], deviations)
    return Limit(activation, variant, names, means, errors, coefficients, limit, *flows)


def cubic(x: np.ndarray, means: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cubic through ``means`` (n, entries) at ``x`` (n), weighted by the errors: coefficients (4, entries),
    constant first, and the standard error of the constant (entries)."""
    powers = np.vander(x, 4, increasing=True)
    coefficients, deviations = np.empty((4, means.shape[1])), np.empty(means.shape[1])
    for e in range(means.shape[1]):
        weighted = powers / errors[:, e, None]
        covariance = np.linalg.inv(weighted.T @ weighted)
        coefficients[:, e] = covariance @ weighted.T @ (means[:, e] / errors[:, e])
        deviations[e] = np.sqrt(covariance[0, 0])
    return coefficients, deviations


def _check(limit: Limit, passed: bool, level: float, degrees: float) -> Check:
    e = int(np.abs(limit.z).argmax())
    difference = limit.printed - limit.exact
    return Check(
        name=f"real normalization: {limit.variant}",
        statement=f"normalization by the batch's {limit.variant} follows the exact gradient at large b",
        predicted=float(limit.exact[e]), measured=float(limit.limit.value[e]),
        standard_error=float(limit.limit.error[e]), criterion=CRITERION, passed=passed, z=float(limit.z[e]),
        p_value=float(statistics.p_value(limit.z[e], degrees)),
        power={
            "radial term dropped": float(
                statistics.power(difference, limit.limit.error, level, degrees).max()
            )
        },
        details={
            "shown": f"the entry of largest |z|: {limit.names[e]}", "entries": limit.z.size,
            "z of the flow without the radial term": float(np.abs(limit.z_printed).max()),
        },
    )  # fmt: skip


def _largest(limits: Sequence[Limit]) -> tuple[float, float]:
    """The largest |z| of the exact flow, and the smallest over variants of that of the printed flow."""
    return (
        max(float(np.abs(limit.z).max()) for limit in limits),
        min(float(np.abs(limit.z_printed).max()) for limit in limits),
    )


def _answer(settings: Settings, judged: Sequence[Limit], passed: bool) -> str:
    z, printed = _largest(judged)
    if passed:
        return (
            f"It becomes the flow of the exact gradient: extrapolated from b = {settings.batches[0]} to "
            f"{settings.batches[-1]}, every order parameter of erf units agrees with it (largest |z| "
            f"{z:.1f}), while the flow that drops the radial term is {printed:.0f} standard errors off or "
            "more."
        )
    return f"It does not become the flow of the exact gradient within the errors (largest |z| {z:.1f})."


def _radial(settings: Settings, judged: Sequence[Limit], passed: bool) -> Finding:
    """Whether the gradient along J_i may be dropped: what real normalization does, and what the term does."""
    plain = judged[0]
    q = [plain.names.index(name) for name in ("Q_11", "Q_22")]
    rejected = min(float(np.abs(limit.z_printed).max()) for limit in judged)
    exact, printed, found = (a[q] for a in (plain.exact, plain.printed, plain.limit.value))
    error = plain.limit.error[q]
    dropped = passed and rejected > 6
    return Finding(
        claim="takagi2020.claim-radial-negligible",
        says="the gradient component along J_i is negligible and may be dropped",
        answer=(
            "Normalization by the batch's own statistics "
            f"{'approaches' if passed else 'does not approach'} the flow that keeps the term and is "
            f"{rejected:.0f} standard errors or more from the one that drops it. At t = {settings.stop:g} "
            f"and infinite b, (Q_11, Q_22) is ({found[0]:.4f}, {found[1]:.4f}) in the simulation with "
            f"errors of {error.max():.1g}, ({exact[0]:.4f}, {exact[1]:.4f}) with the term, and "
            f"({printed[0]:.4f}, {printed[1]:.4f}) without it."
        ),
        verdict="refuted" if dropped else "open",
        evidence={
            "z with the term": {limit.variant: float(np.abs(limit.z).max()) for limit in judged},
            "z without the term": {limit.variant: float(np.abs(limit.z_printed).max()) for limit in judged},
            "batch sizes": settings.batches, "replicas": settings.replicas, "seed": settings.seed,
        },
    )  # fmt: skip


def _mean(settings: Settings, limits: Sequence[Limit], degrees: float) -> Finding:
    """Whether the batch mean and the shift matter for large b, by activation."""
    scores: dict[str, dict[str, float]] = {}
    for limit in limits:
        scores.setdefault(limit.activation, {})[limit.variant] = float(np.abs(limit.z).max())
    level = FAMILY_LEVEL / (len(limits) * len(limits[0].names))
    rejected = {
        f"{limit.activation} units normalized by {limit.variant}"
        for limit in limits
        if float(statistics.p_value(np.abs(limit.z).max(), degrees)) <= level
    }
    erf = any(name.startswith("erf") for name in rejected)
    verdict: VerdictKind = "confirmed" if not rejected else "refuted" if erf else "conditional"
    conclusion = {
        "confirmed": "Neither changes the limit of large b.",
        "conditional": "Neither changes the limit of large b for erf units, whose outputs have no mean; "
        f"{' and '.join(sorted(rejected))} have another limit: a shift learns the mean of their outputs.",
        "refuted": f"At large b {' and '.join(sorted(rejected))} have another limit.",
    }[verdict]
    return Finding(
        claim="takagi2020.claim-mean-negligible",
        says="not subtracting the batch mean, and no shift, is negligible for large b",
        answer=(
            f"{conclusion} Against the population theory without mean and shift, at infinite b: "
            f"{_listed(scores)}. At b = {settings.batches[-1]} centring moves an order parameter of erf "
            f"units by {_centring(limits):.1g} at most."
        ),
        verdict=verdict,
        evidence={"largest |z| at infinite b": scores, "level of one entry": level},
    )  # fmt: skip


def _listed(scores: Mapping[str, Mapping[str, float]]) -> str:
    return "; ".join(
        f"{activation}: " + ", ".join(f"{variant} |z| {z:.1f}" for variant, z in found.items())
        for activation, found in scores.items()
    )


def _centring(limits: Sequence[Limit]) -> float:
    """The largest difference that subtracting the mean makes at the largest b, for erf units."""
    at = {limit.variant: limit.means[-1] for limit in limits if limit.activation == "erf"}
    return float(np.abs(at["mean and variance"] - at["root mean square"]).max())


def _table(limits: Sequence[Limit]) -> Table:
    return Table(
        "The limit of infinite b against the flows with and without the radial term: the largest |z| "
        "over all order parameters.",
        ("activation", "normalized by", "|z| exact", "|z| radial term dropped"),
        tuple(
            (limit.activation, limit.variant, round(float(np.abs(limit.z).max()), 2),
             round(float(np.abs(limit.z_printed).max()), 1))
            for limit in limits
        ),
    )  # fmt: skip


def _figure(settings: Settings, limits: Sequence[Limit]) -> Picture:
    from validate.experiments.takagi2020.trajectories_figures import mathematical
    from validate.report.figures import BLUE, COLOURS, VERMILION, panels, trend

    shown = [limit for limit in limits if limit.activation == "erf"]
    figure, axes = panels(3, 1)
    inverse = 1 / np.array(settings.batches)
    for ax, name in zip(axes, ("Q_11", "R_11", "g_1"), strict=True):
        e = shown[0].names.index(name)
        for k, limit in enumerate(shown):
            means, errors = limit.means[:, e], limit.errors[:, e]
            trend(ax, inverse, means, errors, label=limit.variant, colour=COLOURS[k + 2])
            fine = np.linspace(0.0, inverse.max(), 50)
            fitted = np.polynomial.polynomial.polyval(fine, limit.coefficients[:, e])
            ax.plot(fine, fitted, color=COLOURS[k + 2], lw=0.9, ls=":")
        ax.axhline(shown[0].exact[e], color=BLUE, lw=1.4, label="flow, exact gradient")
        ax.axhline(shown[0].printed[e], color=VERMILION, lw=1.4, ls="--", label="flow, radial term dropped")
        ax.set_title(mathematical(name))
        ax.set_xlabel("$1/b$")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    z, printed = _largest(shown)
    return Picture(
        figure,
        f"Order parameters at $t = {settings.stop:g}$ under normalization by the batch's own statistics, "
        f"against 1/b at N = {settings.inputs_per_sample} b (erf, K = M = 2, $\\tau = "
        f"{settings.input_variance:g}$; bars two standard errors). Criterion: at 1/b = 0 they agree with "
        f"the flow of the exact gradient; largest |z| {z:.1f}. Dropping the radial term is {printed:.0f} "
        "standard errors off or more.",
    )


ERF = tuple(("erf", variant) for variant in VARIANTS)
EXPERIMENT = Experiment(
    title="Batch normalization as it is done",
    question="Which theory does normalization by the batch's own statistics approach as the batch grows?",
    run=run,
    full=Settings(
        (24, 40, 64, 100, 160, 320),
        (1024, 512, 256, 128, 64, 32),
        (*ERF, *(("relu", variant) for variant in VARIANTS)),
    ),
    quick=Settings(
        (32, 48, 80, 160), (256, 128, 64, 16), (*ERF, ("relu", "mean, variance and shift")), stop=1.0
    ),
)
