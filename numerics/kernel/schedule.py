"""Where every operation of a target is computed: at which loop, in which order, in a register or a table.

A nest has loops (outermost first) and lanes, the innermost, vectorized direction.  Two schedules share one
scalar body:

  units   lanes run over the elements of the target, for one parameter set; loops are the reductions alone
  sets    lanes run over parameter sets; the target's own indices are loops too

A value is computed at the loop of its own indices when these are the outermost ones around it.  Otherwise,
unless it is cheap, it goes into a table, filled at the deepest loop that it shares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from numerics.kernel.ir import Graph, Node, Target

CHEAP = 3
"""Values of fewer operations are computed where they are used instead of stored in a table."""


@dataclass(frozen=True)
class Loop:
    """A loop over an index: to a size, or up to and including another index."""

    index: str
    size: str
    bound: str | None = None
    start: str | None = None  # the index it starts from, for i <= j


Path = tuple[Loop, ...]


@dataclass(eq=False)
class Table:
    """Values over loop indices that are not the outermost ones, filled at the loops ``home``."""

    name: str
    home: Path
    loops: Path
    node: Node  # in terms of the loops' own index names


@dataclass(frozen=True)
class Place:
    """Where a value is found: computed at the loops ``path``, or read from a table at some indices."""

    path: Path
    table: Table | None = None
    at: tuple[str, ...] = ()


@dataclass(eq=False)
class Scope:
    """The body of a loop: values in stages, and after each stage the inner loops it feeds."""

    path: Path
    stages: list[Stage] = field(default_factory=list)


@dataclass(eq=False)
class Stage:
    """Straight-line values, then what is stored or added from them, then inner loops."""

    values: list[Node] = field(default_factory=list)
    additions: list[Node] = field(default_factory=list)  # reductions whose body is added here
    stores: list[Table] = field(default_factory=list)
    starts: list[Node] = field(default_factory=list)  # reductions set to zero before the inner loops
    inner: list[Scope] = field(default_factory=list)


class Schedule:
    """The schedule of one target."""

    def __init__(self, graph: Graph, target: Target, over_sets: bool) -> None:
        self.graph, self.target, self.over_sets = graph, target, over_sets
        self.lane_indices = frozenset() if over_sets else frozenset(target.indices)
        self.domain: Path = ()
        if over_sets:
            start = target.indices[0] if target.symmetric else None
            self.domain = tuple(
                Loop(i, s, None, start if k == 1 else None)
                for k, (i, s) in enumerate(zip(target.indices, target.sizes, strict=True))
            )
        self.tables: dict[tuple[Path, Node, tuple[str, ...]], Table] = {}
        self._cost: dict[Node, int] = {}
        self._varies: dict[Node, bool] = {}
        self._collect(target.node, self.domain, set())

    def lane_dependent(self, node: Node) -> bool:
        """Whether the value differs between lanes."""
        if self.over_sets:
            return node.op not in ("const", "size", "same", "weight")
        if node not in self._varies:
            self._varies[node] = (
                bool(node.free & self.lane_indices)
                or node.op == "reduce"
                or any(self.lane_dependent(a) for a in node.args)
            )
        return self._varies[node]

    def place(self, node: Node, path: Path) -> Place:
        """Where the value of a node that is used at ``path`` is computed."""
        own = node.free - self.lane_indices
        length = max((k + 1 for k, loop in enumerate(path) if loop.index in own), default=0)
        inside = path[:length]
        if length and all(loop.index in own for loop in inside):
            table = self._table(node, inside[:-1], inside[-1:])
            if table is not None and table.loops == inside[-1:]:
                table = None  # this is where it is filled
            return Place(inside[:-1], table, (inside[-1].index,)) if table else Place(inside)
        if not length or self.cost(node) < CHEAP:
            return Place(inside)
        home, loops = self._split(inside, own)
        table = self._table(node, home, loops)
        if table is None:
            table = self._new_table(node, home, loops)
        return Place(home, table, tuple(loop.index for loop in loops))

    def is_value(self, node: Node) -> bool:
        """Whether a value is computed and kept, rather than written out wherever it is used."""
        return bool(node.args) or (node.op == "leaf" and bool(node.free & self.lane_indices))

    def cost(self, node: Node) -> int:
        """Operations to compute a node from arrays; a gather over lanes counts as three."""
        if node not in self._cost:
            own = {
                "add": len(node.args) - 1,
                "mul": len(node.args) - 1,
                "sqrt": 6,
                "rsqrt": 10,
                "inv": 4,
                "call": 20,
                "reduce": 100,
            }.get(node.op, 0)
            if node.op == "leaf" and node.free & self.lane_indices:
                own = CHEAP
            self._cost[node] = own + sum(self.cost(a) for a in node.args)
        return self._cost[node]

    @staticmethod
    def _split(path: Path, own: frozenset[str]) -> tuple[Path, Path]:
        shared = 0
        while path[shared].index in own:
            shared += 1
        return path[:shared], tuple(loop for loop in path[shared:] if loop.index in own)

    def _table_key(self, node: Node, home: Path, loops: Path) -> tuple[Path, Node, tuple[str, ...]]:
        # Named by depth: a table that is filled inside another's loops must not take their names.
        names = {loop.index: f"t{k}" for k, loop in enumerate(loops, len(home))}
        return home, self.graph.rename(node, names), tuple(loop.size for loop in loops)

    def _table(self, node: Node, home: Path, loops: Path) -> Table | None:
        return self.tables.get(self._table_key(node, home, loops))

    def _new_table(self, node: Node, home: Path, loops: Path) -> Table:
        key = self._table_key(node, home, loops)
        own = tuple(Loop(f"t{k}", loop.size) for k, loop in enumerate(loops, len(home)))
        table = self.tables[key] = Table(f"table{len(self.tables)}", home, own, key[1])
        self._collect(table.node, home + own, set())
        return table

    def _collect(self, node: Node, path: Path, seen: set[tuple[Node, Path]]) -> None:
        """Make every table once before anything is placed, so that equal values find it wherever they are."""
        if (node, path) in seen:
            return
        seen.add((node, path))
        place = self.place(node, path)
        if place.table is not None:
            return
        for arg in node.args:
            self._collect(arg, inner_path(node, place.path), seen)

    def root(self) -> Scope:
        """The scopes, with every value in its stage."""
        return _Planner(self).plan()


def inner_path(node: Node, path: Path) -> Path:
    """The loops around the arguments of a node that is computed at ``path``."""
    if node.op != "reduce":
        return path
    index, size, bound = node.data
    return (*path, Loop(index, size, bound))


class _Planner:
    """Sorts values into scopes and stages.

    The stage of a value at a scope is 0 where it needs only what is there before; a reduction or a table
    comes one stage after everything that its loop reads from this scope.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._parents: dict[Scope, Scope] = {}
        self._stage: dict[tuple[Node, Path, Path], int] = {}
        self._done: set[tuple[Node, Scope]] = set()
        self._filled: set[Table] = set()

    def plan(self) -> Scope:
        domain = self.schedule.domain
        chain = [Scope(domain[:k]) for k in range(len(domain) + 1)]
        for outer, inner in pairwise(chain):
            self._parents[inner] = outer
        self.register(self.schedule.target.node, domain, chain[-1])
        # The domain's loops come last in each scope, when all that they read is there.
        for outer, inner in pairwise(chain):
            self.at(outer, max(0, len(outer.stages) - 1)).inner.append(inner)
        return chain[0]

    def at(self, scope: Scope, stage: int) -> Stage:
        while len(scope.stages) <= stage:
            scope.stages.append(Stage())
        return scope.stages[stage]

    def stage(self, node: Node, used: Path, scope: Path) -> int:
        """The stage at ``scope`` at which ``node``, used at ``used``, can be computed or read."""
        key = (node, used, scope)
        if key not in self._stage:
            self._stage[key] = self._find_stage(node, used, scope)
        return self._stage[key]

    def _find_stage(self, node: Node, used: Path, scope: Path) -> int:
        place = self.schedule.place(node, used)
        if len(place.path) < len(scope):
            return 0
        here = place.path == scope
        if place.table is not None:
            inside = self.stage(place.table.node, place.table.home + place.table.loops, scope)
            return inside + 1 if here else inside
        inner = inner_path(node, place.path)
        below = max((self.stage(a, inner, scope) for a in node.args), default=0)
        return below + 1 if here and node.op == "reduce" else below

    def register(self, node: Node, used: Path, scope: Scope) -> None:
        """Enter a value, used at ``used`` within ``scope``, and all it needs, into the scopes."""
        place = self.schedule.place(node, used)
        home = scope
        while home.path != place.path:
            home = self._parents[home]
        if place.table is not None:
            self._fill(place.table, home)
        elif (node, home) not in self._done:
            self._done.add((node, home))
            if node.op == "reduce":
                self._reduce(node, home)
            elif self.schedule.is_value(node):
                for arg in node.args:
                    self.register(arg, home.path, home)
                self.at(home, self.stage(node, home.path, home.path)).values.append(node)

    def _reduce(self, node: Node, home: Scope) -> None:
        stage = self.stage(node, home.path, home.path) - 1
        inner = self._inner_scope(home, inner_path(node, home.path), stage)
        body = node.args[0]
        self.register(body, inner.path, inner)
        self.at(home, stage).starts.append(node)
        self.at(home, stage + 1)
        self.at(inner, self.stage(body, inner.path, inner.path)).additions.append(node)

    def _fill(self, table: Table, home: Scope) -> None:
        if table in self._filled:
            return
        self._filled.add(table)
        path = table.home + table.loops
        scope = home
        for k in range(len(table.home), len(path)):
            scope = self._inner_scope(scope, path[: k + 1], self.stage(table.node, path, path[:k]))
        self.register(table.node, path, scope)
        self.at(home, self.stage(table.node, path, home.path) + 1)
        self.at(scope, self.stage(table.node, path, path)).stores.append(table)

    def _inner_scope(self, outer: Scope, path: Path, stage: int) -> Scope:
        here = self.at(outer, stage)
        for scope in here.inner:
            if scope.path == path:
                return scope
        scope = Scope(path)
        here.inner.append(scope)
        self._parents[scope] = outer
        return scope
