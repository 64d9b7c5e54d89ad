"""Names for subexpressions: what equals another up to the names of its unit indices shares its letter.

The bordered minors of a flow, say, come back with other indices all over a right-hand side: D_{ij}, D_{ik},
D_{jk} are one polynomial, and the list "where" states it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from sympy import Add, Dummy, Expr, Indexed, IndexedBase, Mul, Sum, Symbol, preorder_traversal

from derive.gaussian.unevaluated import GaussianAverage

OPERATIONS = 6
"""Subexpressions of this many operations or more are named."""

LETTERS = "DEFGHABCUVWXYZPL"
SYMMETRIC = {"Q", "T"}
MOST_INDICES = 5


@dataclass(frozen=True)
class Named:
    """``symbol`` stands for ``expression``; its indices stand for any others."""

    symbol: Expr
    expression: Expr


class Names:
    """Hands out names within one equation and remembers what they stand for."""

    def __init__(self, *expressions: Expr) -> None:
        self._taken = {str(s) for e in expressions for s in e.free_symbols if not isinstance(s, Indexed)}
        self._known: dict[str, tuple[str, tuple[Symbol, ...]]] = {}
        self._letters = self._fresh()
        self.where: list[Named] = []

    def name(self, expression: Expr) -> Expr:
        """A symbol for ``expression``, carrying the unit indices that occur in it."""
        key, indices = canonical(expression)
        if key not in self._known:
            letter = next(self._letters)
            self._known[key] = (letter, indices)
            self.where.append(Named(_symbol(letter, indices), expression))
        return _symbol(self._known[key][0], indices)

    def shorten(self, expression: Expr) -> Expr:
        """Name every nested sum of six operations or more that holds no sum over units and no average.

        What stands at the outer level, including brackets around sums over units, stays: rows break there.
        """
        if expression.is_Add:
            return Add(*(self.shorten(a) for a in expression.args), evaluate=False)
        if isinstance(expression, Mul):
            return Mul(*(self.shorten(a) if _open(a) else self._inside(a) for a in expression.args))
        if isinstance(expression, Sum):
            return Sum(self.shorten(expression.function), *expression.limits)
        return self._inside(expression)

    def _inside(self, expression: Expr) -> Expr:
        if not expression.args or isinstance(expression, Indexed | GaussianAverage):
            return expression
        if isinstance(expression, Sum):
            return Sum(self._inside(expression.function), *expression.limits)
        short = expression.func(*(self._inside(a) for a in expression.args))
        if short.is_Add and not short.has(Sum, GaussianAverage) and operations(short) >= OPERATIONS:
            return self.name(short)
        return short

    def _fresh(self) -> Iterator[str]:
        prime = ""
        while True:
            yield from (letter + prime for letter in LETTERS if letter + prime not in self._taken)
            prime += "'"


def _open(expression: Expr) -> bool:
    return bool(expression.has(Sum, GaussianAverage)) and (expression.is_Add or isinstance(expression, Sum))


def _symbol(letter: str, indices: tuple[Symbol, ...]) -> Expr:
    return IndexedBase(letter)[indices] if indices else Symbol(letter)


def operations(expression: Expr) -> int:
    """The number of operations, an indexed symbol counting as a symbol."""
    plain = {a: Dummy() for a in expression.atoms(Indexed)}
    return int(expression.xreplace(plain).count_ops())


def canonical(expression: Expr) -> tuple[str, tuple[Symbol, ...]]:
    """A text that expressions equal up to renaming unit indices share, and the indices in its order."""
    indices = sorted(
        {s for a in expression.atoms(Indexed) for index in a.indices for s in index.free_symbols}
        - {limit[0] for total in expression.atoms(Sum) for limit in total.limits},
        key=str,
    )
    if len(indices) > MOST_INDICES:
        return _text(expression, {}), tuple(indices)
    best: tuple[str, tuple[Symbol, ...]] | None = None
    for order in permutations(indices):
        text = _text(expression, {s: f"#{k}" for k, s in enumerate(order)})
        if best is None or text < best[0]:
            best = text, order
    assert best is not None  # there is at least the empty order
    return best


def _text(expression: Expr, places: dict[Symbol, str]) -> str:
    if isinstance(expression, Indexed):
        indices = [places.get(i, str(i)) for i in expression.indices]
        if str(expression.base) in SYMMETRIC:
            indices.sort()
        return f"{expression.base}[{','.join(indices)}]"
    if isinstance(expression, Dummy):
        return f"{expression}.{expression.dummy_index}"
    if not expression.args:
        return places.get(expression, str(expression))
    parts = [_text(a, places) for a in expression.args]
    if isinstance(expression, Add | Mul):
        parts.sort()
    return f"{expression.func.__name__}({','.join(parts)})"


def visible(expression: Expr) -> Iterator[Expr]:
    """The subexpressions that are printed: of an average its argument only, of a sum its summand."""
    walk = preorder_traversal(expression)
    for part in walk:
        yield part
        if isinstance(part, Indexed):
            walk.skip()
        elif isinstance(part, GaussianAverage):
            walk.skip()
            yield from visible(part.expression)
        elif isinstance(part, Sum):
            walk.skip()
            yield from visible(part.function)
