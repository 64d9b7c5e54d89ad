"""From a sympy expression in Gaussian fields to sums of products the rules act on.

A term is a coefficient times powers, signs and deltas of *variables*, times whatever no rule knows.  A
variable is a linear form in the fields, possibly lifted by a fresh standard Gaussian z:

    erf(u/sqrt 2) = E_z sign(u + z)        exp(-u^2/2) = sqrt(2 pi) E_z delta(u + z)

so that erf, its derivatives, GELU and probit need no rules of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sympy import (
    Abs,
    Add,
    DiracDelta,
    Expr,
    Heaviside,
    Max,
    Min,
    Mul,
    Piecewise,
    Poly,
    PolynomialError,
    Pow,
    S,
    Symbol,
    erf,
    erfc,
    exp,
    expand,
    pi,
    sign,
    sqrt,
)
from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan

from derive.errors import AverageDoesNotExist, DerivationError
from derive.text import text

Form = tuple[tuple[Symbol, Expr], ...]
"""A linear form: fields and their coefficients."""

LARGEST_CLOSED = 4
"""Averages of more signs than this have no closed form here."""


@dataclass(frozen=True)
class Variable:
    """A linear form in the fields, plus the lift's own standard Gaussian when ``lift`` is not None."""

    form: Form
    lift: int | None = None

    def symbol(self) -> Expr:
        linear = Add(*(c * u for u, c in self.form))
        return linear if self.lift is None else linear + Symbol(f"z_{self.lift}", real=True)


@dataclass(frozen=True)
class Term:
    """coefficient * prod u^k * prod sign(u) * prod delta^(m)(u) * other(fields)."""

    coefficient: Expr
    powers: Mapping[Variable, int] = field(default_factory=dict)
    signs: frozenset[Variable] = frozenset()
    deltas: Mapping[Variable, int] = field(default_factory=dict)
    other: Expr = S.One

    def scaled(self, factor: Expr) -> Term:
        return replace(self, coefficient=self.coefficient * factor)

    def product(self) -> Expr:
        """The term without its coefficient, as an expression in fields and lifts."""
        powers = [v.symbol() ** k for v, k in self.powers.items()]
        signs = [sign(v.symbol()) for v in sorted(self.signs, key=str)]
        deltas = [DiracDelta(v.symbol(), k) if k else DiracDelta(v.symbol()) for v, k in self.deltas.items()]
        return Mul(*powers, *signs, *deltas, self.other)


def linear_form(expression: Expr, fields: frozenset[Symbol]) -> Form | None:
    """The coefficients of a homogeneous linear form in the fields, or None if it is not one."""
    if expression in fields:
        return ((expression, S.One),)
    inside = sorted(expression.free_symbols & fields, key=lambda u: u.sort_key())
    if not inside:
        return None
    try:
        polynomial = Poly(expression, *inside)
    except PolynomialError:
        return None
    if polynomial.total_degree() != 1 or polynomial.coeff_monomial(1) != 0:
        return None
    coefficients = polynomial.coeffs()
    monomials = polynomial.monoms()
    return tuple((inside[m.index(1)], c) for m, c in zip(monomials, coefficients, strict=True))


def scale(form: Form, factor: Expr) -> Form:
    return tuple((u, c * factor) for u, c in form)


def unfold_kinks(expression: Expr) -> Expr:
    """Write step, |u|, max, min and cases through signs: step = (1 + sign)/2, |u| = u sign u."""

    def extremum(sense: int) -> Callable[..., Expr]:
        return lambda *arguments: Add(
            *(a * Mul(*(Heaviside(sense * (a - b)) for b in arguments if b != a)) for a in arguments)
        )

    if expression.has(Piecewise):
        expression = expression.replace(Piecewise, _cases)
    if expression.has(Max, Min):
        expression = expression.replace(Max, extremum(1)).replace(Min, extremum(-1))
    if expression.has(Heaviside):
        expression = expression.replace(Heaviside, lambda u, *_: (1 + sign(u)) / 2)
    if expression.has(Abs):
        expression = expression.replace(Abs, lambda u: u * sign(u))
    if expression.has(erfc):
        expression = expression.replace(erfc, lambda u: 1 - erf(u))
    if expression.has(sign):
        expression = expression.replace(sign, _sign_of_product)
    return expression


def _cases(*branches: tuple[Expr, Expr]) -> Expr:
    """A Piecewise as a sum of branches times steps; equalities have no weight under a Gaussian measure."""
    total, remaining = S.Zero, S.One
    for value, condition in branches:
        if condition == S.true:
            return total + remaining * value
        if isinstance(condition, StrictGreaterThan | GreaterThan):
            holds = Heaviside(condition.lhs - condition.rhs)
        elif isinstance(condition, StrictLessThan | LessThan):
            holds = Heaviside(condition.rhs - condition.lhs)
        else:
            raise DerivationError(
                f"cannot average over the condition {condition}; write it with < and > only"
            )
        total += remaining * holds * value
        remaining *= 1 - holds
    return total


def _sign_of_product(argument: Expr) -> Expr:
    """sign(a b) = sign(a) sign(b), so that every sign is of one form; zeros have no weight."""
    total: Expr = S.One
    for factor in Mul.make_args(argument):
        if isinstance(factor, Pow) and factor.exp.is_Integer and factor.base.is_real:
            total *= sign(factor.base) if factor.exp.is_odd else S.One
        else:
            total *= sign(factor)
    return total


def split(expression: Expr, fields: frozenset[Symbol]) -> list[Term]:
    """The terms of an expression.

    Raises AverageDoesNotExist for a product of distributions that has no meaning, such as delta(u)^2.
    """
    expanded = expand(unfold_kinks(expression), power_base=False, power_exp=False, log=False)
    terms = (_term(product, fields) for product in Add.make_args(expanded))
    return [t for t in terms if t is not None]


def _term(product: Expr, fields: frozenset[Symbol]) -> Term | None:
    coefficient: Expr = S.One
    powers: dict[Variable, int] = {}
    signs: set[Variable] = set()
    deltas: dict[Variable, int] = {}
    gaussian: Expr = S.Zero  # exponents of exp factors, gathered
    smooth: list[tuple[Expr, Form]] = []  # erf factors and their forms
    other: list[Expr] = []

    for factor in Mul.make_args(product):
        if not factor.free_symbols & fields:
            coefficient *= factor
            continue
        base, exponent = factor.as_base_exp() if not isinstance(factor, exp) else (factor, S.One)
        whole = exponent.is_Integer and (exponent > 0 or isinstance(base, sign))
        form = linear_form(base.args[0] if base.is_Function else base, fields)
        if isinstance(factor, exp):
            gaussian += factor.args[0]
        elif factor.has(DiracDelta) and not (whole and form is not None and isinstance(base, DiracDelta)):
            raise DerivationError(
                f"cannot average {text(factor)}: the argument of a delta must be a sum of fields, without a shift"
            )
        elif not whole or form is None:
            other.append(factor)
        elif base in fields:
            v = Variable(form)
            powers[v] = powers.get(v, 0) + int(exponent)
        elif isinstance(base, sign):
            leading, v = _normalized(form)
            if exponent.is_odd:
                coefficient *= sign(leading)
                signs ^= {v}
        elif isinstance(base, DiracDelta):
            leading, v = _normalized(form)
            order = int(base.args[1]) if len(base.args) > 1 else 0
            coefficient /= leading**order * Abs(leading)
            if v in deltas or exponent > 1:
                raise AverageDoesNotExist(
                    f"the average of {text(product)} does not exist: it holds a product of deltas of one field"
                )
            deltas[v] = order
        elif isinstance(base, erf):
            smooth += [(base, form)] * int(exponent)
        else:
            other.append(factor)

    constant, gaussian = gaussian.as_independent(*fields, as_Add=True)
    coefficient *= exp(constant)
    pieces = _complete_squares(gaussian, fields)
    if pieces is None:
        other.append(exp(gaussian))
        pieces = []
    if other or len(signs) + len(smooth) > LARGEST_CLOSED:
        # Beside a function that no rule knows, erf and exp stay themselves: the quadrature likes them smooth.
        other += [f for f, _ in smooth]
        other += [exp(-(Add(*(c * u for u, c in form)) ** 2) / 2) for form in pieces]
    else:
        lift = 0
        for _, form in smooth:
            lift += 1
            signs.add(Variable(scale(form, sqrt(2)), lift))
        for form in pieces:
            lift += 1
            coefficient *= sqrt(2 * pi)
            deltas[Variable(form, lift)] = 0

    return _tidy(Term(coefficient, powers, frozenset(signs), deltas, Mul(*other)))


def _normalized(form: Form) -> tuple[Expr, Variable]:
    """The form's first coefficient and the form divided by it: proportional forms are one variable."""
    leading = form[0][1]
    return leading, Variable(scale(form, 1 / leading))


def _complete_squares(exponent: Expr, fields: frozenset[Symbol]) -> list[Form] | None:
    """Linear forms f with exponent = -sum f^2/2, or None if the exponent is not minus a sum of squares."""
    inside = sorted(exponent.free_symbols & fields, key=lambda u: u.sort_key())
    pieces: list[Form] = []
    rest = expand(-2 * exponent)
    for u in inside:
        try:
            square = Poly(rest, u)
        except PolynomialError:
            return None
        if square.degree() == 0 or rest == 0:
            continue
        c, form = square.coeff_monomial(u**2), linear_form(rest.diff(u) / 2, fields)
        if form is None or not c.is_positive:
            return None
        pieces.append(scale(form, 1 / sqrt(c)))
        rest = expand(rest - Add(*(a * z for z, a in form)) ** 2 / c)
    return pieces if rest == 0 else None


def _tidy(term: Term) -> Term | None:
    """Use u delta(u) = 0, u delta^(k)(u) = -k delta^(k-1)(u); refuse sign(u) delta(u); drop zeros."""
    powers, deltas, coefficient = dict(term.powers), dict(term.deltas), term.coefficient
    for v in list(deltas):
        while v in powers and v in deltas:
            k = deltas[v]
            if k == 0:
                return None
            coefficient *= -k
            deltas[v] = k - 1
            powers[v] -= 1
            if powers[v] == 0:
                del powers[v]
        if v in term.signs:
            raise AverageDoesNotExist(
                f"the average of {term.product()} does not exist: sign and delta of one field do not multiply"
            )
    if coefficient == 0:
        return None
    return replace(term, coefficient=coefficient, powers=powers, deltas=deltas)


def differentiate(term: Term, towards: Callable[[Variable], Expr], fields: frozenset[Symbol]) -> list[Term]:
    """d/ds of the term when every variable v moves by towards(v) ds: the product rule, weakly.

    ``other`` moves through its fields.
    """
    out: list[Term] = []

    def keep(rate: Expr, changed: Term) -> None:
        if rate != 0:
            tidy = _tidy(changed.scaled(rate))
            if tidy is not None:
                out.append(tidy)

    for v, k in term.powers.items():
        powers = {**term.powers, v: k - 1}
        if k == 1:
            del powers[v]
        rate = towards(v)
        if rate != 0:
            keep(rate * k, replace(term, powers=powers))
    for v in term.signs:
        rate = towards(v)
        if rate == 0:
            continue
        if term.powers.get(v, 0) > 0:
            continue  # u^k * 2 delta(u) = 0
        if v in term.deltas:
            raise AverageDoesNotExist(f"the average of {term.product()} does not exist")
        keep(2 * rate, replace(term, signs=term.signs - {v}, deltas={**term.deltas, v: 0}))
    for v, k in term.deltas.items():
        rate = towards(v)
        if rate != 0:
            keep(rate, replace(term, deltas={**term.deltas, v: k + 1}))
    for u in sorted(term.other.free_symbols & fields, key=lambda s: s.sort_key()):
        slope = term.other.diff(u)
        if slope == 0:
            continue
        if slope.has(DiracDelta):
            raise DerivationError(f"no rule closes the average of {term.product()}: {term.other} has kinks")
        rate = towards(Variable(((u, S.One),)))
        if rate != 0:
            for piece in split(slope, fields):
                merged = _merge(replace(term, other=S.One), piece)
                if merged is not None:
                    keep(rate, merged)
    return out


def _merge(a: Term, b: Term) -> Term | None:
    if a.deltas.keys() & b.deltas.keys():
        raise AverageDoesNotExist(f"the average of {a.product() * b.product()} does not exist")
    powers = dict(a.powers)
    for v, k in b.powers.items():
        powers[v] = powers.get(v, 0) + k
    return _tidy(
        Term(
            a.coefficient * b.coefficient,
            powers,
            a.signs ^ b.signs,
            {**a.deltas, **b.deltas},
            a.other * b.other,
        )
    )
