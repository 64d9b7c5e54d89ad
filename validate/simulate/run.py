"""Runs a simulation and records it."""

from __future__ import annotations

import os
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from numerics.runtime import checkpoint as checkpoints
from numerics.runtime.devices import to_host
from numerics.runtime.errors import InputError, unknown_name
from numerics.runtime.progress import progress as progress_bar
from validate.simulate.chain import Chain
from validate.simulate.compiled import CompiledChain, CompiledDirect
from validate.simulate.device import DeviceChain, DeviceDirect
from validate.simulate.direct import Direct
from validate.simulate.learner import Learner
from validate.simulate.models import model_of
from validate.simulate.setup import Setup
from validate.simulate.streams import SEGMENT

METHODS: dict[str, type[Learner]] = {"direct": Direct, "chain": Chain}
COMPILED: dict[str, type[Learner]] = {"direct": CompiledDirect, "chain": CompiledChain}
ON_DEVICE: dict[str, type[Learner]] = {"direct": DeviceDirect, "chain": DeviceChain}

CHECKPOINT_SECONDS = 5.0
"""A checkpoint is written when this long has passed since the last one."""


@dataclass(frozen=True)
class Trajectories:
    """What was measured: S replicas, P times, K students, M teachers.

    ``time`` (P) is steps / N at the steps that were recorded. Q (S, P, K, K), R (S, P, K, M), second_layer
    (S, P, K), g and shift (S, P, K, or None where there is none), generalization_error (S, P); T (S, M, M)
    does not move. A replica that diverged holds inf or NaN from then on.
    """

    time: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    T: np.ndarray
    second_layer: np.ndarray
    g: np.ndarray | None
    shift: np.ndarray | None
    setup: Setup
    size: int
    seed: int
    method: str

    axes: ClassVar[dict[str, tuple[str, ...]]] = {
        "time": ("time",),
        "Q": ("replica", "time", "student", "student"),
        "R": ("replica", "time", "student", "teacher"),
        "T": ("replica", "teacher", "teacher"),
        "second_layer": ("replica", "time", "student"),
        "g": ("replica", "time", "student"),
        "shift": ("replica", "time", "student"),
        "generalization_error": ("replica", "time"),
    }

    @cached_property
    def generalization_error(self) -> np.ndarray:
        """The error without label noise at the recorded overlaps, (S, P); computed when first asked for."""
        absent = np.zeros_like(self.second_layer)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return model_of(self.setup, np).generalization_error(
                self.Q,
                self.R,
                self.T[:, None],
                absent if self.g is None else self.g,
                self.second_layer,
                absent if self.shift is None else self.shift,
            )


def simulate(
    setup: Setup,
    times: Sequence[float] | np.ndarray,
    replicas: int,
    size: int,
    seed: int = 0,
    method: str = "direct",
    xp: Any = np,
    dtype: Any = np.float64,
    compiled: bool = False,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Trajectories:
    """Simulate ``replicas`` independent runs with N = ``size`` inputs, recorded at ``times`` (steps / N).

    ``method``: ``direct`` draws every input component; ``chain`` draws the overlaps from their exact law
    (Gaussian inputs only). ``xp`` is numpy or cupy, ``dtype`` float64 or float32 (direct only). ``compiled``
    takes the C kernels on all cores, or with cupy the CUDA kernels (committee machine, named activations,
    Gaussian inputs): both from the same random numbers. With ``checkpoint`` an interrupted run continues
    from that file, to the same bits; the file is left in place.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    steps = _steps(times, size)
    for name, count in (("replicas", replicas), ("size", size)):
        if count < 1 or int(count) != count:
            raise InputError(f"{name} must be a whole number of at least 1, not {count!r}")
    if seed < 0 or int(seed) != seed:
        raise InputError(f"seed must be a whole number of at least 0, not {seed!r}")
    if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise InputError(f"dtype must be float64 or float32, not {np.dtype(dtype)}")
    kinds = METHODS if not compiled else COMPILED if xp is np else ON_DEVICE
    learner = kinds[method](setup, replicas, size, seed, xp, dtype)
    identity = {
        "setup": setup.describe(), "steps": steps.tolist(), "replicas": replicas, "size": size, "seed": seed,
        "method": method, "dtype": np.dtype(dtype).name, "array_module": xp.__name__,
        "compiled": compiled,
    }  # fmt: skip
    records = _run(learner, steps, identity, progress, checkpoint)
    T = records.pop("T")
    return Trajectories(
        time=steps / size, Q=records["Q"], R=records["R"], T=T, second_layer=records["w"],
        g=records["g"] if learner.model.has_gain else None, shift=records["shift"] if setup.shift else None,
        setup=setup, size=size, seed=seed, method=method,
    )  # fmt: skip


def _steps(times: Sequence[float] | np.ndarray, size: int) -> np.ndarray:
    array = np.atleast_1d(np.asarray(times, dtype=float))
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all() or array[0] < 0:
        raise InputError("times must be a list of numbers of at least 0")
    if (np.diff(array) < 0).any():
        raise InputError("times must be in ascending order")
    return np.rint(array * size).astype(np.int64)


def _run(
    learner: Learner,
    steps: np.ndarray,
    identity: dict[str, Any],
    show: bool,
    checkpoint: str | os.PathLike[str] | None,
) -> dict[str, np.ndarray]:
    """All records: T once; Q, R, g, w, shift at each of ``steps``, replicas first."""
    position, recorded, records = 0, 0, _empty_records(learner, len(steps))
    if checkpoint is not None and Path(checkpoint).exists():
        state, place = checkpoints.load(checkpoint, identity)
        records = {name: state.pop("record_" + name) for name in records}
        position, recorded = place["next_step"], place["recorded"]
        learner.restore(state)

    def save() -> None:
        assert checkpoint is not None
        arrays = learner.state() | {"record_" + name: record for name, record in records.items()}
        checkpoints.save(checkpoint, arrays, identity | {"next_step": position, "recorded": recorded})

    saved, last = clock.monotonic(), int(steps[-1])
    stops = np.union1d(steps, np.arange(0, last, SEGMENT))
    ahead = stops[stops > position] if position else stops
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a replica may diverge
        for stop in map(int, progress_bar(ahead, f"{identity['method']} N={learner.size}", show=show)):
            learner.advance(position, stop)
            position = stop
            while recorded < len(steps) and steps[recorded] == stop:
                _record(learner, records, recorded)
                recorded += 1
            due = clock.monotonic() - saved >= CHECKPOINT_SECONDS
            if checkpoint is not None and due and stop % SEGMENT == 0 and 0 < stop < last:
                save()
                saved = clock.monotonic()
    if checkpoint is not None and len(ahead):
        save()
    return records


def _empty_records(learner: Learner, count: int) -> dict[str, np.ndarray]:
    S, K, M = len(learner.g), learner.setup.students, learner.setup.teachers
    shapes = {"Q": (K, K), "R": (K, M), "g": (K,), "w": (K,), "shift": (K,)}
    records = {name: np.empty((S, count, *shape)) for name, shape in shapes.items()}
    return records | {"T": to_host(learner.teacher_overlaps()).astype(float)}


def _record(learner: Learner, records: dict[str, np.ndarray], index: int) -> None:
    Q, R = learner.overlaps()
    measured = {"Q": Q, "R": R, "g": learner.g, "w": learner.w, "shift": learner.shift}
    for name, value in measured.items():
        records[name][:, index] = to_host(value)
