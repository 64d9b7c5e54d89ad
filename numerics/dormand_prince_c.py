"""The compiled solver: the kernel's source and the solver's in one library, so that no step leaves C."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

import numpy as np

from numerics.kernel import emit_c
from numerics.kernel.flow import OBSERVABLES
from numerics.kernel.inputs import shape_of
from numerics.kernel.run_c import LANES, Binding, kernel_structure, thread_count
from numerics.runtime.compiler import compile_shared
from numerics.system import System
from numerics.trajectories import Trajectories

TEMPLATE = Path(__file__).with_name("dormand_prince.c").read_text()
FEW = 3
"""Up to this many trajectories each is solved on its own, vectorized over units."""


class EventStructure(ctypes.Structure):
    """``struct event`` of the solver."""

    _fields_ = (
        ("watched", ctypes.c_long),
        ("threshold", ctypes.c_double),
        ("direction", ctypes.c_int),
        ("terminal", ctypes.c_int),
    )


class TaskStructure(ctypes.Structure):
    """``struct task`` of the solver."""

    _fields_ = (
        ("length", ctypes.c_long),
        ("times", ctypes.c_void_p),
        ("time_count", ctypes.c_long),
        ("rtol", ctypes.c_double),
        ("atol", ctypes.c_double),
        ("max_steps", ctypes.c_long),
        ("events", ctypes.c_void_p),
        ("event_count", ctypes.c_long),
    )


class CompiledSolver:
    """The solver of one system."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._emitted = emit_c.emit(system.program)
        self.source = solver_source(system, self._emitted.text)
        self._library = compile_shared(self.source, "solver")
        self._structure = kernel_structure(system.program, self._emitted)

    def __call__(
        self,
        initial: np.ndarray,
        parameters: Mapping[str, np.ndarray],
        sizes: dict[str, int],
        times: np.ndarray,
        rtol: float,
        atol: float,
        max_steps: int,
        events: Sequence[tuple[int, float, int, bool]],
    ) -> Trajectories:
        """Solve from ``initial`` (sets, elements) with parameters (sets or 1, elements)."""
        sets, length = initial.shape
        result = Trajectories.empty(sets, len(times), length, len(events))
        lanes = 1 if sets <= FEW else LANES
        starts = list(range(0, sets, lanes))
        threads = min(thread_count(), len(starts))
        event_array = (EventStructure * max(1, len(events)))(*(EventStructure(*e) for e in events))
        task = TaskStructure(
            length,
            times.ctypes.data,
            len(times),
            rtol,
            atol,
            max_steps,
            ctypes.addressof(event_array),
            len(events),
        )

        def work(own: Sequence[int]) -> None:
            buffers = _Buffers(self, sizes, lanes, length, len(times), len(events))
            for first in own:
                buffers.solve(task, first, initial, parameters, result)

        if threads == 1:
            work(starts)
        else:
            # Interleaved: neighbours in a sweep take similar time.  ctypes releases the interpreter lock.
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, [starts[k::threads] for k in range(threads)]))
        return result


class _Buffers:
    """The memory of one thread."""

    def __init__(
        self, solver: CompiledSolver, sizes: dict[str, int], lanes: int, length: int, times: int, events: int
    ) -> None:
        program = solver.system.program
        self.lanes = lanes
        self.solve_lanes = solver._library["solve_units" if lanes == 1 else "solve_sets"]
        self.solve_lanes.restype = None
        self.binding = Binding(program, solver._emitted, solver._structure, sizes)
        self.parameters = {}
        for name in solver.system.parameters:
            elements = prod(shape_of(program.arrays.get(name, ()), sizes))
            self.parameters[name] = np.empty((elements, lanes))
            self.binding.point(name, self.parameters[name])
        for target in program.temporaries:
            self.binding.point(target.name, np.empty((prod(shape_of(target.sizes, sizes)), lanes)))
        self.initial = np.empty((length, lanes))
        self.out = np.empty((times, length, lanes))
        self.event_times = np.empty((max(1, events), lanes))
        self.reached = np.empty(lanes)
        self.steps = np.zeros((2, lanes), dtype=np.int64)
        self.status = np.zeros(lanes, dtype=np.int32)
        self.work = np.empty(11 * length * lanes)

    def solve(
        self,
        task: TaskStructure,
        first: int,
        initial: np.ndarray,
        parameters: Mapping[str, np.ndarray],
        result: Trajectories,
    ) -> None:
        count = min(self.lanes, len(initial) - first)
        sets = np.minimum(np.arange(first, first + self.lanes), len(initial) - 1)
        self.initial[:] = initial[sets].T
        for name, buffer in self.parameters.items():
            values = parameters[name]
            buffer[:] = values.T if len(values) == 1 else values[sets].T
        self.out.fill(np.nan)
        self.event_times.fill(np.nan)
        self.steps.fill(0)
        self.status[:] = np.arange(self.lanes) >= count  # lanes beyond the last set are finished already
        pointers = [
            a.ctypes.data
            for a in (
                self.initial,
                self.out,
                self.event_times,
                self.reached,
                self.steps,
                self.status,
                self.work,
            )
        ]
        self.solve_lanes(
            ctypes.byref(self.binding.structure), ctypes.byref(task), *(ctypes.c_void_p(p) for p in pointers)
        )
        own = slice(first, first + count)
        result.states[own] = np.moveaxis(self.out[..., :count], -1, 0)
        events = result.event_times.shape[1]
        result.event_times[own] = self.event_times[:events, :count].T
        result.reached[own] = self.reached[:count]
        result.steps[own] = self.steps[:, :count].T
        result.status[own] = self.status[:count]


def solver_source(system: System, kernel_source: str) -> str:
    """The kernel, its binding to the solver's vectors, and the solver for one and for LANES trajectories."""
    watched = system.observables
    parts = [
        kernel_source,
        "#include <math.h>",
        f"enum {{ MAX_WATCHED = {max(1, len(watched))} }};",
        "enum { RUNNING, FINISHED, STOPPED_BY_EVENT, STEP_TOO_SMALL, TOO_MANY_STEPS };",
        "struct event { long watched; double threshold; int direction; int terminal; };",
        "struct task { long length; const double *times; long time_count; double rtol, atol;\n"
        "              long max_steps; const struct event *events; long event_count; };",
        _bind_state(system),
        _bind_watched(watched),
    ]
    if not watched:
        parts.append(
            "".join(
                f"void {OBSERVABLES}_{s}(const struct kernel *k) {{ (void)k; }}\n" for s in ("units", "sets")
            )
        )
    for schedule, lanes in (("units", 1), ("sets", LANES)):
        parts.append(TEMPLATE.replace("@SCHEDULE@", schedule).replace("@LANES@", str(lanes)))
    return "\n\n".join(parts)


def _bind_state(system: System) -> str:
    program = system.program
    lines = [
        "/* Let the state stand at y and its rates at dy. */",
        "OP void bind_state(struct kernel *k, const double *y, double *dy, const long lanes)",
        "{",
        "    long at = 0;",
    ]
    for name, rate in system.state.items():
        if name in program.arrays:
            lines.append(f"    k->{name} = y + at * lanes;")
        elif name in program.scalars:
            lines.append(f"    k->{name}_ = y + at * lanes;")
        lines.append(f"    k->{rate} = dy ? dy + at * lanes : 0;")
        length = " * ".join(a if a.isdigit() else f"k->size_{a}" for a in system.axes[name]) or "1"
        lines.append(f"    at += {length};")
    return "\n".join([*lines, "    (void)at;", "}"])


def _bind_watched(watched: Sequence[str]) -> str:
    lines = [
        "/* Let the observables stand in values. */",
        "OP void bind_watched(struct kernel *k, double *values, const long lanes)",
        "{",
        "    (void)k; (void)values; (void)lanes;",
    ]
    lines += [f"    k->{name} = values + {number} * lanes;" for number, name in enumerate(watched)]
    return "\n".join([*lines, "}"])
