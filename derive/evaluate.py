"""Numbers from derived expressions, to any precision: sums over units, overlaps, inert averages and all."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import mpmath
from sympy import (
    Add,
    Expr,
    Function,
    Indexed,
    IndexedBase,
    Integer,
    Mul,
    Number,
    NumberSymbol,
    Pow,
    Rational,
    Sum,
    Symbol,
    asin,
)

from derive.errors import DerivationError
from derive.gaussian import FourSigns, GaussianAverage
from derive.gaussian.average import average_at
from derive.gaussian.four_signs import evaluate as four_signs

Values = Mapping[Any, Any]
"""Numbers for symbols (sizes included) and nested lists for indexed bases; unit 1 is entry 0."""

ELEMENTARY = frozenset(
    (
        "sin",
        "cos",
        "tan",
        "acos",
        "atan",
        "atan2",
        "exp",
        "log",
        "sinh",
        "cosh",
        "tanh",
        "erf",
        "erfc",
        "gamma",
        "sign",
    )
)
"""Functions that mpmath has under sympy's name."""


def evaluate(expression: Expr, values: Values, digits: int = 15) -> Any:
    """The value of an expression at given sizes, overlaps and parameters, as an mpmath number.

    ``values`` maps Symbols to numbers and IndexedBases (or their names) to nested sequences.  Closed forms at
    coinciding or collinear fields take their limits: inside a root, an arcsine or an orthant function, a sum
    that vanishes up to rounding (10^-digits of its terms) is zero, and zero times infinity is zero.

    Raises DerivationError for a symbol without a value, and for a value that is infinite.
    """
    named = {_name(key): value for key, value in values.items()}
    with mpmath.workdps(digits + 10):
        value = +_number(expression, named, digits + 10)
        if not mpmath.isfinite(value):
            raise DerivationError("the expression is infinite at these values")
        return value


def _name(key: Any) -> str:
    return key if isinstance(key, str) else str(key.label if isinstance(key, IndexedBase) else key)


def _number(e: Expr, values: dict[str, Any], digits: int, snap: bool = False) -> Any:
    """``snap`` says that sums which vanish up to rounding are zero."""
    if isinstance(e, Integer):
        return mpmath.mpf(int(e))
    if isinstance(e, Rational):
        return mpmath.mpf(int(e.p)) / int(e.q)
    if isinstance(e, Number | NumberSymbol):
        return mpmath.mpmathify(e.evalf(digits))
    if isinstance(e, Indexed):
        entry = _lookup(str(e.base.label), values)
        for index in e.indices:
            unit = int(_number(index, values, digits))
            if not 1 <= unit <= len(entry):
                raise DerivationError(f"{e} asks for unit {unit} of {len(entry)}")
            entry = entry[unit - 1]
        return _real(entry, digits)
    if isinstance(e, Symbol):
        return _real(_lookup(e.name, values), digits)
    if isinstance(e, Add):
        terms = [_number(a, values, digits, snap) for a in e.args]
        total = mpmath.fsum(terms)
        negligible = snap and abs(total) <= _rounding(digits) * mpmath.fsum(terms, absolute=True)
        return mpmath.mpf(0) if negligible else total
    if isinstance(e, Mul):
        factors = [_number(a, values, digits, snap) for a in e.args]
        if mpmath.inf in factors:
            factors = [_number(a, values, digits, snap=True) for a in e.args]
        return mpmath.mpf(0) if 0 in factors else mpmath.fprod(factors)
    if isinstance(e, Pow):
        base = _number(e.base, values, digits, snap or not e.exp.is_integer)
        exponent = _number(e.exp, values, digits)
        if base == 0 and exponent < 0:
            return mpmath.inf
        return mpmath.sqrt(base) if exponent == 0.5 else mpmath.power(base, exponent)
    if isinstance(e, Sum):
        ranges = [
            range(int(_number(low, values, digits)), int(_number(high, values, digits)) + 1)
            for _, low, high in e.limits
        ]
        names = [index.name for index, _, _ in e.limits]
        return mpmath.fsum(
            _number(e.function, values | dict(zip(names, units, strict=True)), digits)
            for units in product(*ranges)
        )
    if isinstance(e, GaussianAverage):
        return _average(e, values, digits)
    if isinstance(e, FourSigns):
        return four_signs(*(_correlation(a, values, digits) for a in e.args))
    if isinstance(e, asin):
        return mpmath.asin(_correlation(e.args[0], values, digits))
    if isinstance(e, Function):
        arguments = [_number(a, values, digits) for a in e.args]
        if e.func.__name__ in ELEMENTARY:
            return getattr(mpmath, e.func.__name__)(*arguments)
        return mpmath.mpmathify(e.func(*map(_exactly, arguments)).evalf(digits))
    raise DerivationError(f"cannot evaluate {e} of type {type(e).__name__}")


def _rounding(digits: int) -> Any:
    return mpmath.mpf(10) ** (10 - digits)


def _correlation(e: Expr, values: dict[str, Any], digits: int) -> Any:
    """A correlation, not beyond one by rounding."""
    c = _number(e, values, digits, snap=True)
    return mpmath.sign(c) if 1 < abs(c) < 1 + mpmath.sqrt(_rounding(digits)) or mpmath.isinf(c) else c


def _average(e: GaussianAverage, values: dict[str, Any], digits: int) -> Any:
    """Close the average at its numeric covariance: degenerate fields get their limits."""
    inside = e.expression
    for free in (inside.atoms(Indexed), inside.atoms(Symbol) - set(e.fields)):  # entries before their indices
        inside = inside.xreplace({s: _exactly(_number(s, values, digits)) for s in free})
    numbers = e.covariance.applyfunc(lambda entry: _exactly(_number(entry, values, digits)))
    result = average_at(inside, e.fields, numbers, Rational(10) ** (10 - digits))
    if result.has(GaussianAverage):
        return mpmath.mpmathify(result.replace(GaussianAverage, _quadrature).evalf(digits))
    return mpmath.mpmathify(result.evalf(digits))


def _quadrature(*arguments: Any) -> Expr:
    raise DerivationError(
        "an average that no rule closes has no value here; evaluate it with numerics.averages"
    )


def _exactly(number: Any) -> Rational:
    """An mpmath number as the rational it is."""
    mantissa, exponent = mpmath.frexp(number)
    bits = mpmath.mp.prec + 1
    return Rational(int(mpmath.ldexp(mantissa, bits))) * Rational(2) ** (int(exponent) - bits)


def _lookup(name: str, values: dict[str, Any]) -> Any:
    if name not in values:
        raise DerivationError(f"no value was given for {name}; given: {', '.join(sorted(values))}")
    return values[name]


def _real(number: Any, digits: int) -> Any:
    if isinstance(number, Expr):
        number = number.evalf(digits)
    return mpmath.mpmathify(number)
