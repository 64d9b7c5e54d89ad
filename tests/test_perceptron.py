"""The perceptron's flow against quadrature, differences, and the committee; the ledger of luo2019."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf
from sympy import S, Symbol, lambdify

from derive.errors import DerivationError
from derive.ledger import entries, find
from derive.model import committee
from derive.online import derive_flow
from derive.perceptron import angle, gamma, long_time, norm, perceptron, polar_rates
from derive.sites import reduce_flow
from derive.symbols import batch, eta, gain_decay, label_noise, weight_decay
from numerics.perceptron import solve_perceptron

NAMES = ("relu", "identity", "erf")
POINTS = ((0.7, 0.4), (1.3, -0.6), (0.35, 0.93), (1.0, 0.0))

PHI: dict[str, Callable] = {
    "relu": lambda u: np.maximum(u, 0),
    "identity": lambda u: u,
    "erf": lambda u: erf(u / math.sqrt(2)),
}
SLOPE: dict[str, Callable] = {
    "relu": lambda u: (u > 0) * 1.0,
    "identity": lambda u: 1.0 + 0 * u,
    "erf": lambda u: math.sqrt(2 / math.pi) * np.exp(-(u**2) / 2),
}


def _averages(name: str, gain: float, cosine: float) -> tuple[float, float, float]:
    """I1, I2, I3 by quadrature in polar coordinates of the plane of the two weight vectors.

    A ray on which both units are linear pieces is exact under Gauss-Laguerre; the angle is split at kinks.
    """
    sine = math.sqrt(1 - cosine**2)
    radii, weights = np.polynomial.legendre.leggauss(120)
    radii, weights = 6 * (radii + 1), 6 * weights

    def along(theta: float, factor: int) -> float:
        student = gain * radii * math.cos(theta)
        teacher = radii * (cosine * math.cos(theta) + sine * math.sin(theta))
        delta = SLOPE[name](student) * (PHI[name](teacher) - PHI[name](student))
        value = delta * (student, delta, teacher)[factor]
        return float((weights * radii * np.exp(-(radii**2) / 2) * value).sum()) / (2 * math.pi)

    tilt = math.acos(cosine)
    edges = sorted({-math.pi, -math.pi / 2, math.pi / 2, math.pi, tilt - math.pi / 2, tilt + math.pi / 2})
    edges = [e for e in edges if -math.pi <= e <= math.pi]
    if tilt > math.pi / 2:
        edges = sorted({*edges, tilt - 3 * math.pi / 2})
    return tuple(
        sum(quad(along, a, b, (f,), epsabs=1e-14, epsrel=1e-13)[0] for a, b in pairwise(edges))
        for f in range(3)
    )  # type: ignore[return-value]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("point", POINTS)
def test_averages_against_quadrature(name: str, point: tuple[float, float]) -> None:
    """To 1e-12, the last digits of the quadrature."""
    p = perceptron(name)
    derived = [float(e.evalf(30, subs={gamma: point[0], angle: point[1]})) for e in (p.I1, p.I2, p.I3)]
    assert derived == pytest.approx(_averages(name, *point), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_rates_are_those_of_the_averages(name: str) -> None:
    """The engine's change of variables against (6), written with I1, I2, I3."""
    p = perceptron(name)
    at = {gamma: 0.8, angle: 0.3, norm: 1.4, eta: 0.7, gain_decay: 0.2, batch: 3.0, label_noise: 0.0}
    i1, i2, i3 = (float(e.evalf(30, subs=at)) for e in (p.I1, p.I2, p.I3))
    g, r, length, rate = 0.8, 0.3, 1.4, 0.7
    expected = {
        gamma: rate * i1 / g - rate * 0.2 * g,
        angle: rate * (g * i3 - r * i1) / length**2 - rate**2 / 3 * g**2 * r * i2 / (2 * length**4),
        norm: rate**2 / 3 * g**2 * i2 / (2 * length**3),
    }
    assert {s: float(e.evalf(30, subs=at)) for s, e in p.rates.items()} == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_jacobian_against_differences(name: str) -> None:
    """One-sided differences at R = 1 with 80 digits: kinked units have a term (1 - R)^(3/2)."""
    p = perceptron(name)
    order = (gamma, angle, norm)
    at = {gamma: mpmath.mpf("0.7"), angle: mpmath.mpf(1), norm: mpmath.mpf("1.2")}
    fixed = {eta: S(3) / 5, gain_decay: S(1) / 5, batch: S.One, label_noise: S.Zero}
    with mpmath.workdps(80):
        step = mpmath.mpf(10) ** -30
        for a, rate in enumerate(order):
            function = lambdify(order, p.rates[rate].xreplace(fixed), "mpmath")
            for b, variable in enumerate(order):
                moved = {**at, variable: at[variable] - step}
                found = (function(*at.values()) - function(*moved.values())) / step
                claimed = p.jacobian[a, b].xreplace(fixed).subs({gamma: S(7) / 10, norm: S(6) / 5}).evalf(30)
                assert abs(mpmath.re(found) - mpmath.mpmathify(claimed)) < 1e-13


def test_batch_normalization_of_the_committee_is_the_same_dynamics() -> None:
    """K = M = 1, tau = 1: exact batch normalization of a ReLU unit is weight normalization, without decay."""
    ours = perceptron("relu").rates
    theirs = polar_rates(reduce_flow(derive_flow(committee("relu", "batch"))))
    zero = {gain_decay: S.Zero, weight_decay: S.Zero, label_noise: S.Zero, batch: S.One}
    for seed in range(4):
        draw = np.random.default_rng(seed)
        at = {s: S(int(draw.integers(20, 90))) / 100 for s in (gamma, angle, norm, eta)}
        for variable in (gamma, angle, norm):
            a, b = (rates[variable].xreplace(zero).subs(at).evalf(40) for rates in (ours, theirs))
            assert abs(a - b) < S(10) ** -35


@pytest.mark.parametrize("name", ("relu", "identity"))
def test_gain_at_rest(name: str) -> None:
    """Where the gain's rate vanishes at R = 1, found by bisection on the quadrature of I1."""
    decay = 0.3
    low, high = 0.1, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        i1 = _averages(name, middle, 1 - 1e-15)[0]
        low, high = (middle, high) if i1 / middle > decay * middle else (low, middle)
    assert float(perceptron(name).gain.subs(gain_decay, decay)) == pytest.approx(low, abs=1e-6)


@pytest.mark.parametrize("name", ("relu", "identity"))
def test_late_times(name: str) -> None:
    """The integrated flow at t = 10^5, where corrections are of relative order 1/t^(1/2)."""
    decay, rate, stop = 0.25, 2.0, 1e5
    late, gain = long_time(perceptron(name)), perceptron(name).gain.subs(gain_decay, decay)
    ((_, cosine, length),) = solve_perceptron(name, (0.6, 0.2, 1.0), [stop], rate, decay)
    at = {gamma: gain, eta: rate}
    assert (1 - cosine) * math.sqrt(stop) == pytest.approx(float(late.misalignment.subs(at)), rel=0.02)
    assert length**4 / stop == pytest.approx(float(late.norm4.subs(at)), rel=0.02)


def test_gain_of_erf_is_refused() -> None:
    with pytest.raises(DerivationError, match="solve it at a number"):
        _ = perceptron("erf").gain


def test_verdicts() -> None:
    """What the derivation makes of the printed forms: no expected value of ours, only whether it holds."""
    found = {e.name.partition(".")[2]: e.verdict.kind for e in entries("luo2019")}
    assert {f"eq{n}" for n in (1, 2, 3, 4, 7, *range(10, 26))} <= found.keys()
    for name in ("eq6-gamma", "eq6-R", "eq6-L", "eq13", "eq14", "eq17", "table1-wn", "table1-sgd", "proposition4"):
        assert found[name] == "confirmed", name
    for name in ("table1-fixed-points", "table1-effective-bn", "claim-population-normalization", "prior-mean"):
        assert found[name] == "confirmed", name
    for name in ("eq15", "proposition2-gamma", "table1-bn-printed-I2"):
        assert found[name] == "misprint", name
    for name in ("proposition1", "proposition2-R", "proposition3", "table1-bn", "claim-maximal-rate", "eq4"):
        assert found[name] == "conditional", name
    assert found["claim-effective-rate"] == "refuted"


def test_printed_second_average_is_wrong_by_quadrature() -> None:
    """(15) as printed misses the quadrature by its own misprint; the derived form does not."""
    entry = find("luo2019.eq15")
    assert entry.printed is not None
    at = {gamma: 0.7, angle: 0.4}
    exact = _averages("relu", 0.7, 0.4)[1]
    assert abs(float(entry.printed.right.evalf(20, subs=at)) - exact) > 0.1


def test_maximal_rate_is_where_the_eigenvalue_vanishes() -> None:
    """By differences of dR/dt along R at gamma_0, without the package's own slope."""
    from derive.papers.luo2019.propositions import maximal_rate

    decay, length = S(1) / 5, S.One
    gain = perceptron("relu").gain.subs(gain_decay, decay)
    rate = maximal_rate().subs(gain_decay, decay) * length**2 / gain
    values = {eta: rate, gain_decay: decay, gamma: gain, norm: length, batch: S.One, label_noise: S.Zero}
    R = Symbol("R", real=True)
    function = lambdify(R, perceptron("relu").rates[angle].xreplace(values), "mpmath")
    with mpmath.workdps(60):
        step = mpmath.mpf(10) ** -24
        assert abs((function(mpmath.mpf(1)) - function(1 - step)) / step) < 1e-10
