"""The simulators in C: threads over replicas, random numbers made where they are used.

The bodies (folder ``kernel``) are a second writing of the committee machine, tested against the first on the
same random numbers. Their streams are counters: a replica's numbers depend on seed, replica and place alone.
"""

from __future__ import annotations

import ctypes
import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from numerics.runtime.compiler import compile_shared
from numerics.runtime.devices import cores
from numerics.runtime.errors import InputError
from validate.simulate.activations import activation, leaky_slope
from validate.simulate.arrays import Array
from validate.simulate.chain import Chain
from validate.simulate.direct import Direct
from validate.simulate.learner import Learner
from validate.simulate.setup import NORMALIZATIONS, STATISTICS, Setup
from validate.simulate.streams import COMPILED_CHAIN, COMPILED_DIRECT, Seed

SMOOTH = {"erf": 0, "identity": 2, "tanh": 3, "gelu": 4}
KINKED = 1


class Problem(ctypes.Structure):
    """The struct of that name in ``kernel/committee.c``."""

    _fields_ = (
        [(name, ctypes.c_int64) for name in ("students", "teachers", "batch", "size")]
        + [(name, ctypes.c_int64) for name in ("normalization", "statistics", "activation", "shift")]
        + [(name, ctypes.c_double) for name in ("slope", "rate", "gain_rate", "output_rate")]
        + [(name, ctypes.c_double) for name in ("variance", "label_noise", "weight_decay", "gain_decay")]
    )


def library(dtype: Any) -> ctypes.CDLL:
    """The compiled kernels for float64 or float32. Raises BackendUnavailable without a compiler."""
    return _library("double" if np.dtype(dtype) == np.float64 else "float")


@cache
def _library(real: str) -> ctypes.CDLL:
    text = kernel_text(real, ("random.c", "committee.c", "direct.c", "chain_parts.c", "chain.c"))
    return compile_shared(text, f"simulate_{real}")


def kernel_text(real: str, parts: tuple[str, ...]) -> str:
    """Files of the folder ``kernel`` as one text, for REAL ``double`` or ``float``."""
    folder = Path(__file__).parent / "kernel"
    return "\n".join([f"#define REAL {real}", *((folder / part).read_text() for part in parts)])


def replica_keys(seed: Seed, replicas: int, purpose: int) -> np.ndarray:
    """The Philox key of each replica, (S, 2)."""
    sequences = (np.random.SeedSequence(seed, spawn_key=(r, purpose)) for r in range(replicas))
    return np.stack([sequence.generate_state(2) for sequence in sequences])


def compilable(setup: Setup) -> bool:
    """Whether the C kernels can simulate this setup."""
    name = setup.activation
    known = isinstance(name, str) and (name in SMOOTH or leaky_slope(name) is not None)
    return known and setup.model is None and setup.input_law == "gaussian"


class Compiled(Learner):
    """What compiled simulators share: the problem as the kernels read it, and the keys of the replicas."""

    purpose: int
    """The stream of its random numbers."""

    kernel_arrays: tuple[str, ...]
    """The attributes that the kernel takes before g, w and shift."""

    def __init__(
        self, setup: Setup, replicas: int, size: int, seed: int, xp: Any = np, dtype: Any = np.float64
    ) -> None:
        activation(setup.activation, np)  # an unknown one is refused by name
        if not compilable(setup):
            known = ", ".join(["relu", "leaky-relu(SLOPE)", "abs", *SMOOTH])
            raise InputError(
                "the compiled simulation does the committee machine with gaussian inputs and the activations "
                f"{known}; take the numpy or cupy backend"
            )
        super().__init__(setup, replicas, size, seed, xp, dtype)
        self.g, self.w, self.shift = (part.astype(np.float64) for part in (self.g, self.w, self.shift))
        self.v = xp.asarray(setup.v, np.float64)
        for name in self.kernel_arrays:
            setattr(self, name, xp.ascontiguousarray(getattr(self, name)))
        self.keys = xp.asarray(replica_keys(self.streams, replicas, self.purpose))
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
            gain_rate=setup.gain_learning_rate / size,
            output_rate=setup.second_layer_learning_rate / size,
            variance=setup.input_variance,
            label_noise=setup.label_noise,
            weight_decay=setup.weight_decay,
            gain_decay=setup.gain_decay,
        )

    def arrays(self) -> tuple[Array, ...]:
        """What the kernel takes after the problem."""
        carried = (getattr(self, name) for name in self.kernel_arrays)
        return (*carried, self.g, self.w, self.shift, self.v, self.keys)


class Threaded(Compiled):
    """A share of the replicas for each core."""

    function: str
    """Its name in C."""

    def __init__(
        self, setup: Setup, replicas: int, size: int, seed: int, xp: Any = np, dtype: Any = np.float64
    ) -> None:
        super().__init__(setup, replicas, size, seed, xp, dtype)
        self.learn = getattr(library(dtype), self.function)

    def advance(self, first: int, last: int) -> None:
        replicas = len(self.g)
        share = math.ceil(replicas / cores())
        begins = range(0, replicas, share)

        def run(begin: int) -> int:
            return self.advance_replicas(begin, min(begin + share, replicas), first, last)

        with ThreadPoolExecutor(len(begins)) as threads:
            failed = list(threads.map(run, begins))
        if any(failed):
            raise MemoryError("the compiled simulation found no memory for its samples")

    def advance_replicas(self, begin: int, end: int, first: int, last: int) -> int:
        """Steps ``first`` to before ``last`` of some replicas, in this thread; not zero if memory ran out."""
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in self.arrays())
        bounds = (ctypes.c_int64(bound) for bound in (begin, end, first, last))
        return self.learn(ctypes.byref(self.problem), *pointers, *bounds)


class CompiledDirect(Threaded, Direct):
    """``Direct`` by its C kernel, in double or single precision."""

    purpose, function, kernel_arrays = COMPILED_DIRECT, "direct", ("weights",)


class CompiledChain(Threaded, Chain):
    """``Chain`` by its C kernel."""

    purpose, function, kernel_arrays = COMPILED_CHAIN, "chain", ("aligned", "apart", "teachers")
