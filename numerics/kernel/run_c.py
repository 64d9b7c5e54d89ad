"""Running compiled C kernels: the structure they read, blocks of parameter sets, threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np

from numerics.kernel import emit_c
from numerics.kernel.inputs import Inputs, shape_of
from numerics.kernel.program import Program
from numerics.runtime.compiler import compile_shared

LANES = emit_c.LANES
CHUNK = 128 * LANES
"""Parameter sets packed at a time by one thread."""


def thread_count() -> int:
    """Threads for blocks of parameter sets: $OMP_NUM_THREADS, else the processors this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else len(os.sched_getaffinity(0))


class CKernel:
    """A program as a shared library."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._emitted = emit_c.emit(program)
        self.source = self._emitted.text
        self._library = compile_shared(self.source, "kernel")
        self._structure = kernel_structure(program, self._emitted)

    def __call__(self, inputs: Inputs, groups: Sequence[str]) -> dict[str, Any]:
        """The outputs of some groups as (sets, *shape) arrays."""
        wanted = {t.name: t for g in groups for t in self.program.group(g)}
        shapes = {name: shape_of(t.sizes, inputs.sizes) for name, t in wanted.items()}
        out = {n: np.empty((inputs.batch, prod(shape))) for n, shape in shapes.items()}
        if inputs.batch == 1:
            self._one(inputs, out, groups)
        else:
            starts = range(0, inputs.batch, CHUNK)
            threads = min(thread_count(), len(starts))
            if threads == 1:
                for first in starts:
                    self._sets(inputs, out, first, groups)
            else:
                # ctypes releases the interpreter lock inside a call, so threads do run side by side.
                with ThreadPoolExecutor(threads) as pool:
                    list(pool.map(lambda first: self._sets(inputs, out, first, groups), starts))
        names = [o.name for o in self.program.outputs if o.group in groups]
        return {n: out[n].reshape(inputs.batch, *shapes[n]) for n in names}

    def _one(self, inputs: Inputs, out: Mapping[str, Any], groups: Sequence[str]) -> None:
        bound = Binding(self.program, self._emitted, self._structure, inputs.sizes)
        for name, values in {**inputs.arrays, **inputs.scalars}.items():
            bound.point(name, values)
        for name, values in out.items():
            bound.point(name, values)
        for group in groups:
            self._library[f"{group}_units"](ctypes.byref(bound.structure))

    def _sets(self, inputs: Inputs, out: Mapping[str, Any], first: int, groups: Sequence[str]) -> None:
        """A chunk of sets in blocks of LANES side by side, the last block padded with its last set."""
        bound = Binding(self.program, self._emitted, self._structure, inputs.sizes)
        count = min(CHUNK, inputs.batch - first)
        blocks = -(-count // LANES)
        sets = np.minimum(np.arange(first, first + blocks * LANES), inputs.batch - 1)
        for name, values in {**inputs.arrays, **inputs.scalars}.items():
            flat = values.reshape(values.shape[0], -1)
            flat = np.broadcast_to(flat, (len(sets), flat.shape[1])) if len(flat) == 1 else flat[sets]
            bound.point(name, np.ascontiguousarray(flat.reshape(blocks, LANES, -1).transpose(0, 2, 1)))
        temporary = {t.name for t in self.program.temporaries}
        results = {}
        for name, values in out.items():
            results[name] = np.empty((1 if name in temporary else blocks, values.shape[1], LANES))
            bound.point(name, results[name])
        for group in groups:
            self._library[f"{group}_blocks"](ctypes.byref(bound.structure), ctypes.c_long(blocks))
        for name in results.keys() - temporary:
            unpacked = results[name].transpose(0, 2, 1).reshape(blocks * LANES, -1)
            out[name][first : first + count] = unpacked[:count]


def kernel_structure(program: Program, emitted: emit_c.CSource) -> type[ctypes.Structure]:
    """``struct kernel`` of the generated source."""
    names: list[tuple[str, Any]] = [(f"size_{n}", ctypes.c_long) for n in program.size_names]
    names += [(n, ctypes.c_void_p) for n in program.arrays]
    names += [(f"{n}_", ctypes.c_void_p) for n in program.scalars]
    names += [(t.name, ctypes.c_void_p) for t in program.targets]
    names.append(("work", ctypes.c_void_p))
    for number, (sizes, _) in enumerate(emitted.domains):
        names.append((f"count_{number}", ctypes.c_long))
        names += [(f"index_{number}_{axis}", ctypes.c_void_p) for axis in range(len(sizes))]
    return type("KernelStructure", (ctypes.Structure,), {"_fields_": names})


class Binding:
    """A structure filled for given sizes, with its scratch memory; keeps alive what it points to."""

    def __init__(
        self,
        program: Program,
        emitted: emit_c.CSource,
        structure: type[ctypes.Structure],
        sizes: dict[str, int],
    ) -> None:
        self._scalars = set(program.scalars)
        self._alive: list[Any] = []
        self.structure = structure()
        for name in program.size_names:
            setattr(self.structure, f"size_{name}", sizes[name])
        for number, (axes, symmetric) in enumerate(emitted.domains):
            length = shape_of(axes, sizes)
            grid = emit_c.domain_indices(length, symmetric)
            count = length[0] * (length[0] + 1) // 2 if symmetric else prod(length)
            setattr(self.structure, f"count_{number}", count)
            for axis, row in enumerate(grid):
                self._set(f"index_{number}_{axis}", row)
        self._set("work", np.empty(max(1, emitted.work_length(sizes))))

    def point(self, name: str, values: Any) -> None:
        """Let an array, a scalar or an output stand at ``values``, contiguous doubles."""
        self._set(f"{name}_" if name in self._scalars else name, values)

    def _set(self, name: str, values: Any) -> None:
        self._alive.append(values)
        setattr(self.structure, name, values.ctypes.data)
