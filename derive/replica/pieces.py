"""Losses that are quadratic in the student's field on pieces: their inner integrals and minima close.

The inner problem of one example: a field x = m + sqrt(Delta) z with z normal, weighted by exp(-beta loss).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sympy import (
    Abs,
    And,
    Dummy,
    Expr,
    Ge,
    Gt,
    Heaviside,
    Le,
    Lt,
    Max,
    Min,
    Or,
    Piecewise,
    Poly,
    S,
    erf,
    exp,
    oo,
    sign,
    sqrt,
)
from sympy.logic.boolalg import Boolean

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

    Ends are numbers, or all move with the target alike, so that their order is known.

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
    first = next(iter(sorted(ends, key=str)), S.Zero)
    offsets = {end: (end - first).expand() for end in ends}
    if not all(offset.is_number for offset in offsets.values()):
        return None
    ordered = sorted(ends, key=lambda end: offsets[end])
    found = [
        _piece(kinked, switches, low, high) for low, high in zip([-oo, *ordered], [*ordered, oo], strict=True)
    ]
    whole: list[Piece] = []
    for piece in found:
        if piece is None:
            return None
        if whole and (whole[-1].a, whole[-1].b, whole[-1].c) == (piece.a, piece.b, piece.c):
            piece = replace(piece, low=whole.pop().low)
        whole.append(piece)
    return tuple(whole)


def _as_jumps(loss: Expr) -> Expr | None:
    """The loss with every kink written by steps and signs of linear functions, or None."""
    for branches in sorted(loss.atoms(Piecewise), key=lambda atom: atom.count_ops()):
        jumps = _branches(branches)
        if jumps is None:
            return None
        loss = loss.replace(branches, jumps)
    if loss.has(Piecewise):
        return None
    loss = loss.replace(Heaviside, lambda gap, *_: _step(gap))
    while loss.has(Max, Min):
        extremum = next(iter(loss.atoms(Max, Min)))
        first, *rest = extremum.args
        other = rest[0] if len(rest) == 1 else extremum.func(*rest)
        gap = first - other if isinstance(extremum, Max) else other - first
        loss = loss.xreplace({extremum: other + (first - other) * _step(gap)})
    return loss.replace(Abs, lambda u: u * sign(u))


def _branches(loss: Expr) -> Expr | None:
    """A Piecewise as a sum over its branches, each times the step that it holds and none before it does."""
    total: Expr = S.Zero
    left: Expr = S.One
    for value, condition in loss.args:
        holds = _indicator(condition)
        if holds is None:
            return None
        total += left * holds * value
        left *= 1 - holds
    return total


def _indicator(condition: Boolean) -> Expr | None:
    """1 where a condition holds and 0 elsewhere, by steps; None for a condition of another kind."""
    if condition in (S.true, S.false):
        return S.One if condition == S.true else S.Zero
    if isinstance(condition, Gt | Ge):
        return _step(condition.lhs - condition.rhs)
    if isinstance(condition, Lt | Le):
        return _step(condition.rhs - condition.lhs)
    if not isinstance(condition, And | Or):
        return None
    product: Expr = S.One
    for inside in condition.args:
        part = _indicator(inside)
        if part is None:
            return None
        product *= part if isinstance(condition, And) else 1 - part
    return product if isinstance(condition, And) else 1 - product


def _step(gap: Expr) -> Expr:
    """Heaviside(gap), where the gap is linear in one absolute value by the two signs of what is inside."""
    sizes = sorted(gap.atoms(Abs), key=str)
    slope = gap.xreplace({sizes[0]: _SIZE}).diff(_SIZE) if len(sizes) == 1 else S.NaN
    if not slope.is_extended_nonzero or not slope.is_number:
        return Heaviside(gap)
    above, below = (Heaviside(gap.xreplace({sizes[0]: side * sizes[0].args[0]})) for side in (1, -1))
    return above * below if slope.is_negative else 1 - (1 - above) * (1 - below)


def _piece(loss: Expr, switches: Sequence[Any], low: Expr, high: Expr) -> Piece | None:
    """The polynomial between two ends: there every switch is the one of its slope, up to a sign."""
    fixed: dict[Expr, Expr] = {}
    for switch in switches:
        argument = switch.args[0]
        if not argument.has(x):
            continue
        slope = argument.diff(x)
        end = (-argument.subs(x, 0) / slope).cancel()
        above = low != -oo and bool((low - end).expand() >= 0)
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
