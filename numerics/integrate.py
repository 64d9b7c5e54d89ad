"""Adaptive integration of flows: a step for each trajectory, dense output at requested times, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from numerics.kernel.inputs import shape_of
from numerics.kernel.kernel import choose_backend
from numerics.runtime.devices import to_host
from numerics.runtime.errors import InputError, unknown_name
from numerics.system import System, system_of
from numerics.trajectories import STEP_TOO_SMALL, STOPPED_BY_EVENT, Trajectories

if TYPE_CHECKING:
    from derive.online import Flow

MAX_STEPS = 100_000


@dataclass(frozen=True)
class Event:
    """The first crossing of a threshold by a watched number.

    ``quantity`` is the name of an observable or an expression in the state without free indices;
    ``direction`` is +1 for upwards, -1 for downwards, 0 for both; a ``terminal`` event stops its trajectory.
    """

    name: str
    quantity: str | sympy.Expr
    threshold: float = 0.0
    direction: int = 0
    terminal: bool = False


@dataclass(frozen=True)
class Solution:
    """Trajectories at the requested times.

    ``state`` and ``observables`` hold arrays of shape (times, ...), behind a batch axis (sets, times, ...)
    where any input had one; what was not reached is nan.  ``event_times`` maps each event to the time of its
    first crossing (nan: none).  ``reached`` is the last time a trajectory came to; ``complete`` is False when
    some trajectory could not go on, and ``message`` says where and why.
    """

    times: np.ndarray
    state: dict[str, np.ndarray]
    observables: dict[str, np.ndarray]
    event_times: dict[str, Any]
    reached: Any
    complete: bool
    message: str
    backend: str
    steps: Any = field(repr=False)

    def __getitem__(self, name: str) -> np.ndarray:
        """A state variable or an observable by name."""
        known = {**self.state, **self.observables}
        if name not in known:
            raise unknown_name("result", name, known)
        return known[name]


def solve(
    flow: Flow | System,
    initial: Mapping[str, Any],
    times: Sequence[float] | np.ndarray,
    parameters: Mapping[str, Any],
    rtol: float = 1e-8,
    atol: float = 1e-10,
    events: Sequence[Event] = (),
    backend: str = "auto",
    max_steps: int = MAX_STEPS,
) -> Solution:
    """Integrate a flow from ``initial`` (at times[0]) through ``times``.

    ``initial`` holds the state variables, ``parameters`` the constants (T, v) and scalars by name; each may
    carry a leading batch axis over parameter sets.  Steps keep the root mean square over the state of
    (error / (atol + rtol |y|)) below 1, for each trajectory on its own: Dormand and Prince's pair of order
    5(4).  A trajectory that cannot keep its tolerance stops; the solution then holds what it has, with
    ``complete`` False.

    Raises InputError for missing or misshapen inputs, BackendUnavailable for a backend that is not there.
    """
    system, watched = _watched(flow, events)
    moments = _checked_times(times)
    if not (rtol > 0 and atol >= 0):
        raise InputError(f"tolerances are positive; got rtol = {rtol}, atol = {atol}")
    chosen = choose_backend(backend)
    sizes, sets, batched, values = _gathered(system, {**parameters, **initial})
    start = np.concatenate(
        [np.broadcast_to(values[n], (sets, values[n].shape[1])) for n in system.state], axis=1
    )
    if not np.isfinite(start).all():
        raise InputError("the initial state holds a number that is not finite")
    constants = {n: values[n] for n in system.parameters}
    solver: Any
    if chosen == "c":
        from numerics.dormand_prince_c import CompiledSolver

        solver = _made(system, CompiledSolver)
    else:
        from numerics.dormand_prince import ArraySolver

        solver = ArraySolver(system, system.kernel(chosen))
    result = solver(np.ascontiguousarray(start), constants, sizes, moments, rtol, atol, max_steps, watched)
    return _solution(system, result, moments, sizes, batched, constants, events, chosen)


def _watched(
    flow: Flow | System, events: Sequence[Event]
) -> tuple[System, list[tuple[int, float, int, bool]]]:
    """The system with the events' own expressions among its observables, and the events by number."""
    extra = {f"event_{k}": e.quantity for k, e in enumerate(events) if not isinstance(e.quantity, str)}
    if isinstance(flow, System):
        if extra:
            raise InputError("events of a System watch its observables by name")
        system = flow
    else:
        system = system_of(flow, extra)
    watched = []
    for number, event in enumerate(events):
        name = event.quantity if isinstance(event.quantity, str) else f"event_{number}"
        if name not in system.observables:
            raise unknown_name("observable", name, system.observables)
        watched.append(
            (
                system.observables.index(name),
                float(event.threshold),
                int(event.direction),
                bool(event.terminal),
            )
        )
    return system, watched


def _checked_times(times: Sequence[float] | np.ndarray) -> np.ndarray:
    moments = np.ascontiguousarray(times, dtype=float)
    if (
        moments.ndim != 1
        or len(moments) == 0
        or not np.isfinite(moments).all()
        or (np.diff(moments) <= 0).any()
    ):
        raise InputError("times must be finite and increasing, at least one")
    return moments


def _gathered(
    system: System, given: Mapping[str, Any]
) -> tuple[dict[str, int], int, bool, dict[str, np.ndarray]]:
    """Sizes, number of sets, and every input as (sets or 1, elements)."""
    axes = {**{n: system.program.arrays.get(n, ()) for n in system.parameters}, **system.axes}
    given = {**system.program.constants, **given}
    missing = [n for n in axes if n not in given]
    if missing:
        needed = ", ".join(n for n in axes if n not in system.program.constants)
        raise InputError(f"the flow needs {needed}; missing: {', '.join(missing)}")
    arrays = {n: np.asarray(given[n], dtype=float) for n in axes}
    sizes: dict[str, int] = {}
    for name, own in axes.items():
        if own and arrays[name].ndim >= len(own):
            for axis, length in zip(own, arrays[name].shape[-len(own) :], strict=True):
                if not axis.isdigit():
                    sizes.setdefault(axis, length)
    sets, batched = 1, False
    values = {}
    for name, own in axes.items():
        shape = shape_of(own, sizes)
        array = arrays[name]
        if array.shape != shape:
            if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
                raise InputError(
                    f"{name} has shape {array.shape}; expected {shape}, or that behind a batch axis"
                )
            if 1 < sets != len(array) > 1:
                raise InputError(f"{name} holds {len(array)} parameter sets where other inputs hold {sets}")
            batched, sets = True, max(sets, len(array))
        values[name] = np.ascontiguousarray(array.reshape(-1, prod(shape)))
    return sizes, sets, batched, values


_SOLVERS: dict[int, tuple[System, Any]] = {}


def _made(system: System, make: Any) -> Any:
    """The compiled solver of a system, made once."""
    if id(system) not in _SOLVERS:
        _SOLVERS[id(system)] = (system, make(system))
    return _SOLVERS[id(system)][1]


def _solution(
    system: System,
    result: Trajectories,
    times: np.ndarray,
    sizes: dict[str, int],
    batched: bool,
    constants: Mapping[str, np.ndarray],
    events: Sequence[Event],
    backend: str,
) -> Solution:
    sets = len(result.states)
    state, at = {}, 0
    for name, axes in system.axes.items():
        shape = shape_of(axes, sizes)
        state[name] = result.states[:, :, at : at + prod(shape)].reshape(sets, len(times), *shape)
        at += prod(shape)
    observables = _observed(system, state, constants, sizes, backend)
    crossings: dict[str, Any] = {e.name: result.event_times[:, k] for k, e in enumerate(events)}
    stuck = np.flatnonzero(result.status > STOPPED_BY_EVENT)
    message = ""
    if len(stuck):
        first = stuck[0]
        reason = (
            "the step became too small for the tolerance"
            if result.status[first] == STEP_TOO_SMALL
            else "the number of steps reached its limit"
        )
        where = f"the first at t = {result.reached[first]:.6g}: {reason}"
        message = f"{len(stuck)} of {sets} trajectories stopped early; {where}"
    if not batched:
        state = {n: a[0] for n, a in state.items()}
        observables = {n: a[0] for n, a in observables.items()}
        crossings = {n: float(a[0]) for n, a in crossings.items()}
    return Solution(
        times,
        state,
        observables,
        crossings,
        result.reached if batched else float(result.reached[0]),
        not len(stuck),
        message,
        backend,
        result.steps if batched else result.steps[0],
    )


def _observed(
    system: System,
    state: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    sizes: dict[str, int],
    backend: str,
) -> dict[str, np.ndarray]:
    """The observables at every requested time: one more call of the kernel, over sets and times."""
    if not system.observables:
        return {}
    sets, times = next(iter(state.values())).shape[:2]
    inputs: dict[str, Any] = {n: a.reshape(sets * times, *a.shape[2:]) for n, a in state.items()}
    for name, values in constants.items():
        shape = shape_of(system.program.arrays.get(name, ()), sizes)
        own = values.reshape(len(values), *shape)
        inputs[name] = own[0] if len(own) == 1 else np.repeat(own, times, axis=0)
    found = system.kernel(backend)(inputs, sizes, groups=("observables",))
    return {
        n: to_host(found[n]).reshape(sets, times) for n in system.observables if not n.startswith("event_")
    }
