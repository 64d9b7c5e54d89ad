"""Reductions: split over sums, freed of constant factors, halved where symmetric, named alike where equal."""

from __future__ import annotations

from numerics.kernel.ir import Graph, Node, bound_index, height


def split_reductions(graph: Graph, node: Node) -> Node:
    """sum_p (a + b) = sum_p a + sum_p b, also through products that hold a sum of reductions."""

    def change(n: Node) -> Node:
        if n.op != "reduce":
            return n
        return graph.add(graph.reduce(term, *n.data) for term in _terms(graph, n.args[0]))

    return graph.transform(node, change)


def _terms(graph: Graph, body: Node) -> list[Node]:
    if body.op == "add":
        return [t for a in body.args for t in _terms(graph, a)]
    if body.op == "mul":
        for position, factor in enumerate(body.args):
            if factor.op == "add" and any(_has_reduction(a) for a in factor.args):
                others = body.args[:position] + body.args[position + 1 :]
                return [t for a in factor.args for t in _terms(graph, graph.mul((*others, a)))]
    return [body]


def _has_reduction(n: Node) -> bool:
    return n.op == "reduce" or (n.op in ("add", "mul") and any(map(_has_reduction, n.args)))


def halve_symmetric(graph: Graph, node: Node) -> Node:
    """sum_p sum_q f(p, q) with f(p, q) = f(q, p) runs over q <= p, pairs off the diagonal counted twice."""

    def change(n: Node) -> Node:
        if n.op != "reduce" or n.data[2] is not None:
            return n
        outer, size, _ = n.data
        factors = n.args[0].args if n.args[0].op == "mul" else (n.args[0],)
        inner_sums = [f for f in factors if f.op == "reduce"]
        if len(inner_sums) != 1 or inner_sums[0].data[1:] != (size, None):
            return n
        inner = inner_sums[0].data[0]
        summand = graph.mul((*(f for f in factors if f.op != "reduce"), inner_sums[0].args[0]))
        if graph.rename(summand, {outer: inner, inner: outer}) is not summand:
            return n
        weighted = graph.mul((graph.weight(outer, inner), summand))
        return graph.reduce(graph.reduce(weighted, inner, size, outer), outer, size)

    return graph.transform(node, change)


def pull_factors(graph: Graph, node: Node) -> Node:
    """Factors that do not depend on the index of a reduction move in front of it."""

    def change(n: Node) -> Node:
        if n.op != "reduce" or n.args[0].op != "mul":
            return n
        index = n.data[0]
        outside = [f for f in n.args[0].args if index not in f.free]
        if not outside:
            return n
        inside = graph.mul(f for f in n.args[0].args if index in f.free)
        return graph.mul((*outside, graph.reduce(inside, *n.data)))

    return graph.transform(node, change)


def name_alike(graph: Graph, node: Node) -> Node:
    """Bound indices renamed by the number of reductions inside, so that equal sums are one node."""
    inside: dict[Node, int] = {}

    def levels(n: Node) -> int:
        if n not in inside:
            below = max((levels(a) for a in n.args), default=0)
            inside[n] = below + (n.op == "reduce")
        return inside[n]

    def change(n: Node) -> Node:
        if n.op != "reduce":
            return n
        wanted = levels(n) - 1
        index, size, bound = n.data
        if height(index) == wanted:
            return n
        name = bound_index(wanted)
        return graph.reduce(graph.rename(n.args[0], {index: name}), name, size, bound)

    return graph.transform(node, change)
