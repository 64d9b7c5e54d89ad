"""Moments of the squared singular values at N = infinity, for symbolic M and symbolic order.

At leading order in 1/N only planar Wick contractions count.  For one matrix, contracting the first factor
of tr (X X^T)^k with each transposed one cuts the word in two, so that the generating function of the
moments, W(z) = 1 + sum_k m_k z^k, satisfies a quadratic equation.  Independent Gaussian matrices are free,
and S-transforms of free matrices multiply.  The moments follow by Lagrange's inversion.
"""

from __future__ import annotations

from functools import cache

from sympy import (
    Eq,
    Expr,
    Function,
    Symbol,
    binomial,
    cancel,
    diff,
    expand,
    expand_func,
    expand_log,
    factor,
    gamma,
    gammasimp,
    limit,
    log,
    powsimp,
    simplify,
    solve,
)

from derive.equation import Equation, Step
from derive.errors import DerivationError

M = Symbol("M", integer=True, positive=True)
"""The number of factors."""

k = Symbol("k", integer=True, positive=True)
"""The order of a moment: m_k is the mean of x^k."""

s = Symbol("s", positive=True)
"""A real order."""

z = Symbol("z")
W = Symbol("W")
psi = Symbol("psi", positive=True)
"""W(z) - 1, the generating function without its first term."""


def one_factor() -> Expr:
    """z as a function of W for one factor.

    The first X of tr (X X^T)^k is contracted with the j-th X^T: what stands between them and what is left
    are words of the same kind, m_k = sum_j m_(j-1) m_(k-j), which is W = 1 + z W^2.
    """
    (inverse,) = solve(Eq(W, 1 + z * W**2), z)
    return inverse


def s_transform(inverse: Expr) -> Expr:
    """S(psi) = z(psi) (1 + psi)/psi, from z as a function of W = 1 + psi."""
    return cancel(inverse.subs(W, 1 + psi) * (1 + psi) / psi)


@cache
def inverse_function() -> Expr:
    """z as a function of psi = W - 1 for M factors, whose S-transform is the M-th power of one factor's."""
    return powsimp(s_transform(one_factor()) ** M * psi / (1 + psi), force=True)


@cache
def exponent() -> Expr:
    """The p of the moment equation W = 1 + z W^p."""
    base, power = powsimp(psi / inverse_function(), force=True).as_base_exp()
    if expand(base - 1 - psi) != 0:
        raise DerivationError(f"the moment equation is no power law in {base}")
    return power


@cache
def moment_equation() -> Equation:
    """What the generating function W(z) of the moments satisfies."""
    first = one_factor()
    single = s_transform(first)
    steps = (
        Step("Wick", Function("W")(z), first, "planar contractions of one factor, solved for z"),
        Step("S-transform", first, single, "of one factor, with psi = W - 1"),
        Step("freeness", single, single**M, "S-transforms of free factors multiply"),
        Step("inverse function", single**M, inverse_function(), "z as a function of psi"),
    )
    return Equation(
        "products.moment-equation", W, 1 + z * W ** exponent(),
        meaning={"W": "1 + sum_k m_k z^k, the generating function of the moments", "M": "number of factors"},
        source="derived by planar Wick contractions and freeness", steps=steps,
    )  # fmt: skip


@cache
def moments() -> Equation:
    """m_k for symbolic M and k.

    Lagrange: m_k = [psi^(k-1)] phi^k / k with phi = (1 + psi)^p, and [psi^j] (1 + psi)^n = binomial(n, j).
    """
    right = binomial(expand(k * exponent()), k - 1) / k
    steps = (Step("Lagrange inversion", moment_equation().right, right, "the coefficient of z^k in W"),)
    return Equation(
        "products.moments", Symbol("m_k"), right,
        meaning={"m_k": "mean k-th power of a squared singular value, N = infinity", "M": "number of factors"},
        source="derived from the moment equation", steps=steps,
    )  # fmt: skip


def moment(order: int | Expr, factors: int | Expr = M) -> Expr:
    """The mean of x^order at N = infinity: exact, a polynomial in M where only M is a symbol.

    Raises DerivationError for an order or a number of factors below 1.
    """
    check_factors(factors)
    if not isinstance(order, Expr) and order < 1:
        raise DerivationError(f"the order of a moment must be at least 1, not {order}")
    value = moments().right.subs({k: order, M: factors})
    return factor(expand_func(value)) if value.has(M) and not value.has(k) else value


@cache
def real_moment() -> Expr:
    """The mean of x^s for real s: the moments continued by Gamma functions, which is unique (Carlson)."""
    return gammasimp(moments().right.rewrite(gamma).subs(k, s))


@cache
def log_cumulant(order: int) -> Expr:
    """The first or second cumulant of log x, by differentiating log <x^s> at s = 0."""
    generating = expand_log(log(real_moment()), force=True)
    return simplify(expand_func(limit(diff(generating, s, order), s, 0)))


@cache
def deep_moment() -> Expr:
    """The mean of u^s with u = x^(1/M), for M to infinity."""
    inverse = Symbol("y", positive=True)
    rescaled = real_moment().subs(s, s / M).subs(M, 1 / inverse)
    return gammasimp(rescaled.subs(inverse, 0))


def check_factors(factors: int | Expr) -> None:
    """Refuse a number of factors below 1."""
    if not isinstance(factors, Expr) and (factors < 1 or factors != int(factors)):
        raise DerivationError(f"the number of factors must be a whole number of at least 1, not {factors}")
