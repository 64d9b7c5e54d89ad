"""Batch statistics: moments against integrals and sums over all batches, corrections against known cases."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2
from sympy import Expr, Integer, S, Symbol, exp, lambdify, log, simplify

from derive.batch_statistics import (
    NORMALIZED,
    best_gain,
    correction,
    cosine,
    decay_coefficient,
    deviation_expansion,
    deviation_moment,
    fluctuation,
    gain,
    gain_shift,
    kurtosis,
    linear_correction,
    perceptron_loss,
    samples,
    skewness,
    t,
)
from derive.errors import DerivationError
from numerics import batch_layer, batch_statistics
from numerics.runtime.errors import InputError
from tests.device import Device, DeviceArray, on_host
from validate.simulate.batch_layer import LayerDraw, sample_layer
from validate.simulate.batch_statistics import Draw, sample


@pytest.mark.parametrize("power", [-2, -1, 1, 2, 3])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("size", [5, 8, 33])
def test_moments_against_quadrature(power: int, centred: bool, size: int) -> None:
    """The Gamma functions against the chi-square density, to 1e-12."""
    free = size - centred
    exact = quad(
        lambda z: (z / size) ** (power / 2) * chi2.pdf(z, free), 0, 12 * size + 200, points=[1.0, size, 3.0 * size],
        epsabs=1e-15, epsrel=1e-13, limit=400,
    )[0]  # fmt: skip
    for form in (deviation_moment(power, Integer(size), centred), deviation_moment(power, centred=centred)):
        assert float(form.subs(samples, size).evalf(30)) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("power", "size", "least"), [(-1, 2, 3), (-2, 3, 4), (-2, 2, 4), (-4, 5, 6)])
def test_diverging_moments_are_refused(power: int, size: int, least: int) -> None:
    with pytest.raises(DerivationError, match=f"diverges for M = {size}: it needs M of at least {least}"):
        deviation_moment(power, size)  # a plain number
    assert deviation_moment(power, least).is_finite


@pytest.mark.parametrize("power", [-2, -1, 1, 2])
def test_expansion_is_that_of_the_exact_moment(power: int) -> None:
    with mpmath.workdps(60):
        large = mpmath.mpf(10) ** 12
        exact = (lambdify(samples, deviation_moment(power), "mpmath")(large) - 1) * large
    assert float(exact) == pytest.approx(float(deviation_expansion(power).subs(kurtosis, 0)), abs=1e-9)


@pytest.mark.parametrize("kind", list(NORMALIZED))
def test_fluctuation_against_every_batch(kind: str) -> None:
    """A skewed law of two values: binomial sums over all batches, extrapolated in 1/M (M = 100 .. 400)."""
    p, size = 0.3, np.array([100, 140, 200, 280, 400])
    high, low = math.sqrt((1 - p) / p), -math.sqrt(p / (1 - p))
    third, fourth = p * high**3 + (1 - p) * low**3, p * high**4 + (1 - p) * low**4
    law = {skewness: third, kurtosis: fourth - 3}
    for given in (high, low):
        found = np.array([_binomial(p, high, low, int(M), kind, given) for M in size])
        fitted = [np.polyfit(1 / size, found[:, k], 3)[-1] for k in (0, 1)]
        claimed = fluctuation(kind)
        at = {t: given, **law}
        assert fitted == pytest.approx(
            [float(claimed.shift.subs(at)), float(claimed.spread.subs(at))], rel=3e-3
        )


def _binomial(p: float, high: float, low: float, size: int, kind: str, given: float) -> tuple[float, float]:
    from scipy.stats import binom

    k = np.arange(size)
    weight = binom.pmf(k, size - 1, p)
    mean = (given + k * high + (size - 1 - k) * low) / size
    square = (given**2 + k * high**2 + (size - 1 - k) * low**2) / size
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.sqrt(square - mean**2)
        z = {
            "batch": (given - mean) / deviation, "mean-only": given - mean,
            "variance-only": given / deviation, "root-mean-square": given / np.sqrt(square),
        }[kind]  # fmt: skip
    kept = deviation > 1e-5  # constant batches, of exponentially small weight, have no normalization
    apart = np.where(kept, z - given, 0.0)
    return size * float(weight @ apart), size * float(weight @ apart**2)


@pytest.mark.parametrize("kind", list(NORMALIZED))
@pytest.mark.parametrize("independent", [False, True])
def test_linear_units_of_any_law_and_of_the_gaussian(kind: str, independent: bool) -> None:
    general = linear_correction(kind, independent).subs({kurtosis: 0, skewness: 0})
    assert simplify(general - correction(perceptron_loss("identity"), kind, independent)) == 0


def test_linear_in_batch_is_exact() -> None:
    """In a batch sum z^2 = M, so the best gain is R <s>: its expansion is the derived shift."""
    assert gain_shift("identity", "batch") == deviation_expansion(1).subs(kurtosis, 0)
    assert decay_coefficient("identity", "batch") == S(3) / 8


def test_relu_aligned_against_integral() -> None:
    """At R = 1 the target is max(t, 0): shift and spread averaged over half a Gaussian, by quadrature."""
    g = 0.8
    claimed = fluctuation("batch")

    def integrand(u: float) -> float:
        shift = float(claimed.shift.subs({t: u, kurtosis: 0, skewness: 0}))
        spread = float(claimed.spread.subs({t: u, kurtosis: 0, skewness: 0}))
        return (-(1 - g) * u * g * shift + g**2 * spread / 2) * math.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)

    form = correction(perceptron_loss("relu"), "batch").subs(gain, S(4) / 5)
    # The kink's own term delta(t) (phi - target) vanishes where both vanish.
    assert float(form.subs(cosine, 1 - S(10) ** -30).evalf(40)) == pytest.approx(
        quad(integrand, 0, 12)[0], abs=1e-10
    )


def test_best_gain_of_relu_falls_to_zero_overlap() -> None:
    """At R = 0 the targets are independent: <max(y, 0)> <max(t, 0)> / <max(t, 0)^2> = 1/pi."""
    assert float(best_gain("relu").subs(cosine, 0)) == pytest.approx(1 / math.pi)


def test_sampled_moments() -> None:
    """What is drawn has the laws' kurtosis and skewness, and in-batch squares of one: within 5 errors."""
    for law, excess in (("gaussian", 0.0), ("uniform", -1.2), ("binary", -2.0), ("exponential", 6.0)):
        found = sample(Draw(law, 16), 40_000, np.random.default_rng(1))
        if law != "binary":  # batches of equal signs have no deviation
            assert found["square"] == pytest.approx(np.ones(40_000), abs=1e-9)
        variance = (found["q"] ** 2).mean() * 16
        error = (found["q"] ** 2).std() * 16 / 200
        assert abs(variance - (excess + 2)) < 5 * error + 1e-12


def test_bad_input() -> None:
    with pytest.raises(InputError, match="did you mean 'uniform'"):
        Draw("unifrom")
    with pytest.raises(InputError, match="at least 2"):
        Draw(samples=1)
    with pytest.raises(DerivationError, match="unknown statistics"):
        fluctuation("layer")


@pytest.mark.parametrize("phi", ["identity", "relu"])
@pytest.mark.parametrize("kind", list(NORMALIZED))
@pytest.mark.parametrize("independent", [False, True])
def test_quadrature_is_the_closed_form(phi: str, kind: str, independent: bool) -> None:
    """Of Gaussian preactivations; and the best gain and its shift."""
    at = {gain: 0.9, cosine: 0.6}
    closed = correction(perceptron_loss(phi), kind, independent)
    found = batch_statistics.expected_correction(phi, kind, independent, 0.9, 0.6)
    assert found.total == pytest.approx(float(closed.subs(at).evalf()), abs=1e-12)
    slope = batch_statistics.gain_slope(phi, kind, independent, 0.9, 0.6)
    assert slope == pytest.approx(float(closed.diff(gain).subs(at).evalf()), abs=1e-12)
    assert batch_statistics.best_gain(phi, 0.6) == pytest.approx(float(best_gain(phi).subs(cosine, 0.6)), abs=1e-12)
    shift = float(gain_shift(phi, kind, independent).subs(cosine, 0.6))
    assert batch_statistics.gain_shift(phi, kind, independent, 0.6) == pytest.approx(shift, abs=1e-11)


@pytest.mark.parametrize(("name", "third", "fourth"), [
    ("gaussian", 0, 3), ("uniform", 0, 9 / 5), ("exponential", 2, 9), ("binary", 0, 1),
])  # fmt: skip
def test_linear_units_of_other_laws(name: str, third: float, fourth: float) -> None:
    """The closed form in kurtosis and skewness, with the textbook's values of both."""
    assert batch_statistics.law(name).moment(3) == pytest.approx(third, abs=1e-12)
    assert batch_statistics.law(name).moment(4) == pytest.approx(fourth, abs=1e-12)
    at = {gain: 0.9, cosine: 0.6, kurtosis: fourth - 3, skewness: third}
    for independent in (False, True):
        closed = float(linear_correction("batch", independent).subs(at))
        found = batch_statistics.expected_correction("identity", "batch", independent, 0.9, 0.6, name)
        assert found.total == pytest.approx(closed, abs=1e-12)


def test_kink_of_an_exponential_law() -> None:
    """ReLU units under statistics of another batch, without the mean: z = t / s keeps the sign of t, so that the loss
    is a mean over s alone; the kink's own term vanishes, the density at zero has no part."""
    part = batch_statistics._parts("relu", "root-mean-square", True)[1]
    assert part.at_zero == 0
    centred = batch_statistics._parts("relu", "batch", True)[1]
    assert centred.at_zero != 0


def test_two_units_that_do_not_interact() -> None:
    """A loss that is a sum over two units is changed by the sum of what one unit's would be, at any correlation."""
    h, k, a, b = (Symbol(name, real=True) for name in ("h_1", "h_2", "t_1", "t_2"))
    single = {
        gain_: batch_statistics.expected_correction("softplus", "batch", False, gain_, 1 - 1e-13).total
        for gain_ in (0.7, 1.2)
    }  # fmt: skip

    def loss(x: Expr, field: Expr) -> Expr:
        return (log(1 + exp(field)) - log(1 + exp(x))) ** 2 / 2

    found = batch_layer.layer_correction(loss(h, a) + loss(k, b), (h, k), (a, b), (0.7, 1.2), (0.0, 0.0), 0.4)
    assert found.total == pytest.approx(sum(single.values()), abs=1e-6)


def test_sampling_stays_on_the_device() -> None:
    """An array module of its own: the same numbers, and nothing strays to numpy."""

    class Generator:
        def __init__(self) -> None:
            self.host = np.random.default_rng(4)

        def __getattr__(self, name: str) -> Any:
            return Device.wrapped(getattr(self.host, name))

    for law in ("gaussian", "uniform", "binary", "exponential"):
        draw = Draw(law, 8, "batch", True, "relu")
        found, ours = sample(draw, 30, Generator(), Device()), sample(draw, 30, np.random.default_rng(4))
        for name, values in ours.items():
            assert isinstance(found[name], DeviceArray), name
            assert on_host(found[name]) == pytest.approx(values, abs=1e-12)


def test_bad_layers_and_laws() -> None:
    with pytest.raises(InputError, match="at least 2"):
        LayerDraw(samples=1)
    with pytest.raises(InputError, match="in \\[-1, 1\\]"):
        LayerDraw(correlation=1.5)
    with pytest.raises(InputError, match="did you mean 'uniform'"):
        batch_statistics.law("unifrom")
    assert sample_layer(LayerDraw(4), 5, np.random.default_rng(1))["q"].shape == (5, 2)
