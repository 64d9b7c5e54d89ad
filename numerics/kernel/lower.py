"""From sympy to nodes.  Knows sympy, knows no target.

Two things are recognized here because later no pass could: an arcsine of a ratio n / sqrt(d), which near
|ratio| = 1 must be computed from d - n^2 and never from the rounded ratio, and an index comparison, which
selects terms of a sum.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import sympy
from sympy.functions.special.tensor_functions import KroneckerDelta

from numerics.kernel.ir import Graph, Index, Node, bound_index
from numerics.runtime.errors import InputError
from numerics.special.quadrature import rule as quadrature_rule

CALLS: dict[Any, str] = {
    sympy.exp: "exp",
    sympy.log: "log",
    sympy.sin: "sin",
    sympy.cos: "cos",
    sympy.tan: "tan",
    sympy.tanh: "tanh",
    sympy.sinh: "sinh",
    sympy.cosh: "cosh",
    sympy.atan: "atan",
    sympy.atan2: "atan2",
    sympy.erf: "erf",
    sympy.erfc: "erfc",
    sympy.Abs: "fabs",
    sympy.sign: "sign",
}


class Lowering:
    """Lowers expressions into one graph and notes the shapes of the arrays it meets."""

    def __init__(self, graph: Graph, size_names: Iterable[str]) -> None:
        self.graph = graph
        self.size_names = set(size_names)
        self.sizes: dict[str, str] = {}
        self.arrays: dict[str, list[str | None]] = {}
        self.scalars: dict[str, None] = {}
        self.constants: dict[str, np.ndarray] = {}
        self._names: dict[sympy.Symbol, str] = {}
        self._fields: dict[sympy.Symbol, Node] = {}
        self._done: dict[tuple[Any, ...], Node] = {}

    def __call__(self, expression: sympy.Expr, indices: Mapping[sympy.Symbol, tuple[str, str]]) -> Node:
        """The node of ``expression``, whose free indices get the given names and sizes."""
        self._names = {symbol: name for symbol, (name, _) in indices.items()}
        self.sizes = dict(indices.values())
        self._done.clear()
        return self._lower(sympy.sympify(expression))

    def _lower(self, e: sympy.Basic) -> Node:
        node = self._done.get(e)
        if node is None:
            node = self._done[e] = self._lower_new(e)
        return node

    def _lower_new(self, e: sympy.Basic) -> Node:
        graph = self.graph
        if isinstance(e, sympy.Rational):
            return graph.const(Fraction(int(e.p), int(e.q)))
        if isinstance(e, sympy.Number | sympy.NumberSymbol):
            return graph.const(float(e))
        if isinstance(e, sympy.Indexed):
            return self._leaf(e)
        if isinstance(e, sympy.Symbol):
            if e in self._fields:
                return self._fields[e]
            if e in self._names:
                raise InputError(
                    f"the index {e} stands as a number in an expression; only arrays take indices"
                )
            if e.name in self.size_names:
                return graph.size(e.name)
            self.scalars[e.name] = None
            return graph.scalar(e.name)
        if isinstance(e, sympy.Add):
            return graph.add(self._lower(a) for a in e.args)
        if isinstance(e, sympy.Mul):
            return graph.mul(self._lower(a) for a in e.args)
        if isinstance(e, sympy.Pow):
            return self._power(e)
        if isinstance(e, sympy.Sum):
            return self._sum(e)
        if isinstance(e, sympy.asin | sympy.acos):
            angle = self._arcsine(e.args[0])
            if isinstance(e, sympy.asin):
                return angle
            return graph.add((graph.const(float(sympy.pi / 2)), graph.scale(Fraction(-1), angle)))
        if isinstance(e, sympy.Max | sympy.Min):
            name = "fmax" if isinstance(e, sympy.Max) else "fmin"
            node = self._lower(e.args[0])
            for other in e.args[1:]:
                node = graph.call(name, (node, self._lower(other)))
            return node
        if isinstance(e, sympy.Heaviside):
            at_zero = e.args[1] if len(e.args) > 1 else sympy.Rational(1, 2)
            return graph.call("heaviside", (self._lower(e.args[0]), self._lower(at_zero)))
        if isinstance(e, KroneckerDelta):
            return graph.same(self._index(e.args[0]), self._index(e.args[1]))
        if isinstance(e, sympy.Piecewise):
            return self._piecewise(e)
        if type(e) in CALLS:
            return graph.call(CALLS[type(e)], (self._lower(a) for a in e.args))
        if type(e).__name__ == "FourSigns":
            return graph.call("four_signs", (graph.call("correlation", self._ratio(a)) for a in e.args))
        if type(e).__name__ == "GaussianAverage":
            return self._average(e)
        raise InputError(f"cannot lower {type(e).__name__} in {str(e)[:80]!r} to a kernel")

    def _index(self, i: sympy.Basic) -> Index:
        if isinstance(i, sympy.Integer):
            return int(i) - 1
        if i in self._names:
            return self._names[i]
        raise InputError(f"index {i} is bound by no sum and is no index of the output")

    def _leaf(self, e: sympy.Indexed) -> Node:
        name = identifier(str(e.base.label))
        indices = tuple(self._index(i) for i in e.indices)
        shape = self.arrays.setdefault(name, [None] * len(indices))
        if len(shape) != len(indices):
            raise InputError(
                f"array {name} has {len(shape)} indices in one place and {len(indices)} in another"
            )
        for axis, i in enumerate(indices):
            size = self.sizes[i] if isinstance(i, str) else shape[axis]
            if shape[axis] not in (None, size):
                raise InputError(
                    f"axis {axis} of array {name} runs to {shape[axis]} in one place and to {size} in another"
                )
            shape[axis] = size
        return self.graph.leaf(name, indices)

    def _power(self, e: sympy.Pow) -> Node:
        base, exponent = e.args
        if base is sympy.E:
            return self.graph.call("exp", (self._lower(exponent),))
        if isinstance(exponent, sympy.Rational):
            return self.graph.power(self._lower(base), Fraction(int(exponent.p), int(exponent.q)))
        log = self.graph.call("log", (self._lower(base),))
        return self.graph.call("exp", (self.graph.mul((self._lower(exponent), log)),))

    def _sum(self, e: sympy.Sum) -> Node:
        """Bound indices are named by how many reductions stand inside, so equal sums get equal nodes."""
        body, limits = e.args[0], e.args[1:]
        for symbol, low, high in limits:
            if low != 1 or not isinstance(high, sympy.Symbol | sympy.Integer):
                raise InputError(
                    f"the sum over {symbol} runs from {low} to {high}; sums run from 1 to a size"
                )
        levels = _levels(body)
        outer_names, outer_done = self._names, self._done
        self._names, self._done = dict(outer_names), {}
        reductions = []
        for symbol, _, high in limits:
            index = bound_index(levels)
            levels += 1
            self._names[symbol] = index
            reductions.append((index, str(high)))
        outer_sizes, self.sizes = self.sizes, {**self.sizes, **dict(reductions)}
        node = self._lower(body)
        for index, size in reductions:
            node = self.graph.reduce(node, index, size)
        self.sizes = outer_sizes
        self._names, self._done = outer_names, outer_done
        return node

    def _average(self, e: Any) -> Node:
        """A Gaussian average as nested sums over the nodes of a product rule, with fields u = L z.

        L is the Cholesky factor of the covariance; a pivot that is rounding of a collinear field counts as 0.
        """
        graph, fields = self.graph, list(e.fields)
        kind, nodes = _rule(e.expression, fields)
        covariance = [[self._lower(c) for c in e.covariance.row(r)] for r in range(len(fields))]
        factor = self._cholesky(covariance)
        name = f"{kind}_{nodes}"
        positions, weights = quadrature_rule(kind, nodes)
        self.constants |= {f"{name}_node": positions, f"{name}_weight": weights}
        for constant in (f"{name}_node", f"{name}_weight"):
            self.arrays[constant] = [str(nodes)]
        levels = _levels(e.expression)
        # The first field is the outermost sum.
        indices = [bound_index(levels + k) for k in reversed(range(len(fields)))]
        z = [graph.leaf(f"{name}_node", (index,)) for index in indices]
        values = {
            u: graph.add(graph.mul((a, b)) for a, b in zip(row, z, strict=False))
            for u, row in zip(fields, factor, strict=True)
        }
        outer, self._fields = self._fields, {**self._fields, **values}
        outer_done, self._done = self._done, {}
        node = self._lower(e.expression)
        self._fields, self._done = outer, outer_done
        for index in reversed(indices):
            weight = graph.leaf(f"{name}_weight", (index,))
            node = graph.reduce(graph.mul((weight, node)), index, str(nodes))
        return node

    def _cholesky(self, covariance: list[list[Node]]) -> list[list[Node]]:
        """The rows of the lower factor; the row and column of a pivot below 4e-16 of its variance are 0."""
        graph = self.graph

        # Grouped, so that no pass multiplies the factors out.
        def minus(a: Node, products: Iterable[tuple[Node, Node]]) -> Node:
            negated = [graph.group("mul", (graph.const(Fraction(-1)), x, y)) for x, y in products]
            return graph.group("add", (a, *negated))

        rows: list[list[Node]] = []
        pivots: list[Node] = []
        for r, line in enumerate(covariance):
            row: list[Node] = []
            for c in range(r):
                rest = minus(line[c], zip(row, rows[c], strict=False))
                row.append(graph.group("mul", (rest, graph.call("rsqrt_or_zero", (pivots[c],)))))
            pivot = minus(line[r], ((x, x) for x in row))
            floor = graph.scale(4e-16, line[r])
            pivots.append(graph.call("select", (graph.call("less", (floor, pivot)), pivot, graph.zero)))
            row.append(graph.unary("sqrt", pivots[r]))
            rows.append(row)
        return rows

    def _arcsine(self, argument: sympy.Expr) -> Node:
        return self.graph.call("arcsine", self._ratio(argument))

    def _ratio(self, argument: sympy.Expr) -> tuple[Node, Node, Node]:
        """n, d1, d2 of an argument n / sqrt(d1 d2); a plain one has d1 = d2 = 1."""
        graph = self.graph
        numerator: list[Node] = []
        denominators: list[Node] = []
        for factor in sympy.Mul.make_args(argument):
            base, exponent = factor.as_base_exp()
            if isinstance(factor, sympy.Rational) or not exponent.is_Rational or exponent > 0:
                numerator.append(self._lower(factor))
                continue
            twice = -2 * exponent
            if not twice.is_Integer:
                numerator.append(self._lower(factor))
                continue
            for part in sympy.Mul.make_args(base):
                node = self._lower(part)
                denominators += [node] * int(twice)
                if exponent.is_Integer and exponent % 2 == 1 and not part.is_nonnegative:
                    numerator.append(graph.call("sign", (node,)))
        # Balanced halves: with two variances below the root these are the variances themselves.
        denominators.sort(key=lambda n: n.serial)
        d1, d2 = graph.mul(denominators[0::2]), graph.mul(denominators[1::2])
        return graph.mul(numerator), d1, d2

    def _piecewise(self, e: sympy.Piecewise) -> Node:
        *cases, last = e.args
        node = self._lower(last[0])
        if last[1] is not sympy.true:
            raise InputError(f"a Piecewise without a last case for everything else: {str(e)[:80]!r}")
        for value, condition in reversed(cases):
            node = self.graph.call("select", (self._condition(condition), self._lower(value), node))
        return node

    def _condition(self, c: sympy.Basic) -> Node:
        """A condition as a number, 1 where it holds and 0 where it does not."""
        graph = self.graph
        if isinstance(c, sympy.And | sympy.Or):
            parts = [self._condition(a) for a in c.args]
            if isinstance(c, sympy.And):
                return graph.mul(parts)
            return graph.call("sign", (graph.add(parts),))
        if isinstance(c, sympy.Not):
            return graph.add((graph.one, graph.scale(Fraction(-1), self._condition(c.args[0]))))
        if not isinstance(c, sympy.core.relational.Relational):
            raise InputError(f"cannot lower the condition {c}")
        left, right = c.args
        if isinstance(c, sympy.Eq | sympy.Ne):
            if left in self._names or right in self._names:
                equal = graph.same(self._index(left), self._index(right))
            else:
                equal = graph.call("equal", (self._lower(left), self._lower(right)))
            return (
                equal if isinstance(c, sympy.Eq) else graph.add((graph.one, graph.scale(Fraction(-1), equal)))
            )
        a, b = self._lower(left), self._lower(right)
        if isinstance(c, sympy.Gt | sympy.Ge):
            a, b = b, a
        return graph.call("less" if isinstance(c, sympy.Gt | sympy.Lt) else "less_equal", (a, b))


def identifier(name: str) -> str:
    """A name as generated source can hold it: Q' becomes Q_prime."""
    return re.sub(r"\W", "_", name.replace("'", "_prime"))


def size_names(expression: sympy.Basic) -> set[str]:
    """The symbols that bound a sum in an expression."""
    return {
        str(high)
        for total in expression.atoms(sympy.Sum)
        for _, _, high in total.limits
        if isinstance(high, sympy.Symbol)
    }


def _levels(e: sympy.Basic) -> int:
    """How many nested sums stand in an expression, at most; an average is a sum for each of its fields."""
    if type(e).__name__ == "GaussianAverage":
        inside = _levels(e.args[0]) + len(e.args[1])
        return max(inside, max((_levels(c) for c in e.args[2]), default=0))
    below = max((_levels(a) for a in e.args), default=0)
    return below + len(e.args[1:]) if isinstance(e, sympy.Sum) else below


NODES = {1: 256, 2: 128, 3: 48, 4: 20}
"""Nodes per field.  One and two fields reach 1e-12 for tanh at variances up to 5; the trapezoidal error
exp(-2 pi d / step), with d = pi / (2 sqrt(variance)), is 1e-11 at unit variance for three fields, 2e-5 for
four."""


def _rule(expression: sympy.Expr, fields: list[sympy.Symbol]) -> tuple[str, int]:
    """The rule for an average of so many fields; one field may have a kink at 0."""
    count = len(fields)
    if count not in NODES:
        raise InputError(f"an average over {count} fields is beyond quadrature in a kernel (at most 4)")
    kinked = expression.has(sympy.sign, sympy.Heaviside, sympy.Abs, sympy.Max, sympy.Min)
    if kinked and count > 1:
        raise InputError(
            f"a kernel has no rule for a kinked average of {count} fields: {str(expression)[:80]}"
        )
    return ("kinked" if kinked else "analytic"), NODES[count]
