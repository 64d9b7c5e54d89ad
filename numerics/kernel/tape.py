"""One parameter set of few units, as numpy steps that each compute all equal operations that are ready.

At small sizes an array operation costs its call, not its elements.  So the targets are written out element by
element, equal elements are merged, and what remains is sorted into steps: one operation on every element whose
arguments are known.  All values lie in one vector; a step gathers its arguments from it and writes its results
behind each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from numerics.kernel.emit_numpy import call_text
from numerics.kernel.inputs import Inputs, axis_length, shape_of
from numerics.kernel.ir import Index, Node, Target
from numerics.kernel.program import Program
from numerics.kernel.special import arrays as special

Operation = tuple[str, int]
"""A kind of step: the name and the number of arguments (of sums and products rounded up to a power of two)."""

Step = tuple[Operation, list[tuple[int, tuple[int, ...]]]]
"""An operation, and its results with the arguments of each."""


class _Elements:
    """The targets written out: numbered values, of which the first are constants, inputs and scalars."""

    def __init__(self, program: Program, sizes: Mapping[str, int]) -> None:
        self.program, self.sizes = program, sizes
        self.targets = {t.name: t for t in program.targets}
        self.constants: dict[float, int] = {}
        self.inputs: dict[tuple[str, int], int] = {}
        self.operations: dict[tuple[str, tuple[int, ...]], int] = {}
        self._known: dict[tuple[Any, ...], int] = {}
        self._free: dict[Node, tuple[str, ...]] = {}
        self._count = 0
        self.zero, self.one = self.constant(0.0), self.constant(1.0)

    def _number(self) -> int:
        self._count += 1
        return self._count - 1

    def constant(self, value: float) -> int:
        if value not in self.constants:
            self.constants[value] = self._number()
        return self.constants[value]

    def element(self, target: Target, at: tuple[int, ...]) -> int:
        """The value of one element of a target."""
        if target.symmetric:
            at = tuple(sorted(at))
        return self.value(target.node, dict(zip(target.indices, at, strict=True)))

    def value(self, node: Node, at: dict[str, int]) -> int:
        if node not in self._free:
            self._free[node] = tuple(sorted(node.free))
        key = (node, *[at[i] for i in self._free[node]])
        if key not in self._known:
            self._known[key] = self._compute(node, at)
        return self._known[key]

    def _compute(self, node: Node, at: dict[str, int]) -> int:
        match node.op:
            case "const":
                return self.constant(float(node.data))
            case "size":
                return self.constant(float(self.sizes[node.data]))
            case "scalar":
                return self._input(node.data, 0)
            case "leaf":
                return self._leaf(node.data[0], tuple(_position(i, at) for i in node.data[1]))
            case "same":
                return self.one if _position(node.data[0], at) == _position(node.data[1], at) else self.zero
            case "weight":
                return self.one if at[node.data[0]] == at[node.data[1]] else self.constant(2.0)
            case "reduce":
                index, size, bound = node.data
                length = axis_length(size, self.sizes) if bound is None else at[bound] + 1
                terms = (self.value(node.args[0], {**at, index: n}) for n in range(length))
                return self._associative("add", terms, self.zero)
        args = [self.value(a, at) for a in node.args]
        match node.op:
            case "add":
                return self._associative("add", args, self.zero)
            case "mul":
                return self.zero if self.zero in args else self._associative("mul", args, self.one)
            case "call":
                return self._operation(node.data, tuple(args))
        return self._operation(node.op, tuple(args))

    def _leaf(self, name: str, at: tuple[int, ...]) -> int:
        if name in self.targets:
            return self.element(self.targets[name], at)
        flat = 0
        for position, length in zip(at, shape_of(self.program.arrays[name], self.sizes), strict=True):
            flat = flat * length + position
        return self._input(name, flat)

    def _input(self, name: str, flat: int) -> int:
        if (name, flat) not in self.inputs:
            self.inputs[name, flat] = self._number()
        return self.inputs[name, flat]

    def _associative(self, name: str, args: Iterable[int], neutral: int) -> int:
        rest = sorted(a for a in args if a != neutral)
        if len(rest) < 2:
            return rest[0] if rest else neutral
        return self._operation(name, tuple(rest))

    def _operation(self, name: str, args: tuple[int, ...]) -> int:
        key = (name, args)
        if key not in self.operations:
            self.operations[key] = self._number()
        return self.operations[key]

    def steps(self) -> list[Step]:
        """Operations in order: always all that are ready of the kind that the longest chain waits for."""
        waits: dict[int, int] = {}
        users: dict[int, list[int]] = {}
        made = {number: key for key, number in self.operations.items()}
        for number, (_, args) in made.items():
            own = [a for a in dict.fromkeys(args) if a in made]
            waits[number] = len(own)
            for a in own:
                users.setdefault(a, []).append(number)
        ahead: dict[int, int] = {}
        for number in reversed(made):
            ahead[number] = 1 + max((ahead[u] for u in users.get(number, ())), default=0)
        ready: dict[Operation, list[int]] = {}

        def enter(number: int) -> None:
            name, args = made[number]
            ready.setdefault((name, self._width(name, args)), []).append(number)

        for number, count in waits.items():
            if not count:
                enter(number)
        steps = []
        while ready:
            kind = max(ready, key=lambda k: max(ahead[n] for n in ready[k]))
            members = ready.pop(kind)
            steps.append((kind, [(n, self._padded(*made[n])) for n in members]))
            for number in members:
                for user in users.get(number, ()):
                    waits[user] -= 1
                    if not waits[user]:
                        enter(user)
        return steps

    @staticmethod
    def _width(name: str, args: tuple[int, ...]) -> int:
        return 1 << (len(args) - 1).bit_length() if name in ("add", "mul") else len(args)

    def _padded(self, name: str, args: tuple[int, ...]) -> tuple[int, ...]:
        return args + (self.zero if name == "add" else self.one,) * (self._width(name, args) - len(args))


class Tape:
    """The steps for some groups of outputs at some sizes.  It owns its memory: one thread at a time."""

    def __init__(self, program: Program, groups: Sequence[str], sizes: Mapping[str, int]) -> None:
        elements = _Elements(program, sizes)
        outputs = [
            (o.name, shape_of(program.shapes[o.name], sizes)) for o in program.outputs if o.group in groups
        ]
        wanted = [
            (name, shape, [elements.element(elements.targets[name], at) for at in np.ndindex(*shape)])
            for name, shape in outputs
        ]
        place: dict[int, int] = {}
        for number in elements.constants.values():
            place[number] = len(place)
        first: dict[str, int] = {}
        free = len(place)
        for name in (*program.arrays, *program.scalars):
            first[name] = free
            free += prod(shape_of(program.arrays.get(name, ()), sizes))
        for (name, flat), number in elements.inputs.items():
            place[number] = first[name] + flat
        last = free
        steps = elements.steps()
        for _, members in steps:
            for number, _ in members:
                place[number] = free
                free += 1
        self._values = np.empty(free)
        self._values[: len(elements.constants)] = list(elements.constants)
        self._inputs = self._values[len(elements.constants) : last]
        self._outputs: list[tuple[str, tuple[int, ...], slice]] = []
        where: list[int] = []
        for name, shape, numbers in wanted:
            self._outputs.append((name, (1, *shape), slice(len(where), len(where) + len(numbers))))
            where += [place[n] for n in numbers]
        self._where = np.array(where)
        tables = [[[place[a] for a in args] for _, args in members] for _, members in steps]
        indices = [np.array(table).T.copy() for table in tables]
        # One for all steps, so that it stays in cache.
        scratch = np.empty(max((index.size for index in indices), default=0))
        self._steps: list[tuple[Any, Any, Callable[..., Any], tuple[Any, ...]]] = []
        for index, (operation, members) in zip(indices, steps, strict=True):
            start = place[members[0][0]]
            out = self._values[start : start + len(members)]
            arguments = scratch[: index.size].reshape(index.shape)
            self._steps.append((index, arguments, *_call(*operation, arguments, out)))

    def __call__(self, inputs: Inputs) -> dict[str, Any]:
        """The outputs as (1, *shape) arrays."""
        given = [array[0] for array in inputs.arrays.values()]
        np.concatenate([*given, *inputs.scalars.values()], out=self._inputs)
        take = self._values.take
        for index, arguments, function, operands in self._steps:
            take(index, None, arguments, "clip")
            function(*operands)
        results = take(self._where)
        return {name: results[own].reshape(shape) for name, shape, own in self._outputs}


def _position(index: Index, at: Mapping[str, int]) -> int:
    return at[index] if isinstance(index, str) else index


def _call(name: str, width: int, arguments: Any, out: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What a step calls on its arguments, one row each, and with what."""
    if name in ("add", "mul"):
        combine = np.add if name == "add" else np.multiply
        return (combine, (*arguments, out)) if width == 2 else (combine.reduce, (arguments, 0, None, out))
    if name == "inv":
        return np.divide, (1.0, *arguments, out)
    return _function(name, width), (out, *arguments)


@cache
def _function(name: str, width: int) -> Callable[..., Any]:
    arguments = [f"x{k}" for k in range(width)]
    scope: dict[str, Any] = {"xp": np, "special": special}
    exec(f"def step(out, {', '.join(arguments)}):\n    out[:] = {call_text(name, arguments)}\n", scope)
    step: Callable[..., Any] = scope["step"]
    return step
