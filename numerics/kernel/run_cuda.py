"""CUDA: the kernels' body with one thread a parameter set, run through cupy."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from numerics.kernel import emit_cuda
from numerics.kernel.inputs import Inputs, shape_of
from numerics.kernel.program import Program
from numerics.runtime.errors import BackendUnavailable

THREADS = 128


def cupy_or_unavailable() -> Any:
    """cupy with a device that answers, or BackendUnavailable with the reason."""
    try:
        import cupy
    except ImportError as error:
        raise BackendUnavailable(
            "no cupy: install orderparams[gpu13] or [gpu12], or use the c or numpy backend"
        ) from error
    try:
        cupy.zeros(1)
    except RuntimeError as error:  # cupy imports without a device; the first allocation fails
        raise BackendUnavailable(f"cupy has no CUDA device ({error}); use the c or numpy backend") from error
    return cupy


class CudaKernel:
    """A program as CUDA kernels, one a group of outputs."""

    def __init__(self, program: Program, cupy: Any) -> None:
        self.program, self.cupy = program, cupy
        self._emitted = emit_cuda.emit(program)
        self.source = self._emitted.text
        module = cupy.RawModule(code=self.source, options=("--std=c++14", "--fmad=false"))
        self._functions = {g: module.get_function(f"{g}_threads") for g in program.groups}

    def __call__(self, inputs: Inputs, groups: Sequence[str]) -> dict[str, Any]:
        """The outputs of some groups as (sets, *shape) arrays on the device."""
        cupy, sets = self.cupy, inputs.batch
        values: dict[str, Any] = {}
        for name, given in {**inputs.arrays, **inputs.scalars}.items():
            flat = given.reshape(given.shape[0], -1)
            values[name] = cupy.ascontiguousarray(cupy.broadcast_to(flat, (sets, flat.shape[1])).T)
        shapes = {t.name: shape_of(t.sizes, inputs.sizes) for t in self.program.targets}
        for name, shape in shapes.items():
            values[name] = cupy.empty((prod(shape), sets))
        work = cupy.empty(max(1, self._emitted.work_length(inputs.sizes) * sets))
        arguments = [
            *(cupy.int64(inputs.sizes[n]) for n in self.program.size_names),
            cupy.int64(sets),
            *(values[n] for n in self._emitted.pointers),
            work,
        ]
        for group in groups:
            self._functions[group]((-(-sets // THREADS),), (THREADS,), tuple(arguments))
        names = [o.name for o in self.program.outputs if o.group in groups]
        return {n: values[n].T.reshape(sets, *shapes[n]) for n in names}
