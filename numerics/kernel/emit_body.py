"""Emits the body of a nest as C text, which is CUDA text too: only the lanes differ between the targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numerics.kernel.cut import COSINES, Parts, cut_at_arcsines
from numerics.kernel.ir import Graph, Index, Node, Target, walk
from numerics.kernel.schedule import Loop, Schedule, Scope, Stage, Table, inner_path
from numerics.kernel.survey import Survey

FUNCTIONS = {
    "less": "op_less",
    "less_equal": "op_less_equal",
    "equal": "op_equal",
    "select": "op_select",
    "sign": "op_sign",
    "heaviside": "op_heaviside",
}


@dataclass(frozen=True)
class Lanes:
    """How lanes look: over parameter sets or not; one thread a lane, or a loop over ``W`` lanes."""

    over_sets: bool
    threads: bool

    @property
    def stride(self) -> str:
        """Distance between elements where lanes lie side by side."""
        return "stride" if self.threads else "W"

    @property
    def number(self) -> str:
        """The number of a lane among those."""
        return "lane" if self.threads else "l"


def literal(value: Any) -> str:
    """A floating-point literal."""
    return repr(float(value))


class BodyEmitter:
    """Writes one target's nest.  ``axes`` gives the size names of every array's axes."""

    def __init__(self, graph: Graph, target: Target, lanes: Lanes, axes: dict[str, tuple[str, ...]]) -> None:
        self.target, self.lanes, self.axes = target, lanes, axes
        self.schedule = Schedule(graph, target, lanes.over_sets)
        self.root = self.schedule.root()
        self.survey = Survey(self.schedule, self.root)
        self.names, self.array = self.survey.names, self.survey.array
        self.angles: dict[tuple[Node, Scope], str] = {}  # arcsines whose sine and cosine are there
        self.scratch: dict[str, str] = {}  # arrays of sines and cosines that ``write`` came to need: size
        self.lines: list[str] = []

    @property
    def tables(self) -> list[Table]:
        """The tables the nest needs."""
        return list(self.schedule.tables.values())

    # Writing.

    def write(self, indent: int) -> list[str]:
        """The lines of the nest, from reading its inputs to storing its result."""
        self.lines = []
        self._scope(self.root, indent)
        return self.lines

    def _line(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    def _scope(self, scope: Scope, indent: int) -> None:
        stages = scope.stages or [Stage()]
        for number, stage in enumerate(stages):
            self._declare(scope, stage, indent)
            final = number == len(stages) - 1 and scope.path == self.schedule.domain
            self._lane_loop(scope, stage, indent, self._result(scope) if final else [])
            for inner in stage.inner:
                self._loop(inner, indent)

    def _declare(self, scope: Scope, stage: Stage, indent: int) -> None:
        names = [
            self.names[n, scope]
            for n in stage.values
            if (n, scope) in self.array and self.schedule.lane_dependent(n)
        ]
        sums = [self.names[n, scope] for n in stage.starts]
        if self.lanes.threads:
            for name in names:
                self._line(indent, f"double {name};")
            for name in sums:
                self._line(indent, f"double {name} = 0.0;")
            return
        for name in names + sums:
            self._line(indent, f"double {name}[W];")
        if sums:
            zero = " ".join(f"{name}[l] = 0.0;" for name in sums)
            self._line(indent, f"LANES {{ {zero} }}")

    def _lane_loop(self, scope: Scope, stage: Stage, indent: int, last: list[str]) -> None:
        uniform = [n for n in stage.values if not self.schedule.lane_dependent(n)]
        for node in uniform:
            self._line(indent, f"const double {self.names[node, scope]} = {self._expression(node, scope)};")
        body = []
        for node in stage.values:
            if not self.schedule.lane_dependent(node) or self.survey.folded(node, scope):
                continue
            text = self._expression(node, scope)
            name = self.names[node, scope]
            if (node, scope) not in self.array:
                body.append(f"const double {name} = {text};")
            else:
                body.append(f"{name}{self._lane()} = {text};")
        for node in stage.additions:
            outer = self._reduction_home(node, scope)
            body.append(f"{self.names[node, outer]}{self._lane()} += {self._ref(node.args[0], scope)};")
        for table in stage.stores:
            text = f"{self._table(table, [p.index for p in table.loops])} = {self._ref(table.node, scope)};"
            if self.schedule.lane_dependent(table.node):
                body.append(text)
            else:
                self._line(indent, text)
        body += last
        if not body:
            return
        self._line(indent, "LANES {" if not self.lanes.threads else "{")
        for text in body:
            self._line(indent + 1, text)
        self._line(indent, "}")

    def _reduction_home(self, node: Node, scope: Scope) -> Scope:
        outer = self.survey.parents[scope]
        while (node, outer) not in self.names:
            outer = self.survey.parents[outer]
        return outer

    def _loop(self, scope: Scope, indent: int) -> None:
        parts = None if self.lanes.threads else cut_at_arcsines(self.schedule, scope)
        if parts is not None:
            self._cut_loop(scope, parts, indent)
            return
        self._line(indent, self._head(scope.path[-1]))
        self._scope(scope, indent + 1)
        self._line(indent, "}")

    def _cut_loop(self, scope: Scope, parts: Parts, indent: int) -> None:
        """A loop that keeps sines and cosines, then one over the angles and what is made of them."""
        loop = scope.path[-1]
        stored = []
        for number, call in enumerate(parts.arcsines):
            at = f"{loop.size}{number}"
            self.scratch |= {f"sine_{at}": loop.size, f"cosine_{at}": loop.size}
            at += f"[{_variable(loop.index)} * W + l]"
            args = [self._ref(a, scope) for a in call.args]
            stored.append(f"sine_{at} = {args[0]} * {args[3]};")
            stored.append(f"cosine_{at} = op_{COSINES[call.data]}({', '.join(args)});")
            self.angles[call, scope] = f"op_angle(sine_{at}, cosine_{at})"
        for stage, last in ((parts.before, stored), (parts.after, [])):
            self._line(indent, self._head(loop))
            self._lane_loop(scope, stage, indent + 1, last)
            self._line(indent, "}")

    def _head(self, loop: Loop) -> str:
        name = _variable(loop.index)
        first = _variable(loop.start) if loop.start else "0"
        end = f"{name} <= {_variable(loop.bound)}" if loop.bound else f"{name} < {self.size(loop.size)}"
        return f"for (long {name} = {first}; {end}; ++{name}) {{"

    def size(self, name: str) -> str:
        """A size as C text."""
        return name if name.isdigit() else f"size_{name}"

    def _lane(self) -> str:
        return "" if self.lanes.threads else "[l]"

    def _ref(self, node: Node, scope: Scope) -> str:
        match node.op:
            case "const":
                return literal(node.data)
            case "size":
                return f"(double){self.size(node.data)}"
            case "scalar":
                if self.lanes.over_sets:
                    return f"{node.data}_[{self.lanes.number}]"
                return f"{node.data}_[0]"
            case "same":
                return f"({self._index(node.data[0])} == {self._index(node.data[1])} ? 1.0 : 0.0)"
            case "weight":
                return f"({_variable(node.data[0])} == {_variable(node.data[1])} ? 1.0 : 2.0)"
        place = self.schedule.place(node, scope.path)
        if place.table is not None:
            return self._table(place.table, list(place.at))
        if node.op == "leaf" and not self.schedule.is_value(node):
            return self._element(node)
        home = self.survey.home(place, scope)
        name = self.names[node, home]
        if (node, home) in self.array and self.schedule.lane_dependent(node):
            return name + self._lane()
        if node.op == "reduce":
            return name + self._lane()
        return name

    def _index(self, i: Index) -> str:
        if isinstance(i, int):
            return str(i)
        if i in self.schedule.lane_indices:
            return f"lane_{_variable(i)}[l]"
        return _variable(i)

    def _element(self, node: Node) -> str:
        name, indices = node.data
        flat = self._flat([self._index(i) for i in indices], self.axes[name])
        if self.lanes.over_sets:
            return f"{name}[({flat}) * {self.lanes.stride} + {self.lanes.number}]"
        return f"{name}[{flat}]"

    def _flat(self, indices: list[str], axes: tuple[str, ...]) -> str:
        flat = "0"
        for index, axis in zip(indices, axes, strict=True):
            flat = index if flat == "0" else f"({flat}) * {self.size(axis)} + {index}"
        return flat

    def _table(self, table: Table, indices: list[str]) -> str:
        flat = self._flat([_variable(i) for i in indices], tuple(loop.size for loop in table.loops))
        if not self.schedule.lane_dependent(table.node):
            return f"{table.name}[{flat}]"
        return f"{table.name}[({flat}) * {self.lanes.stride} + {self.lanes.number}]"

    def _expression(self, node: Node, scope: Scope) -> str:
        if node.op == "leaf":
            return self._element(node)
        if node.op == "add":
            return self._sum(node, scope)
        if (node, scope) in self.angles:
            return self.angles[node, scope]
        args = [self._ref(a, scope) for a in node.args]
        match node.op:
            case "mul":
                return " * ".join(args)
            case "sqrt":
                return f"op_sqrt({args[0]})"
            case "rsqrt":
                return f"1.0 / op_sqrt({args[0]})"
            case "inv":
                return f"1.0 / {args[0]}"
        return f"{FUNCTIONS.get(node.data, 'op_' + node.data)}({', '.join(args)})"

    def _sum(self, node: Node, scope: Scope) -> str:
        plain, products = [], []
        for arg in node.args:
            place = self.schedule.place(arg, scope.path)
            if place.table is None and place.path == scope.path and self.survey.folded(arg, scope):
                products.append(arg)
            else:
                plain.append(self._ref(arg, scope))
        if not plain:
            plain.append(" * ".join(self._ref(a, scope) for a in products.pop(0).args))
        text = " + ".join(plain)
        for product in products:
            text = f"fma({self._ref(product.args[0], scope)}, {self._ref(product.args[1], scope)}, {text})"
        return text

    def _result(self, scope: Scope) -> list[str]:
        value = self._ref(self.target.node, scope)
        orders = [self.target.indices]
        if self.target.symmetric:
            orders.append(self.target.indices[::-1])
        lines = []
        for order in orders:
            flat = self._flat([self._index(i) for i in order], self.target.sizes)
            if self.lanes.over_sets:
                lines.append(
                    f"{self.target.name}[({flat}) * {self.lanes.stride} + {self.lanes.number}] = {value};"
                )
            else:
                lines.append(f"if (l < count) {self.target.name}[{flat}] = {value};")
        return lines


def _variable(index: str | None) -> str:
    """An index as a C variable."""
    assert index is not None
    return index.replace("%", "r").replace("#", "a")


def arrays_read(target: Target) -> list[str]:
    """The arrays a target reads, in the order it meets them."""
    return list(dict.fromkeys(n.data[0] for n in walk([target.node]) if n.op == "leaf"))


def scalars_read(target: Target) -> list[str]:
    """The scalars a target reads."""
    return list(dict.fromkeys(n.data for n in walk([target.node]) if n.op == "scalar"))


__all__ = ["BodyEmitter", "Lanes", "Loop", "arrays_read", "inner_path", "literal", "scalars_read"]
