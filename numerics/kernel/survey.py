"""Names of a nest's values, and which of them cross from one loop over lanes into another."""

from __future__ import annotations

from numerics.kernel.ir import Node
from numerics.kernel.schedule import Path, Place, Schedule, Scope


class Survey:
    """What the writer of a nest must know of all scopes before the first line.

    ``names`` of the values at every scope; ``parents`` of the scopes; ``array``: values that another lane loop
    reads, so that every lane keeps its own.
    """

    def __init__(self, schedule: Schedule, root: Scope) -> None:
        self.schedule = schedule
        self.names: dict[tuple[Node, Scope], str] = {}
        self.parents: dict[Scope, Scope] = {}
        self.array: set[tuple[Node, Scope]] = set()
        self._where: dict[tuple[Node, Scope], int] = {}
        self._users: dict[tuple[Node, Scope], int] = {}
        self._summand_sets: dict[Scope, set[Node]] = {}
        self._name(root)
        self._count_uses(root)

    def home(self, place: Place, scope: Scope) -> Scope:
        """The scope, around ``scope``, at which a value is computed."""
        while scope.path != place.path:
            scope = self.parents[scope]
        return scope

    def folded(self, node: Node, scope: Scope) -> bool:
        """A product of two that is used once, by a sum at the same place, becomes part of an fma."""
        return (
            node.op == "mul"
            and len(node.args) == 2
            and (node, scope) not in self.array
            and self._users.get((node, scope), 0) == 1
            and node in self._summands(scope)
        )

    def _name(self, scope: Scope) -> None:
        for number, stage in enumerate(scope.stages):
            for node in stage.values:
                self._where[node, scope] = number
                self.names[node, scope] = f"v{len(self.names)}"
            for node in stage.starts:
                self._where[node, scope] = number + 1
                self.names[node, scope] = f"sum{len(self.names)}"
                self.array.add((node, scope))
            for inner in stage.inner:
                self.parents[inner] = scope
                self._name(inner)

    def _count_uses(self, scope: Scope) -> None:
        for number, stage in enumerate(scope.stages):
            for node in stage.values:
                for arg in node.args:
                    self._use(arg, scope.path, scope, number)
            for node in stage.additions:
                self._use(node.args[0], scope.path, scope, number)
            for table in stage.stores:
                self._use(table.node, scope.path, scope, number)
            for inner in stage.inner:
                self._count_uses(inner)
        if scope.path == self.schedule.domain:
            self._use(self.schedule.target.node, scope.path, scope, max(0, len(scope.stages) - 1))

    def _use(self, node: Node, path: Path, scope: Scope, number: int) -> None:
        place = self.schedule.place(node, path)
        if place.table is not None or not (self.schedule.is_value(node) or node.op == "reduce"):
            return
        home = self.home(place, scope)
        self._users[node, home] = self._users.get((node, home), 0) + 1
        if home is not scope or self._where[node, home] != number:
            self.array.add((node, home))
            self._users[node, home] += 1  # never folded into another expression

    def _summands(self, scope: Scope) -> set[Node]:
        if scope not in self._summand_sets:
            found = set()
            for number, stage in enumerate(scope.stages):
                for node in stage.values:
                    if node.op != "add" or not self.schedule.lane_dependent(node):
                        continue
                    for arg in node.args:
                        if self._where.get((arg, scope)) == number and self.schedule.lane_dependent(arg):
                            place = self.schedule.place(arg, scope.path)
                            if place.table is None and place.path == scope.path:
                                found.add(arg)
            self._summand_sets[scope] = found
        return self._summand_sets[scope]
