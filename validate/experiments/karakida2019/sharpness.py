"""Fig. 1: the largest eigenvalue at T = M, with and without mean subtraction in the last layer.

L = 3, C = 1, equal widths, ReLU with (sigma_w^2, sigma_b^2) = (2, 0) and tanh with (3, 0.64), as in the paper.
Criteria: lambda_max / M without normalization, and m_lambda M with and without it, extrapolated in 1/M, are not
rejected against Theorems 2.2 and 3.3 by Holm's procedure at a family-wise level of 1 % for the report; with
mean subtraction the mean of lambda_max lies above the lower bound of Theorem 3.3 at the largest width, within
three standard errors.  "Order one" is judged by the exponent of lambda_max ~ M^x, fitted over the widths: below
0.1 in absolute value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from derive.wide import network
from numerics.wide import Prediction, bulk, predict
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.karakida2019.ensembles import Case, Growth, growth, limit, measure_all
from validate.experiments.karakida2019.limits import Limit, checks, largest_score
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate.deep import Ensemble

MODELS = (("relu", 2.0, 0.0), ("tanh", 3.0, 0.64))
NORMALIZATIONS = ("none", "mean")
DEPTH = 3
ORDER_ONE = 0.1
"""The largest exponent that still counts as no growth."""
FAR = 10**6
"""A width at which only the theory is evaluated."""
RISE = 1e-3
"""Of the derived edge up to FAR: what counts as growth."""
SINGLE = 1600
"""From this width on single precision: its rounding, 1e-6, is far below the spread over networks."""

Found = Mapping[tuple[str, str], Sequence[Ensemble]]
"""Ensembles by width, of an activation under a normalization."""


@dataclass(frozen=True)
class Settings:
    """``replicas`` networks at each of ``widths``: the paper takes 100."""

    widths: tuple[int, ...]
    replicas: tuple[int, ...]
    seed: int = 32


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Measure both networks with and without mean subtraction, and judge."""
    keys = [(model, place) for model in MODELS for place in NORMALIZATIONS]
    cases = [
        Case((*(M,) * DEPTH, 1), *model, M, replicas, (settings.seed, MODELS.index(model)), place, single=M >= SINGLE)
        for model, place in keys for M, replicas in zip(settings.widths, settings.replicas, strict=True)
    ]  # fmt: skip
    ensembles = measure_all(context, cases, "sharpness")
    count = len(settings.widths)
    found = {
        (model[0], place): ensembles[k * count : (k + 1) * count] for k, (model, place) in enumerate(keys)
    }
    limits = _limits(settings, found)
    judged = checks(limits)
    bounds = [_bound(settings, found, name) for name, *_ in MODELS]
    exponents = {
        name: growth(settings.widths, [e.largest for e in found[name, "mean"]]) for name, *_ in MODELS
    }
    return context.result(
        _answer(settings, found, limits, judged, exponents), checks=[*judged, *bounds],
        findings=[_figure_1(settings, found, limits, judged, bounds), _order_one(settings, exponents)],
        figures={"sharpness": _figure(settings, found)}, tables=[_table(settings, found)],
        seeds={"of a case": "(seed, number of the network, part)"},
    )  # fmt: skip


def theory(name: str, place: str, width: int, samples: int) -> Prediction:
    """The prediction for one of MODELS."""
    (model,) = (model for model in MODELS if model[0] == name)
    return predict(network(DEPTH, *model, normalization=place), width, samples)


def _limits(settings: Settings, found: Found) -> list[Limit]:
    limits = []
    for name, *_ in MODELS:
        p = theory(name, "none", 1, 10**9)
        one, two, a = p.kappa_1, p.kappa_2, p.alpha
        wanted = (
            ("lambda_max / M", "none", a * two, {"kappa_1 for kappa_2": a * one, "half": a * two / 2}),
            ("m_lambda M", "none", one, {"kappa_2 for kappa_1": two}),
            ("m_lambda M", "mean", one - two, {"no mean subtracted": one}),
        )
        for quantity, place, predicted, wrong in wanted:
            ensembles = found[name, place]
            if quantity == "m_lambda M":
                samples = [e.mean_eigenvalue * M for M, e in zip(settings.widths, ensembles, strict=True)]
            else:
                samples = [e.largest / M for M, e in zip(settings.widths, ensembles, strict=True)]
            limits.append(Limit(
                f"{name}, normalization {place}, T = M", quantity, predicted, limit(settings.widths, samples),
                min(settings.replicas) - 1, wrong,
            ))  # fmt: skip
    return limits


def _bound(settings: Settings, found: Found, name: str) -> Check:
    measured = statistics.estimate(found[name, "mean"][-1].largest)
    width = settings.widths[-1]
    lower = theory(name, "mean", width, width).lower
    assert lower is not None
    value, error = float(measured.value), float(measured.error)
    return Check(
        name=f"lower bound of Theorem 3.3: {name}", statement="with mean subtraction lambda_max exceeds the bound (18)",
        predicted=lower, measured=value, standard_error=error,
        criterion="mean of lambda_max above the bound, within three standard errors",
        passed=value >= lower - 3 * error, details={"width": width},
    )  # fmt: skip


def _fall(found: Found, name: str) -> float:
    """By how much mean subtraction lowers lambda_max at the largest width."""
    return float(found[name, "none"][-1].largest.mean() / found[name, "mean"][-1].largest.mean())


def _answer(
    settings: Settings, found: Found, limits: Sequence[Limit], judged: Sequence[Check],
    exponents: Mapping[str, Growth],
) -> str:  # fmt: skip
    holds = all(check.passed for check in judged)
    falls = " and ".join(f"{_fall(found, name):.0f} times ({name})" for name, *_ in MODELS)
    powers = " and ".join(f"M^{g.exponent:.3f} ± {g.error:.3f} ({name})" for name, g in exponents.items())
    return (
        f"Without normalization lambda_max {'follows' if holds else 'does not follow'} Theorem 2.2 at T = M (largest "
        f"|z| {largest_score(limits):.1f}). Mean subtraction lowers it {falls} at M = {settings.widths[-1]}; what is "
        f"left changes as {powers}."
    )


def _figure_1(
    settings: Settings,
    found: Found,
    limits: Sequence[Limit],
    judged: Sequence[Check],
    bounds: Sequence[Check],
) -> Finding:
    holds = all(check.passed for check in (*judged, *bounds)) and all(_fall(found, m[0]) > 2 for m in MODELS)
    ratios = ", ".join(f"{_fall(found, name):.0f} ({name})" for name, *_ in MODELS)
    above = ", ".join(
        f"{check.measured / check.predicted:.1f} ({m[0]})" for check, m in zip(bounds, MODELS, strict=True)
    )
    return Finding(
        "karakida2019.claim-figure-1",
        "lambda_max of random networks at T = M follows (10), and falls by far without the mean",
        f"{'Reproduced' if holds else 'Not reproduced'}: extrapolated to infinite width it agrees with (10) (largest "
        f"|z| {largest_score(limits):.1f}); mean subtraction divides it by {ratios} at M = {settings.widths[-1]}, "
        f"and leaves {above} times the lower bound.",
        "confirmed" if holds else "refuted",
        {"widths": settings.widths, "replicas": settings.replicas},
    )  # fmt: skip


def _rise(depth: int, name: str, width: int) -> float:
    """By how much the derived edge at T = M rises from a width to FAR."""
    (model,) = (model for model in MODELS if model[0] == name)
    here, far = (bulk(network(depth, *model, normalization="mean"), 1.0, M).edge for M in (width, FAR))
    return far / here - 1


def _order_one(settings: Settings, exponents: Mapping[str, Growth]) -> Finding:
    widest = settings.widths[-1]
    bounded = all(abs(g.exponent) < ORDER_ONE for g in exponents.values())
    rises = {name: _rise(DEPTH, name, widest) for name, *_ in MODELS}
    shallow = max(_rise(2, name, widest) for name, *_ in MODELS)
    grows = max(rises.values()) > RISE
    powers = ", ".join(f"{name} {g.exponent:.3f} ± {g.error:.3f}" for name, g in exponents.items())
    words = ", ".join(f"{100 * rise:.1f} % ({name})" for name, rise in rises.items())
    return Finding(
        "karakida2019.claim-order-one", "lambda_max is of order one after mean subtraction at T = M",
        f"With the mean subtracted the exponent of M, fitted from M = {settings.widths[0]} to {widest}, is {powers}: "
        f"{'below' if bounded else 'not below'} {ORDER_ONE:g}; without it is one. But order one holds up to logarithms "
        f"only: by the derivation the largest of M backward signals moves the edge of the bulk, as log M at last, in "
        f"networks of depth {DEPTH} and more. From M = {widest} to {FAR:.0e} the derived edge rises by {words}, at "
        f"depth 2 by {100 * shallow:.1g} %.",
        ("conditional" if grows else "confirmed") if bounded else "refuted",
        {"exponents": {name: [g.exponent, g.error] for name, g in exponents.items()},
         f"rise of the derived edge to M = {FAR:.0e}": rises, "the same at depth 2": shallow},
    )  # fmt: skip


def _table(settings: Settings, found: Found) -> Table:
    rows: list[tuple[object, ...]] = []
    for name, *_ in MODELS:
        for k, M in enumerate(settings.widths):
            row: list[object] = [name, M]
            for place in NORMALIZATIONS:
                measured = statistics.estimate(found[name, place][k].largest)
                row += [f"{measured.value:.2f} ± {measured.error:.2f}"]
            lower = theory(name, "mean", M, M).lower
            rows.append((*row[:3], f"{theory(name, 'none', M, M).lambda_max:.2f}", row[3], f"{lower:.2f}"))
    return Table(
        "lambda_max at T = M, means and standard errors.",
        ("activation", "M", "measured", "Theorem 2.2", "mean subtracted", "lower bound (18)"), tuple(rows),
    )  # fmt: skip


def _figure(settings: Settings, found: Found) -> Picture:
    from matplotlib.ticker import NullFormatter

    from validate.report.figures import BLUE, INK, panels, theory_with_simulation

    figure, axes = panels(2, height=3.6, sharey=True)
    line = np.geomspace(settings.widths[0], settings.widths[-1], 20).round().astype(int)
    for ax, (name, weight, bias) in zip(axes, MODELS, strict=True):
        ax.set_xscale("log")
        ax.set_yscale("log")
        for place, colour, label in (
            ("none", INK, "Theorem 2.2"),
            ("mean", BLUE, "Theorem 3.3, lower bound"),
        ):
            predicted = [theory(name, place, int(M), int(M)) for M in line]
            curve = [p.lambda_max if place == "none" else p.lower for p in predicted]
            measured = [statistics.estimate(e.largest) for e in found[name, place]]
            theory_with_simulation(
                ax, line, curve, [e.value for e in measured], [e.error for e in measured], colour=colour, label=label,
                simulated_at=settings.widths,
            )  # fmt: skip
        ax.set_title(rf"{name}, $(\sigma_w^2, \sigma_b^2) = ({weight:g}, {bias:g})$")
        ax.set_xticks(settings.widths, [str(M) for M in settings.widths])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("width $M = T$")
    axes[0].set_ylabel(r"$\lambda_{\max}$")
    axes[0].legend()
    return Picture(
        figure,
        "Largest eigenvalue of the Fisher information (Fig. 1 of the paper): black without normalization, blue with "
        f"the mean subtracted in the last layer; points are means over networks "
        f"({settings.replicas[-1]} at the largest width), bars two standard errors. The black line must be met, the "
        "blue one must lie below the points.",
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="Mean subtraction in the last layer (Fig. 1)",
    question="How does the largest eigenvalue at T = M grow with width, with and without mean subtraction?",
    run=run,
    full=Settings((100, 200, 400, 800, 1600, 3200), (100, 100, 100, 100, 100, 100)),
    quick=Settings((50, 100, 200, 400), (100, 100, 60, 30)),
)
