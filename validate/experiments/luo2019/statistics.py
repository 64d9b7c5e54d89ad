"""Experiment: what the statistics of a batch do to the expected loss and to the best gain.

Batches of M normalized preactivations are drawn, M = 8 to 1024.  Judged are the exact moments of the deviation
of Gaussian preactivations at every M; the best gain of a linear unit, R <s>, at every M; and M times the
change of the expected loss, continued to infinite M by a parabola in 1/M through the larger batches, against
the derived coefficient.  The batch's m and q, whose means are known to be zero, take most of the noise out.
Criterion: none of all these is rejected by Holm's procedure at a family-wise level of 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sympy import Integer

from derive.batch_statistics import (
    best_gain,
    cosine,
    deviation_moment,
    gain,
    gain_shift,
    kurtosis,
    linear_correction,
    perceptron_loss,
    population_loss,
    skewness,
)
from numerics.batch_statistics import expected_correction
from validate import statistics
from validate.experiments import Context, Experiment
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate.batch_statistics import Draw, sample
from validate.statistics import FAMILY_LEVEL, Estimate

CRITERION = f"not rejected by Holm's procedure over all tests of this experiment, level {FAMILY_LEVEL:g}"
CUMULANTS = {"gaussian": (0, 0), "uniform": (-6 / 5, 0), "binary": (-2, 0), "exponential": (6, 2)}
"""Excess kurtosis and skewness of the laws."""
GAIN, OVERLAP = 0.9, 0.6

CASES = (
    *(("identity", law, "batch", other) for law in CUMULANTS for other in (False, True)),
    *(("identity", "gaussian", kind, False) for kind in ("mean-only", "variance-only", "root-mean-square")),
    *(("relu", "gaussian", kind, False) for kind in ("batch", "mean-only", "variance-only")),
    ("relu", "gaussian", "batch", True), ("softplus", "gaussian", "batch", False),
    ("softplus", "gaussian", "batch", True),
)  # fmt: skip
"""Activation, law, kind of normalization, and whether the statistics are those of another batch."""


@dataclass(frozen=True)
class Settings:
    """``numbers``: preactivations drawn for each case and M, in ``parts`` of independent streams."""

    numbers: int
    sizes: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512, 1024)
    fitted: int = 64
    parts: int = 16
    seed: int = 41


def drawn(draw: Mapping[str, Any], batches: int, parts: int, seed: int) -> dict[str, np.ndarray]:
    """Means of each part as a piece: s, 1/s; excess of the loss, of the overlap and of the square over the
    population's, each without its part along m and q."""
    rows = []
    for child in np.random.SeedSequence([seed, int(draw["samples"])]).spawn(parts):
        found = sample(Draw(**draw), batches, np.random.default_rng(child))
        rows.append([
            _controlled(found["excess"], found), found["s"].mean(), found["inverse"].mean(),
            _controlled(found["overlap_excess"], found), _controlled(found["square_excess"], found),
        ])  # fmt: skip
    return {"means": np.array(rows)}


def _controlled(values: np.ndarray, found: Mapping[str, np.ndarray]) -> float:
    """The mean, less what the means of m and q, zero in truth, explain of it.  Each half of the batches takes
    its coefficients from the other half, so that nothing is biased."""
    controls = np.stack([found["m"], found["q"]], axis=1)
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
    jobs = [
        {"draw": asdict(Draw(law, size, kind, other, phi, GAIN, OVERLAP)),
         "batches": settings.numbers // size // settings.parts, "parts": settings.parts,
         "seed": 1000 * settings.seed + number}
        for number, (phi, law, kind, other) in enumerate(CASES)
        for size in settings.sizes
    ]  # fmt: skip
    pieces = context.pieces(drawn, jobs, "batch statistics")
    count = len(settings.sizes)
    means = {case: [p["means"] for p in pieces[k * count : (k + 1) * count]] for k, case in enumerate(CASES)}
    plain = means[CASES[0]]
    groups = {
        "moments of the deviation of Gaussian preactivations": _moments(settings, plain),
        "the best gain of a linear unit, at every M": _gains(settings, plain),
        "M times the change of the expected loss": [_change(settings, c, means[c]) for c in CASES],
        "M times the relative change of the best gain": _gain_changes(settings, means),
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
    changes = groups["M times the change of the expected loss"]
    shift = groups["M times the relative change of the best gain"][0].measured
    worst = max(abs(test.z) for test in every)
    return context.result(
        f"{'As derived' if not bad.any() else 'NOT as derived'}, in {len(every)} tests (largest |z| "
        f"{worst:.1f}): moments at every M, the change of the expected loss for linear, ReLU and softplus "
        f"units and four laws, and the best gain. In a batch of Gaussian preactivations the best gain of a "
        f"linear unit falls by {-shift.value:.3f} ({shift.error:.3f}) / M, derived 3/4; zeta = 3/(4M) would "
        "make it 3/2.",
        checks=checks,
        findings=[_finding(settings, shift, changes)],
        figures={"batch-statistics": _figure(settings, means)},
        tables=[_table(changes)],
        seeds={"seed": settings.seed, "of a case": "1000 seed + its number"},
    )


def _moments(settings: Settings, means: Sequence[np.ndarray]) -> list[Test]:
    tests = []
    for size, rows in zip(settings.sizes, means, strict=True):
        for power, column in ((1, 1), (-1, 2)):
            exact = float(deviation_moment(power, Integer(size)).evalf())
            prior = 1.0 if power == 1 else 1 + 1 / (2 * size)
            tests.append(
                Test(f"<s^{power}>, M = {size}", exact, statistics.estimate(rows[:, column]), {"the prior's": prior})
            )
    return tests


def _best(rows: np.ndarray, phi: str) -> Estimate:
    """The best gain <target phi(z)> / <phi(z)^2>, by the jackknife over the parts; <target phi(t)> and
    <phi(t)^2> of Gaussian t are known."""
    best = float(best_gain(phi).subs(cosine, OVERLAP))
    square = float(population_loss(perceptron_loss(phi)).diff(gain, 2))
    total, count = rows.sum(axis=0), len(rows)
    left = (total - rows) / (count - 1)
    whole = total / count
    values = (best * square + left[:, 3]) / (square + left[:, 4])
    error = np.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum())
    return Estimate(
        np.array((best * square + whole[3]) / (square + whole[4])), np.array(error), float(count - 1)
    )


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


def _change(settings: Settings, case: tuple[str, str, str, bool], means: Sequence[np.ndarray]) -> Test:
    phi, law, kind, other = case
    scaled = [
        _times(statistics.estimate(rows[:, 0]), size) for size, rows in zip(settings.sizes, means, strict=True)
    ]
    label = f"{phi}, {law}, {kind}, {'another batch' if other else 'own batch'}"
    right = derived_change(*case)
    wrong = {"statistics of the wrong batch": derived_change(phi, law, kind, not other)}
    if phi == "identity" and kind == "batch":
        excess, _ = CUMULANTS[law]
        wrong["Theorem 1"] = GAIN**2 / 2 * ((excess + 2) / 4 + 1)
    return Test(label, right, _fit(settings, scaled), wrong)


def derived_change(phi: str, law: str, kind: str, other: bool) -> float:
    """M times the change of the expected loss, as derived."""
    if phi != "identity":
        return expected_correction(phi, kind, other, GAIN, OVERLAP)
    excess, skew = CUMULANTS[law]
    at = {gain: GAIN, cosine: OVERLAP, kurtosis: excess, skewness: skew}
    return float(linear_correction(kind, other).subs(at))


def _relative(settings: Settings, means: Sequence[np.ndarray], phi: str) -> Estimate:
    """M times the relative change of the best gain, continued to infinite M."""
    best = float(best_gain(phi).subs(cosine, OVERLAP))
    scaled = []
    for size, rows in zip(settings.sizes, means, strict=True):
        found = _best(rows, phi)
        scaled.append(Estimate((found.value / best - 1) * size, found.error / best * size, found.degrees))
    return _fit(settings, scaled)


def _gain_changes(settings: Settings, means: Mapping[Any, Sequence[np.ndarray]]) -> list[Test]:
    tests = []
    for phi in ("identity", "relu"):
        derived, independent = (
            float(gain_shift(phi, "batch", other).subs(cosine, OVERLAP)) for other in (False, True)
        )
        wrong = {"statistics of another batch": independent}
        if phi == "identity":
            wrong["zeta = 3/(4M)"] = -1.5
        measured = _relative(settings, means[(phi, "gaussian", "batch", False)], phi)
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


def _finding(settings: Settings, shift: Estimate, changes: Sequence[Test]) -> Finding:
    printed, derived = -1.5, float(gain_shift("identity", "batch"))
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


def _table(changes: Sequence[Test]) -> Table:
    return Table(
        f"M times the change of the expected loss at gamma = {GAIN:g}, R = {OVERLAP:g}, continued to infinite M.",
        ("activation, law, normalized by, statistics of", "derived", "measured", "error", "Theorem 1"),
        tuple(
            (t.label, round(t.predicted, 4), round(float(t.measured.value), 4),
             float(f"{float(t.measured.error):.2g}"), round(t.wrong["Theorem 1"], 4) if "Theorem 1" in t.wrong else "")
            for t in changes
        ),
    )  # fmt: skip


def _figure(settings: Settings, means: Mapping[tuple[str, str, str, bool], Sequence[np.ndarray]]) -> Picture:
    from validate.report.figures import BLUE, COLOURS, VERMILION, panels, trend

    figure, (left, right) = panels(2, 1, height=3.8)
    sizes = np.array(settings.sizes)
    found = [_best(rows, "identity") for rows in means[CASES[0]]]
    fine = np.arange(8, 1025)
    exact = [float(deviation_moment(1, Integer(int(m))).evalf()) for m in sizes]
    left.plot(1 / sizes, exact, color=BLUE, label=r"derived, $\langle s \rangle$")
    left.plot(1 / fine, 1 / (1 + 3 / (2 * fine)), color=VERMILION, ls="--", label=r"$\zeta = 3/(4M)$")
    trend(
        left, 1 / sizes, [float(e.value) / OVERLAP for e in found], [float(e.error) / OVERLAP for e in found],
        label="drawn", colour=BLUE,
    )  # fmt: skip
    left.set_xlabel("$1/M$")
    left.set_ylabel(r"best gain of a linear unit $/\,R$")
    left.legend()
    shown = [c for c in CASES if c[2] == "batch" and not c[3] and (c[0] != "identity" or c[1] != "exponential")]
    for k, case in enumerate(shown):
        rows = [
            _times(statistics.estimate(part[:, 0]), size)
            for size, part in zip(settings.sizes, means[case], strict=True)
        ]
        trend(
            right, 1 / sizes, [float(e.value) for e in rows], [float(e.error) for e in rows],
            label=f"{case[0]}, {case[1]}", colour=COLOURS[k % len(COLOURS)],
        )  # fmt: skip
        right.plot([0], [derived_change(*case)], "D", color=COLOURS[k % len(COLOURS)], ms=6, zorder=4)
    right.set_xlabel("$1/M$")
    right.set_ylabel("$M$ times the change of the loss")
    right.set_xlim(-0.008, 0.27)  # room for the legend
    right.legend(loc="center right")
    return Picture(
        figure,
        "Left: the best gain of a linear unit under the statistics of its own batch. Right: M times the change "
        "of the expected loss; the diamonds at 1/M = 0 are derived. Bars are two standard errors.",
    )


EXPERIMENT = Experiment(
    title="Statistics of a batch and what they do to the loss",
    question="Is the expected loss under batch normalization that of the population's plus gamma decay?",
    run=run,
    full=Settings(numbers=40_000_000),
    quick=Settings(numbers=2_000_000),
)
