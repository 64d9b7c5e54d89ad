"""The direct simulation in C: threads over replicas, inputs drawn where they are used.

The body (``kernel.c``) is a second writing of the committee machine, tested against the first on the same
random numbers. Its streams are counters: a replica's numbers depend on seed, replica and place alone.
"""

from __future__ import annotations

import ctypes
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from numerics.runtime.compiler import compile_shared
from numerics.runtime.devices import cores
from numerics.runtime.errors import InputError
from validate.simulate.activations import leaky_slope
from validate.simulate.direct import Direct
from validate.simulate.setup import NORMALIZATIONS, STATISTICS, Setup
from validate.simulate.streams import INPUTS

SMOOTH = {"erf": 0, "identity": 2, "tanh": 3, "gelu": 4}
KINKED = 1


class Problem(ctypes.Structure):
    """The struct of that name in ``kernel.c``."""

    _fields_ = (
        [(name, ctypes.c_int64) for name in ("students", "teachers", "batch", "size")]
        + [(name, ctypes.c_int64) for name in ("normalization", "statistics", "activation", "shift")]
        + [(name, ctypes.c_double) for name in ("slope", "rate", "gain_rate", "output_rate")]
        + [(name, ctypes.c_double) for name in ("variance", "label_noise", "weight_decay", "gain_decay")]
    )


def library(dtype: Any) -> ctypes.CDLL:
    """The compiled kernel for float64 or float32. Raises BackendUnavailable without a compiler."""
    real = "double" if np.dtype(dtype) == np.float64 else "float"
    source = (Path(__file__).parent / "kernel.c").read_text()
    return compile_shared(f"#define REAL {real}\n{source}", f"simulate_{real}")


def replica_keys(seed: int, replicas: int) -> np.ndarray:
    """The Philox key of each replica, (S, 2)."""
    sequences = (np.random.SeedSequence(seed, spawn_key=(r, INPUTS)) for r in range(replicas))
    return np.stack([sequence.generate_state(2) for sequence in sequences])


class Compiled(Direct):
    """``Direct`` for the committee machine with Gaussian inputs, by the C kernel."""

    def __init__(
        self, setup: Setup, replicas: int, size: int, seed: int, xp: Any = np, dtype: Any = np.float64
    ) -> None:
        if setup.model is not None or setup.input_law != "gaussian" or not isinstance(setup.activation, str):
            raise InputError(
                "the compiled simulation does the committee machine, named activations and gaussian inputs; "
                "take the numpy backend"
            )
        super().__init__(setup, replicas, size, seed, xp, dtype)
        self.g, self.w, self.shift = (part.astype(np.float64) for part in (self.g, self.w, self.shift))
        self.keys, self.library = replica_keys(seed, replicas), library(dtype)
        slope = leaky_slope(setup.activation)
        self.problem = Problem(
            students=setup.students,
            teachers=setup.teachers,
            batch=setup.batch_size,
            size=size,
            normalization=NORMALIZATIONS.index(setup.normalization),
            statistics=STATISTICS.index(setup.statistics),
            activation=KINKED if slope is not None else SMOOTH[setup.activation],
            shift=setup.shift,
            slope=slope or 0.0,
            rate=setup.learning_rate / size,
            gain_rate=setup.gain_rate / size,
            output_rate=setup.second_layer_learning_rate / size,
            variance=setup.input_variance,
            label_noise=setup.label_noise,
            weight_decay=setup.weight_decay,
            gain_decay=setup.gain_decay,
        )

    def advance(self, first: int, last: int) -> None:
        replicas = len(self.g)
        share = math.ceil(replicas / cores())
        begins = range(0, replicas, share)
        with ThreadPoolExecutor(len(begins)) as threads:
            failed = list(
                threads.map(
                    lambda begin: self._learn(begin, min(begin + share, replicas), first, last), begins
                )
            )
        if any(failed):
            raise MemoryError("the compiled simulation found no memory for its samples")

    def _learn(self, begin: int, end: int, first: int, last: int) -> int:
        arrays = (self.weights, self.g, self.w, self.shift, self.setup.v, self.keys)
        bounds = (ctypes.c_int64(bound) for bound in (begin, end, first, last))
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in arrays)
        return self.library.learn(ctypes.byref(self.problem), *pointers, *bounds)
