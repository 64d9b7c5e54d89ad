"""Sweeps: one integration over many parameter sets, in chunks of bounded memory.

A chunk is one call of the batched solver, whose threads share it; what is kept of a chunk is what ``keep``
makes of its solution, so a sweep over 10^5 sets holds one chunk of trajectories at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from numerics.integrate import Event, Solution, solve
from numerics.runtime.errors import InputError
from numerics.system import System

if TYPE_CHECKING:
    from derive.online import Flow

CHUNK_BYTES = 64 * 2**20
"""Trajectories of one chunk: the solver and the observables hold a few copies of it."""


def grid(axes: Mapping[str, Sequence[float] | np.ndarray]) -> dict[str, np.ndarray]:
    """Every combination of the values on the axes, flattened: the last axis moves fastest."""
    if not axes:
        raise InputError("a sweep needs at least one axis")
    meshes = np.meshgrid(*(np.asarray(a, dtype=float) for a in axes.values()), indexing="ij")
    return {name: mesh.ravel() for name, mesh in zip(axes, meshes, strict=True)}


def chunks(
    flow: Flow | System,
    initial: Mapping[str, Any],
    times: Sequence[float] | np.ndarray,
    parameters: Mapping[str, Any],
    batched: Sequence[str],
    **options: Any,
) -> Iterator[Solution]:
    """Solutions of consecutive chunks of the parameter sets.

    ``batched`` names the inputs whose first axis runs over the sets; the others are shared.  ``options`` are
    those of ``solve``.
    """
    given = {**parameters, **initial}
    missing = [n for n in batched if n not in given]
    if not batched or missing:
        raise InputError(
            f"a sweep varies inputs by name; not among them: {', '.join(missing) or 'nothing given'}"
        )
    lengths = {n: len(np.asarray(given[n])) for n in batched}
    sets = next(iter(lengths.values()))
    if any(length != sets for length in lengths.values()):
        raise InputError(f"inputs of a sweep hold different numbers of sets: {lengths}")
    elements = sum(prod(np.shape(initial[n])[1:] if n in batched else np.shape(initial[n])) for n in initial)
    size = max(8, CHUNK_BYTES // (8 * max(1, elements) * len(times)))
    for first in range(0, sets, size):

        def own(values: Mapping[str, Any], part: slice = slice(first, first + size)) -> dict[str, Any]:
            return {n: np.asarray(a)[part] if n in batched else a for n, a in values.items()}

        yield solve(flow, own(initial), times, own(parameters), **options)


def sweep(
    flow: Flow | System,
    initial: Mapping[str, Any],
    times: Sequence[float] | np.ndarray,
    parameters: Mapping[str, Any],
    batched: Sequence[str],
    keep: Callable[[Solution], Mapping[str, np.ndarray]] | None = None,
    events: Sequence[Event] = (),
    **options: Any,
) -> dict[str, np.ndarray]:
    """Integrate every parameter set and keep some numbers of each.

    ``keep`` turns the solution of a chunk into arrays with the sets in front; without it the observables at
    all times, the event times and the last time reached are kept.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for solution in chunks(flow, initial, times, parameters, batched, events=events, **options):
        for name, values in (keep or _summary)(solution).items():
            parts.setdefault(name, []).append(np.asarray(values))
    return {name: np.concatenate(own) for name, own in parts.items()}


def _summary(solution: Solution) -> dict[str, np.ndarray]:
    return {**solution.observables, **solution.event_times, "reached": solution.reached}
