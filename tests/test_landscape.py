"""The symmetric fixed point, its curvature and its stability, against finite differences and quadrature."""

from __future__ import annotations

from functools import cache

import pytest
from sympy import Integer, Rational

from derive.errors import DerivationError
from derive.landscape import symmetric_fixed_point
from derive.model import committee
from derive.online import Flow, derive_flow
from derive.sites import Q_, R_, g_, reduce_flow
from derive.symbols import K, M, eta, eta_g, gain_decay, tau, weight_decay

NORMALIZATIONS = ("none", "batch", "batch-without-radial", "weight")
SETTINGS = {eta: Rational(7, 10), eta_g: Rational(3, 10), weight_decay: Integer(0), gain_decay: Integer(0)}


@cache
def flow(normalization: str, phi: str = "erf") -> Flow:
    return derive_flow(committee(phi, normalization))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("size", [2, 5])
def test_drift_vanishes_at_the_fixed_point(normalization: str, size: int) -> None:
    """Every rate of the paired ansatz, C free and S apart, at 40 digits; R and C moved: not any more."""
    site = reduce_flow(flow(normalization))
    fixed = symmetric_fixed_point(flow(normalization))
    numbers = {**SETTINGS, K: Integer(size), tau: Rational(13, 10), Q_: Rational(9, 20)}
    point = {s: v.xreplace(numbers) for s, v in fixed.values.items()}
    moved = {**point, R_: point[R_] * Rational(11, 10)}
    off = []
    for symbol in site.state:
        rate = site.drift[symbol].xreplace({K: Integer(size), tau: Rational(13, 10)}).xreplace(SETTINGS)
        assert abs(rate.xreplace(point).evalf(40)) < 1e-35, symbol
        off.append(abs(rate.xreplace(moved).evalf(20)))
    assert max(off) > 1e-3


def test_unequal_sizes_have_a_closed_fixed_point() -> None:
    site = reduce_flow(flow("none"), paired=False)
    fixed = symmetric_fixed_point(flow("none"), paired=False)
    numbers = {**SETTINGS, K: Integer(2), M: Integer(5), tau: Rational(4, 5)}
    for symbol in site.state:
        value = site.drift[symbol].xreplace({s: v for s, v in fixed.values.items()}).xreplace(numbers)
        assert abs(value.evalf(40)) < 1e-35
    equal = symmetric_fixed_point(flow("none"))
    at = {K: Integer(3), M: Integer(3), tau: Rational(4, 5)}
    for symbol in (R_, Q_):
        assert abs((fixed.values[symbol] - equal.values[symbol]).xreplace(at).evalf(30)) < 1e-25


def test_only_normalized_weights_leave_q_free() -> None:
    assert symmetric_fixed_point(flow("none")).free == ()
    family = symmetric_fixed_point(flow("batch"))
    assert family.free == (Q_,)
    member = family.member(1 / g_**2)
    assert member.free == ()
    assert (member.values[Q_] * member.values[g_] ** 2).simplify() == 1
    with pytest.raises(DerivationError, match="no family"):
        symmetric_fixed_point(flow("none")).member(Integer(1))


def test_a_drift_that_is_not_algebraic_is_refused() -> None:
    with pytest.raises(DerivationError, match="no closed form"):
        symmetric_fixed_point(flow("none", "relu"))
