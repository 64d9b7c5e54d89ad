"""Averages that do not exist because the integrand has a pole, or is not real, somewhere on the real line."""

from __future__ import annotations

from sympy import (
    Expr,
    FiniteSet,
    Interval,
    Pow,
    S,
    Set,
    Symbol,
    acos,
    acosh,
    asin,
    atanh,
    cos,
    cot,
    csc,
    limit,
    log,
    sec,
    sin,
    solveset,
    tan,
)

from derive.errors import AverageDoesNotExist, DerivationError
from derive.text import text

_POLES = (tan, cot, sec, csc)
_HALF_DEFINED = (log, asin, acos, atanh, acosh)
_PROBES = ("-2.3", "-0.7", "0.6", "1.9")
"""Values a field takes with positive probability; one of them shows what is not real on one side or outside 1."""


def refuse_poles(argument: Expr, fields: frozenset[Symbol]) -> None:
    """Raise AverageDoesNotExist for a pole of first or higher order in a field, DerivationError where not real.

    Weaker singularities (1/sqrt|u|, log|u|) are integrable.  Zeros that sympy cannot find are left to the quadrature,
    which refuses what is not finite.
    """
    for factor in argument.atoms(Pow, *_POLES, *_HALF_DEFINED):
        inside = sorted(factor.free_symbols & fields, key=str)
        if not inside:
            continue
        field = inside[0]
        if not _real(factor, fields):
            raise DerivationError(f"cannot average {text(factor)}: it is not real at every value of {field}")
        if isinstance(factor, Pow) and not factor.exp.is_negative:
            continue
        if _pole(argument, _zeros(factor, field), field):
            raise AverageDoesNotExist(
                f"the average of {text(argument)} does not exist: {text(factor)} has a pole that is not integrable"
            )


def _real(factor: Expr, fields: frozenset[Symbol]) -> bool:
    """Whether a factor without parameters is real at the probes."""
    whole = isinstance(factor, Pow) and factor.exp.is_integer
    if whole or isinstance(factor, _POLES) or factor.free_symbols - fields:
        return True
    values = (factor.xreplace(dict.fromkeys(fields, S(probe))).evalf() for probe in _PROBES)
    return all(value.is_extended_real is not False for value in values)


def _zeros(factor: Expr, field: Symbol) -> Set:
    """Where on the real line, near zero, a factor may be infinite."""
    if isinstance(factor, Pow):
        base = factor.base
    elif isinstance(factor, (tan, sec)):
        base = cos(factor.args[0])
    elif isinstance(factor, (cot, csc)):
        base = sin(factor.args[0])
    else:
        return S.EmptySet
    zeros = solveset(base, field, S.Reals)
    return zeros if isinstance(zeros, FiniteSet) else zeros.intersect(Interval(-4, 4))


def _pole(argument: Expr, zeros: Set, field: Symbol) -> bool:
    if not isinstance(zeros, FiniteSet):
        return False
    return any(limit((field - zero) * argument, field, zero) != 0 for zero in zeros)
