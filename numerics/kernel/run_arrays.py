"""Running the numpy emitter's functions: gathers, blocks, scatter.  Works for numpy and cupy alike."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from numerics.kernel import emit_numpy
from numerics.kernel.inputs import Inputs, axis_length, shape_of
from numerics.kernel.ir import Target
from numerics.kernel.program import Program
from numerics.kernel.special import arrays as special
from numerics.kernel.tape import Tape

BLOCK = 16384
"""Points of a block: temporaries of 128 KiB each stay in the second-level cache."""

FEW = 4096
"""Points of the widest operation up to which one set is evaluated by a tape: above, gathers cost more than calls."""


class ArrayKernel:
    """A program as array operations: for one set of few units a tape, otherwise the emitter's functions."""

    def __init__(self, program: Program, xp: Any = np) -> None:
        self.program, self.xp = program, xp
        self.functions = [emit_numpy.emit(t) for t in program.targets]
        self.source = "\n\n".join([*_comment(program.describe()), *(f.source for f in self.functions)])
        scope: dict[str, Any] = {}
        exec(compile(self.source, "<generated array kernel>", "exec"), scope)
        self._call = [scope[f.name] for f in self.functions]
        self._plans: dict[tuple[tuple[str, int], ...], list[_Plan]] = {}
        self._own = threading.local()

    def __call__(self, inputs: Inputs, groups: Sequence[str]) -> dict[str, Any]:
        """The outputs of some groups as (sets, *shape) arrays."""
        if inputs.batch == 1 and self.xp is np:
            tape = self._tape(inputs.sizes, tuple(groups))
            if tape is not None:
                return tape(inputs)
        wanted = {t.name for g in groups for t in self.program.group(g)}
        xp, sizes = self.xp, inputs.sizes
        arrays = dict(inputs.arrays)
        for function, call, plan in zip(self.functions, self._call, self._plan(sizes), strict=True):
            target = function.target
            if target.name not in wanted:
                continue
            out = xp.empty((inputs.batch, plan.length))
            for first in range(0, inputs.batch, plan.sets):
                sets = slice(first, min(first + plan.sets, inputs.batch))
                scalars = {n: _per_set(inputs.scalars[n], sets, function.depth) for n in function.scalars}
                own = {n: arrays[n] if len(arrays[n]) == 1 else arrays[n][sets] for n in plan.reads}
                for gathers, scatter in plan.blocks:
                    # A comparison of indices has its values in the plan; everything else is read.
                    gathered = [
                        index if name == "=" else own[name].take(index, axis=1) for name, index in gathers
                    ]
                    value = xp.asarray(call(xp, special, gathered, scalars, sizes))
                    for positions in scatter:
                        out[sets, positions] = value.reshape(value.shape[:2])
            arrays[target.name] = out
        names = [o.name for o in self.program.outputs if o.group in groups]
        return {n: arrays[n].reshape(inputs.batch, *shape_of(self.program.shapes[n], sizes)) for n in names}

    def _tape(self, sizes: Mapping[str, int], groups: tuple[str, ...]) -> Tape | None:
        """The tape of this thread, or None where there are too many units for one."""
        tapes: dict[Any, Tape | None] = self._own.__dict__.setdefault("tapes", {})
        key = (*sizes.items(), groups)
        if key not in tapes:
            points = max(plan.points for plan in self._plan(sizes))
            tapes[key] = Tape(self.program, groups, sizes) if points <= FEW else None
        return tapes[key]

    def _plan(self, sizes: Mapping[str, int]) -> list[_Plan]:
        key = tuple(sorted(sizes.items()))
        if key not in self._plans:
            self._plans[key] = [_Plan(self.xp, f, sizes, self.program.shapes) for f in self.functions]
        return self._plans[key]


class _Plan:
    """What depends on the sizes alone: gather indices, where results go, and blocks."""

    def __init__(
        self,
        xp: Any,
        function: emit_numpy.ArrayFunction,
        sizes: Mapping[str, int],
        shapes: Mapping[str, tuple[str, ...]],
    ) -> None:
        lanes, scatter = lane_indices(function.target, sizes)
        count = len(scatter[0])
        self.length = prod(shape_of(function.target.sizes, sizes))
        axes = 2 + function.depth
        indices: list[tuple[str, Any]] = []
        for gather in function.gathers:
            position: dict[Any, Any] = {
                i: lane.reshape(-1, *[1] * function.depth) for i, lane in lanes.items()
            }
            for index, size in gather.axes:
                shape = [1] * (axes - 1)
                shape[axes - 2 - emit_numpy.height(index)] = -1
                position[index] = np.arange(axis_length(size, sizes)).reshape(shape)
            where = [
                position[i] if isinstance(i, str) else np.full((1,) * (axes - 1), i) for i in gather.indices
            ]
            if gather.array == "=":
                flat: Any = 1.0 * (where[0] == where[1])[None]
            else:
                flat = np.zeros((1,) * (axes - 1), dtype=np.intp)
                for w, length in zip(where, shape_of(shapes[gather.array], sizes), strict=True):
                    flat = flat * length + w
            indices.append((gather.array, flat))
        self.reads = {name for name, _ in indices if name != "="}
        widest = max(prod(axis_length(s, sizes) for s in loops) for loops in function.largest)
        step = max(1, min(count, BLOCK // widest))
        self.blocks = []
        for first in range(0, count, step):
            own = slice(first, first + step)
            gathers = [(name, xp.asarray(_sliced(name, index, own))) for name, index in indices]
            self.blocks.append((gathers, [xp.asarray(positions[own]) for positions in scatter]))
        self.points = widest * count
        self.sets = max(1, BLOCK // self.points)


def lane_indices(target: Target, sizes: Mapping[str, int]) -> tuple[dict[str, Any], list[Any]]:
    """The index values of every lane of a target, and the flat positions its result is written to."""
    shape = shape_of(target.sizes, sizes)
    if target.symmetric:
        first, second = np.triu_indices(shape[0])
        lanes = dict(zip(target.indices, (first, second), strict=True))
        return lanes, [first * shape[0] + second, second * shape[0] + first]
    grid = np.indices(shape).reshape(len(shape), prod(shape))
    return dict(zip(target.indices, grid, strict=True)), [np.arange(prod(shape))]


def _sliced(name: str, index: Any, lanes: slice) -> Any:
    """The part of a gather that some lanes read; indices that do not depend on the lane stay whole."""
    if name == "=":
        return index[:, lanes] if index.shape[1] > 1 else index
    return index[lanes] if index.shape[0] > 1 else index


def _per_set(values: Any, sets: slice, depth: int) -> Any:
    """A scalar for every set of a block, with the axes of the lanes and of the reductions behind it."""
    return float(values[0]) if len(values) == 1 else values[sets].reshape(-1, *[1] * (1 + depth))


def _comment(text: str) -> list[str]:
    return ["\n".join(f"# {line}" for line in text.splitlines())]
