"""Theorem 3.4: batch normalization in the middle layers leaves the sharpness, in the last layer removes it.

ReLU networks with statistics over all T samples, differentiated through.  Criteria: lambda_max / M and m_lambda
M at several T, and lambda_max / M at several depths, extrapolated in 1/M, are not rejected against the derived
blocks of the Gram matrix by Holm's procedure (T is 30 and more: for fewer samples the other T - 1 eigenvalues
lie so close that their spread, of order M^(-1/2), reaches the largest); at every depth the mean of lambda_max
lies above the bound (22), within three standard errors.  The last layer is "vital" if at T = M lambda_max grows
with an exponent of M above 0.9 under normalization of the middle layers, and below 0.1 in absolute value under
that of the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from derive.wide import network
from numerics.wide import Prediction, predict
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.karakida2019.ensembles import Case, Growth, growth, limit, measure_all
from validate.experiments.karakida2019.limits import Limit, checks, largest_score
from validate.report.model import Check, ExperimentResult, Finding, Picture
from validate.simulate.deep import Ensemble

MODEL = ("relu", 2.0, 0.5)
DEPTH = 3
PLACES = ("batch-middle", "batch-last")
GROWS, STAYS = 0.9, 0.1


@dataclass(frozen=True)
class Settings:
    """``replicas`` networks at each of ``widths``, for every T of ``samples``; several ``depths`` at ``deep_samples``
    and each of ``deep_widths``; T = M at each of ``square``."""

    widths: tuple[int, ...]
    replicas: tuple[int, ...]
    samples: tuple[int, ...]
    depths: tuple[int, ...]
    deep_samples: int
    deep_widths: tuple[int, ...]
    deep_replicas: tuple[int, ...]
    square: tuple[int, ...]
    square_replicas: tuple[int, ...]
    seed: int = 35


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Three sweeps, over T, depth, and width at T = M; extrapolate and judge."""
    over_samples = [
        (T, M, n) for T in settings.samples for M, n in zip(settings.widths, settings.replicas, strict=True)
    ]  # fmt: skip
    square = [
        (place, M, n) for place in PLACES
        for M, n in zip(settings.square, settings.square_replicas, strict=True)
    ]  # fmt: skip
    over_depths = [
        (L, M, n) for L in settings.depths
        for M, n in zip(settings.deep_widths, settings.deep_replicas, strict=True)
    ]  # fmt: skip
    cases = [_case(settings, 0, DEPTH, M, T, n) for T, M, n in over_samples]
    cases += [_case(settings, 1, L, M, settings.deep_samples, n) for L, M, n in over_depths]
    cases += [_case(settings, 2, DEPTH, M, M, n, place) for place, M, n in square]
    found = measure_all(context, cases, "batch normalization")
    count, start, rest = len(settings.widths), len(over_samples), len(over_samples) + len(over_depths)
    limits = [
        each for k, T in enumerate(settings.samples)
        for each in _limits(settings, T, found[k * count : (k + 1) * count])
    ]  # fmt: skip
    step = len(settings.deep_widths)
    by_depth = {L: found[start + k * step : start + (k + 1) * step] for k, L in enumerate(settings.depths)}
    deep = [_deep(settings, L, ensembles) for L, ensembles in by_depth.items()]
    judged = checks([*limits, *deep])
    bounds = [_bound(settings, L, ensembles[-1]) for L, ensembles in by_depth.items()]
    per_place = len(settings.square)
    grown = {
        place: growth(settings.square, [e.largest for e in found[rest:][k * per_place : (k + 1) * per_place]])
        for k, place in enumerate(PLACES)
    }
    findings = [_theorem(settings, [*limits, *deep], judged, bounds), _vital(settings, grown)]
    return context.result(
        " ".join(finding.answer for finding in findings), checks=[*judged, *bounds], findings=findings,
        figures={"batch-middle": _figure(settings, limits, deep)},
        seeds={"of a case": "(seed, sweep, part)"},
    )  # fmt: skip


def _case(
    settings: Settings, sweep: int, depth: int, M: int, T: int, replicas: int, place: str = "batch-middle"
) -> Case:
    return Case((*(M,) * depth, 1), *MODEL, T, replicas, (settings.seed, sweep), place)


def theory(depth: int, width: int, samples: int) -> Prediction:
    """With batch normalization in the middle layers, to leading order."""
    return predict(network(depth, *MODEL, normalization="batch-middle"), width, samples)


def _limits(settings: Settings, T: int, found: Sequence[Ensemble]) -> list[Limit]:
    p = theory(DEPTH, 1, T)
    assert p.lower is not None
    free = predict(network(DEPTH, *MODEL), 1, T)
    wanted = (
        ("lambda_max / M", p.lambda_max, [e.largest / M for M, e in zip(settings.widths, found, strict=True)],
         {"no normalization": free.lambda_max, "the bound (22)": p.lower}),
        ("m_lambda M", p.m_lambda, [e.mean_eigenvalue * M for M, e in zip(settings.widths, found, strict=True)],
         {"no normalization": free.m_lambda}),
    )  # fmt: skip
    degrees = min(settings.replicas) - 1
    return [
        Limit(f"T = {T}", quantity, predicted, limit(settings.widths, samples), degrees, wrong)
        for quantity, predicted, samples, wrong in wanted
    ]


def _deep(settings: Settings, L: int, found: Sequence[Ensemble]) -> Limit:
    p = theory(L, 1, settings.deep_samples)
    assert p.lower is not None
    widths, degrees = settings.deep_widths, min(settings.deep_replicas) - 1
    samples = [e.largest / M for M, e in zip(widths, found, strict=True)]
    return Limit(f"L = {L}, T = {settings.deep_samples}", "lambda_max / M", p.lambda_max, limit(widths, samples),
                 degrees, {"the bound (22)": p.lower})  # fmt: skip


def _bound(settings: Settings, L: int, found: Ensemble) -> Check:
    width = settings.deep_widths[-1]
    p, measured = theory(L, width, settings.deep_samples), statistics.estimate(found.largest)
    assert p.lower is not None
    value, error = float(measured.value), float(measured.error)
    return Check(
        name=f"bound (22): L = {L}", statement="lambda_max exceeds what the last layer's weights give",
        predicted=p.lower, measured=value, standard_error=error,
        criterion="mean of lambda_max above the bound, within three standard errors",
        passed=value >= p.lower - 3 * error, details={"derived lambda_max": p.lambda_max, "width": width},
    )  # fmt: skip


def _theorem(
    settings: Settings, limits: Sequence[Limit], judged: Sequence[Check], bounds: Sequence[Check]
) -> Finding:
    holds = all(check.passed for check in (*judged, *bounds))
    over = ", ".join(
        f"{check.measured / check.predicted:.2f} (L = {L})"
        for L, check in zip(settings.depths, bounds, strict=True)
    )
    return Finding(
        "karakida2019.theorem-3-4", "with non-negative activations lambda_max stays of order M",
        f"lambda_max / M at T = {', '.join(map(str, settings.samples))} and L = {', '.join(map(str, settings.depths))} "
        f"{'agrees' if holds else 'disagrees'} at infinite width with the derived blocks (largest |z| "
        f"{largest_score(limits):.1f}). Over the bound (22) it is {over} at T = {settings.deep_samples}, "
        f"M = {settings.deep_widths[-1]}.",
        "confirmed" if holds else "refuted",
        {check.name: [check.predicted, check.measured, check.standard_error] for check in (*judged, *bounds)},
    )  # fmt: skip


def _vital(settings: Settings, grown: dict[str, Growth]) -> Finding:
    middle, last = (grown[place] for place in PLACES)
    holds = middle.exponent > GROWS and abs(last.exponent) < STAYS
    return Finding(
        "karakida2019.claim-last-layer-is-vital",
        "batch normalization in the last layer, not elsewhere, removes the sharpness",
        f"At T = M lambda_max grows as M^({middle.exponent:.2f} ± {middle.error:.2f}) with the middle layers "
        f"normalized and as M^({last.exponent:.2f} ± {last.error:.2f}) with the last one (M from "
        f"{settings.square[0]} to {settings.square[-1]}).",
        "confirmed" if holds else "refuted", {place: [g.exponent, g.error] for place, g in grown.items()},
    )  # fmt: skip


def _figure(settings: Settings, limits: Sequence[Limit], deep: Sequence[Limit]) -> Picture:
    from matplotlib.ticker import NullFormatter

    from validate.report.figures import VERMILION, panels, theory_with_simulation

    figure, (left, right) = panels(2, height=3.6)
    top = [each for each in limits if each.quantity == "lambda_max / M"]
    line = sorted({*np.geomspace(settings.samples[0], settings.samples[-1], 16).round().astype(int).tolist(),
                   *settings.samples})  # fmt: skip
    depths = settings.depths
    for ax, at, curves, found, points in (
        (left, line, [theory(DEPTH, 1, T) for T in line], top, settings.samples),
        (right, depths, [theory(L, 1, settings.deep_samples) for L in depths], deep, depths),
    ):
        theory_with_simulation(
            ax, at, [p.lambda_max for p in curves], [each.estimate.value for each in found],
            [each.estimate.error for each in found], simulated_at=points, label="derived blocks",
        )  # fmt: skip
        ax.plot(
            at, [float(p.lower or 0) for p in curves], color=VERMILION, ls="--", lw=1.2, label="bound (22)"
        )
        ax.set_xticks(points, [str(each) for each in points])
    left.set_xscale("log")
    left.set_xticks(settings.samples, [str(T) for T in settings.samples])
    left.xaxis.set_minor_formatter(NullFormatter())
    left.set_xlabel("samples $T$")
    left.set_ylabel(r"$\lambda_{\max}/M$")
    left.set_title(f"$L = {DEPTH}$")
    left.legend()
    right.set_xlabel("depth $L$")
    right.set_title(f"$T = {settings.deep_samples}$")
    return Picture(
        figure,
        "Largest eigenvalue with batch normalization in the middle layers of ReLU networks, extrapolated to infinite "
        "width, against samples and against depth; bars two standard errors. Points must meet the solid line at the "
        "family-wise level of the checks.",
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="Batch normalization in the middle layers",
    question="Is lambda_max with the middle layers normalized as large as Theorem 3.4 says, and how tight is (22)?",
    run=run,
    full=Settings(
        (100, 200, 400), (300, 150, 60), (30, 100, 300),
        (2, 3, 4, 5, 6), 100, (100, 200, 400), (150, 80, 30), (100, 200, 400), (40, 40, 20),
    ),
    quick=Settings(
        (50, 100, 200), (100, 60, 40), (30, 60, 120),
        (2, 3, 4, 5), 60, (100, 200, 400), (60, 40, 20), (100, 200, 400), (40, 20, 6),
    ),
)  # fmt: skip
