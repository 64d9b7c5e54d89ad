"""The rules that close Gaussian averages, each named after its identity.

    pin       <delta^(k)(u) F> = (-d/ds)^k [p_u(s) <F | u = s>] at s = 0
    stein     <u F> = sum_v C_uv <dF/dv>                              (integration by parts; Wick's theorem)
    parity    an odd product averages to zero
    sheppard  <sign u sign v> = (2/pi) asin(C_uv / sqrt(C_uu C_vv))
    plackett  <sign sign sign sign> = FourSigns(correlations)

Conditioning on pinned deltas never divides inside a covariance: Cov(a, b | D) = det C[Da, Db] / det C[D, D],
the bordered minors of Saad and Solla (Phys. Rev. E 52, 4225 (1995)).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from sympy import (
    Add,
    Expr,
    Matrix,
    Pow,
    S,
    Symbol,
    asin,
    binomial,
    expand,
    factorial2,
    nan,
    pi,
    sign,
    sqrt,
    zoo,
)

from derive.errors import AverageDoesNotExist
from derive.gaussian.four_signs import PAIRS, FourSigns
from derive.gaussian.terms import Term, Variable, differentiate
from derive.gaussian.unevaluated import GaussianAverage


@dataclass(frozen=True)
class Applied:
    """One application of a rule: the average before, and the expression that took its place."""

    rule: str
    before: Expr
    pinned: tuple[Expr, ...]
    after: str


class Measure:
    """Jointly Gaussian fields: the covariance of any two variables, free or conditioned on zeros.

    With ``coinciding``, three fields, only the deltas of one times the signs of the others are averaged, as
    thirds of the delta.
    """

    def __init__(
        self,
        fields: Iterable[Symbol],
        covariance: Callable[[Symbol, Symbol], Expr],
        coinciding: Iterable[Symbol] = (),
    ) -> None:
        self.fields = frozenset(fields)
        self.coinciding = frozenset(Variable(((u, S.One),)) for u in coinciding)
        self._covariance = covariance
        self.log: list[Applied] = []
        self.kept: dict[tuple[tuple[Variable, ...], Expr], Expr] = {}
        self.minor = cache(self._minor)

    def covariance(self, a: Variable, b: Variable) -> Expr:
        bare = Add(*(c * d * self._covariance(u, z) for u, c in a.form for z, d in b.form))
        return bare + 1 if a.lift is not None and a.lift == b.lift else bare

    def _minor(self, rows: tuple[Variable, ...], columns: tuple[Variable, ...]) -> Expr:
        """det C[rows, columns]; symmetric, so both orders of the last two share one form."""
        if not rows:
            return S.One
        if len(rows) == 1:
            return self.covariance(rows[0], columns[0])
        return expand(
            Matrix([[self.covariance(a, b) for b in columns] for a in rows]).det(method="berkowitz")
        )

    def bordered(self, pinned: tuple[Variable, ...], a: Variable, b: Variable) -> Expr:
        """det C[D a, D b], the numerator of Cov(a, b | D)."""
        return self.minor((*pinned, a), (*pinned, b))

    def note(self, rule: str, term: Term, pinned: tuple[Variable, ...], after: str) -> None:
        self.log.append(Applied(rule, term.product(), tuple(p.symbol() for p in pinned), after))


def close(term: Term, measure: Measure, pinned: tuple[Variable, ...] = ()) -> Expr:
    """The average of a term given that the pinned variables vanish, coefficient included."""
    if term.coefficient == 0:
        return S.Zero
    if _odd(term, measure.fields):
        measure.note("parity", term, pinned, "0")
        return S.Zero
    if term.deltas:
        return _pin(term, measure, pinned)
    reducible = [v for v in term.powers if _reducible(v, term.other)]
    if reducible:
        u = min(reducible, key=lambda v: (term.powers[v], str(v)))
        return _stein(u, term, measure, pinned)
    if term.other != 1:
        return _keep(term, measure, pinned)
    return _signs(term, measure, pinned)


def _odd(term: Term, fields: frozenset[Symbol]) -> bool:
    flips = sum(term.powers.values()) + len(term.signs) + sum(term.deltas.values())
    if term.other == 1:
        return flips % 2 == 1
    if any(p.exp.is_negative and not p.base.is_positive for p in term.other.atoms(Pow) if p.has(*fields)):
        return False  # it may diverge, and then has no parity
    mirrored = term.other.xreplace({u: -u for u in term.other.free_symbols & fields})
    return mirrored == (-1) ** (flips + 1) * term.other


def _reducible(v: Variable, other: Expr) -> bool:
    """Whether integrating v by parts comes to an end: it must not bring back v, nor the delta of a kink."""
    return other == 1 or not (other.free_symbols & {u for u, _ in v.form} or other.has(sign))


def _pin(term: Term, measure: Measure, pinned: tuple[Variable, ...]) -> Expr:
    u = min(term.deltas, key=lambda v: (term.deltas[v], str(v)))
    order = term.deltas[u]
    if len(measure.coinciding & {*pinned, *term.deltas}) > 1:
        return S.Zero
    rest = Term(
        term.coefficient,
        term.powers,
        term.signs,
        {v: k for v, k in term.deltas.items() if v != u},
        term.other,
    )
    before = measure.minor(pinned, pinned)
    after = measure.bordered(pinned, u, u)
    if after == 0:
        raise AverageDoesNotExist(
            f"the average of {term.product()} does not exist: the argument of a delta has no variance"
            + (f" once {', '.join(str(p.symbol()) for p in pinned)} vanish" if pinned else "")
        )
    if len(u.form) == 1 and u.lift is None:
        _substituted(rest.other, {u.form[0][0]: S.Zero})  # refuses what is infinite on the delta
    density = sqrt(before) / sqrt(2 * pi * after)
    measure.note("pin", term, pinned, f"condition on {u.symbol()} = 0")

    def follows(v: Variable) -> Expr:
        """How far v moves when u does: Cov(u, v | D) / Var(u | D)."""
        return measure.bordered(pinned, u, v) / after

    derivatives = [rest]
    total: Expr = S.Zero
    for j in range(order + 1):
        if (order - j) % 2 == 0:
            # d^(order - j) p(s) at s = 0 of a Gaussian of variance after/before.
            half = (order - j) // 2
            moment = (-1) ** half * factorial2(2 * half - 1) * (before / after) ** half
            weight = (-1) ** order * binomial(order, j) * moment * density
            total += Add(*(close(t.scaled(weight), measure, (*pinned, u)) for t in derivatives))
        if j < order:
            derivatives = [d for t in derivatives for d in differentiate(t, follows, measure.fields)]
    return total


def _stein(u: Variable, term: Term, measure: Measure, pinned: tuple[Variable, ...]) -> Expr:
    powers = {**term.powers, u: term.powers[u] - 1}
    if powers[u] == 0:
        del powers[u]
    norm = measure.minor(pinned, pinned)
    measure.note("stein", term, pinned, f"integrate {u.symbol()} by parts")

    def towards(v: Variable) -> Expr:
        return measure.bordered(pinned, u, v) / norm

    rest = Term(term.coefficient, powers, term.signs, term.deltas, term.other)
    return Add(*(close(t, measure, pinned) for t in differentiate(rest, towards, measure.fields)))


def _signs(term: Term, measure: Measure, pinned: tuple[Variable, ...]) -> Expr:
    if measure.coinciding:
        third = len(term.signs) == 2 and measure.coinciding <= {*pinned, *term.signs}
        return term.coefficient / 3 if third else S.Zero
    fields = sorted(term.signs, key=str)
    if not fields:
        return term.coefficient

    def minor(a: Variable, b: Variable) -> Expr:
        return measure.bordered(pinned, a, b)

    if any(minor(v, v) == 0 for v in fields):
        measure.note("zero variance", term, pinned, "0")
        return S.Zero
    if len(fields) == 2:
        measure.note("sheppard", term, pinned, "(2/pi) asin(correlation)")
        u, v = fields
        return term.coefficient * 2 / pi * _arcsine(minor(u, v), minor(u, u), minor(v, v))
    if len(fields) == 4:
        measure.note("plackett", term, pinned, "four signs")
        correlations = [
            minor(fields[a], fields[b]) / _root(minor(fields[a], fields[a]), minor(fields[b], fields[b]))
            for a, b in PAIRS
        ]
        return term.coefficient * FourSigns(*correlations)
    return _keep(term, measure, pinned)


def _arcsine(ab: Expr, aa: Expr, bb: Expr) -> Expr:
    if ab.is_number and aa.is_number and bb.is_number and ab**2 >= aa * bb:
        return sign(ab) * pi / 2  # coinciding fields, or beyond by rounding
    return asin(ab / _root(aa, bb))


def _root(aa: Expr, bb: Expr) -> Expr:
    """sqrt(aa bb) of two variances, which are not negative."""
    return aa if aa == bb else sqrt(aa * bb)


def _keep(term: Term, measure: Measure, pinned: tuple[Variable, ...]) -> Expr:
    """No rule closes it: gather it with what has the same coefficient, for one quadrature at the end."""
    if any(v.lift is not None for v in term.signs):
        raise AverageDoesNotExist(f"no rule closes the average of {term.product()}")
    measure.note("unevaluated", term, pinned, "left to quadrature")
    product = Term(S.One, term.powers, term.signs, {}, term.other).product()
    number, coefficient = term.coefficient.as_coeff_Mul()
    key = (pinned, coefficient)
    measure.kept[key] = measure.kept.get(key, S.Zero) + number * product
    return S.Zero


def _substituted(expression: Expr, values: Mapping[Symbol, Expr]) -> Expr:
    result = expression.subs(values)
    if result.has(nan, zoo):
        zeros = " = ".join(map(str, values))
        raise AverageDoesNotExist(f"the average does not exist: {expression} diverges where {zeros} = 0")
    return result


def unevaluated(measure: Measure) -> Expr:
    """The sum of everything that no rule closed, as averages over conditional covariances."""
    total: Expr = S.Zero
    for (pinned, coefficient), kept in measure.kept.items():
        at_zero = {
            u: S.Zero for u in kept.free_symbols & measure.fields
            if measure.bordered(pinned, *[Variable(((u, S.One),))] * 2) == 0
        }  # fmt: skip
        expression = _substituted(kept, at_zero)
        fields = sorted(expression.free_symbols & measure.fields, key=lambda s: s.sort_key())
        variables = [Variable(((u, S.One),)) for u in fields]
        norm = measure.minor(pinned, pinned)
        covariance = [[measure.bordered(pinned, a, b) / norm for b in variables] for a in variables]
        total += coefficient * (GaussianAverage(expression, fields, covariance) if fields else expression)
    return total
