"""Canonical form of expressions that are rational in positive symbols and square roots.

sympy's ``simplify`` does not see that sqrt(K^2 (1 + tau)^2 - tau^2) is a product of two roots that it met
elsewhere.  Here every polynomial under a root is factored and each irreducible factor f is written p^2.  An
expression is then a sum over products of distinct p with coefficients in the field of rational functions, and
sums, products and inverses of such sums are taken exactly.
"""

from __future__ import annotations

import itertools
from functools import cache, reduce

from sympy import QQ, Dummy, Expr, Mul, Pow, Rational, S, factor, factor_list, pi
from sympy.polys.fields import FracElement, FracField

from derive.errors import DerivationError

SAMPLES = (Rational(1, 7), Rational(1), Rational(13, 2))
"""Values at which the sign of a factor is read."""
SIZES = (Rational(2), Rational(3), Rational(11))
"""The same for integer symbols: numbers of hidden units."""

ZERO = 1e-30
"""What counts as zero at 40 digits."""

Rooted = dict[frozenset[Dummy], FracElement]
"""sum over sets of names of a rational function times the product of the names."""


def canonical(expression: Expr) -> Expr:
    """``expression`` as a sum over products of roots, each with one factored rational coefficient.

    What stands under a root must not change its sign for positive values of the symbols.  Roots of roots can
    be related in ways that this form does not see; there, zero is what is zero to 40 digits at three points.

    Raises DerivationError for functions, for powers other than halves of integers, and for such a sign.
    """
    names = _names(frozenset(expression.free_symbols))
    element = names.rooted(expression.xreplace({pi: names.pi}))
    if names.nested(element) and _vanishes(expression):
        return S.Zero
    return names.expression(element, factored=True)


class _Names:
    """The roots met so far: each is a name p with its square, which may hold earlier names."""

    def __init__(self, symbols: frozenset[Expr]) -> None:
        self.pi = Dummy("pi", positive=True)
        self.field = FracField([*sorted(symbols, key=str), self.pi], QQ)
        self.known: dict[Expr, Rooted] = {}
        self.squares: dict[Dummy, Rooted] = {}
        self.names: dict[Expr, Dummy] = {}
        self.roots: dict[Expr, Expr] = {self.pi: pi}

    def rooted(self, e: Expr) -> Rooted:
        """The expression as a sum over products of names; parts that were met before are looked up."""
        if e not in self.known:
            self.known[e] = self.taken_apart(e)
        return self.known[e]

    def taken_apart(self, e: Expr) -> Rooted:
        if e.is_Add:
            return reduce(_sum, map(self.rooted, e.args))
        if e.is_Mul:
            return reduce(self.product, map(self.rooted, e.args))
        if e.is_Pow and e.exp.is_Integer:
            return self.power(self.rooted(e.base), int(e.exp))
        if e.is_Pow and e.exp.is_Rational and e.exp.q == 2:
            return self.power(self.root(self.rooted(e.base)), int(e.exp.p))
        if e.is_Rational or e.is_Symbol:
            return _clean({frozenset(): self.field.from_expr(e)})
        raise DerivationError(f"{e} is not made of rational functions and square roots")

    def expression(self, element: Rooted, factored: bool = False) -> Expr:
        total: Expr = S.Zero
        for names, coefficient in element.items():
            rational = factor(coefficient.as_expr()) if factored else coefficient.as_expr()
            total += Mul(rational, *sorted(names, key=str)).xreplace(self.roots)
        return total

    def nested(self, a: Rooted) -> bool:
        """Whether a root of roots is in it."""
        return any(set().union(*self.squares[p]) for p in set().union(*a)) if a else False

    def product(self, a: Rooted, b: Rooted) -> Rooted:
        total: Rooted = {}
        for (p, c), (q, d) in itertools.product(a.items(), b.items()):
            term: Rooted = {p ^ q: c * d}
            for shared in p & q:
                term = self.product(term, self.squares[shared])
            total = _sum(total, term)
        return total

    def power(self, a: Rooted, exponent: int) -> Rooted:
        base = a if exponent >= 0 else self.inverse(a)
        return reduce(self.product, [base] * abs(exponent), {frozenset(): self.field.one})

    def inverse(self, a: Rooted) -> Rooted:
        """Multiply by the conjugate of the latest name until none is left."""
        if not a:
            raise ZeroDivisionError("a canonical form divides by zero")
        inside = set().union(*a)
        if not inside:
            return {frozenset(): 1 / a[frozenset()]}
        latest = max(inside, key=list(self.squares).index)
        conjugate = {p: -c if latest in p else c for p, c in a.items()}
        if len(a) == 1:
            conjugate = a
        return self.product(conjugate, self.inverse(self.product(a, conjugate)))

    def root(self, a: Rooted) -> Rooted:
        if set(a) <= {frozenset()}:
            square = a.get(frozenset(), self.field.zero)
            top, bottom = square.numer.as_expr(), square.denom.as_expr()
            return self.product(self.root_of(top), self.inverse(self.root_of(bottom)))
        return self.named(self.expression(a), a)

    def root_of(self, polynomial: Expr) -> Rooted:
        constant, powers = factor_list(polynomial)
        total: Rooted = {frozenset(): self.field.one}
        for base, power in powers:
            if _negative(base):
                constant, base = constant * (-1) ** power, -base
            factor_ = self.rooted(base)
            total = self.product(total, self.power(factor_, power // 2))
            if power % 2:
                total = self.product(total, self.named(base, factor_))
        number = Pow(constant, S.Half)
        if number.is_Rational:
            return self.product(total, self.rooted(number))
        return self.product(total, self.named(constant, self.rooted(constant)))

    def named(self, key: Expr, square: Rooted) -> Rooted:
        """The root of something that has none: a name of its own."""
        if key not in self.names:
            name = self.names[key] = Dummy(f"p{len(self.names):03}", positive=True)
            self.squares[name] = square
            self.roots[name] = Pow(self.expression(square, factored=True), S.Half)
        return {frozenset({self.names[key]}): self.field.one}


@cache
def _names(symbols: frozenset[Expr]) -> _Names:
    """One set of names for all expressions in the same symbols: their roots recur."""
    return _Names(symbols)


def _clean(a: Rooted) -> Rooted:
    return {p: c for p, c in a.items() if c}


def _sum(a: Rooted, b: Rooted) -> Rooted:
    total = dict(a)
    for p, c in b.items():
        total[p] = total[p] + c if p in total else c
    return _clean(total)


def _negative(polynomial: Expr) -> bool:
    """Whether a factor is negative for positive symbols; refuse one whose sign depends on them."""
    free = sorted(polynomial.free_symbols, key=str)
    values = [SIZES if s.is_integer else SAMPLES for s in free]
    points = (dict(zip(free, point, strict=True)) for point in itertools.product(*values))
    signs = {bool(polynomial.xreplace(point) < 0) for point in points}
    if len(signs) > 1:
        raise DerivationError(f"the sign of {polynomial} under a root depends on its symbols")
    return signs == {True}


def _vanishes(expression: Expr) -> bool:
    free = sorted(expression.free_symbols, key=str)
    for k in range(3):
        values = [(SIZES if s.is_integer else SAMPLES)[(k + m) % 3] for m, s in enumerate(free)]
        if abs(expression.xreplace(dict(zip(free, values, strict=True))).evalf(40)) > ZERO:
            return False
    return True


__all__ = ["SAMPLES", "SIZES", "canonical"]
