"""Minors that cancel: a difference within the rounding of its terms counts as zero.

Where fields coincide (i = j in a sum over units) a minor of their covariance is zero and its computed value
is rounding; a square root would turn 1e-16 of it into 1e-8.  Every term of such a minor is bounded by the
product of its diagonal entries, so the all-positive terms of the polynomial give the scale of its rounding.
Minors with a positive constant (those of erf: 1 + tau Q_ii ...) are bounded away from zero and left alone.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from numerics.kernel.ir import Graph, Node
from numerics.kernel.passes.polynomials import as_polynomial

NOISE = 2.0**-48
"""The rounding of a minor of four fields relative to its scale: sixteen units of roundoff."""


def guard_cancellation(graph: Graph, node: Node) -> Node:
    """Minors below roots, and the sines and cosines of arcsines, with their rounding taken as zero."""

    def change(n: Node) -> Node:
        if n.op in ("sqrt", "rsqrt", "inv"):
            guarded, scale = _snapped(graph, n.args[0])
            if scale is None:
                return n
            if n.op == "sqrt":
                return graph.unary("sqrt", guarded)
            # Over a minor that vanishes stands a numerator that vanishes faster: the quotient is 0.
            root = graph.call("rsqrt_or_zero", (guarded,))
            return root if n.op == "rsqrt" else graph.mul((root, root))
        if n.op == "call" and n.data == "arcsine":
            sine, *variances = n.args
            (d1, s1), (d2, s2) = (_snapped(graph, d) for d in variances)
            if s1 is None and s2 is None:
                return n
            noise = graph.add(
                graph.mul((graph.const(NOISE), s, d)) for s, d in ((s1, d2), (s2, d1)) if s is not None
            )
            return graph.call("arcsine", (sine, d1, d2, noise))
        return n

    return graph.transform(node, change)


def _snapped(graph: Graph, node: Node) -> tuple[Node, Node | None]:
    """A product with its cancelling sums snapped to zero, and the scale of its rounding."""
    factors = node.args if node.op == "mul" else (node,)
    out, scales, cancels = [], [], False
    for factor in factors:
        scale = _scale(graph, factor) if factor.op == "add" else None
        cancels = cancels or scale is not None
        scales.append(factor if scale is None else scale)
        if scale is None:
            out.append(factor)
        else:
            out.append(graph.call("snap", (factor, graph.mul((graph.const(NOISE), scale)))))
    return (graph.mul(out), graph.mul(scales)) if cancels else (node, None)


def _scale(graph: Graph, node: Node) -> Node | None:
    """The sum of the positive terms of a polynomial that has negative terms and no positive constant."""
    polynomial = as_polynomial(node)
    if polynomial is None or polynomial.get((), Fraction(0)) > 0 or all(c > 0 for c in polynomial.values()):
        return None
    positive = [graph.scale(c, graph.mul(m)) for m, c in polynomial.items() if c > 0 and _nonnegative(m)]
    return graph.add(positive) if positive else None


def _nonnegative(monomial: tuple[Node, ...]) -> bool:
    """Whether a product of squares, variances, roots and scalars cannot be negative."""
    return all(count % 2 == 0 or _variance(factor) for factor, count in Counter(monomial).items())


def _variance(node: Node) -> bool:
    if node.op == "leaf":
        indices = node.data[1]
        return len(indices) == 2 and indices[0] == indices[1]
    return node.op in ("scalar", "size", "sqrt", "rsqrt") or (node.op == "call" and node.data == "snap")
