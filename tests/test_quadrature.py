"""Gaussian averages by quadrature against results known exactly; singular covariances, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from numerics.runtime.errors import InputError
from numerics.special import any_precision
from numerics.special.legendre import gauss_legendre
from numerics.special.quadrature import (
    Integrand,
    covariance_factor,
    gaussian_average,
    pair_factor,
    radial_rule,
    rule,
)


def relu(u: np.ndarray) -> np.ndarray:
    return np.maximum(u, 0)


def assert_average(function: Integrand, covariance: object, kinks: bool, exact: float, bound: float) -> None:
    """The error is below the bound and the estimate does not flatter it."""
    result = gaussian_average(function, covariance, kinks)
    assert abs(result.value - exact) < bound
    assert abs(result.value - exact) <= result.error + 1e-16
    assert result.error < 10 * bound


def covariance(rank: int, fields: int, seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).standard_normal((fields, rank)) / np.sqrt(rank)
    return factor @ factor.T


def pair(rho: float, a: float = 1.0, b: float = 1.0) -> np.ndarray:
    return np.array([[a, rho * np.sqrt(a * b)], [rho * np.sqrt(a * b), b]])


NEAR_ONE = [0.0, 0.3, -0.95, 1 - 1e-6, -1 + 1e-12, 1.0, -1.0]


@pytest.mark.parametrize("kinks", [False, True])
@pytest.mark.parametrize("power,moment", [(0, 1), (2, 1), (4, 3), (6, 15), (3, 0)])
def test_moments_of_one_field(kinks: bool, power: int, moment: int) -> None:
    scale = 1.7**power
    assert_average(lambda u: u**power / scale, [[1.7**2]], kinks, moment, 1e-13 * (1 + moment))


def test_one_kinked_field() -> None:
    assert_average(np.abs, [[2.0]], True, 2 / np.sqrt(np.pi), 1e-13)
    assert_average(lambda u: (u > 0) * 1.0, [[2.0]], True, 0.5, 1e-13)
    assert_average(lambda u: np.exp(-np.abs(u)), [[1.0]], True, np.exp(0.5) * (1 - erf(np.sqrt(0.5))), 1e-13)


@pytest.mark.parametrize("rho", NEAR_ONE)
def test_sheppard(rho: float) -> None:
    assert_average(lambda u, v: np.sign(u) * np.sign(v), pair(rho), True, 2 / np.pi * np.arcsin(rho), 1e-12)


@pytest.mark.parametrize("rho", NEAR_ONE)
def test_arc_cosine_kernels(rho: float) -> None:
    angle = np.arccos(rho)
    step = (np.pi - angle) / (2 * np.pi)
    ramp = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    assert_average(lambda u, v: (u > 0) * (v > 0) * 1.0, pair(rho), True, step, 1e-12)
    assert_average(lambda u, v: relu(u) * relu(v), pair(rho, 4, 4), True, 4 * ramp, 1e-12)


@pytest.mark.parametrize("rho", NEAR_ONE)
def test_arcsine_law_of_erf(rho: float) -> None:
    a, b = 2.0, 3.0
    exact = 2 / np.pi * np.arcsin(rho * np.sqrt(a * b) / np.sqrt((1 + a) * (1 + b)))
    phi = lambda u: erf(u / np.sqrt(2))  # noqa: E731
    assert_average(lambda u, v: phi(u) * phi(v), pair(rho, a, b), False, exact, 1e-13)


@pytest.mark.parametrize("kinks", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_wick(rank: int, kinks: bool) -> None:
    c = covariance(rank, 4, seed=rank)
    exact = c[0, 1] * c[2, 3] + c[0, 2] * c[1, 3] + c[0, 3] * c[1, 2]
    result = gaussian_average(lambda p, q, r, s: p * q * r * s, c, kinks, tolerance=1e-10)
    assert abs(result.value - exact) < min(1e-9, result.error)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_three_kinked_fields(rank: int) -> None:
    c = covariance(rank, 3, seed=rank)
    d = np.sqrt(np.diag(c))
    angles = np.arcsin(np.clip(c / d / d[:, None], -1, 1))
    orthant = 1 / 8 + (angles[0, 1] + angles[0, 2] + angles[1, 2]) / (4 * np.pi)
    assert_average(lambda p, q, r: (p > 0) * (q > 0) * (r > 0) * 1.0, c, True, orthant, 1e-12)


def test_three_kinked_fields_nearly_coplanar() -> None:
    v = np.array([[1, 0, 0], [1, 1, 1e-7], [0.3, 1, 0]])
    c = v @ v.T
    d = np.sqrt(np.diag(c))
    angles = np.arcsin(c / d / d[:, None])
    orthant = 1 / 8 + (angles[0, 1] + angles[0, 2] + angles[1, 2]) / (4 * np.pi)
    assert_average(lambda p, q, r: (p > 0) * (q > 0) * (r > 0) * 1.0, c, True, orthant, 1e-12)


def test_stein_for_mixed_kinks() -> None:
    """E[u sign(v) relu(w)] by Stein's identity; its parts are a half-normal mean and Sheppard's."""
    c = covariance(3, 3, seed=7)
    d = np.sqrt(np.diag(c))
    rho = c[1, 2] / d[1] / d[2]
    # E[delta(v) relu(w)] = E[relu(w) | v=0] / sqrt(2 pi Cvv), E[sign(v) step(w)] = asin(rho) / pi.
    at_zero = d[2] * np.sqrt(1 - rho**2) / np.sqrt(2 * np.pi)
    exact = c[0, 1] * 2 * at_zero / (np.sqrt(2 * np.pi) * d[1]) + c[0, 2] * np.arcsin(rho) / np.pi
    assert_average(lambda u, v, w: u * np.sign(v) * relu(w), c, True, exact, 1e-12)


def test_three_analytic_fields() -> None:
    c = covariance(3, 3, seed=5)
    moment = np.exp(np.ones(3) @ c @ np.ones(3) / 2)
    assert_average(lambda p, q, r: np.exp(p + q + r), c, False, moment, 1e-12 * moment)


def test_four_equicorrelated_signs() -> None:
    # Five independent equal variables: the fifth is the smallest with probability 1/5.
    c = np.full((4, 4), 0.5) + np.eye(4) / 2
    result = gaussian_average(
        lambda p, q, r, s: ((p > 0) & (q > 0) & (r > 0) & (s > 0)) * 1.0, c, True, 1e-10
    )
    assert abs(result.value - 0.2) < 1e-11
    assert result.error < 1e-9


def test_zero_variances_and_constants() -> None:
    assert gaussian_average(lambda u: np.cos(u), [[0.0]], False).value == 1
    assert_average(lambda u, v: np.cos(u) + v * v, [[0, 0], [0, 2.0]], True, 3, 1e-13)
    assert_average(lambda u: 2.0, [[1.0]], False, 2, 1e-13)


def test_slowly_decaying_but_legal() -> None:
    for kinks in (False, True):
        assert_average(lambda u: np.exp(u * u / 4), [[1.0]], kinks, np.sqrt(2), 1e-12)


@pytest.mark.parametrize("kinks", [False, True])
@pytest.mark.parametrize("power", [1.0, 0.5])
def test_integrands_that_outgrow_the_weight_are_refused(power: float, kinks: bool) -> None:
    with pytest.raises(InputError, match="integrand"):
        gaussian_average(lambda u: np.exp(power * u * u), [[1.0]], kinks)
    with pytest.raises(InputError, match="integrand"):
        gaussian_average(lambda u, v: np.exp(power * (u + v) ** 2) * u, [[1.0, 0.2], [0.2, 1.0]], kinks)


@pytest.mark.parametrize(
    "bad,reason",
    [
        ([[1, 2], [2, 1]], "eigenvalue -1"),
        ([[1, 0.1], [0.2, 1]], "symmetric"),
        ([[1, 0.1]], "square"),
        ([[np.nan]], "finite"),
        ([[-1.0]], "eigenvalue -1"),
    ],
)
def test_bad_covariances_are_refused(bad: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        gaussian_average(lambda *u: u[0], bad, False)


def test_five_independent_fields_are_refused() -> None:
    with pytest.raises(InputError, match="at most four independent fields"):
        gaussian_average(lambda *u: u[0], np.eye(5), False)
    # Five fields of rank two are an integral in two dimensions.
    c = covariance(2, 5, seed=1)
    assert_average(lambda *u: u[0] * u[4], c, True, c[0, 4], 1e-12)


def test_factor() -> None:
    for rank in (1, 2, 3, 4):
        c = covariance(rank, 4, seed=rank) * np.outer([1, 1e-6, 1e3, 1], [1, 1e-6, 1e3, 1])
        factor = covariance_factor(c)
        assert factor.shape == (4, rank)
        scale = np.sqrt(np.diag(c))
        assert np.abs((factor @ factor.T - c) / np.outer(scale, scale)).max() < 1e-14


def test_gauss_legendre_integrates_polynomials_and_keeps_small_weights() -> None:
    for count in (1, 2, 5, 48, 144):
        x, w = gauss_legendre(count)
        for power in (0, 2 * (count - 1)):
            assert (w * x**power).sum() == pytest.approx(2 / (power + 1), rel=4e-15)


def test_radial_rules_integrate_powers() -> None:
    from math import gamma

    for dimension in (1, 2, 3, 4):
        r, w = radial_rule(dimension, 20)
        for power in (0, 1, 7, 30):
            exact = 2 ** ((dimension + power) / 2 - 1) * gamma((dimension + power) / 2)
            assert (w * r**power).sum() == pytest.approx(exact, rel=1e-12)


def test_fixed_rules_reach_what_they_promise() -> None:
    for variance, nodes in ((20.0, 256), (5.0, 128)):
        z, w = rule("analytic", nodes)
        expected = gaussian_average(lambda u: np.tanh(u) ** 2, [[variance]], False).value
        assert w @ np.tanh(np.sqrt(variance) * z) ** 2 == pytest.approx(expected, abs=1e-12)
    z, w = rule("kinked", 60)
    expected = gaussian_average(lambda u: np.tanh(u) * np.sign(u), [[1.0]], True).value
    assert w @ (np.tanh(z) * np.sign(z)) == pytest.approx(expected, abs=1e-12)
    assert w @ np.abs(z) == pytest.approx(np.sqrt(2 / np.pi), abs=1e-14)
    with pytest.raises(InputError, match="did you mean 'analytic'"):
        rule("analitic", 10)


@pytest.mark.parametrize("rho", [0.6, 1.0, -1.0, 1 + 1e-12])
def test_product_rule_with_the_guarded_factor(rho: float) -> None:
    z, w = rule("analytic", 256)
    a, b = 20.0, 3.0
    l11, l21, l22 = pair_factor(a, rho * np.sqrt(a * b), b)
    u, v = l11 * z[:, None], l21 * z[:, None] + l22 * z
    expected = gaussian_average(
        lambda p, q: np.tanh(p) * np.tanh(q), pair(np.clip(rho, -1, 1), a, b), False
    ).value
    assert w @ (np.tanh(u) * np.tanh(v)) @ w == pytest.approx(expected, abs=1e-12)
    assert np.isfinite(pair_factor([0.0, 1.0], [0.0, 0.0], [1.0, 0.0])).all()


def test_any_precision() -> None:
    import mpmath
    from mpmath import mp

    with mp.workdps(50):
        rho = mp.mpf("0.7")
        unit = [[1, rho], [rho, 1]]
        tiny = mp.mpf(10) ** -20
        signs = any_precision.gaussian_average(lambda u, v: mp.sign(u) * mp.sign(v), unit, True, digits=22)
        assert abs(signs - 2 / mp.pi * mp.asin(rho)) < tiny
        moment = any_precision.gaussian_average(lambda u, v: u**2 * v**2, unit, False, digits=22)
        assert abs(moment - (1 + 2 * rho**2)) < tiny
        singular = any_precision.gaussian_average(
            lambda u, v: abs(u * v), [[4, -2], [-2, 1]], True, digits=22
        )
        assert abs(singular - 2) < tiny
        tanh = any_precision.gaussian_average(lambda u: mpmath.tanh(u) ** 2, [[20]], False, digits=20)
        assert gaussian_average(lambda u: np.tanh(u) ** 2, [[20.0]], False).value == pytest.approx(
            float(tanh), abs=1e-14
        )
        with pytest.raises(InputError, match="semidefinite"):
            any_precision.gaussian_average(lambda u, v: u, [[1, 2], [2, 1]], False)
