"""The numpy emitter: one function of broadcast operations a target, for numpy and modules with its names.

Every value has the axes (batch, lane, outer reduction, ..., inner reduction), of length 1 where it does not
depend on them; a lane is one element of the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from numerics.kernel.ir import Index, Node, Target, height, walk

BINARY = {"atan2": "arctan2", "fmax": "maximum", "fmin": "minimum", "pow": "power"}
UNARY = {
    "exp": "exp",
    "log": "log",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "tanh": "tanh",
    "sinh": "sinh",
    "cosh": "cosh",
    "atan": "arctan",
    "fabs": "abs",
    "sign": "sign",
}
COMPARE = {"less": "<", "less_equal": "<=", "equal": "=="}


@dataclass(frozen=True)
class Gather:
    """A read of an array: the indices to gather, laid out over (lane, reductions)."""

    array: str
    indices: tuple[Index, ...]
    axes: tuple[tuple[str, str], ...]  # (bound index, size name) among the indices


@dataclass(frozen=True)
class ArrayFunction:
    """The generated function of one target, and what it wants to be called with."""

    target: Target
    name: str
    source: str
    gathers: tuple[Gather, ...]
    scalars: tuple[str, ...]
    depth: int
    largest: tuple[tuple[str, ...], ...]  # sizes of the reductions, for block sizes


class _Writer:
    def __init__(self, target: Target) -> None:
        self.target = target
        nodes = walk([target.node])
        self.depth = 1 + max((height(n.data[0]) for n in nodes if n.op == "reduce"), default=-1)
        self.lines: list[str] = []
        self.gathers: dict[Gather, str] = {}
        self.scalars: dict[str, None] = {}
        self.names: dict[tuple[Node, tuple[tuple[str, str], ...]], str] = {}
        self.largest: dict[tuple[str, ...], None] = {(): None}

    def key(self, node: Node, loops: dict[str, str]) -> tuple[Node, tuple[tuple[str, str], ...]]:
        return node, tuple(sorted((i, loops[i]) for i in node.free if i in loops))

    def axis(self, index: str) -> int:
        return 2 + self.depth - 1 - height(index)

    def write(self) -> ArrayFunction:
        result = self.value(self.target.node, {})
        name = f"nest_{self.target.name}"
        body = [f"    {line}" for line in self.lines]
        head = [f"def {name}(xp, special, gathered, scalars, sizes):"]
        source = "\n".join([*head, *body, f"    return {result}", ""])
        return ArrayFunction(
            self.target,
            name,
            source,
            tuple(self.gathers),
            tuple(self.scalars),
            self.depth,
            tuple(self.largest),
        )

    def new(self, text: str) -> str:
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name

    def value(self, node: Node, loops: dict[str, str]) -> str:
        key = self.key(node, loops)
        if key not in self.names:
            self.names[key] = self.compute(node, loops)
        return self.names[key]

    def compute(self, node: Node, loops: dict[str, str]) -> str:
        match node.op:
            case "const":
                return repr(float(node.data))
            case "scalar":
                self.scalars[node.data] = None
                return f"scalars[{node.data!r}]"
            case "size":
                return f"sizes[{node.data!r}]"
            case "leaf":
                return self.gather(node.data[0], node.data[1], loops)
            case "same":
                return self.gather("=", node.data, loops)
            case "weight":
                return "1.0"
            case "reduce":
                index, size, _ = node.data
                inside = {**loops, index: size}
                self.largest[tuple(inside.values())] = None
                body = self.value(node.args[0], inside)
                if not _varies(node.args[0], index):
                    return self.new(f"{body} * sizes[{size!r}]")
                return self.new(f"xp.add.reduce({body}, axis={self.axis(index)}, keepdims=True)")
            case "add" | "mul":
                return self.chain(node, loops)
        args = [self.value(a, loops) for a in node.args]
        return self.new(call_text(node.data if node.op == "call" else node.op, args))

    def chain(self, node: Node, loops: dict[str, str]) -> str:
        """Sums and products in order, small operands first: values on few axes are combined cheaply."""
        sign = "+" if node.op == "add" else "*"
        parts = (
            sorted(node.args, key=lambda a: (len(a.free), a.serial)) if node.data is None else list(node.args)
        )
        text = ""
        for part in parts:
            factor: Fraction | float = 1
            if node.op == "add" and part.op == "mul" and part.data is None and part.args:
                factor = next((a.data for a in part.args if a.op == "const"), 1)
            if factor == -1 and text:
                rest = [a for a in part.args if a.op != "const"]
                operand = self.value(rest[0], loops) if len(rest) == 1 else self.product(rest, loops)
                text = self.new(f"{text} - {operand}")
                continue
            operand = self.value(part, loops)
            text = self.new(f"{text} {sign} {operand}") if text else operand
        return text

    def product(self, factors: list[Node], loops: dict[str, str]) -> str:
        text = ""
        for factor in sorted(factors, key=lambda a: (len(a.free), a.serial)):
            operand = self.value(factor, loops)
            text = self.new(f"{text} * {operand}") if text else operand
        return text

    def gather(self, array: str, indices: tuple[Index, ...], loops: dict[str, str]) -> str:
        axes = tuple((i, loops[i]) for i in indices if isinstance(i, str) and i in loops)
        gather = Gather(array, indices, axes)
        if gather not in self.gathers:
            self.gathers[gather] = f"gathered[{len(self.gathers)}]"
        return self.gathers[gather]


def _varies(body: Node, index: str) -> bool:
    """Whether a summand depends on the index once the weights of halved sums are dropped."""
    if body.op == "weight":
        return False
    if body.op in ("leaf", "same"):
        return index in body.free
    return any(_varies(a, index) for a in body.args)


def call_text(name: str, args: list[str]) -> str:
    """A root, a reciprocal or a library function of some arguments."""
    joined = ", ".join(args)
    if name == "sqrt":
        return f"special.square_root(xp, {joined})"
    if name == "rsqrt":
        return f"1 / special.square_root(xp, {joined})"
    if name == "inv":
        return f"1 / {joined}"
    if name in UNARY:
        return f"xp.{UNARY[name]}({joined})"
    if name in BINARY:
        return f"xp.{BINARY[name]}({joined})"
    if name in COMPARE:
        return f"1.0 * ({args[0]} {COMPARE[name]} {args[1]})"
    if name == "select":
        return f"xp.where({args[0]} != 0, {args[1]}, {args[2]})"
    if name == "rsqrt_or_zero":
        return f"special.reciprocal_root_or_zero(xp, {joined})"
    return f"special.{name}(xp, {joined})"


def emit(target: Target) -> ArrayFunction:
    """The function of one target."""
    return _Writer(target).write()
