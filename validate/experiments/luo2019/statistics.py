"""Experiment: what the statistics of a batch do to the expected loss and to the best gain.

Batches of M normalized preactivations are drawn, M = 8 to 1024, of four laws.  Judged are the exact moments of the
deviation of Gaussian preactivations at every M; the best gain of a linear unit, R <s>, at every M; and M times the
change of the expected loss, of its slope in the gain, and of the best gain, continued to infinite M by a parabola in
1/M through the larger batches, against the derived coefficients: of linear, ReLU and softplus units, and of two units
of a layer inside a network.  The batch's m and q, whose means are known to be zero, take most of the noise out.
Criterion: none of all these is rejected by Holm's procedure at a family-wise level of 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Integer

from derive.batch_statistics import cosine, deviation_moment, gain, perceptron_loss, population_loss
from numerics.batch_statistics import best_gain, gain_shift
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.luo2019.batch_cases import CASES, LAYER_CASES, OVERLAP, Case, LayerCase
from validate.experiments.luo2019.statistics_figure import figure, table
from validate.report.model import Check, ExperimentResult, Finding, Picture
from validate.simulate.batch_layer import LayerDraw, sample_layer
from validate.simulate.batch_statistics import Draw, sample
from validate.statistics import FAMILY_LEVEL, Estimate

CRITERION = f"not rejected by Holm's procedure over all tests of this experiment, level {FAMILY_LEVEL:g}"
EXCESS, DEVIATION, INVERSE, OVERLAPS, SQUARES, SLOPES = range(6)
"""Columns of a piece."""


@dataclass(frozen=True)
class Settings:
    """``numbers``: preactivations drawn for each case and M, in ``parts`` of independent streams.  ``cases``, of which
    the first is the plain linear unit, hold linear and ReLU units on their own batch of Gaussian preactivations."""

    numbers: int
    cases: tuple[Case, ...] = CASES
    layers: tuple[LayerCase, ...] = LAYER_CASES
    sizes: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512, 1024)
    fitted: int = 64
    parts: int = 16
    seed: int = 41


def drawn(draw: Mapping[str, Any], batches: int, parts: int, seed: int) -> dict[str, np.ndarray]:
    """Means of each part as a piece: excess of the loss over the population's, s, 1/s, excess of the overlap, of the
    square, and of the loss's slope in the gain; every excess without its part along m and q."""
    rows = []
    for child in np.random.SeedSequence([seed, int(draw["samples"])]).spawn(parts):
        found = sample(Draw(**draw), batches, np.random.default_rng(child))
        controls = np.stack([found["m"], found["q"]], axis=1)
        rows.append([
            _controlled(found["excess"], controls), found["s"].mean(), found["inverse"].mean(),
            *(_controlled(found[n], controls) for n in ("overlap_excess", "square_excess", "slope_excess")),
        ])  # fmt: skip
    return {"means": np.array(rows)}


def layer_drawn(draw: Mapping[str, Any], batches: int, parts: int, seed: int) -> dict[str, np.ndarray]:
    """The same for two units of a layer: the excess of the loss alone."""
    rows = []
    for child in np.random.SeedSequence([seed, int(draw["samples"])]).spawn(parts):
        found = sample_layer(LayerDraw(**draw), batches, np.random.default_rng(child))
        rows.append([_controlled(found["excess"], np.concatenate([found["m"], found["q"]], axis=1))])
    return {"means": np.array(rows)}


def _controlled(values: np.ndarray, controls: np.ndarray) -> float:
    """The mean, less what the means of ``controls``, zero in truth, explain of it.  Each half of the batches takes
    its coefficients from the other half, so that nothing is biased."""
    half = len(values) // 2
    total = 0.0
    for here, there in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
        centred = controls[there] - controls[there].mean(axis=0)
        coefficients = np.linalg.lstsq(centred, values[there] - values[there].mean(), rcond=None)[0]
        total += float((values[here] - controls[here] @ coefficients).sum())
    return total / len(values)


@dataclass(frozen=True)
class Test:
    """One comparison: a label, the theory, the measurement, and named wrong values."""

    label: str
    predicted: float
    measured: Estimate
    wrong: Mapping[str, float]

    @property
    def z(self) -> float:
        return float(statistics.z_score(self.measured, self.predicted))


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Draw every case at every M and compare."""
    means = _means(settings, context, drawn, settings.cases, 0, "batch statistics")
    layers = _means(settings, context, layer_drawn, settings.layers, len(settings.cases), "a layer in a network")
    plain = means[settings.cases[0]]
    groups = {
        "moments of the deviation of Gaussian preactivations": _moments(settings, plain),
        "the best gain of a linear unit, at every M": _gains(settings, plain),
        "M times the change of the expected loss": [_change(settings, c, means[c]) for c in settings.cases],
        "M times the change of the slope in the gain": [_slope(settings, c, means[c]) for c in settings.cases],
        "M times the relative change of the best gain": _gain_changes(settings, means),
        "two units of a layer inside a network": [_change(settings, c, layers[c]) for c in settings.layers],
    }
    every = [test for tests in groups.values() for test in tests]
    degrees = settings.parts - 1
    bad = statistics.holm(np.array([float(statistics.p_value(test.z, degrees)) for test in every]))
    level = statistics.single_level(len(every))
    checks, place = [], 0
    for name, tests in groups.items():
        rejected = bad[place : place + len(tests)]
        checks.append(_check(name, tests, not rejected.any(), level, degrees))
        place += len(tests)
    changes = [*groups["M times the change of the expected loss"], *groups["two units of a layer inside a network"]]
    shift = groups["M times the relative change of the best gain"][0].measured
    worst = max(abs(test.z) for test in every)
    return context.result(
        f"{'As derived' if not bad.any() else 'NOT as derived'}, in {len(every)} tests (largest |z| "
        f"{worst:.1f}): moments at every M, the change of the expected loss and of its slope for linear, ReLU and "
        f"softplus units and four laws, the best gain, and the layer of a network. In a batch of Gaussian "
        f"preactivations the best gain of a linear unit falls by {-shift.value:.3f} ({shift.error:.3f}) / M, "
        "derived 3/4; zeta = 3/(4M) would make it 3/2.",
        checks=checks,
        findings=[_decay_finding(shift, changes), _layer_finding(changes)],
        figures={"batch-statistics": _figure(settings, means, layers)},
        tables=[table([*settings.cases, *settings.layers], [test.measured for test in changes])],
        seeds={"seed": settings.seed, "of a case": "1000 seed + its number"},
    )


def _means(
    settings: Settings, context: Context, draw: Any, cases: Sequence[Any], first: int, label: str
) -> dict[Any, list[np.ndarray]]:
    """The pieces of each case, by size."""
    jobs = [
        {"draw": case.draw(size), "batches": settings.numbers // size // settings.parts, "parts": settings.parts,
         "seed": 1000 * settings.seed + first + number}
        for number, case in enumerate(cases)
        for size in settings.sizes
    ]  # fmt: skip
    pieces = context.pieces(draw, jobs, label)
    count = len(settings.sizes)
    return {case: [p["means"] for p in pieces[k * count : (k + 1) * count]] for k, case in enumerate(cases)}


def _moments(settings: Settings, means: Sequence[np.ndarray]) -> list[Test]:
    tests = []
    for size, rows in zip(settings.sizes, means, strict=True):
        for power, column in ((1, DEVIATION), (-1, INVERSE)):
            exact = float(deviation_moment(power, Integer(size)).evalf())
            prior = 1.0 if power == 1 else 1 + 1 / (2 * size)
            tests.append(
                Test(f"<s^{power}>, M = {size}", exact, statistics.estimate(rows[:, column]), {"the prior's": prior})
            )
    return tests


def _best(rows: np.ndarray, phi: str) -> Estimate:
    """The best gain <target phi(z)> / <phi(z)^2>, by the jackknife over the parts; <target phi(t)> and
    <phi(t)^2> of Gaussian t are known."""
    best = best_gain(phi, OVERLAP)
    square = float(population_loss(perceptron_loss(phi)).diff(gain, 2).subs(cosine, OVERLAP))
    total, count = rows.sum(axis=0), len(rows)
    left = (total - rows) / (count - 1)
    whole = total / count
    values = (best * square + left[:, OVERLAPS]) / (square + left[:, SQUARES])
    error = np.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum())
    found = (best * square + whole[OVERLAPS]) / (square + whole[SQUARES])
    return Estimate(np.array(found), np.array(error), float(count - 1))


def _gains(settings: Settings, means: Sequence[np.ndarray]) -> list[Test]:
    return [
        Test(
            f"M = {size}", OVERLAP * float(deviation_moment(1, Integer(size)).evalf()), _best(rows, "identity"),
            {"zeta = 3/(4M)": OVERLAP / (1 + 3 / (2 * size))},
        )
        for size, rows in zip(settings.sizes, means, strict=True)
    ]  # fmt: skip


def _fit(settings: Settings, estimates: Sequence[Estimate]) -> Estimate:
    """The constant of a parabola in 1/M through the sizes that are fitted."""
    kept = [k for k, size in enumerate(settings.sizes) if size >= settings.fitted]
    x = 1 / np.array([settings.sizes[k] for k in kept], dtype=float)
    values = np.array([float(estimates[k].value) for k in kept])
    errors = np.array([float(estimates[k].error) for k in kept])
    design = np.vander(x, 3, increasing=True) / errors[:, None]
    covariance = np.linalg.inv(design.T @ design)
    constant = (covariance @ design.T @ (values / errors))[0]
    return Estimate(np.array(constant), np.sqrt(covariance[0, 0]), float(settings.parts - 1))


def _times(estimate: Estimate, size: int) -> Estimate:
    return Estimate(estimate.value * size, estimate.error * size, estimate.degrees)


def _scaled(settings: Settings, means: Sequence[np.ndarray], column: int = EXCESS) -> list[Estimate]:
    """M times a column's mean, at every M."""
    return [
        _times(statistics.estimate(rows[:, column]), size) for size, rows in zip(settings.sizes, means, strict=True)
    ]


def _change(settings: Settings, case: Case | LayerCase, means: Sequence[np.ndarray]) -> Test:
    return Test(case.label, derived_change(case), _fit(settings, _scaled(settings, means)), case.wrong)


def derived_change(case: Case | LayerCase) -> float:
    """M times the change of the expected loss, as derived."""
    return case.derived.total


def _slope(settings: Settings, case: Case, means: Sequence[np.ndarray]) -> Test:
    return Test(case.label, case.slope, _fit(settings, _scaled(settings, means, SLOPES)), {"no change": 0.0})


def _relative(settings: Settings, means: Sequence[np.ndarray], phi: str) -> Estimate:
    """M times the relative change of the best gain, continued to infinite M."""
    best = best_gain(phi, OVERLAP)
    scaled = []
    for size, rows in zip(settings.sizes, means, strict=True):
        found = _best(rows, phi)
        scaled.append(Estimate((found.value / best - 1) * size, found.error / best * size, found.degrees))
    return _fit(settings, scaled)


def _gain_changes(settings: Settings, means: Mapping[Case, Sequence[np.ndarray]]) -> list[Test]:
    tests = []
    for phi in ("identity", "relu"):
        derived, independent = (gain_shift(phi, "batch", other, OVERLAP) for other in (False, True))
        wrong = {"statistics of another batch": independent}
        if phi == "identity":
            wrong["zeta = 3/(4M)"] = -1.5
        measured = _relative(settings, means[Case(phi)], phi)
        tests.append(Test(f"{phi}, own batch", derived, measured, wrong))
    return tests


def _check(name: str, tests: Sequence[Test], passed: bool, level: float, degrees: int) -> Check:
    worst = max(tests, key=lambda test: abs(test.z))
    power: dict[str, float] = {}
    scores: dict[str, float] = {}
    for test in tests:
        for wrong, value in test.wrong.items():
            caught = float(statistics.power(value - test.predicted, test.measured.error, level, degrees))
            power[wrong] = max(power.get(wrong, 0.0), caught)
            scores[wrong] = max(
                scores.get(wrong, 0.0), abs(float(statistics.z_score(test.measured, value)))
            )
    return Check(
        name=f"statistics: {name}", statement="what is drawn has the derived mean", predicted=worst.predicted,
        measured=float(worst.measured.value), standard_error=float(worst.measured.error), criterion=CRITERION,
        passed=passed, z=worst.z, p_value=float(statistics.p_value(worst.z, degrees)), power=power,
        details={"shown": f"of {len(tests)} tests the one of largest |z|: {worst.label}",
                 "z of wrong theories": scores},
    )  # fmt: skip


def _decay_finding(shift: Estimate, changes: Sequence[Test]) -> Finding:
    printed, derived = -1.5, gain_shift("identity", "batch", False, OVERLAP)
    off = abs(float(statistics.z_score(shift, printed)))
    agrees = abs(float(statistics.z_score(shift, derived))) < 4
    theorem = {t.label: t.wrong["Theorem 1"] for t in changes if "Theorem 1" in t.wrong}
    return Finding(
        claim="luo2019.claim-linear-decay",
        says="batch normalization of a linear student is gamma decay with zeta = 3/(4M)",
        answer=(
            f"The best gain of a linear unit under the statistics of its own batch is lower by "
            f"{-shift.value:.3f} ({shift.error:.3f}) / M than under the population's; zeta = 3/(4M) would make "
            f"it 1.5 / M, {off:.0f} standard errors away, zeta = 3/(8M) makes it 0.75 / M."
        ),
        verdict="refuted" if off > 6 and agrees else "open",
        evidence={
            "M (gamma*/gamma_0 - 1)": float(shift.value), "error": float(shift.error),
            "M times the change of the loss": {t.label: float(t.measured.value) for t in changes},
            "the same, derived": {t.label: t.predicted for t in changes}, "by Theorem 1": theorem,
        },
    )  # fmt: skip


def _layer_finding(changes: Sequence[Test]) -> Finding:
    tests = [t for t in changes if "appendix C.4" in t.wrong]
    off = {t.label: abs(float(statistics.z_score(t.measured, t.wrong["appendix C.4"]))) for t in tests}
    agrees = all(abs(t.z) < 4 for t in tests)
    t = tests[0]
    return Finding(
        claim="luo2019.c4",
        says="in a deep network the diagonal of the Hessian decays the gains",
        answer=(
            f"Of two units of a layer inside a network the loss changes by {t.measured.value:.4f} "
            f"({t.measured.error:.4f}) / M, derived {t.predicted:.4f}; the diagonal of the Hessian alone would make it "
            f"{t.wrong['appendix C.4']:.4f} / M. The gradient's term and that of the pair are of the same order."
        ),
        verdict="conditional" if agrees and max(off.values()) > 6 else "open",
        evidence={"z of appendix C.4": off, "z of the derived form": {t.label: t.z for t in tests}},
    )


def _figure(settings: Settings, means: Mapping[Case, Any], layers: Mapping[LayerCase, Any]) -> Picture:
    shown = [Case(phi, law) for phi, law in (
        ("identity", "gaussian"), ("identity", "uniform"), ("relu", "gaussian"), ("relu", "exponential"),
        ("softplus", "gaussian"),
    )]  # fmt: skip
    changes: dict[Case | LayerCase, list[Estimate]] = {c: _scaled(settings, means[c]) for c in shown if c in means}
    changes |= {c: _scaled(settings, layers[c]) for c in settings.layers[:1]}
    best = [_best(rows, "identity") for rows in means[settings.cases[0]]]
    return figure(settings.sizes, best, changes)


EXPERIMENT = Experiment(
    title="Statistics of a batch and what they do to the loss",
    question="Is the expected loss under batch normalization that of the population's plus gamma decay?",
    run=run,
    full=Settings(numbers=10_000_000),
    quick=Settings(numbers=1_000_000),
)
