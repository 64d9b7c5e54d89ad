"""Reductions that more than one place needs, or needs on fewer indices than its loops, become arrays."""

from __future__ import annotations

from itertools import permutations

from numerics.kernel.ir import Graph, Node, Target, walk


def share_reductions(graph: Graph, targets: list[Target]) -> list[Target]:
    """The targets with shared reductions replaced by reads of new arrays, which stand in front of them."""
    return _Sharing(graph).run(targets)


MAX_ORDERED = 3


class _Sharing:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.made: dict[Node, Target] = {}
        self.order: list[Target] = []
        self.uses: dict[Node, set[tuple[Node, ...]]] = {}

    def run(self, targets: list[Target]) -> list[Target]:
        for target in targets:
            for node in walk([target.node]):
                if node.op == "reduce" and node.data[2] is None:
                    key, _ = self._canonical(node)
                    self.uses.setdefault(key, set()).add((node,))
        out = []
        for target in targets:
            node = self._visit(target.node, dict(zip(target.indices, target.sizes, strict=True)), {})
            out.append(Target(target.name, target.indices, target.sizes, node, target.symmetric))
        return self.order + out

    def _canonical(self, node: Node) -> tuple[Node, tuple[str, ...]]:
        """The node under the renaming of its free indices to #0, #1, ... with the smallest serial.

        Above MAX_ORDERED indices one order is tried: some equal sums are then computed twice.
        """
        free = sorted(node.free)
        choices = []
        for order in permutations(free) if len(free) <= MAX_ORDERED else [tuple(free)]:
            names = {old: f"#{position}" for position, old in enumerate(order)}
            choices.append((self.graph.rename(node, names), order))
        return min(choices, key=lambda choice: choice[0].serial)

    def _visit(self, node: Node, loops: dict[str, str], done: dict[Node, Node]) -> Node:
        if node in done:
            return done[node]
        if node.op == "reduce":
            out = self._visit_reduction(node, loops)
        else:
            out = self.graph.rebuild(node, tuple(self._visit(a, loops, done) for a in node.args))
        done[node] = out
        return out

    def _visit_reduction(self, node: Node, loops: dict[str, str]) -> Node:
        index, size, bound = node.data
        if bound is None:
            key, order = self._canonical(node)
            if len(self.uses.get(key, ())) > 1 or node.free != frozenset(loops):
                return self._read(key, order, loops)
        body = self._visit(node.args[0], {**loops, index: size}, {})
        return self.graph.reduce(body, index, size, bound)

    def _read(self, key: Node, order: tuple[str, ...], loops: dict[str, str]) -> Node:
        target = self.made.get(key)
        if target is None:
            names = tuple(f"#{position}" for position in range(len(order)))
            sizes = tuple(loops[i] for i in order)
            symmetric = (
                len(order) == 2
                and sizes[0] == sizes[1]
                and self.graph.rename(key, {"#0": "#1", "#1": "#0"}) is key
            )
            index, size, bound = key.data
            own = {**dict(zip(names, sizes, strict=True))}
            body = self._visit(key.args[0], {**own, index: size}, {})
            node = self.graph.reduce(body, index, size, bound)
            target = Target(f"sum_{len(self.made)}", names, sizes, node, symmetric)
            self.made[key] = target
            self.order.append(target)
        return self.graph.leaf(target.name, order)
