"""Counting scalar operations: one for an addition, a multiplication, a root or a library call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from numerics.kernel.ir import Node, Target


def count_operations(targets: Iterable[Target], sizes: Mapping[str, int], hoisted: bool = True) -> int:
    """Operations of one evaluation.

    ``hoisted``: every operation runs over the indices it depends on; otherwise every occurrence runs inside
    all the loops around it, as a literal reading of the formula would.
    """
    total = 0.0
    for target in targets:
        loops = dict(zip(target.indices, target.sizes, strict=True))
        pairs = 1.0
        if target.symmetric:
            n = _size(target.sizes[0], sizes)
            pairs = (n + 1) / (2 * n)
        counter = _Counter(sizes, hoisted, target.indices, pairs)
        total += counter.visit(target.node, loops)
    return round(total)


def _size(name: str, sizes: Mapping[str, int]) -> int:
    return int(name) if name.isdigit() else sizes[name]


class _Counter:
    def __init__(self, sizes: Mapping[str, int], hoisted: bool, pair: tuple[str, ...], pairs: float) -> None:
        self.sizes, self.hoisted, self.pair, self.pairs = sizes, hoisted, pair, pairs
        self.seen: set[tuple[Node, tuple[tuple[str, str], ...]]] = set()
        self.bounds: dict[str, str] = {}

    def points(self, indices: Iterable[str], loops: Mapping[str, str]) -> float:
        here = list(indices)
        product = 1.0
        for i in here:
            product *= _size(loops[i], self.sizes)
        if self.pairs != 1 and all(i in here for i in self.pair):
            product *= self.pairs
        for inner, outer in self.bounds.items():
            if inner in here and outer in here:
                n = _size(loops[inner], self.sizes)
                product *= (n + 1) / (2 * n)
        return product

    def visit(self, node: Node, loops: dict[str, str]) -> float:
        if self.hoisted:
            key = (node, tuple(sorted((i, loops[i]) for i in node.free)))
            if key in self.seen:
                return 0.0
            self.seen.add(key)
        if node.op == "reduce":
            index, size, bound = node.data
            inside = {**loops, index: size}
            if bound:
                self.bounds[index] = bound
            cost = self.points({*node.free, index} if self.hoisted else inside, inside)
            cost += self.visit(node.args[0], inside)
            self.bounds.pop(index, None)
            return cost
        own = {
            "add": len(node.args) - 1,
            "mul": len(node.args) - 1,
            "pow": 1,
            "sqrt": 1,
            "rsqrt": 2,
            "inv": 1,
            "call": 1,
        }.get(node.op, 0)
        cost = own * self.points(node.free if self.hoisted else loops, loops) if own else 0.0
        return cost + sum((self.visit(a, loops) for a in node.args), 0.0)
