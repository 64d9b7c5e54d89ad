"""Gather a closed form: one rational coefficient to each product of roots, arcsines and orthant functions.

Conditioning leaves pieces like (a - b)/sqrt(D) whose sum is a multiple of sqrt(D).  Apart they are 0/0 where
fields coincide; gathered they are the finite limit.
"""

from __future__ import annotations

from sympy import Add, Expr, Mul, Pow, Rational, S, together
from sympy.polys.polyerrors import PolynomialError
from sympy.polys.polytools import cancel, factor

HALF = Rational(1, 2)


def gather(expression: Expr) -> Expr:
    """The same expression with the coefficients of equal irrational products added and cancelled."""
    groups: dict[Expr, Expr] = {}
    for term in Add.make_args(expression):
        rational, irrational = _split(term)
        groups[irrational] = groups.get(irrational, S.Zero) + rational
    return Add(*(_reduced(rational) * irrational for irrational, rational in groups.items()))


def _split(term: Expr) -> tuple[Expr, Expr]:
    rational, irrational = S.One, S.One
    for piece in Mul.make_args(term):
        base, exponent = piece.as_base_exp()
        if base.is_number or (exponent.is_Integer and (base.is_Symbol or base.is_Add)):
            rational *= piece
        elif exponent.is_Rational and exponent.q == 2:
            irrational *= Pow(base, HALF)
            rational *= Pow(base, exponent - HALF)
        else:
            irrational *= piece
    return rational, irrational


def _reduced(rational: Expr) -> Expr:
    if not isinstance(rational, Add):
        return rational
    try:
        return factor(cancel(together(rational)))
    except PolynomialError:
        return rational
