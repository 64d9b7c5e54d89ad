"""What a kernel is called with, checked and brought to one layout: a leading batch axis, flat elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from numerics.kernel.program import Program
from numerics.runtime.errors import InputError


@dataclass(frozen=True)
class Inputs:
    """Arrays as (sets or 1, elements) and scalars as (sets or 1), float64 and contiguous."""

    sizes: dict[str, int]
    batch: int
    batched: bool
    arrays: dict[str, Any]
    scalars: dict[str, Any]


def axis_length(name: str, sizes: Mapping[str, int]) -> int:
    """The length of an axis: a run-time size by name, or a number."""
    return int(name) if name.isdigit() else sizes[name]


def shape_of(axes: tuple[str, ...], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of an array with the given axes."""
    return tuple(axis_length(a, sizes) for a in axes)


def check_inputs(
    program: Program, values: Mapping[str, Any], sizes: Mapping[str, int] | None, xp: Any = np
) -> Inputs:
    """The inputs of one call, by name; every one may carry a leading batch axis.

    Raises InputError for a missing name, a wrong shape, or batch axes of different lengths.
    """
    values = {**program.constants, **values}
    wanted = [*program.arrays, *program.scalars]
    missing = [n for n in wanted if n not in values]
    if missing:
        raise InputError(f"the kernel reads {', '.join(wanted)}; missing: {', '.join(missing)}")
    given = {name: xp.asarray(values[name], dtype=xp.float64) for name in wanted}
    known = _infer_sizes(program, given, sizes or {})
    batch, batched = 1, False
    flat: dict[str, Any] = {}
    for name, value in given.items():
        axes = program.arrays.get(name, ())
        shape = shape_of(axes, known) if axes else ()
        if value.shape == shape:
            flat[name] = xp.ascontiguousarray(value).reshape((1, -1) if shape else 1)
            continue
        if value.ndim != len(shape) + 1 or value.shape[1:] != shape:
            raise InputError(f"{name} has shape {value.shape}; expected {shape}, or that behind a batch axis")
        if batched and batch not in (1, value.shape[0]) and value.shape[0] != 1:
            raise InputError(f"{name} holds {value.shape[0]} parameter sets where other inputs hold {batch}")
        batched, batch = True, max(batch, value.shape[0])
        flat[name] = xp.ascontiguousarray(value.reshape(value.shape[0], prod(shape)) if shape else value)
    arrays = {n: flat[n] for n in program.arrays}
    scalars = {n: flat[n] for n in program.scalars}
    return Inputs(known, batch, batched, arrays, scalars)


def _infer_sizes(program: Program, given: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes from the trailing axes of the arrays, where they were not given."""
    known = {k: int(v) for k, v in sizes.items()}
    for name, axes in program.arrays.items():
        shape = given[name].shape
        if len(shape) >= len(axes) > 0:
            for axis, length in zip(axes, shape[-len(axes) :], strict=True):
                if not axis.isdigit():
                    known.setdefault(axis, int(length))
    for name in program.size_names:
        if name not in known:
            raise InputError(f"the size {name} follows from no array; give it in sizes")
        if known[name] < 1:
            raise InputError(f"the size {name} is {known[name]}; it must be at least 1")
    return known
