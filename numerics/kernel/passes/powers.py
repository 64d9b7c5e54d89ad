"""Powers become products, square roots and reciprocals; roots of products become products of roots."""

from __future__ import annotations

from fractions import Fraction

from numerics.kernel.ir import Graph, Node


def reduce_powers(graph: Graph, node: Node) -> Node:
    """Every rational power by the cheapest operations; other exponents call the library."""

    def change(n: Node) -> Node:
        return _power(graph, n.args[0], n.data) if n.op == "pow" else n

    return graph.transform(node, change)


def _power(graph: Graph, base: Node, exponent: Fraction) -> Node:
    if exponent.denominator == 1:
        count = int(exponent)
        if count < 0:
            return graph.unary("inv", _integer_power(graph, base, -count))
        return _integer_power(graph, base, count)
    if exponent.denominator == 2:
        halves = exponent.numerator
        root = graph.unary("sqrt" if halves > 0 else "rsqrt", base)
        whole = (abs(halves) - 1) // 2
        other = base if halves > 0 else graph.mul((root, root))
        return graph.mul((root, _integer_power(graph, other, whole)))
    return graph.call("pow", (base, graph.const(exponent)))


def _integer_power(graph: Graph, base: Node, count: int) -> Node:
    """x^n as a product up to the cube, above by repeated squaring."""
    if count <= 3:
        return graph.mul((base,) * count)
    half = _integer_power(graph, base, count // 2)
    square = graph.group("mul", (half, half))
    return graph.group("mul", (square, base)) if count % 2 else square
