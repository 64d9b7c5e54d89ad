"""Products and roots split by index set, so that every part is computed at the loop it belongs to."""

from __future__ import annotations

from collections.abc import Iterable

from numerics.kernel.ir import Graph, Node, depth_order


def split_roots(graph: Graph, node: Node) -> Node:
    """sqrt(a_i b_j) = sqrt(a_i) sqrt(b_j), and the same for reciprocals: factors are variances or minors."""

    def change(n: Node) -> Node:
        if n.op not in ("sqrt", "rsqrt", "inv") or n.args[0].op != "mul":
            return n
        groups = _by_indices(n.args[0].args)
        if len(groups) < 2:
            return n
        return graph.mul(graph.unary(n.op, graph.mul(factors)) for factors in groups)

    return graph.transform(node, change)


def split_arcsines(graph: Graph, node: Node) -> Node:
    """arcsine(n, d1, d2[, noise]) gets 1 / sqrt(d1 d2), a product of outer factors, and its noise last."""

    def change(n: Node) -> Node:
        if n.op != "call" or n.data != "arcsine":
            return n
        scale = graph.mul(graph.call("rsqrt_or_zero", (d,)) for d in n.args[1:3] if d is not graph.one)
        name = "ratio_arcsine" if len(n.args) == 3 else "noisy_arcsine"
        return graph.call(name, (*n.args[:3], scale, *n.args[3:]))

    return graph.transform(node, change)


def split_products(graph: Graph, node: Node) -> Node:
    """Products associated from the outermost indices to the innermost."""

    def change(n: Node) -> Node:
        if n.op != "mul" or len(n.args) < 3:
            return n
        parts = [graph.group("mul", factors) for factors in _by_indices(n.args)]
        # Joined where the index sets nest, outer first; the rest in order.
        product = parts[0]
        for part in parts[1:]:
            product = graph.group("mul", (product, part))
        return product

    return graph.transform(node, change)


def _by_indices(factors: Iterable[Node]) -> list[list[Node]]:
    """Factors grouped by the indices they carry, fewest and outermost first."""
    groups: dict[frozenset[str], list[Node]] = {}
    for factor in factors:
        groups.setdefault(factor.free, []).append(factor)
    rank = {i: r for r, i in enumerate(depth_order(frozenset().union(*groups)))}
    order = sorted(groups, key=lambda s: (max((rank[i] for i in s), default=-1), len(s), sorted(s)))
    return [groups[s] for s in order]
