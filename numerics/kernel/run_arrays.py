"""Running the numpy emitter's functions: gathers, blocks, scatter.  Works for numpy and cupy alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from numerics.kernel import emit_numpy
from numerics.kernel.inputs import Inputs, axis_length, shape_of
from numerics.kernel.ir import Target
from numerics.kernel.program import Program
from numerics.kernel.special import arrays as special

BLOCK = 16384
"""Points of a block: temporaries of 128 KiB each stay in the second-level cache."""


class ArrayKernel:
    """A program as array operations."""

    def __init__(self, program: Program, xp: Any = np) -> None:
        self.program, self.xp = program, xp
        self.functions = [emit_numpy.emit(t) for t in program.targets]
        self.source = "\n\n".join([*_comment(program.describe()), *(f.source for f in self.functions)])
        scope: dict[str, Any] = {}
        exec(compile(self.source, "<generated array kernel>", "exec"), scope)
        self._call = [scope[f.name] for f in self.functions]
        self._plans: dict[tuple[tuple[str, int], ...], list[_Plan]] = {}

    def __call__(self, inputs: Inputs, groups: Sequence[str]) -> dict[str, Any]:
        """The outputs of some groups as (sets, *shape) arrays."""
        wanted = {t.name for g in groups for t in self.program.group(g)}
        xp, sizes = self.xp, inputs.sizes
        arrays = dict(inputs.arrays)
        for function, call, plan in zip(self.functions, self._call, self._plan(sizes), strict=True):
            target = function.target
            if target.name not in wanted:
                continue
            out = xp.empty((inputs.batch, prod(shape_of(target.sizes, sizes))))
            for first in range(0, inputs.batch, plan.sets):
                sets = slice(first, min(first + plan.sets, inputs.batch))
                scalars = {n: _per_set(inputs.scalars[n], sets, function.depth) for n in function.scalars}
                for lanes in plan.blocks:
                    gathered = [_gather(xp, arrays, name, index, sets, lanes) for name, index in plan.gathers]
                    value = call(xp, special, gathered, scalars, sizes)
                    flat = xp.reshape(value, xp.shape(value)[:2]) if xp.ndim(value) else value
                    for positions in plan.scatter:
                        out[sets, positions[lanes]] = flat
            arrays[target.name] = out
        names = [o.name for o in self.program.outputs if o.group in groups]
        return {n: arrays[n].reshape(inputs.batch, *shape_of(self.program.shapes[n], sizes)) for n in names}

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
        self.scatter = [xp.asarray(s) for s in scatter]
        count = len(scatter[0])
        axes = 2 + function.depth
        self.gathers: list[tuple[str, Any]] = []
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
            self.gathers.append((gather.array, xp.asarray(flat)))
        widest = max(prod(axis_length(s, sizes) for s in loops) for loops in function.largest)
        step = max(1, min(count, BLOCK // widest))
        self.blocks = [slice(a, min(a + step, count)) for a in range(0, count, step)]
        self.sets = max(1, BLOCK // (widest * count))


def lane_indices(target: Target, sizes: Mapping[str, int]) -> tuple[dict[str, Any], list[Any]]:
    """The index values of every lane of a target, and the flat positions its result is written to."""
    shape = shape_of(target.sizes, sizes)
    if target.symmetric:
        first, second = np.triu_indices(shape[0])
        lanes = dict(zip(target.indices, (first, second), strict=True))
        return lanes, [first * shape[0] + second, second * shape[0] + first]
    grid = np.indices(shape).reshape(len(shape), prod(shape))
    return dict(zip(target.indices, grid, strict=True)), [np.arange(prod(shape))]


def _gather(xp: Any, arrays: Mapping[str, Any], name: str, index: Any, sets: slice, lanes: slice) -> Any:
    if name == "=":
        return index[:, lanes] if index.shape[1] > 1 else index
    source = arrays[name]
    if source.shape[0] > 1:
        source = source[sets]
    return xp.take(source, index[lanes] if index.shape[0] > 1 else index, axis=1)


def _per_set(values: Any, sets: slice, depth: int) -> Any:
    """A scalar for every set of a block, with the axes of the lanes and of the reductions behind it."""
    return float(values[0]) if len(values) == 1 else values[sets].reshape(-1, *[1] * (1 + depth))


def _comment(text: str) -> list[str]:
    return ["\n".join(f"# {line}" for line in text.splitlines())]
