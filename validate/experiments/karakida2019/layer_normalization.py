"""Theorem 4.1: layer normalization leaves the sharpness, at several numbers of outputs C.

The constants of (26) depend on the weights of the last layer; they are taken from the outputs of each network.
Criteria: m_lambda M over eta_1, and the mean of the C - 2 largest eigenvalues over what the derived blocks give for
these outputs (to first order in 1/T, which (26) only bounds), extrapolated in 1/M, are not rejected by Holm's
procedure at a family-wise level of 1 % for the report; lambda_max at the largest width lies between the bounds (26),
averaged over weights, within 5 % and three standard errors; for C = 2 it vanishes to rounding.  C is 6 or more: for
fewer outputs ensemble means of 1/sigma^4 diverge.  "Of order M" means that lambda_max / M at T = M, extrapolated in
1/M, exceeds zero by five standard errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from derive.wide import network
from numerics.wide import Prediction, predict
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.karakida2019.ensembles import Case, limit, measure_all
from validate.experiments.karakida2019.limits import Limit, checks, largest_score
from validate.report.model import Check, ExperimentResult, Finding, Picture
from validate.simulate.deep import Ensemble
from validate.statistics import Estimate

MODEL = ("tanh", 3.0, 0.64)
DEPTH = 3
TOLERANCE = 0.05
POSITIVE = 5.0
"""Standard errors by which a limit must exceed zero."""


@dataclass(frozen=True)
class Settings:
    """``replicas`` networks at each of ``widths`` on ``samples`` inputs, for every C of ``outputs``; T = M, for the
    last of them, at each of ``square``."""

    widths: tuple[int, ...]
    replicas: tuple[int, ...]
    outputs: tuple[int, ...]
    samples: int
    square: tuple[int, ...]
    square_replicas: tuple[int, ...]
    seed: int = 37


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Measure every C, extrapolate, compare; and two outputs, and T = M."""
    sweep = [
        _case(settings, C, M, settings.samples, n, 0) for C in settings.outputs
        for M, n in zip(settings.widths, settings.replicas, strict=True)
    ]  # fmt: skip
    square = [
        _case(settings, settings.outputs[-1], M, M, n, 1)
        for M, n in zip(settings.square, settings.square_replicas, strict=True)
    ]  # fmt: skip
    two = _case(settings, 2, settings.widths[0], settings.samples, 2, 2)
    found = measure_all(context, [*sweep, *square, two], "layer normalization")
    count = len(settings.widths)
    by_outputs = {C: found[k * count : (k + 1) * count] for k, C in enumerate(settings.outputs)}
    linear = limit(
        settings.square, [e.largest / M for M, e in zip(settings.square, found[len(sweep) : -1], strict=True)]
    ).limit
    limits = [each for C, ensembles in by_outputs.items() for each in _given_outputs(settings, C, ensembles)]
    judged = checks(limits)
    others = [_between(settings, C, ensembles[-1]) for C, ensembles in by_outputs.items()]
    zero = _zero(found[-1], settings.widths[0])
    findings = [
        _theorem(settings, limits, [*judged, *others], by_outputs),
        _order(settings, linear),
        _two(zero),
    ]
    return context.result(
        " ".join(finding.answer for finding in findings), checks=[*judged, *others, zero], findings=findings,
        figures={"layer-normalization": _figure(settings, by_outputs)}, seeds={"of a case": "(seed, sweep, C, part)"},
    )  # fmt: skip


def _case(settings: Settings, outputs: int, M: int, T: int, replicas: int, sweep: int) -> Case:
    return Case((*(M,) * DEPTH, outputs), *MODEL, T, replicas, (settings.seed, sweep, outputs), "layer")


def theory(outputs: int, width: int, samples: int) -> Prediction:
    """With layer normalization, averaged over the weights."""
    return predict(network(DEPTH, *MODEL, outputs=outputs, normalization="layer"), width, samples)


def _given_outputs(settings: Settings, C: int, found: Sequence[Ensemble]) -> list[Limit]:
    """Each network's eigenvalues over what its own outputs make of them."""
    p, T, widths = theory(C, 1, settings.samples), settings.samples, settings.widths
    own = p.alpha * (p.kappa_1 - p.kappa_2) / T
    means = [e.mean_eigenvalue * M / e.projections[:, 0] for M, e in zip(widths, found, strict=True)]
    tops = [
        e.eigenvalues[:, : C - 2].sum(axis=1) / M
        / (p.alpha * p.kappa_2 * e.projections[:, 1] + own * e.projections[:, 2])
        for M, e in zip(widths, found, strict=True)
    ]  # fmt: skip
    mean, degrees = p.kappa_1 * (C - 2), min(settings.replicas) - 1
    return [
        Limit(f"C = {C}", "m_lambda M / eta_1", mean, limit(widths, means), degrees,
              {"C for C - 2": p.kappa_1 * C, "C - 1 for C - 2": p.kappa_1 * (C - 1), "kappa_2": p.kappa_2 * (C - 2)}),
        Limit(f"C = {C}", "the C - 2 largest, measured / derived", 1.0, limit(widths, tops), degrees,
              {"kappa_1 for kappa_2": p.kappa_1 / p.kappa_2, "eta_1, without f f^T": _without_outputs(found[-1], C)}),
    ]  # fmt: skip


def _without_outputs(found: Ensemble, C: int) -> float:
    """eta_1 over the mean of the C - 2 largest eigenvalues of <P/sigma^2>, at the largest width."""
    return float((found.projections[:, 0] * (C - 2) / found.projections[:, 1]).mean())


def _between(settings: Settings, C: int, found: Ensemble) -> Check:
    width = settings.widths[-1]
    p, one = theory(C, width, settings.samples), statistics.estimate(found.largest)
    assert p.lower is not None and p.upper is not None
    slack = 3 * float(one.error)
    return Check(
        name=f"bounds (26): C = {C}", statement="lambda_max lies between the bounds",
        predicted=[p.lower, p.upper], measured=float(one.value), standard_error=float(one.error),
        criterion="within 5 % and three standard errors",
        passed=(1 - TOLERANCE) * p.lower - slack <= float(one.value) <= (1 + TOLERANCE) * p.upper + slack,
        details={"width": width},
    )  # fmt: skip


def _zero(found: Ensemble, width: int) -> Check:
    value = float(np.abs(found.eigenvalues).max())
    return Check(
        name="two outputs", statement="the Fisher information of C = 2 normalized outputs vanishes", predicted=0.0,
        measured=value, criterion="lambda_max below 1e-9 M", passed=value < 1e-9 * width, details={"width": width},
    )  # fmt: skip


def _theorem(
    settings: Settings, limits: Sequence[Limit], judged: Sequence[Check], found: dict[int, list[Ensemble]]
) -> Finding:
    holds = all(check.passed for check in judged)
    lower = {C: theory(C, settings.widths[-1], settings.samples).lower for C in found}
    over = [f"{e[-1].largest.mean() / float(lower[C] or np.nan):.1f} (C = {C})" for C, e in found.items()]
    precision = max(float(each.estimate.error / each.predicted) for each in limits)
    return Finding(
        "karakida2019.theorem-4-1", "with layer normalization and C > 2 the eigenvalue statistics are (26), (27)",
        f"With the constants of each network's own outputs m_lambda and the C - 2 largest eigenvalues "
        f"{'agree' if holds else 'do not all agree'} with (26) and with the derived blocks at infinite width (largest "
        f"|z| {largest_score(limits):.1f}, standard errors up to {100 * precision:.1g} %). The bounds of (26) are "
        f"loose: lambda_max is {', '.join(over)} times the lower one.",
        "conditional" if holds else "refuted",
        {check.name: [check.predicted, check.measured, check.standard_error] for check in judged},
    )  # fmt: skip


def _order(settings: Settings, linear: Estimate) -> Finding:
    value, error = float(linear.value), float(linear.error)
    holds = value > POSITIVE * error
    return Finding(
        "karakida2019.claim-layer-cannot", "layer normalization leaves lambda_max of order M",
        f"At T = M lambda_max / M tends to {value:.3f} ± {error:.3f} (C = {settings.outputs[-1]}, extrapolated from "
        f"M = {settings.square[0]} to {settings.square[-1]}){'' if holds else ', not surely positive'}.",
        "confirmed" if holds else "refuted", {"lambda_max / M": [value, error]},
    )  # fmt: skip


def _two(zero: Check) -> Finding:
    return Finding(
        "karakida2019.claim-two-outputs", "for C = 2 the Fisher information is zero",
        f"For two outputs the largest eigenvalue measured is {zero.measured:.1g}.",
        "confirmed" if zero.passed else "refuted", {"lambda_max": zero.measured},
    )  # fmt: skip


def _figure(settings: Settings, found: dict[int, list[Ensemble]]) -> Picture:
    from validate.report.figures import FAINT, VERMILION, panels, theory_with_simulation

    figure, ax = panels(1, height=3.6)
    width = settings.widths[-1]
    line = np.unique(np.geomspace(settings.outputs[0], settings.outputs[-1], 12).round().astype(int))
    curves = [theory(int(C), width, settings.samples) for C in line]
    top = [statistics.estimate(e[-1].eigenvalues[:, : C - 2].mean(axis=1)) for C, e in found.items()]
    one = [statistics.estimate(e[-1].largest) for e in found.values()]
    ax.set_xscale("log")
    ax.set_yscale("log")
    theory_with_simulation(
        ax, line, [p.lambda_max for p in curves], [e.value for e in top], [e.error for e in top],
        simulated_at=settings.outputs, label="mean of the $C-2$ largest, derived",
    )  # fmt: skip
    ax.errorbar(
        settings.outputs, [e.value for e in one], [2 * e.error for e in one], fmt="s", ms=4, mfc="white",
        color=VERMILION, elinewidth=1, label=r"$\lambda_{\max}$ measured",
    )  # fmt: skip
    ax.plot(line, [float(p.lower or 0) for p in curves], color=FAINT, ls="--", lw=1.2, label="bounds (26)")
    ax.plot(line, [float(p.upper or 0) for p in curves], color=FAINT, ls="--", lw=1.2)
    ax.set_xticks(settings.outputs, [str(C) for C in settings.outputs])
    ax.set_xlabel("outputs $C$")
    ax.set_ylabel("eigenvalues")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return Picture(
        figure,
        f"Largest eigenvalues with layer normalization against the number of outputs, M = {width}, T = "
        f"{settings.samples}; bars two standard errors. Solid line: averaged over weights, for infinite "
        "width; squares must lie between the dashed bounds.",
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="Layer normalization",
    question="What are the eigenvalues with layer normalization, at several numbers of outputs?",
    run=run,
    full=Settings((100, 200, 400), (400, 200, 80), (6, 8, 12), 200, (100, 200, 400), (40, 20, 10)),
    quick=Settings((50, 100, 200), (200, 100, 60), (6, 10, 16), 50, (50, 100, 200), (40, 20, 10)),
)
