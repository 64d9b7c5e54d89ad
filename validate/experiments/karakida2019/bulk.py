"""The whole spectrum after mean subtraction at T of order M: its variance and its edge.

Theorem 3.3 bounds lambda_max by tr F and tr F^2 with constants c_1, c_2 that it leaves open.  The derived limit of
the spectrum has them, c_1 = variance / mean and c_2 = (T/M) variance, and an edge.  The networks of Fig. 1; each
network's eigenvalues are divided by their mean, which varies from network to network.  Criteria: the variance of the
T - 1 eigenvalues, extrapolated in 1/M, is not rejected by Holm's procedure at a family-wise level of 1 % for the
report; the two largest eigenvalues, extrapolated in M^(-2/3) as edges are, are within 5 % of the derived edge, or
three standard errors: no outlier is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from derive.wide import network
from numerics.wide import bulk
from numerics.wide.proportional import Bulk
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.karakida2019.ensembles import Case, limit, measure_all
from validate.experiments.karakida2019.limits import Limit, checks, largest_score
from validate.report.model import Check, ExperimentResult, Picture
from validate.simulate.deep import Ensemble
from validate.statistics import Extrapolation

MODELS = (("relu", 2.0, 0.0), ("tanh", 3.0, 0.64))
DEPTH = 3
TOLERANCE = 0.05
EDGE_POWER = 2 / 3
FAR = 10**6
"""A width at which only the theory is evaluated."""

Key = tuple[str, float]
"""An activation and T/M."""
Edges = Mapping[Key, tuple[Extrapolation, Extrapolation]]
"""The two largest eigenvalues, extrapolated."""


@dataclass(frozen=True)
class Settings:
    """``replicas`` networks at each of ``widths``, for every T = ratio M."""

    ratios: tuple[float, ...]
    widths: tuple[int, ...]
    replicas: tuple[int, ...]
    seed: int = 38


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Measure whole spectra, extrapolate their moments and their largest eigenvalues, judge."""
    keys = [(model, ratio) for model in MODELS for ratio in settings.ratios]
    cases = [
        Case((*(M,) * DEPTH, 1), *model, round(ratio * M), n, (settings.seed, number), "mean", whole=True)
        for number, (model, ratio) in enumerate(keys)
        for M, n in zip(settings.widths, settings.replicas, strict=True)
    ]  # fmt: skip
    ensembles, count = measure_all(context, cases, "whole spectra"), len(settings.widths)
    found = {
        (model[0], ratio): ensembles[k * count : (k + 1) * count] for k, (model, ratio) in enumerate(keys)
    }
    limits = [_variance(settings, key, spectra) for key, spectra in found.items()]
    judged = checks(limits)
    edges = {key: _edges(settings, spectra) for key, spectra in found.items()}
    at_edge = [check for key, pair in edges.items() for check in _at_edge(settings, key, pair)]
    return context.result(
        _answer(settings, limits, judged, at_edge), checks=[*judged, *at_edge],
        figures={"bulk": _figure(settings, found, edges)},
        seeds={"of a case": "(seed, number of the network and ratio, part)"},
    )  # fmt: skip


@cache
def theory(name: str, ratio: float, width: int) -> Bulk:
    """The derived spectrum at T = ``ratio`` M."""
    (model,) = (model for model in MODELS if model[0] == name)
    return bulk(network(DEPTH, *model, normalization="mean"), ratio, width)


def _variance(settings: Settings, key: Key, found: Sequence[Ensemble]) -> Limit:
    p, degrees = theory(*key, settings.widths[-1]), min(settings.replicas) - 1
    variances = [(e**2).sum(axis=1) / (e.shape[1] - 1) - 1 for e in map(_over_mean, found)]
    right = p.variance / p.mean**2
    return Limit(f"{key[0]}, T = {key[1]:g} M", "variance over squared mean", right, limit(settings.widths, variances),
                 degrees, {"(18) with c_1 = 0": 0.0, "a tenth less": 0.9 * right})  # fmt: skip


def _over_mean(found: Ensemble) -> np.ndarray:
    """The eigenvalues over the mean of the T - 1 that mean subtraction leaves (S, T)."""
    values = found.eigenvalues
    return values * (values.shape[1] - 1) / values.sum(axis=1, keepdims=True)


def _edges(settings: Settings, found: Sequence[Ensemble]) -> tuple[Extrapolation, Extrapolation]:
    def extrapolated(k: int) -> Extrapolation:
        measured = [statistics.estimate(_over_mean(e)[:, k]) for e in found]
        return statistics.extrapolate(
            np.array(settings.widths) ** EDGE_POWER,
            np.array([e.value for e in measured]), np.array([e.error for e in measured]),
        )  # fmt: skip

    return extrapolated(0), extrapolated(1)


def _at_edge(settings: Settings, key: Key, pair: Sequence[Extrapolation]) -> list[Check]:
    p, (name, ratio) = theory(*key, settings.widths[-1]), key
    edge = p.edge / p.mean
    return [
        Check(
            name=f"edge: lambda_{k + 1}, {name}, T = {ratio:g} M",
            statement="the largest eigenvalues over their mean tend to the derived edge",
            predicted=edge, measured=float(each.limit.value), standard_error=float(each.limit.error),
            criterion="extrapolated in M^(-2/3): within 5 % of the edge, or three standard errors",
            passed=abs(float(each.limit.value) - edge) < max(TOLERANCE * edge, 3 * float(each.limit.error)),
            details={"derived lambda_max": p.edge, "bound tr F^2 / tr F": p.lower},
        )
        for k, each in enumerate(pair)
    ]  # fmt: skip


def _answer(
    settings: Settings, limits: Sequence[Limit], judged: Sequence[Check], at_edge: Sequence[Check]
) -> str:
    bad = [check.name for check in (*judged, *at_edge) if not check.passed]
    if bad:
        return f"The derived limit of the spectrum at T of order M is not met: {'; '.join(bad)}."
    off = max(abs(check.measured / check.predicted - 1) for check in at_edge)
    widest = settings.widths[-1]
    edges = "; ".join(
        ", ".join(
            f"{theory(name, ratio, widest).edge:.2f} ({name}, T = {ratio:g} M)" for ratio in settings.ratios
        )
        for name, *_ in MODELS
    )
    edge = {
        (name, M): theory(name, settings.ratios[-1], M).edge for name, *_ in MODELS for M in (widest, FAR)
    }
    rises = " and ".join(
        f"{100 * (edge[name, FAR] / edge[name, widest] - 1):+.1f} % ({name})" for name, *_ in MODELS
    )
    return (
        "What mean subtraction leaves at T of order M is a bulk without outliers: the variance of its eigenvalues "
        f"agrees with the derived limit (largest |z| {largest_score(limits):.1f}), and lambda_1 and lambda_2 both tend "
        f"to its edge, within {100 * off:.1g} %: {edges}. By the derivation this edge still moves with the largest "
        f"backward signal of M units, from M = {widest} to {FAR:.0e} by {rises}."
    )


def _figure(settings: Settings, found: Mapping[Key, Sequence[Ensemble]], edges: Edges) -> Picture:
    from validate.report.figures import COLOURS, FAINT, panels, trend

    figure, axes = panels(len(MODELS), height=3.6, sharey=True)
    at = np.array(settings.widths) ** -EDGE_POWER
    for ax, (name, *_) in zip(axes, MODELS, strict=True):
        for number, ratio in enumerate(settings.ratios):
            key = (name, ratio)
            p = theory(*key, settings.widths[-1])
            scale = p.edge / p.mean
            for k, each in enumerate(edges[key]):
                measured = [statistics.estimate(_over_mean(e)[:, k]) for e in found[key]]
                trend(
                    ax, at, [e.value / scale for e in measured], [e.error / scale for e in measured],
                    label=rf"$\lambda_{k + 1}$, $T = {ratio:g}\,M$", colour=COLOURS[2 * number + k],
                    fit=(float(each.limit.value) / scale, float(each.slope.value) / scale),
                )  # fmt: skip
        ax.axhline(1.0, color=FAINT, lw=0.6)
        ax.set_title(name)
        ax.set_xlabel("$M^{-2/3}$")
    axes[0].set_ylabel("eigenvalue over derived edge")
    axes[0].legend()
    return Picture(
        figure,
        "The two largest eigenvalues with mean subtraction, over their network's mean eigenvalue and the derived edge "
        "in these units, and weighted straight lines in M^(-2/3), which must meet one at infinite width; bars two "
        "standard errors.",
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="The spectrum after mean subtraction",
    question="Is the limit of the spectrum at T of order M, and so of lambda_max, the derived one?",
    run=run,
    full=Settings((0.25, 1.0, 4.0), (100, 200, 400, 800), (400, 200, 100, 50)),
    quick=Settings((0.5, 2.0), (100, 200, 400), (200, 120, 60)),
)
