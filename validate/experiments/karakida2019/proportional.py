"""Samples from two to many times the width: lambda_max after mean subtraction, between its bounds.

The networks of Fig. 1.  Criteria: at T = 2, where one eigenvalue is left, lambda_max / M extrapolated in 1/M is
not rejected against (17), by Holm's procedure at a family-wise level of 1 % for the report; at every T / M, at
the largest width, the mean of lambda_max lies between the bounds (18), within three standard errors.  "Loose"
means a factor two from both at T = M.  Centered networks (no biases, tanh, without normalization) have
lambda_max of "order one" if its exponent of M at T = M is below 0.1 in absolute value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from derive.wide import Network, network
from numerics.wide import Prediction, bulk, predict
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.karakida2019.ensembles import Case, Growth, growth, limit, measure_all
from validate.experiments.karakida2019.limits import Limit, checks, largest_score
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate.deep import Ensemble

MODELS = (("relu", 2.0, 0.0), ("tanh", 3.0, 0.64))
DEPTH = 3
CENTERED = ("tanh", 3.0, 0.0)
CENTERED_DEPTHS = (2, 3)
LOOSE = 2.0
ORDER_ONE = 0.1
SEVERAL = 0.1
"""T / M from which on the eigenvalues are a bulk with an edge to draw."""


@dataclass(frozen=True)
class Settings:
    """T = ratio M at ``width``; T = 2 at each of ``widths``; centered networks at T = M in ``square``."""

    width: int
    ratios: tuple[float, ...]
    replicas: tuple[int, ...]
    widths: tuple[int, ...]
    pair_replicas: tuple[int, ...]
    square: tuple[int, ...]
    square_replicas: tuple[int, ...]
    seed: int = 36


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Sweep T / M, extrapolate at T = 2, let centered networks grow; judge."""
    M = settings.width
    sweep = [
        Case((*(M,) * DEPTH, 1), *model, max(2, round(ratio * M)), n, (settings.seed, 0, k), "mean", count=2)
        for k, model in enumerate(MODELS) for ratio, n in zip(settings.ratios, settings.replicas, strict=True)
    ]  # fmt: skip
    pairs = [
        Case((*(m,) * DEPTH, 1), *model, 2, n, (settings.seed, 1, k), "mean", count=1)
        for k, model in enumerate(MODELS) for m, n in zip(settings.widths, settings.pair_replicas, strict=True)
    ]  # fmt: skip
    centered = [
        Case((*(m,) * depth, 1), *CENTERED, m, n, (settings.seed, 2, depth))
        for depth in CENTERED_DEPTHS for m, n in zip(settings.square, settings.square_replicas, strict=True)
    ]  # fmt: skip
    found = measure_all(context, [*sweep, *pairs, *centered], "T / M")
    swept, found = found[: len(sweep)], found[len(sweep) :]
    by_model = {
        name: swept[k * len(settings.ratios) : (k + 1) * len(settings.ratios)]
        for k, (name, *_) in enumerate(MODELS)
    }
    limits = [
        _pair(settings, name, found[k * len(settings.widths) : (k + 1) * len(settings.widths)])
        for k, (name, *_) in enumerate(MODELS)
    ]
    rest = found[len(pairs) :]
    exponents = {
        depth: growth(settings.square, [
            e.largest for e in rest[k * len(settings.square) : (k + 1) * len(settings.square)]
        ])
        for k, depth in enumerate(CENTERED_DEPTHS)
    }  # fmt: skip
    judged = checks(limits)
    bounds = [
        _between(settings, name, ratio, e)
        for name, *_ in MODELS for ratio, e in zip(settings.ratios, by_model[name], strict=True)
    ]  # fmt: skip
    findings = [_loose(settings, by_model), _centered(settings, exponents)]
    return context.result(
        f"At T = 2 (17) {'holds' if all(c.passed for c in judged) else 'fails'} at infinite width (largest |z| "
        f"{largest_score(limits):.1f}). " + " ".join(finding.answer for finding in findings),
        checks=[*judged, *bounds], findings=findings, figures={"proportional": _figure(settings, by_model)},
        tables=[_table(settings, by_model)], seeds={"of a case": "(seed, sweep, network, part)"},
    )  # fmt: skip


def theory(name: str, width: int, samples: int) -> Prediction:
    """With mean subtraction in the last layer."""
    return predict(_network(name), width, samples)


@cache
def edge(name: str, ratio: float, width: int) -> float:
    """The derived edge of the bulk at T = ``ratio`` M."""
    return bulk(_network(name), ratio, width).edge


def _network(name: str) -> Network:
    (model,) = (model for model in MODELS if model[0] == name)
    return network(DEPTH, *model, normalization="mean")


def _samples(settings: Settings, ratio: float) -> int:
    return max(2, round(ratio * settings.width))


def _bounds(settings: Settings, name: str, ratio: float) -> tuple[float, float]:
    p = theory(name, settings.width, _samples(settings, ratio))
    assert p.lower is not None and p.upper is not None
    return p.lower, p.upper


def _pair(settings: Settings, name: str, found: Sequence[Ensemble]) -> Limit:
    p = theory(name, 1, 2)
    samples = [e.largest / M for M, e in zip(settings.widths, found, strict=True)]
    wrong = {
        "kappa_1 for kappa_1 - kappa_2": p.alpha * p.kappa_1 / 2,
        "(10)": p.alpha * (p.kappa_1 + p.kappa_2) / 2,
    }
    return Limit(f"{name}, T = 2, mean subtracted", "lambda_max / M", p.lambda_max, limit(settings.widths, samples),
                 min(settings.pair_replicas) - 1, wrong)  # fmt: skip


def _between(settings: Settings, name: str, ratio: float, found: Ensemble) -> Check:
    measured = statistics.estimate(found.largest)
    lower, upper = _bounds(settings, name, ratio)
    value, error = float(measured.value), float(measured.error)
    return Check(
        name=f"bounds (18): {name}, T = {_samples(settings, ratio)}",
        statement="with mean subtraction lambda_max lies between the derived bounds",
        predicted=[lower, upper], measured=value, standard_error=error,
        criterion="mean of lambda_max between the bounds, within 5 % (leading orders) and three standard errors",
        passed=lower - 3 * error - 0.05 * lower <= value <= upper + 3 * error + 0.05 * upper,
        details={"width": settings.width},
    )  # fmt: skip


def _loose(settings: Settings, by_model: dict[str, list[Ensemble]]) -> Finding:
    square = settings.ratios.index(1.0)
    over, under, wide = {}, {}, {}
    for name, found in by_model.items():
        lower, upper = _bounds(settings, name, 1.0)
        value = float(found[square].largest.mean())
        over[name], under[name] = value / lower, upper / value
        last = _bounds(settings, name, settings.ratios[-1])
        wide[name] = float(found[-1].largest.mean()) / last[0]
    holds = min(*over.values(), *under.values()) > LOOSE
    words = "; ".join(f"{over[name]:.1f} and {under[name]:.1f} ({name})" for name in over)
    far = ", ".join(f"{x:.0f} ({name})" for name, x in wide.items())
    return Finding(
        "karakida2019.claim-loose-bounds", "both bounds (18) are loose: lambda_max at T = M lies well between them",
        f"At T = M = {settings.width} the factors from the lower bound to lambda_max and from there to the upper "
        f"bound are {words}. At T = {settings.ratios[-1]:g} M lambda_max is {far} times the lower bound.",
        "confirmed" if holds else "refuted", {"over the lower": over, "upper over it": under},
    )  # fmt: skip


def _centered(settings: Settings, exponents: dict[int, Growth]) -> Finding:
    shallow = exponents[CENTERED_DEPTHS[0]]
    holds = abs(shallow.exponent) < ORDER_ONE
    powers = ", ".join(f"{g.exponent:.3f} ± {g.error:.3f} (L = {L})" for L, g in exponents.items())
    return Finding(
        "karakida2019.claim-centered-order-one",
        "in a centered shallow network lambda_max is of order one for T of order M",
        f"In centered tanh networks without normalization lambda_max at T = M changes as M^x with x = {powers}, from "
        f"M = {settings.square[0]} to {settings.square[-1]}; in non-centered ones x is one.",
        "confirmed" if holds else "refuted", {f"L = {L}": [g.exponent, g.error] for L, g in exponents.items()},
    )  # fmt: skip


def _table(settings: Settings, by_model: dict[str, list[Ensemble]]) -> Table:
    rows = []
    for name, found in by_model.items():
        for ratio, e in zip(settings.ratios, found, strict=True):
            one, two = (statistics.estimate(e.eigenvalues[:, k]) for k in (0, -1))
            lower, upper = _bounds(settings, name, ratio)
            rows.append((
                name, _samples(settings, ratio), f"{lower:.2f}", f"{one.value:.2f} ± {one.error:.2f}",
                f"{two.value:.2f} ± {two.error:.2f}", f"{upper:.2f}",
            ))  # fmt: skip
    return Table(
        f"The two largest eigenvalues after mean subtraction at M = {settings.width}, and the bounds (18).",
        ("activation", "T", "lower bound", "lambda_1", "lambda_2", "upper bound"), tuple(rows),
    )  # fmt: skip


def _figure(settings: Settings, by_model: dict[str, list[Ensemble]]) -> Picture:
    from validate.report.figures import BLUE, FAINT, INK, VERMILION, panels, theory_with_simulation

    figure, axes = panels(len(MODELS), height=3.6, sharey=True)
    ratios = np.array([_samples(settings, ratio) / settings.width for ratio in settings.ratios])
    fine = np.geomspace(ratios[0], ratios[-1], 40)
    for ax, (name, found) in zip(axes, by_model.items(), strict=True):
        ax.set_xscale("log")
        ax.set_yscale("log")
        lower, upper = np.array([_bounds(settings, name, ratio) for ratio in fine]).T
        for k, colour, label in ((0, BLUE, r"$\lambda_1$"), (1, VERMILION, r"$\lambda_2$")):
            rows = [(r, statistics.estimate(e.eigenvalues[:, k])) for r, e in zip(ratios, found, strict=True)
                    if e.eigenvalues.shape[1] > k and e.eigenvalues[:, k].min() > 1e-9]  # fmt: skip
            at, measured = [r for r, _ in rows], [e for _, e in rows]
            theory_with_simulation(
                ax, at, [e.value for e in measured], [e.value for e in measured], [e.error for e in measured],
                colour=colour, label=label,
            )  # fmt: skip
        bulky = ratios[ratios >= SEVERAL]
        ax.plot(
            bulky, [edge(name, x, settings.width) for x in bulky], color=INK, lw=1.2, label="derived edge"
        )
        ax.plot(fine, lower, color=FAINT, ls="--", lw=1.2, label="bounds (18)")
        ax.plot(fine, upper, color=FAINT, ls="--", lw=1.2)
        ax.set_title(name)
        ax.set_xlabel("samples over width, $T/M$")
    axes[0].set_ylabel("eigenvalues")
    axes[0].legend()
    return Picture(
        figure,
        f"The two largest eigenvalues with mean subtraction against T / M at M = {settings.width}; bars two standard "
        "errors, coloured lines join the points. All must lie between the dashed bounds; for large M both tend to the "
        "black line, the derived edge of the bulk.",
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="Samples in proportion to the width",
    question="What is left of lambda_max after mean subtraction, from two samples to many times the width?",
    run=run,
    full=Settings(
        400, (0.005, 0.03, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0), (200, 100, 100, 60, 60, 40, 30, 20, 10),
        (200, 400, 800, 1600), (800, 400, 200, 100), (100, 200, 400, 800, 1600), (100, 100, 60, 40, 20),
    ),
    quick=Settings(
        100, (0.02, 0.1, 0.3, 1.0, 3.0, 8.0, 16.0), (100, 60, 40, 40, 30, 20, 10),
        (100, 200, 400), (400, 200, 100), (50, 100, 200, 400), (60, 60, 40, 20),
    ),
)  # fmt: skip
