"""The intermediate representation: hash-consed nodes over named unit indices.

A node is an operation, its arguments, a payload, and the set of indices its value depends on.  Equal nodes
are one object within a Graph, so equality is identity and a common subexpression costs nothing to find.

Operations:
  const(value)            a Fraction or a float
  scalar(name)            a run-time number, one for a parameter set
  size(name)              a run-time size as a number
  leaf(name, indices)     an element of an input array; an index is a name or a number counted from 0
  same(i, j)              1 where two indices coincide, else 0
  weight(outer, inner)    1 on the diagonal and 2 off it: the multiplicity of a pair in a halved double sum
  add, mul                of two or more arguments, sorted
  pow(exponent)           a rational power, before strength reduction
  sqrt, rsqrt, inv        square root (clamped at 0), its reciprocal, reciprocal
  call(name)              a library function with one body per target
  reduce(index, size, bound)   sum over an index, up to and including `bound` where it is given
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, permutations
from typing import Any

Index = str | int
Number = Fraction | float


class Node:
    """One operation.  Made by a Graph, compared by identity."""

    __slots__ = ("args", "data", "free", "op", "serial")

    def __init__(self, op: str, args: tuple[Node, ...], data: Any, free: frozenset[str], serial: int) -> None:
        self.op, self.args, self.data, self.free, self.serial = op, args, data, free, serial

    def __repr__(self) -> str:
        return f"{self.op}{list(self.args)}{self.data if self.data is not None else ''}"


@dataclass(frozen=True)
class Target:
    """One array to compute: its name, its indices with their sizes, and the node of one element.

    ``symmetric``: the element is the same under exchange of its two indices, so only i <= j is computed.
    """

    name: str
    indices: tuple[str, ...]
    sizes: tuple[str, ...]
    node: Node
    symmetric: bool = False


def height(index: str) -> int:
    """How many reductions stand inside the one over ``index``; -1 for an index of the output."""
    return int(index[1:]) if index.startswith("%") else -1


def bound_index(level: int) -> str:
    """The name of the index of a reduction with ``level`` reductions inside it."""
    return f"%{level}"


def depth_order(indices: Iterable[str]) -> list[str]:
    """Indices from the outermost to the innermost: those of the output first, then by falling height."""
    return sorted(indices, key=lambda i: (0, 0, i) if height(i) < 0 else (1, -height(i), i))


class Graph:
    """Makes nodes, each one once, with the identities that always hold (constants folded, sums flattened).

    ``symmetric`` names the arrays whose elements do not change under exchange of their two indices.
    """

    def __init__(self, symmetric: Iterable[str] = ()) -> None:
        self.symmetric = frozenset(symmetric)
        self._known: dict[tuple[Any, ...], Node] = {}
        self.zero, self.one = self.const(Fraction(0)), self.const(Fraction(1))

    def _make(self, op: str, args: tuple[Node, ...], data: Any, free: frozenset[str]) -> Node:
        key = (op, tuple(a.serial for a in args), type(data).__name__, data)
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = Node(op, args, data, free, len(self._known))
        return node

    def const(self, value: Number) -> Node:
        """A number."""
        return self._make("const", (), value, frozenset())

    def scalar(self, name: str) -> Node:
        """A run-time number."""
        return self._make("scalar", (), name, frozenset())

    def size(self, name: str) -> Node:
        """A run-time size, as a number."""
        return self._make("size", (), name, frozenset())

    def leaf(self, name: str, indices: tuple[Index, ...]) -> Node:
        """An element of an array; of a symmetric one, the indices in one order."""
        if name in self.symmetric:
            indices = tuple(sorted(indices, key=str))
        return self._make("leaf", (), (name, indices), frozenset(i for i in indices if isinstance(i, str)))

    def same(self, i: Index, j: Index) -> Node:
        """1 where the indices coincide, else 0."""
        if i == j:
            return self.one
        if isinstance(i, int) and isinstance(j, int):
            return self.zero
        pair = tuple(sorted((i, j), key=str))
        return self._make("same", (), pair, frozenset(k for k in pair if isinstance(k, str)))

    def weight(self, outer: str, inner: str) -> Node:
        """How often the pair (outer, inner) stands in the full double sum."""
        return self._make("weight", (), (outer, inner), frozenset((outer, inner)))

    def add(self, terms: Iterable[Node]) -> Node:
        """A sum: flattened, constants folded, equal terms collected by their numeric factor."""
        parts: dict[Node, Number] = {}
        stack = [(t, Fraction(1)) for t in reversed(list(terms))]
        constant: Number = Fraction(0)
        while stack:
            term, factor = stack.pop()
            coefficient, rest = self.split_constant(term)
            if rest is self.one:
                constant = constant + factor * coefficient
            elif rest.op == "add" and coefficient == 1:
                stack.extend((t, factor) for t in reversed(rest.args))
            else:
                parts[rest] = parts.get(rest, Fraction(0)) + factor * coefficient
        out = [self.scale(c, n) for n, c in parts.items() if c != 0]
        if constant != 0:
            out.append(self.const(constant))
        if len(out) < 2:
            return out[0] if out else self.zero
        out.sort(key=lambda n: n.serial)
        return self._make("add", tuple(out), None, _union(out))

    def mul(self, factors: Iterable[Node]) -> Node:
        """A product: flattened, constants folded."""
        constant: Number = Fraction(1)
        flat: list[Node] = []
        stack = list(reversed(list(factors)))
        while stack:
            factor = stack.pop()
            if factor.op == "mul":
                stack.extend(reversed(factor.args))
            elif factor.op == "const":
                constant = constant * factor.data
            else:
                flat.append(factor)
        if constant == 0:
            return self.zero
        if constant != 1 or not flat:
            flat.append(self.const(constant))
        if len(flat) == 1:
            return flat[0]
        flat.sort(key=lambda n: n.serial)
        return self._make("mul", tuple(flat), None, _union(flat))

    def group(self, op: str, args: Iterable[Node]) -> Node:
        """A sum or product kept as it is given: an association that a pass has chosen."""
        parts = tuple(args)
        return parts[0] if len(parts) == 1 else self._make(op, parts, "grouped", _union(parts))

    def scale(self, factor: Number, node: Node) -> Node:
        """A number times a node."""
        return node if factor == 1 else self.mul((self.const(factor), node))

    def split_constant(self, node: Node) -> tuple[Number, Node]:
        """The numeric factor of a node and the rest."""
        if node.op == "const":
            return node.data, self.one
        if node.op == "mul" and node.data is None:
            constants = [a for a in node.args if a.op == "const"]
            if constants:
                return constants[0].data, self.mul(a for a in node.args if a.op != "const")
        return Fraction(1), node

    def power(self, base: Node, exponent: Fraction) -> Node:
        """A rational power."""
        if exponent == 1:
            return base
        if exponent == 0:
            return self.one
        if base.op == "const":
            if exponent.denominator == 1 and isinstance(base.data, Fraction):
                return self.const(base.data ** int(exponent))
            return self.const(float(base.data) ** float(exponent))
        return self._make("pow", (base,), exponent, base.free)

    def unary(self, op: str, arg: Node) -> Node:
        """sqrt, rsqrt or inv."""
        if arg.op == "const":
            value = {"sqrt": float(arg.data) ** 0.5, "rsqrt": float(arg.data) ** -0.5}.get(op)
            return self.const(1 / arg.data if value is None else value)
        return self._make(op, (arg,), None, arg.free)

    def call(self, name: str, args: Iterable[Node]) -> Node:
        """A library function; arguments that may be exchanged stand in one order."""
        parts = tuple(args)
        if name in ("arcsine", "correlation"):
            parts = (parts[0], *sorted(parts[1:3], key=lambda n: n.serial), *parts[3:])
        if name == "four_signs":
            parts = _sorted_fields(parts)
        return self._make("call", parts, name, _union(parts))

    def reduce(self, body: Node, index: str, size: str, bound: str | None = None) -> Node:
        """The sum of ``body`` over ``index`` from 1 to ``size``, or to ``bound``."""
        if body is self.zero:
            return self.zero
        if index not in body.free and bound is None:
            return self.mul((self.size(size), body))
        free = (body.free - {index}) | ({bound} if bound else set())
        return self._make("reduce", (body,), (index, size, bound), frozenset(free))

    def rebuild(self, node: Node, args: tuple[Node, ...]) -> Node:
        """The same operation on other arguments."""
        if args == node.args:
            return node
        match node.op:
            case "add" | "mul" if node.data == "grouped":
                return self.group(node.op, args)
            case "add":
                return self.add(args)
            case "mul":
                return self.mul(args)
            case "pow":
                return self.power(args[0], node.data)
            case "sqrt" | "rsqrt" | "inv":
                return self.unary(node.op, args[0])
            case "call":
                return self.call(node.data, args)
            case "reduce":
                return self.reduce(args[0], *node.data)
        return node

    def transform(self, node: Node, change: Callable[[Node], Node]) -> Node:
        """``change`` applied to every node, arguments first."""
        done: dict[Node, Node] = {}

        def visit(n: Node) -> Node:
            if n not in done:
                done[n] = change(self.rebuild(n, tuple(visit(a) for a in n.args)))
            return done[n]

        return visit(node)

    def rename(self, node: Node, names: Mapping[str, str]) -> Node:
        """The node with indices renamed, all at once.  Bound indices may be among them."""
        done: dict[Node, Node] = {}

        def new(i: Index) -> Index:
            return names.get(i, i) if isinstance(i, str) else i

        def visit(n: Node) -> Node:
            if n in done:
                return done[n]
            args = tuple(visit(a) for a in n.args)
            match n.op:
                case "leaf":
                    out = self.leaf(n.data[0], tuple(new(i) for i in n.data[1]))
                case "same":
                    out = self.same(*(new(i) for i in n.data))
                case "weight":
                    out = self.weight(*(names.get(i, i) for i in n.data))
                case "reduce":
                    index, size, bound = n.data
                    out = self.reduce(
                        args[0], names.get(index, index), size, names.get(bound, bound) if bound else None
                    )
                case _:
                    out = self.rebuild(n, args)
            done[n] = out
            return out

        return visit(node)


def _sorted_fields(correlations: tuple[Node, ...]) -> tuple[Node, ...]:
    """The six correlations of four fields, under the order of the fields with the smallest serials."""
    pairs = list(combinations(range(4), 2))
    where = dict(zip(pairs, correlations, strict=True))
    choices = [
        tuple(where[min(o[a], o[b]), max(o[a], o[b])] for a, b in pairs) for o in permutations(range(4))
    ]
    return min(choices, key=lambda choice: [c.serial for c in choice])


def _union(nodes: Iterable[Node]) -> frozenset[str]:
    return frozenset().union(*(n.free for n in nodes))


def walk(roots: Iterable[Node]) -> list[Node]:
    """Every node under the roots once, arguments first."""
    seen: dict[Node, None] = {}

    def visit(n: Node) -> None:
        if n not in seen:
            for a in n.args:
                visit(a)
            seen[n] = None

    for root in roots:
        visit(root)
    return list(seen)
