"""Calculus with sums over unit indices: derivatives, products, and sums whose sizes stay symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import NamedTuple

from sympy import Add, Dummy, Expr, Indexed, IndexedBase, Mul, Pow, S, Sum, Symbol, sympify

from derive.errors import DerivationError
from derive.symbols import K

STUDENT_NAMES = ("k", "l", "p", "q")
TEACHER_NAMES = ("m", "r", "s", "u")


class Summand(NamedTuple):
    """sum over ``limits`` (pairs of index and size) of ``body``."""

    limits: tuple[tuple[Symbol, Expr], ...]
    body: Expr

    def total(self) -> Expr:
        return (
            Sum(self.body, *((index, 1, size) for index, size in self.limits)) if self.limits else self.body
        )


def index_symbol(name: str) -> Symbol:
    return Symbol(name, integer=True, positive=True)


def fresh_names(size: Expr) -> Iterator[Symbol]:
    """Index names in order: k, l, p, q, k5, ... for students and m, r, s, u, ... for teachers."""
    names = STUDENT_NAMES if size == K else TEACHER_NAMES
    for number in count():
        yield index_symbol(names[number] if number < len(names) else f"{names[0]}{number + 1}")


def summands(expression: Expr) -> list[Summand]:
    """Write an expression as a list of multiple sums of products, with every bound index distinct.

    Raises DerivationError when a sum over units stands inside a function or a non-integer power, where no
    average over single units can reach it.
    """
    expression = sympify(expression)
    if not expression.has(Sum):
        return [Summand((), expression)]
    if isinstance(expression, Add):
        return [s for part in expression.args for s in summands(part)]
    if isinstance(expression, Mul):
        out = [Summand((), S.One)]
        for factor in expression.args:
            out = [_product(a, b) for a in out for b in summands(factor)]
        return out
    if isinstance(expression, Pow) and expression.exp.is_Integer and expression.exp > 0:
        return summands_product([expression.base] * int(expression.exp))
    if isinstance(expression, Sum):
        inner = summands(expression.function)
        limits = [(limit[0], limit[2] - limit[1] + 1) for limit in expression.limits]
        return [_fresh(Summand((*s.limits, *limits), s.body)) for s in inner]
    raise DerivationError(
        f"a sum over units inside {expression.func.__name__} cannot be averaged unit by unit; "
        "write the loss as a polynomial in the sums, or use one unit"
    )


def summands_product(factors: Iterable[Expr]) -> list[Summand]:
    out = [Summand((), S.One)]
    for factor in factors:
        out = [_product(a, b) for a in out for b in summands(factor)]
    return out


def _fresh(s: Summand) -> Summand:
    rename = {index: Dummy(index.name, integer=True, positive=True) for index, _ in s.limits}
    return Summand(tuple((rename[index], size) for index, size in s.limits), s.body.xreplace(rename))


def _product(a: Summand, b: Summand) -> Summand:
    b = _fresh(b)
    return Summand((*a.limits, *b.limits), a.body * b.body)


def tidy(s: Summand, taken: Iterable[Symbol] = ()) -> Summand:
    """Give the bound indices short names, students' first, avoiding those taken."""
    rename: dict[Symbol, Symbol] = {}
    limits = []
    used = set(taken)
    for index, size in sorted(s.limits, key=lambda limit: str(limit[1])):
        name = next(n for n in fresh_names(size) if n not in used)
        used.add(name)
        rename[index] = name
        limits.append((name, size))
    return Summand(tuple(limits), s.body.xreplace(rename))


def derivative(expression: Expr, base: IndexedBase, indices: tuple[Symbol, ...]) -> Expr:
    """d expression / d base[indices], for indices that are free and distinct in value from all others.

    ``derivative(f, Q, (i, i))`` is along the diagonal entry Q_ii; ``(i, j)`` along Q_ij = Q_ji, i != j.
    """
    expression = sympify(expression)
    if not any(a.base == base for a in expression.atoms(Indexed)):
        return S.Zero
    if not expression.has(Sum):
        raise DerivationError(f"{base} must stand inside a sum over units, in {expression}")
    if not isinstance(expression, Sum):
        sums = sorted((s for s in _outer_sums(expression)), key=str)
        names = {s: Dummy(f"sum{k}") for k, s in enumerate(sums)}
        outer = expression.xreplace(names)
        if any(a.base == base for a in outer.atoms(Indexed)):
            raise DerivationError(f"{base} must stand inside a sum over units, in {expression}")
        return Add(
            *(
                outer.diff(name).xreplace({n: s for s, n in names.items()}) * derivative(s, base, indices)
                for s, name in names.items()
            )
        )
    total: Expr = S.Zero
    for s in summands(expression):
        for atom in sorted((a for a in s.body.atoms(Indexed) if a.base == base), key=str):
            for target in _orders(atom, indices):
                total += _pick(s, atom, target)
    return total


def _orders(atom: Indexed, indices: tuple[Symbol, ...]) -> list[tuple[Symbol, ...]]:
    symmetric = atom.base.label.name == "Q" and len(indices) == 2 and indices[0] != indices[1]
    return [indices, indices[::-1]] if symmetric else [indices]


def _pick(s: Summand, atom: Indexed, target: tuple[Symbol, ...]) -> Expr:
    """The part of d(sum)/d base[target] where the atom's own indices take the target's values."""
    rename: dict[Symbol, Symbol] = {}
    for own, value in zip(atom.indices, target, strict=True):
        if rename.setdefault(own, value) != value:
            return S.Zero  # Q[i,i] never is Q_ij with i != j
    bound = {index for index, _ in s.limits}
    if not set(rename) <= bound:
        raise DerivationError(f"{atom} is not summed over its indices")
    if len(target) == 2 and target[0] == target[1] and len(rename) == 2:
        return S.Zero  # an off-diagonal pair: its own diagonal has measure zero in the definition
    mark = Dummy("mark", real=True)
    slope = s.body.xreplace({atom: mark}).diff(mark).xreplace({mark: atom})
    limits = tuple((index, size) for index, size in s.limits if index not in rename)
    return Summand(limits, slope.xreplace(rename)).total()


def _outer_sums(expression: Expr) -> set[Sum]:
    if isinstance(expression, Sum):
        return {expression}
    return set().union(*(_outer_sums(a) for a in expression.args)) if expression.args else set()


def map_sums(expression: Expr, function: Callable[[Expr], Expr]) -> Expr:
    """Apply a function to the summand of every (flattened) sum, and put the sums back."""
    return Add(*(Summand(s.limits, function(s.body)).total() for s in map(tidy, summands(expression))))
