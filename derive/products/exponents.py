"""Logarithms of determinants and of single singular values, at any N.

An orthogonal change of basis before each factor makes X triangular column by column: the j-th diagonal
element of a factor is then the length of a Gaussian vector in j dimensions, sqrt(chi^2_j / N), independent of
all others.  The determinant is their product.  For many factors at fixed N the singular values separate, and
their logarithms grow by one mean logarithm a factor each (Oseledets): the Lyapunov exponents.
"""

from __future__ import annotations

from functools import cache

from sympy import Expr, Rational, Sum, Symbol, diff, expand_log, integrate, log, oo, simplify
from sympy import exp as exponential

from derive.errors import DerivationError
from derive.products.limit import M, check_factors
from derive.symbols import N

freedom = Symbol("n", positive=True)
"""Degrees of freedom of a chi-square variable."""

j = Symbol("j", integer=True, positive=True)


@cache
def log_chi_square(order: int) -> Expr:
    """The first or second cumulant of log(chi^2_n), from <y^s> by differentiation at s = 0."""
    y, power = Symbol("y", positive=True), Symbol("s", nonnegative=True)
    mass = integrate(y ** (freedom / 2 - 1) * exponential(-y / 2), (y, 0, oo))
    moment = integrate(y ** (freedom / 2 + power - 1) * exponential(-y / 2), (y, 0, oo)) / mass
    generating = expand_log(log(simplify(moment)), force=True)
    return simplify(diff(generating, power, order).subs(power, 0))


def mean_log_determinant(factors: int | Expr = M, size: int | Expr = N) -> Expr:
    """The exact mean of (1/N) log det X X^T, the mean logarithm of x, at finite N."""
    _check(factors, size)
    one = log_chi_square(1).subs(freedom, j) - log(size)
    terms = Sum(one, (j, 1, size))
    return factors * (terms.doit() if not isinstance(size, Expr) else terms) / size


def lyapunov_exponent(place: int | Expr, size: int | Expr = N) -> Expr:
    """lim (1/M) log sigma_place for M to infinity at fixed N; place 1 is the largest singular value."""
    if not isinstance(place, Expr) and (place < 1 or (not isinstance(size, Expr) and place > size)):
        raise DerivationError(f"singular values are numbered from 1 to N = {size}, not {place}")
    return Rational(1, 2) * (log_chi_square(1).subs(freedom, size - place + 1) - log(size))


def log_condition_rate(size: int | Expr = N) -> Expr:
    """The growth of log(sigma_max/sigma_min) with each further factor, for M much larger than N."""
    return simplify(lyapunov_exponent(1, size) - lyapunov_exponent(size, size))


def lyapunov_fluctuation(place: int | Expr, size: int | Expr = N) -> Expr:
    """lim (1/M) var log sigma_place for M to infinity."""
    return log_chi_square(2).subs(freedom, size - place + 1) / 4


def _check(factors: int | Expr, size: int | Expr) -> None:
    check_factors(factors)
    if not isinstance(size, Expr) and size < 1:
        raise DerivationError(f"the size N must be at least 1, not {size}")
