"""Run files solved: one, or a sweep of them as one batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np

from derive.model import committee
from derive.online import Flow, derive_flow
from numerics.integrate import Solution
from numerics.integrate import solve as integrate
from numerics.models import model_of, parameter_values
from numerics.runtime.results import Labelled, labelled
from numerics.runtime.runfile import Run, sweep

AXES = {
    "Q": ("student", "student"),
    "R": ("student", "teacher"),
    "g": ("student",),
    "second_layer": ("student",),
    "generalization_error": (),
}


def flow_of(run: Run) -> Flow:
    """The order-parameter flow that ``run`` studies; that of a built-in model is derived once a process."""
    activation, normalization = run.parameters.activation, run.parameters.normalization
    if isinstance(run.model, str) and isinstance(activation, str):
        return _committee_flow(activation, normalization)
    return derive_flow(model_of(run))


@cache
def _committee_flow(activation: str, normalization: str) -> Flow:
    return derive_flow(committee(activation, normalization))


def solve_run(run: Run, backend: str = "auto", flow: Flow | None = None) -> Solution:
    """Integrate the flow of ``run`` from its start to its times, at its tolerance.

    ``flow`` saves deriving again where it is known.  See ``numerics.integrate.solve`` for the errors.
    """
    return _solve([run], flow_of(run) if flow is None else flow, backend)


def solve_batch(runs: Sequence[Run], backend: str = "auto", flow: Flow | None = None) -> Solution:
    """Integrate runs that differ in nothing but parameters, as one batch.

    They share model, sizes and times; every array of the solution has the runs as its first axis.
    """
    return _solve(runs, flow_of(runs[0]) if flow is None else flow, backend, batched=True)


def _solve(runs: Sequence[Run], flow: Flow, backend: str, batched: bool = False) -> Solution:
    def gather(values: Iterable[Any]) -> np.ndarray:
        arrays = [np.asarray(value, dtype=float) for value in values]
        return np.stack(arrays) if batched else arrays[0]

    first = runs[0]
    # The state of a run is its state at time 0, whether that is asked for or not.
    times = first.times if first.times[0] == 0 else np.concatenate([[0.0], first.times])
    initial = {
        variable.name: gather(getattr(run.initial, variable.name) for run in runs) for variable in flow.state
    }
    scalars = [parameter_values(run) for run in runs]
    parameters = {name: gather(values[name] for values in scalars) for name in scalars[0]}
    parameters |= {name: gather(getattr(run.initial, name) for run in runs) for name in ("T", "v")}
    parameters |= {name: gather(getattr(run.initial, name) for run in runs) for name in ("g", "w")
                   if name not in initial}  # fmt: skip
    return integrate(
        flow, initial, times, parameters,
        rtol=first.tolerance.relative, atol=first.tolerance.absolute, backend=backend,
    )  # fmt: skip


@dataclass(frozen=True)
class Sweep:
    """A solved sweep: results by name, labelled with the varied keys; or a list of them.

    ``results`` holds time, Q, R, g, second_layer and generalization_error as labelled arrays, with the varied
    keys as leading axes and as arrays of their own.  Where sizes vary the arrays of different points differ
    in shape, and ``results`` is ``{"points": [...]}``, one dictionary a point.
    """

    results: dict[str, Any]
    complete: bool
    message: str
    backend: str


def solve_sweep(run: Run, varied: Mapping[str, Sequence[float]], backend: str = "auto") -> Sweep:
    """Solve ``run`` for every combination of the ``varied`` parameters, the last key fastest."""
    flow = flow_of(run)
    if not varied:
        solution = solve_run(run, backend, flow)
        return Sweep(arrays_of(solution, run), solution.complete, solution.message, solution.backend)
    points = sweep(run, varied)
    groups = [list(group) for _, group in groupby(points, key=lambda point: _sizes(point[1]))]
    solutions = [solve_batch([each for _, each in group], backend, flow) for group in groups]
    broken = [solution.message for solution in solutions if not solution.complete]
    if len(groups) == 1:
        results = _reshaped(arrays_of(solutions[0], run), varied)
    else:
        results = {"points": [
            {**changes, **arrays_of(solution, each, at=number)}
            for group, solution in zip(groups, solutions, strict=True)
            for number, (changes, each) in enumerate(group)
        ]}  # fmt: skip
    return Sweep(results, not broken, "; ".join(broken), solutions[0].backend)


def _sizes(run: Run) -> tuple[int, int]:
    return run.parameters.students, run.parameters.teachers


def arrays_of(solution: Solution, run: Run, at: int | None = None) -> dict[str, Labelled | None]:
    """A solution at the run's own times as labelled arrays; of a batch, of all points or of number ``at``."""
    batch = at is None and np.ndim(solution.reached) > 0
    leading = ("point",) if batch else ()
    own = slice(len(solution.times) - len(run.times), None)

    def pick(array: np.ndarray) -> np.ndarray:
        return array[:, own] if batch else array[own] if at is None else array[at, own]

    found: dict[str, np.ndarray | None] = {"Q": solution["Q"], "R": solution["R"]}
    found["g"] = solution.state.get("g")
    found["second_layer"] = solution.state.get("w")
    found["generalization_error"] = solution["generalization_error"]
    result: dict[str, Labelled | None] = {"time": labelled(run.times, "time")}
    for name, array in found.items():
        result[name] = None if array is None else labelled(pick(array), *leading, "time", *AXES[name])
    return result


def _reshaped(results: dict[str, Labelled | None], varied: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The axis of points as one axis for each varied key."""
    shape = tuple(len(values) for values in varied.values())
    grid: dict[str, Any] = {key: labelled(np.asarray(values), key) for key, values in varied.items()}
    for name, array in results.items():
        if array is not None and array.axes[0] == "point":
            values = array.values.reshape(*shape, *array.values.shape[1:])
            array = Labelled((*varied, *array.axes[1:]), values)
        grid[name] = array
    return grid
