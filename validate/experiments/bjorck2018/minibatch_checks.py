"""What is derived about mini-batch gradients, against every batch there is and against drawn ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from sympy import Expr, Rational

from derive import minibatch
from validate import statistics
from validate.experiments.bjorck2018.minibatch_draws import regression_data
from validate.experiments.bjorck2018.products_checks import Case
from validate.experiments.bjorck2018.products_checks import judge as judge_cases
from validate.report.model import Check
from validate.simulate.minibatch import SAMPLINGS, centred_regression, enumerated_error, sum_estimator

if TYPE_CHECKING:
    from validate.experiments.bjorck2018.minibatch_noise import Settings

NAME = "bjorck2018.minibatch_noise"
GRADIENTS = tuple((Fraction(a), Fraction(b, 3)) for a, b in ((1, 2), (-3, 5), (4, 4), (0, -7), (2, 1), (-1, -4)))
"""Of six samples in two parameters, for the enumeration."""
INPUTS = tuple(map(Fraction, (1, -2, 5, 0, 3, 2)))
LABELS = tuple(Fraction(v, 2) for v in (3, 1, -4, 2, 7, 0))
ENUMERATED = 3
"""Samples to an enumerated batch."""


def judge(cases: Sequence[Case]) -> list[Check]:
    """t-tests of all cases together."""
    return judge_cases(cases, NAME)


def predicted_noise(sampling: str, samples: int, batch: int, variance: Expr, square: Expr) -> Expr:
    """E|g - g_batch|^2."""
    return minibatch.noise(sampling).right.subs(
        {minibatch.alpha: 1, minibatch.n: samples, minibatch.B: batch, minibatch.C: variance,
         minibatch.G: square}
    )  # fmt: skip


def enumerations() -> Iterator[Check]:
    """Every batch of a few samples, in exact fractions."""
    samples, full = len(GRADIENTS), [sum(c) / len(GRADIENTS) for c in zip(*GRADIENTS, strict=True)]
    variance = sum((a - b) ** 2 for g in GRADIENTS for a, b in zip(g, full, strict=True)) / Fraction(samples)
    square = sum(a * a for a in full)
    for sampling in SAMPLINGS:
        error, _ = enumerated_error(sum_estimator(GRADIENTS, ENUMERATED), full, samples, ENUMERATED, sampling)
        yield _exact(
            f"noise, {sampling}", f"the noise of a batch drawn {_drawn(sampling)}, over all batches",
            predicted_noise(sampling, samples, ENUMERATED, Rational(variance), Rational(square)), error,
        )  # fmt: skip
    estimate = centred_regression(INPUTS, LABELS, Fraction(2, 3))
    gradient = estimate(range(samples))
    for sampling in SAMPLINGS[:2]:  # those of a fixed size
        _, bias = enumerated_error(estimate, gradient, samples, ENUMERATED, sampling)
        kept = minibatch.centred_bias(sampling).subs({minibatch.n: samples, minibatch.B: ENUMERATED})
        yield _exact(
            f"own mean, {sampling}",
            f"the mean gradient after centring by the mean of a batch drawn {_drawn(sampling)}, over that of all data",
            kept, 1 + bias[0] / gradient[0],
        )  # fmt: skip


def _drawn(sampling: str) -> str:
    return sampling if sampling.startswith("with") else f"by {sampling}"


def _exact(name: str, statement: str, predicted: Expr, measured: Fraction) -> Check:
    return Check(
        name=f"{NAME}: {name}, enumerated", statement=statement, predicted=str(predicted), measured=str(measured),
        criterion=f"equal as fractions, {len(GRADIENTS)} samples, batches of {ENUMERATED}",
        passed=bool(predicted == Rational(measured)),
    )  # fmt: skip


def noises(samples: int, free: Mapping[tuple[str, int], Mapping[str, np.ndarray]]) -> Iterator[Case]:
    """Without normalization: the noise over its prediction, and the bias, over networks."""
    for (sampling, batch), record in free.items():

        def predicted(name: str, batch: int = batch, record: Mapping[str, np.ndarray] = record) -> np.ndarray:
            pairs = zip(record["variance"], record["full"], strict=True)
            return np.array([float(predicted_noise(name, samples, batch, c, g)) for c, g in pairs])

        right = predicted(sampling)
        yield Case(
            f"noise, {sampling}, B = {batch}",
            f"the noise of a batch of {batch} drawn {_drawn(sampling)}, over what is derived from the variance of "
            "single samples", 1.0, statistics.estimate(record["squares"].mean(axis=1) / right),
            {name: float((predicted(name) / right).mean()) for name in SAMPLINGS if name != sampling},
        )  # fmt: skip
        yield Case(
            f"bias, {sampling}, B = {batch}",
            f"the mean error of a batch of {batch} drawn {_drawn(sampling)}, along the gradient",
            0.0, statistics.estimate(record["along"].mean(axis=1)), {"a batch that centres itself": -1 / batch},
        )  # fmt: skip


def epochs(samples: int, records: Sequence[Mapping[str, np.ndarray]]) -> Iterator[Case]:
    """Two batches of one epoch: the mean product of their errors over the variance of single samples."""
    ratios = np.array([record["products"].mean() / record["variance"] for record in records])
    exact = minibatch.epoch_covariance().subs({minibatch.C: 1, minibatch.n: samples})
    yield Case(
        "batches of one epoch", "the mean product of the errors of two batches of one epoch, over C",
        float(exact), statistics.estimate(ratios), {"independent batches": 0.0},
    )  # fmt: skip


def coefficients(settings: Settings) -> tuple[float, float]:
    """The derived bias and variance of the normalized regression, to be divided by B."""
    x, y = regression_data(settings.samples, settings.seed)
    powers = [(a, b) for a in range(5) for b in range(5) if a + b]
    values = {minibatch.mean(a, b): float((x**a * y**b).mean()) for a, b in powers}
    values |= {minibatch.weight: settings.weight, minibatch.epsilon: settings.epsilon}
    bias, variance = minibatch.response(minibatch.normalized_gradient())
    return float(bias.subs(values)), float(variance.subs(values))


def scaled(errors: Mapping[int, np.ndarray]) -> tuple[list[statistics.Estimate], list[statistics.Estimate]]:
    """B times bias and variance at every size of the batch."""
    bias = [statistics.estimate(batch * each) for batch, each in errors.items()]
    variance = [statistics.estimate(batch * (each - each.mean()) ** 2) for batch, each in errors.items()]
    return bias, variance


def first_order(settings: Settings, errors: Mapping[int, np.ndarray]) -> Iterator[Case]:
    """Batch normalization of one input: bias and variance at large B, extrapolated."""
    for name, derived, found in zip(("bias", "variance"), coefficients(settings), scaled(errors), strict=True):
        line = statistics.extrapolate(
            np.array(list(errors)), np.array([e.value for e in found]), np.array([e.error for e in found])
        )
        limit = statistics.Estimate(line.limit.value, line.limit.error)
        yield Case(
            f"batch normalization, {name}",
            f"B times the {name} of a gradient through the batch's own mean and variance, B to infinity",
            derived, limit, {"none" if name == "bias" else "10 % more": 0.0 if name == "bias" else 1.1 * derived},
            {"batches": list(errors), "goodness of the line in 1/B": float(line.goodness)},
        )  # fmt: skip
