"""From inert averages to closed forms: each shape of average is derived once, then specialized."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from sympy import Expr, Indexed, IndexedBase, Symbol

from derive.coincidence import missing_thirds
from derive.fields import i, j, n
from derive.gaussian.average import Average, average, generic_covariance
from derive.gaussian.unevaluated import GaussianAverage
from derive.symbols import Q, R


class Naming:
    """Names for the covariances of normalized preactivations, as papers write Q' and R'.

    Q'[i, j] is the covariance of two preactivations of the student, R'[i, n] of one with the teacher's.
    """

    def __init__(self) -> None:
        self.definitions: dict[IndexedBase, tuple[tuple[Symbol, ...], Expr]] = {}

    def __call__(self, covariance: Expr) -> Expr:
        """The named form of a covariance, itself where it is an overlap already or has one index."""
        atoms = covariance.atoms(Indexed)
        crossed = sorted((a for a in atoms if len(set(a.indices)) == 2), key=str)
        if len(crossed) != 1 or not atoms - set(crossed):
            return covariance
        (pair,) = crossed
        name, own = {Q: ("Q'", (i, j)), R: ("R'", (i, n))}.get(pair.base, (None, ()))
        if name is None:
            return covariance
        base = IndexedBase(name, real=True)
        definition = covariance.xreplace(dict(zip(pair.indices, own, strict=True)))
        if self.definitions.setdefault(base, (own, definition))[1] != definition:
            return covariance
        return base[pair.indices]


def close_averages(expression: Expr, naming: Callable[[Expr], Expr] = lambda covariance: covariance) -> Expr:
    """Replace every inert average by its closed form, where the rules reach."""

    def close(part: Expr) -> Expr:
        return part.xreplace({a: closed_form(a, naming) for a in part.atoms(GaussianAverage)})

    return close(expression) + missing_thirds(expression, close, naming)


def closed_form(inert: GaussianAverage, naming: Callable[[Expr], Expr]) -> Expr:
    """The closed form of an inert average, derived once per shape and then specialized."""
    template = shape(inert)
    names = template.fields
    generic = generic_covariance(names)
    values = {
        generic[a, b]: naming(inert.covariance[p, q])
        for p, a in enumerate(names)
        for q, b in enumerate(names)
    }
    return template.expression.xreplace(values)


def shape(inert: GaussianAverage) -> Average:
    """The average with fields u0, u1, ... and covariances C_uv in place of its own, and its derivation."""
    names = tuple(Symbol(f"u{k}", real=True) for k in range(len(inert.fields)))
    return _shape(inert.expression.xreplace(dict(zip(inert.fields, names, strict=True))), names)


@cache
def _shape(expression: Expr, names: tuple[Symbol, ...]) -> Average:
    return average(expression, generic_covariance(names))
