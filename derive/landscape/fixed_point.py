"""The symmetric fixed point: every student alike, none of them closer to one teacher unit than to another.

At R = S and Q = C all students are one vector J.  The flow leaves this manifold alone, and on it two rates
vanish together at the plateau of online learning (Saad and Solla, Phys. Rev. E 52, 4225).  Without
normalization they fix R and Q.  Under a normalization the weights have no scale of their own: R / sqrt(Q) and
g are fixed and Q stays free, a one-parameter family; what the flow conserves selects the member.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from sympy import (
    Dummy,
    Expr,
    Function,
    Matrix,
    Mul,
    Poly,
    PolynomialError,
    Pow,
    S,
    Symbol,
    factor,
    fraction,
    roots,
    sqrt,
    together,
)

from derive.errors import DerivationError
from derive.landscape.radicals import SAMPLES, SIZES, canonical
from derive.online import Flow
from derive.sites import C_, Q_, R_, S_, g_, reduce_flow
from derive.symbols import K, M, gain_decay, weight_decay

SMALLEST = 1e-25
"""Residuals below this, at 40 digits, count as zero."""


@dataclass(frozen=True)
class FixedPoint:
    """Site-symmetric parameters where the drift vanishes, in K, M, tau and the ``free`` ones."""

    values: Mapping[Symbol, Expr]
    free: tuple[Symbol, ...] = ()

    def member(self, q: Expr) -> FixedPoint:
        """The member of the family with Q = q, which may depend on g through the other values."""
        if Q_ not in self.free:
            raise DerivationError("Q is fixed without a normalization: there is no family to choose from")
        chosen = q.xreplace({g_: self.values[g_]}) if g_ in q.free_symbols else q
        values = {s: canonical(v.xreplace({Q_: chosen})) for s, v in self.values.items()}
        return FixedPoint(values, tuple(s for s in self.free if s != Q_))


def symmetric_fixed_point(flow: Flow, paired: bool = True) -> FixedPoint:
    """Solve the drift of a flow for its symmetric fixed point, for symbolic K and tau.

    ``paired``: as many teachers as students; otherwise M is a symbol of its own.  Decays are set to zero and
    the teacher is orthonormal.  The closed rates must be algebraic in R, Q and g, as they are for erf; every
    root is tried in the rates themselves, at 40 digits, before it is returned.

    Raises DerivationError where the rates are not algebraic or have no such root.
    """
    site = reduce_flow(flow, paired=False)
    normalized = g_ in site.state
    second = g_ if normalized else Q_
    still = {C_: Q_, weight_decay: S.Zero, gain_decay: S.Zero}
    if paired:
        still[M] = K
    # Under a normalization R appears as r sqrt(Q): only the direction of J matters.
    ratio = Symbol("r", positive=True)
    along = {R_: ratio * sqrt(Q_)} if normalized else {R_: ratio}
    rates = [site.drift[s].xreplace(still).xreplace(along) for s in (R_, second)]
    for point in _roots(rates, ratio, second):
        values = {second: point[second], R_: canonical(along[R_].xreplace(point))}
        values |= {S_: values[R_], Q_: values.get(Q_, Q_)}
        values[C_] = values[Q_]
        order = [s for s in (R_, S_, Q_, C_, g_) if s in values]
        return FixedPoint({s: values[s] for s in order}, (Q_,) if normalized else ())
    raise DerivationError(f"no symmetric fixed point of the {flow.model.name} was found")


def _roots(rates: list[Expr], ratio: Symbol, second: Symbol) -> list[dict[Symbol, Expr]]:
    """The positive common roots of two rates that are linear in square roots of polynomials."""
    heads: dict[Expr, Dummy] = {}
    numerators = []
    for rate in rates:
        numerator = factor(fraction(factor(together(rate)))[0])
        for root in sorted(numerator.atoms(Pow), key=str):
            if root.exp == S.Half and root.base.is_Add:
                heads.setdefault(root, Dummy(f"s{len(heads)}", positive=True))
        numerators.append(numerator.xreplace(heads))
    squares = {name: root.base for root, name in heads.items()}
    try:
        rows = [Poly(n, *squares) for n in numerators]
        if any(n.has(Function) or row.total_degree() > 1 for n, row in zip(numerators, rows, strict=True)):
            raise PolynomialError
        direction = rows[0].as_expr() if rows[0].is_ground else _determinant(rows, list(squares))
        points = []
        for along in _positive_solutions(direction, ratio):
            reduced = [row.as_expr().xreplace({ratio: along}) for row in rows]
            bases = {name: base.xreplace({ratio: along}) for name, base in squares.items()}
            for value in _positive_solutions(_squared(reduced[1], bases), second):
                points.append({ratio: along.xreplace({second: value}), second: value})
    except PolynomialError as error:
        raise DerivationError(
            "the drift is not algebraic in the order parameters; its fixed point has no closed form here"
        ) from error
    return [point for point in points if _vanish(rates, point)]


def _determinant(rows: list[Poly], heads: list[Dummy]) -> Expr:
    """Two homogeneous equations in two roots have a solution where this vanishes."""
    matrix = Matrix([[row.coeff_monomial(head) for head in heads] for row in rows])
    if matrix.shape != (2, 2) or any(row.coeff_monomial(1) != 0 for row in rows):
        raise PolynomialError
    return factor(matrix.det())


def _squared(linear: Expr, bases: Mapping[Dummy, Expr]) -> Expr:
    """The polynomial whose roots hold those of c1 s1 + c2 s2 = 0, where s^2 is a polynomial."""
    first, other = bases
    c1, c2 = (linear.coeff(name) for name in (first, other))
    return factor(together(c1**2 * bases[first] - c2**2 * bases[other]))


def _positive_solutions(expression: Expr, unknown: Symbol) -> list[Expr]:
    """The roots of a polynomial in the unknown that are positive whatever positive values the rest has."""
    found: list[Expr] = []
    numerator = fraction(factor(together(expression)))[0]
    for part in Mul.make_args(numerator):
        base = part.as_base_exp()[0]
        if base.has(unknown) and base != unknown:
            found += [root for root in map(canonical, _roots_of(Poly(base, unknown))) if _positive(root)]
    return found


def _roots_of(polynomial: Poly) -> list[Expr]:
    """All roots in radicals; of an even polynomial only those that can be positive."""
    (unknown,) = polynomial.gens
    if all(power % 2 == 0 for (power,) in polynomial.monoms()):
        half = Poly({(power // 2,): c for (power,), c in polynomial.terms()}, unknown)
        return [sqrt(root) for root in map(canonical, roots(half)) if _positive(root)]
    return list(roots(polynomial))


def _points(symbols: set[Symbol]) -> Iterator[dict[Symbol, Expr]]:
    order = sorted(symbols, key=str)
    values = [SIZES if s.is_integer else SAMPLES for s in order]
    return (dict(zip(order, point, strict=True)) for point in product(*values))


def _positive(root: Expr) -> bool:
    return all(root.xreplace(point).evalf().is_positive for point in _points(root.free_symbols))


def _vanish(rates: list[Expr], point: Mapping[Symbol, Expr]) -> bool:
    """Whether all rates are zero at the point, at three generic values of the other symbols."""
    free = sorted(set().union(*(rate.free_symbols for rate in rates)) - set(point), key=str)
    for k in range(3):
        sample = {s: (SIZES if s.is_integer else SAMPLES)[(k + m) % 3] for m, s in enumerate(free)}
        values = {s: v.xreplace(sample) for s, v in point.items()}
        if any(abs(rate.xreplace(sample).xreplace(values).evalf(40)) > SMALLEST for rate in rates):
            return False
    return True
