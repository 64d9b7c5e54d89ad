"""Energies from what a user wrote: a loss of one or two students' fields, by the names of its symbols."""

from __future__ import annotations

from typing import Any

from sympy import Expr, Indexed, Integer, S, Sum, Symbol, sympify

from derive.errors import DerivationError
from derive.replica import symbols
from derive.replica.energy import Energy
from derive.replica.pair import PairEnergy
from derive.replica.pair import symbols as pair
from derive.replica.symbols import noise

MOST = 2
"""Students' fields, and teachers' fields."""


def read_loss(
    given: Any, name: str, students: int | None = None, teachers: int | None = None
) -> Energy | PairEnergy:
    """An energy from what a user wrote: an ``Energy`` or ``PairEnergy``, a loss, or an object with a ``loss`` and
    any of ``error``, ``prior``, ``precision``, ``students``, ``teachers``.

    A loss is written in x (or x1, x2), y (or y1, y2) and noise, or in x[i], y[n] and sums over K students and M
    teachers: as many as ``students`` and ``teachers``, or as the object says, or else as the highest index.
    Without an error of its own the loss without noise is taken; without a prior, a Gaussian one.

    Raises DerivationError for a loss with other symbols, and for other numbers of students or teachers.
    """
    if isinstance(given, Energy | PairEnergy):
        return given
    loss = _expression(getattr(given, "loss", given), name)
    K = _count(students or getattr(given, "students", None), loss, "x", name)
    M = _count(teachers or getattr(given, "teachers", None), loss, "y", name)
    if M > K:
        raise DerivationError(
            f"{name} has two teachers and one student: replicas of one student take one teacher"
        )
    error = getattr(given, "error", None)
    prior: Any = getattr(given, "prior", "gaussian")
    precision = sympify(getattr(given, "precision", 0))
    if prior not in ("gaussian", "spherical"):
        raise DerivationError(f"the prior of {name} must be 'gaussian' or 'spherical', not {prior!r}")
    if not precision.is_number or precision < 0:
        raise DerivationError(f"the precision of {name} must be a number of at least 0, not {precision}")
    plain = _plain(loss, name, K, M)
    cost = plain.xreplace({noise: S.Zero}) if error is None else _plain(_expression(error, name), name, K, M)
    fields = [symbols.x] if K == 1 else list(pair.x)
    for field in fields:
        if not plain.has(field):
            raise DerivationError(f"{name} does not depend on the student's field {field}")
    if K == 1:
        return Energy(name, plain, cost, prior, precision)
    return PairEnergy(name, plain, cost, M, prior, precision)


def _expression(given: Any, name: str) -> Expr:
    try:
        expression = sympify(given)
    except Exception:
        raise DerivationError(f"{name} is not an expression") from None
    if not isinstance(expression, Expr):
        raise DerivationError(f"{name} is not an expression but a {type(expression).__name__}")
    return expression


def _count(given: Any, loss: Expr, base: str, name: str) -> int:
    """How many fields of a base there are: as given, or the highest index."""
    if given is None:
        second = any(s.name == f"{base}2" for s in loss.free_symbols if isinstance(s, Symbol))
        indices = [e.indices[-1] for e in loss.atoms(Indexed) if str(e.base.label) == base]
        numbers = [int(i) for i in indices if i.is_Integer]
        return _count(max(2 if second else 1, *numbers, 1), loss, base, name)
    if given not in range(1, MOST + 1):
        raise DerivationError(f"{name}: replicas take one or two students and teachers, not {given}")
    return int(given)


def _plain(expression: Expr, name: str, students: int, teachers: int) -> Expr:
    """The expression in the engine's symbols; second layers are one."""
    sizes = {"K": students, "M": teachers}
    single = {s: Integer(sizes[s.name]) for s in expression.free_symbols if getattr(s, "name", "") in sizes}
    expression = expression.xreplace(single).replace(lambda e: isinstance(e, Sum), lambda e: e.doit())
    x = pair.x if students == 2 else (symbols.x,)
    y = pair.y if students == 2 else (symbols.y,)
    fields = {("x", k + 1): s for k, s in enumerate(x)} | {
        ("y", k + 1): s for k, s in enumerate(y[:teachers])
    }
    for atom in expression.atoms(Indexed):
        base, index = str(atom.base.label), atom.indices[-1]
        number = int(index) if index.is_Integer else 0
        size = {"w": students, "v": teachers}.get(base, 0)
        if (base, number) not in fields and not 1 <= number <= size:
            raise DerivationError(
                f"{name} holds {atom}; replicas take the fields x[1], x[2] of at most two students and y[1], y[2] "
                "of at most as many teachers"
            )
        expression = expression.xreplace({atom: fields.get((base, number), Integer(1))})
    plain = {f"{base}{k}": s for (base, k), s in fields.items()} | {"noise": noise}
    plain |= {base: fields[base, 1] for base in ("x", "y") if (base, 2) not in fields}
    for symbol in expression.free_symbols:
        if not isinstance(symbol, Symbol) or symbol.name not in plain:
            words = ", ".join(sorted(plain))
            raise DerivationError(f"{name} holds the symbol {symbol}; a loss is written in {words}")
        expression = expression.xreplace({symbol: plain[symbol.name]})
    return expression
