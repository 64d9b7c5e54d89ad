"""Sums of products: expanded to one canonical form, later collected by index.

Expansion makes equal polynomials equal nodes (so that symmetries show); collection orders the arithmetic for
loops: what multiplies the atoms of the innermost index is computed outside the innermost loop.
"""

from __future__ import annotations

from collections.abc import Iterable

from numerics.kernel.ir import Graph, Node, Number, depth_order

MAX_TERMS = 300
"""A sum that would expand to more terms stays as it is."""

Monomial = tuple[Node, ...]
Polynomial = dict[Monomial, Number]


def expand(graph: Graph, node: Node) -> Node:
    """Every sum without reductions as an expanded polynomial in what is neither sum nor product."""
    reducing: dict[Node, bool] = {}

    def has_reduction(n: Node) -> bool:
        if n not in reducing:
            reducing[n] = n.op == "reduce" or (n.op in ("add", "mul") and any(map(has_reduction, n.args)))
        return reducing[n]

    def change(n: Node) -> Node:
        if n.op != "add" or has_reduction(n):
            return n
        polynomial = as_polynomial(n)
        if polynomial is None:
            return n
        return graph.add(graph.scale(c, graph.mul(m)) for m, c in polynomial.items())

    return graph.transform(node, change)


def collect(graph: Graph, node: Node) -> Node:
    """Every sum as a nested polynomial, outermost indices innermost in the nesting."""

    def change(n: Node) -> Node:
        if n.op != "add":
            return n
        polynomial = as_polynomial(n)
        return n if polynomial is None else _collected(graph, polynomial)

    return graph.transform(node, change)


def as_polynomial(node: Node) -> Polynomial | None:
    """{sorted factors: numeric coefficient}, or None where that has too many terms."""
    match node.op if node.data != "grouped" else "grouped":
        case "const":
            return {(): node.data}
        case "add":
            total: Polynomial = {}
            for a in node.args:
                part = as_polynomial(a)
                if part is None:
                    return None
                for m, c in part.items():
                    total[m] = total.get(m, 0) + c
            return {m: c for m, c in total.items() if c != 0} if len(total) <= MAX_TERMS else None
        case "mul":
            product: Polynomial = {(): 1}
            for a in node.args:
                part = as_polynomial(a)
                if part is None or len(part) * len(product) > MAX_TERMS:
                    return None
                product = _multiply(product, part)
            return product
    return {(node,): 1}


def _multiply(a: Polynomial, b: Polynomial) -> Polynomial:
    out: Polynomial = {}
    for ma, ca in a.items():
        for mb, cb in b.items():
            m = tuple(sorted(ma + mb, key=lambda n: n.serial))
            out[m] = out.get(m, 0) + ca * cb
    return {m: c for m, c in out.items() if c != 0}


def _collected(graph: Graph, polynomial: Polynomial) -> Node:
    order = depth_order(set().union(*(_free(m) for m in polynomial)))
    if not order:
        return graph.add(graph.scale(c, graph.mul(m)) for m, c in polynomial.items())
    inner = order[-1]
    groups: dict[Monomial, Polynomial] = {}
    for monomial, coefficient in polynomial.items():
        own = tuple(n for n in monomial if inner in n.free)
        rest = tuple(n for n in monomial if inner not in n.free)
        groups.setdefault(own, {})[rest] = coefficient
    terms = []
    for own, coefficients in groups.items():
        factor = _collected(graph, coefficients)
        if not own:
            terms.append(factor)
        elif factor is graph.one:
            terms.append(graph.mul(own))
        else:
            terms.append(graph.group("mul", (factor, graph.mul(own))))
    return graph.group("add", terms)


def _free(nodes: Iterable[Node]) -> frozenset[str]:
    return frozenset().union(*(n.free for n in nodes))
