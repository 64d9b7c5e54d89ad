"""Compiling outputs to a kernel, and calling it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from numerics.kernel.inputs import Inputs, check_inputs
from numerics.kernel.program import Output, Program, build_program
from numerics.runtime.compiler import find_compiler
from numerics.runtime.errors import unknown_name

BACKENDS = ("auto", "numpy", "cupy", "c", "cuda")


class _Runner(Protocol):
    source: str

    def __call__(self, inputs: Inputs, groups: Sequence[str]) -> dict[str, Any]: ...


class Kernel:
    """Compiled outputs.  ``backend`` names what runs it, ``source`` is the generated text.

    Calling it with the inputs by name returns the outputs by name; a leading batch axis on any input puts
    one on every output.
    """

    def __init__(self, program: Program, backend: str, runner: _Runner, xp: Any) -> None:
        self.program, self.backend, self.xp = program, backend, xp
        self._run = runner

    @property
    def source(self) -> str:
        """The generated source, with the outputs and the operation counts in its header."""
        return self._run.source

    def __call__(
        self,
        inputs: Mapping[str, Any],
        sizes: Mapping[str, int] | None = None,
        groups: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Evaluate at ``inputs`` (arrays and scalars by name); sizes follow from the arrays where they can.

        ``groups`` restricts the outputs to some of the program's groups.
        """
        checked = check_inputs(self.program, inputs, sizes, self.xp)
        results = self._run(checked, self.program.groups if groups is None else groups)
        return results if checked.batched else {name: value[0] for name, value in results.items()}


def compile_kernel(outputs: Sequence[Output], backend: str = "auto", symmetric: Iterable[str] = ()) -> Kernel:
    """Compile ``outputs`` for a backend: numpy, cupy, c, cuda, or auto for the best there is.

    ``symmetric`` names the inputs that are symmetric matrices, whose symmetry halves double sums.  Raises
    BackendUnavailable for a backend that is not there, InputError for an expression that cannot be lowered.
    """
    return compile_program(build_program(outputs, symmetric), backend)


def compile_program(program: Program, backend: str = "auto") -> Kernel:
    """Compile a program that is built already."""
    chosen = choose_backend(backend)
    if chosen == "c":
        from numerics.kernel.run_c import CKernel

        return Kernel(program, chosen, CKernel(program), np)
    if chosen == "numpy":
        from numerics.kernel.run_arrays import ArrayKernel

        return Kernel(program, chosen, ArrayKernel(program), np)
    from numerics.kernel.run_cuda import cupy_or_unavailable

    cupy = cupy_or_unavailable()
    if chosen == "cupy":
        from numerics.kernel.run_arrays import ArrayKernel

        return Kernel(program, chosen, ArrayKernel(program, cupy), cupy)
    from numerics.kernel.run_cuda import CudaKernel

    return Kernel(program, chosen, CudaKernel(program, cupy), cupy)


def choose_backend(backend: str) -> str:
    """The backend a name stands for: ``auto`` is C where there is a compiler, else numpy."""
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    if backend != "auto":
        return backend
    return "c" if find_compiler() is not None else "numpy"
