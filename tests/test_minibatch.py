"""The noise of mini-batch gradients against every batch there is, in exact fractions, and against drawn ones."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from sympy import Rational

from derive import minibatch
from derive.errors import DerivationError
from numerics.runtime.errors import InputError
from validate.simulate.minibatch import (
    SAMPLINGS,
    centred_regression,
    draw,
    drawn_errors,
    enumerated_error,
    normalized_regression,
    sum_estimator,
)

GRADIENTS = [[Fraction(a), Fraction(b, 3)] for a, b in ((1, 2), (-3, 5), (4, 4), (0, -7), (2, 1))]
SAMPLES = len(GRADIENTS)


def moments(gradients):
    """The full gradient, C and |g|^2 by their definitions."""
    full = [sum(column) / len(gradients) for column in zip(*gradients, strict=True)]
    spread = sum((a - b) ** 2 for g in gradients for a, b in zip(g, full, strict=True)) / len(gradients)
    return full, spread, sum(a * a for a in full)


def predicted(sampling, samples, batch, spread, square, rate=1):
    values = {minibatch.n: samples, minibatch.B: batch, minibatch.alpha: rate,
              minibatch.C: Rational(spread), minibatch.G: Rational(square)}  # fmt: skip
    return minibatch.noise(sampling).right.subs(values)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_noise_by_enumeration(sampling, batch):
    full, spread, square = moments(GRADIENTS)
    error, bias = enumerated_error(sum_estimator(GRADIENTS, batch), full, SAMPLES, batch, sampling)
    assert Rational(error) == predicted(sampling, SAMPLES, batch, spread, square)
    assert bias == [0, 0]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_noise_of_drawn_batches(sampling):
    rng = np.random.default_rng(3)
    gradients = rng.standard_normal((60, 4)) + 0.5
    full = gradients.mean(axis=0)
    spread, square = ((gradients - full) ** 2).sum(axis=1).mean(), (full**2).sum()
    errors = drawn_errors(gradients, 20, sampling, 20000, seed=4)
    error = errors.std(ddof=1) / np.sqrt(len(errors))
    exact = float(predicted(sampling, 60, 20, spread, square))
    assert abs(errors.mean() - exact) < 4 * error
    others = [float(predicted(other, 60, 20, spread, square)) for other in SAMPLINGS if other != sampling]
    assert all(abs(errors.mean() - other) > 8 * error for other in others)  # what the test would notice


def test_batches_of_one_epoch_are_anticorrelated():
    full, spread, _ = moments(GRADIENTS)
    batch, total, orders = 2, Fraction(0), list(permutations(range(SAMPLES)))
    estimate = sum_estimator(GRADIENTS, batch)
    for order in orders:
        first, second = estimate(order[:batch]), estimate(order[batch : 2 * batch])
        total += sum((a - g) * (b - g) for a, b, g in zip(first, second, full, strict=True))
    exact = minibatch.epoch_covariance().subs(
        {minibatch.n: SAMPLES, minibatch.B: batch, minibatch.C: Rational(spread)}
    )
    assert Rational(total / len(orders)) == exact < 0


@pytest.mark.parametrize("sampling", ["with replacement", "without replacement"])
def test_a_batch_that_centres_itself_biases_the_gradient(sampling):
    inputs, labels = [Fraction(v) for v in (1, -2, 5, 0, 3)], [Fraction(v, 2) for v in (3, 1, -4, 2, 7)]
    weight, batch = Fraction(2, 3), 3
    estimate = centred_regression(inputs, labels, weight)
    full = estimate(range(SAMPLES))
    _, bias = enumerated_error(estimate, full, SAMPLES, batch, sampling)
    shrunk = minibatch.centred_bias(sampling).subs({minibatch.n: SAMPLES, minibatch.B: batch})
    assert Rational(full[0] + bias[0]) == shrunk * Rational(full[0])
    assert bias[0] != 0


def test_batch_normalization_biases_the_gradient_too():
    rng = np.random.default_rng(5)
    inputs = rng.standard_normal(6)
    estimate = normalized_regression(inputs, 2 * inputs + rng.standard_normal(6), 0.7)
    _, bias = enumerated_error(estimate, estimate(range(6)), 6, 3, "without replacement")
    assert abs(bias[0]) > 1e-3


def test_first_order_of_a_centred_product_is_exact():
    """Its curvature is constant; a mean has no bias, and C for its variance."""
    product = minibatch.mean(1, 1) - minibatch.mean(1, 0) * minibatch.mean(0, 1)
    bias, _ = minibatch.response(product)
    for sampling in ("with replacement", "without replacement"):
        kept = minibatch.centred_bias(sampling)
        assert (bias * minibatch.spread(sampling) - (kept - 1) * product).expand().simplify() == 0
    bias, variance = minibatch.response(minibatch.mean(1, 0))
    assert bias == 0 and variance == minibatch.mean(2, 0) - minibatch.mean(1, 0) ** 2


def test_normalized_gradient_is_the_derivative_of_the_loss():
    """Against the definition on samples, by finite differences in w."""
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((2, 7)) + 0.5
    spread = np.sqrt(x.var() + 0.1)
    loss = [0.5 * ((w * (x - x.mean()) / spread - y) ** 2).mean() for w in (0.9, 1.1)]
    means = {minibatch.mean(a, b): (x**a * y**b).mean() for a in range(3) for b in range(3) if a + b}
    value = minibatch.normalized_gradient().subs({**means, minibatch.weight: 1.0, minibatch.epsilon: 0.1})
    assert float(value) == pytest.approx((loss[1] - loss[0]) / 0.2, rel=1e-10)
    assert normalized_regression(x, y, 1.0, 0.1)(range(7))[0] == pytest.approx(float(value), rel=1e-12)


def test_response_of_batch_normalization():
    """Bias and variance of drawn batches, times their size, at two sizes: first order within what is left."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal(300) + 0.5
    y = 1.5 * x + rng.standard_normal(300)
    estimate = normalized_regression(x, y, 0.4)
    means = {minibatch.mean(a, b): (x**a * y**b).mean() for a in range(5) for b in range(5) if a + b}
    values = {**means, minibatch.weight: 0.4, minibatch.epsilon: 1e-5}
    bias, variance = (float(e.subs(values)) for e in minibatch.response(minibatch.normalized_gradient()))
    full = float(estimate(range(300))[0])
    batch, draws = 40, 200_000
    errors = estimate(rng.integers(300, size=(draws, batch)))[:, 0] - full
    spread = batch * errors.std() / np.sqrt(draws)
    assert abs(batch * errors.mean() - bias) < 4 * spread + 0.05 * abs(bias) and abs(bias) > 10 * spread
    assert batch * errors.var() == pytest.approx(variance, rel=0.05)


def test_bad_batches_are_refused():
    gradients = np.ones((4, 2))
    with pytest.raises(InputError, match="at most 4"):
        drawn_errors(gradients, 5, "without replacement", 1, 0)
    with pytest.raises(InputError, match="at most 4"):
        draw(4, 5, "without replacement", np.random.default_rng(0))
    with pytest.raises(InputError, match="at least one"):
        drawn_errors(gradients, 0, "with replacement", 1, 0)
    with pytest.raises(InputError, match="known"):
        drawn_errors(gradients, 2, "bootstrapped", 1, 0)
    with pytest.raises(InputError, match="too many"):
        enumerated_error(sum_estimator([[1]] * 40, 20), [1], 40, 20, "with replacement")
    with pytest.raises(DerivationError, match="known"):
        minibatch.noise("bootstrapped")
    with pytest.raises(DerivationError, match="random"):
        minibatch.centred_bias("independent inclusion")
