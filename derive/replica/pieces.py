"""Losses that are quadratic in the student's field on pieces: their inner integrals and minima close.

The inner problem of one example: a field x = m + sqrt(Delta) z with z normal, weighted by exp(-beta loss).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Abs, Dummy, Expr, Heaviside, Max, Min, Piecewise, Poly, S, erf, exp, oo, sign, sqrt

from derive.errors import DerivationError
from derive.replica.symbols import Delta, beta, m, t, x

_SIZE = Dummy("t", positive=True)
"""The size of the target, once its sign is fixed."""


@dataclass(frozen=True)
class Piece:
    """loss = a x^2 + b x + c for low < x < high; a, b, c and the ends may depend on the target."""

    low: Expr
    high: Expr
    a: Expr
    b: Expr
    c: Expr

    @property
    def loss(self) -> Expr:
        return self.a * x**2 + self.b * x + self.c


def pieces(loss: Expr) -> tuple[Piece, ...] | None:
    """The pieces of a loss in order, or None for a loss that is not quadratic on pieces with known ends.

    At most one end may move with the target; ends that are numbers are put in order.

    Raises DerivationError for a piece that is concave: it is unbounded, or has its minimum at an end only.
    """
    kinked = _as_jumps(loss)
    if kinked is None:
        return None
    switches = sorted(kinked.atoms(Heaviside, sign), key=str)
    ends: set[Expr] = set()
    for switch in switches:
        argument = switch.args[0]
        if not argument.has(x):
            continue
        if not argument.is_polynomial(x) or Poly(argument, x).degree() != 1:
            return None
        slope = argument.diff(x)
        ends.add((-argument.subs(x, 0) / slope).cancel())
    if len(ends) > 1 and not all(end.is_number for end in ends):
        return None
    ordered = sorted(ends, key=lambda end: end if end.is_number else S.Zero)
    found = [
        _piece(kinked, switches, low, high) for low, high in zip([-oo, *ordered], [*ordered, oo], strict=True)
    ]
    return None if None in found else tuple(p for p in found if p is not None)


def _as_jumps(loss: Expr) -> Expr | None:
    """The loss with every kink written by steps and signs."""
    if loss.has(Piecewise):
        return None
    loss = loss.replace(Abs, lambda u: u * sign(u))
    while loss.has(Max, Min):
        extremum = next(iter(loss.atoms(Max, Min)))
        first, *rest = extremum.args
        other = rest[0] if len(rest) == 1 else extremum.func(*rest)
        gap = first - other if isinstance(extremum, Max) else other - first
        loss = loss.xreplace({extremum: other + (first - other) * Heaviside(gap)})
    return loss


def _piece(loss: Expr, switches: Sequence[Any], low: Expr, high: Expr) -> Piece | None:
    """The polynomial between two ends: there every switch is the one of its slope, up to a sign."""
    fixed: dict[Expr, Expr] = {}
    for switch in switches:
        argument = switch.args[0]
        if not argument.has(x):
            continue
        slope = argument.diff(x)
        end = (-argument.subs(x, 0) / slope).cancel()
        above = low == end or (low.is_number and end.is_number and bool(low >= end))
        fixed[switch] = switch.func(slope if above else -slope)
    inside = loss.xreplace(fixed).expand()
    if not inside.is_polynomial(x) or Poly(inside, x).degree() > 2:
        return None
    a, b, c = (inside.coeff(x, power) for power in (2, 1, 0))
    if a.is_negative:
        raise DerivationError(
            f"the loss is concave, {inside}, for {low} < x < {high}; it has no inner average"
        )
    return Piece(low, high, a, b, c)


def partition(found: Sequence[Piece]) -> Expr:
    """The average of exp(-beta loss) over x = m + sqrt(Delta) z, piece by piece by completing the square."""
    total: Expr = S.Zero
    for piece in found:
        precision = 1 / Delta + 2 * beta * piece.a
        mean = ((m / Delta - beta * piece.b) / precision).cancel()
        exponent = (-beta * piece.c - m**2 / (2 * Delta) + mean**2 * precision / 2).factor()
        weight = 1 / sqrt((precision * Delta).cancel())

        def below(end: Expr, mean: Expr = mean, precision: Expr = precision) -> Expr:
            """The probability that x lies below ``end``, times two."""
            return (
                S.One * (1 if end == oo else -1)
                if end.is_infinite
                else erf((end - mean) * sqrt(precision / 2))
            )

        total += weight * exp(exponent) * (below(piece.high) - below(piece.low)) / 2
    return total


def nearest_minimizer(found: Sequence[Piece]) -> tuple[Expr, Expr]:
    """The minimizer of the loss nearest to m, and the minimum, as functions of m and t.

    For losses whose pieces meet at numbers and whose minimum is decided by the sign of t.

    Raises DerivationError where it is not.
    """
    nearest: Expr = S.Zero
    floor: Expr = S.Zero
    for step, side in ((Heaviside(t), S.One), (Heaviside(-t), S.NegativeOne)):
        sets = [_minimum(piece, side) for piece in found]
        least = min((value for _, _, value in sets), key=lambda value: (not _lowest(value, sets), str(value)))
        chosen = [(low, high) for low, high, value in sets if value == least]
        ends = [(low, high) for low, high in chosen if low != high] or chosen[:1]
        if len(ends) > 1:
            raise DerivationError("the minimizers of the loss do not form one interval")
        (low, high), back = ends[0], {_SIZE: side * t}
        nearest += step * _clip(low.xreplace(back), high.xreplace(back))
        floor += step * least.xreplace(back)
    return nearest, floor


def _minimum(piece: Piece, side: Expr) -> tuple[Expr, Expr, Expr]:
    """Ends of the interval of minimizers of a piece, and the minimum, for t = side |t|."""

    def decided(e: Expr) -> Expr:
        return e.subs(t, side * _SIZE).doit().simplify()

    low, high, a, b, c = (decided(e) for e in (piece.low, piece.high, piece.a, piece.b, piece.c))
    if a == 0 and b == 0:
        return low, high, c
    if a == 0:
        at = low if b.is_positive else high if b.is_negative else None
    else:
        at = -b / (2 * a)
        if (at - low).is_extended_negative:
            at = low
        elif (high - at).is_extended_negative:
            at = high
        elif not ((at - low).is_extended_nonnegative and (high - at).is_extended_nonnegative):
            at = None
    if at is None or at.is_infinite:
        raise DerivationError("the sign of t does not decide where the loss is least")
    return at, at, (a * at**2 + b * at + c).simplify()


def _lowest(value: Expr, sets: Sequence[tuple[Expr, Expr, Expr]]) -> bool:
    return all((other - value).is_nonnegative for _, _, other in sets)


def _clip(low: Expr, high: Expr) -> Expr:
    """The point of an interval nearest to m."""
    if low == high:
        return low
    if low == -oo:
        return high + (m - high) * Heaviside(high - m)
    if high == oo:
        return low + (m - low) * Heaviside(m - low)
    return low + (m - low) * Heaviside(m - low) - (m - high) * Heaviside(m - high)
