"""Throughput of the simulators, in one run on one core, as ratios.

    python bench/bench_simulate.py

Rates are replica-steps per second of CPU time of one thread, the best of several rounds. "of bound": as a
fraction of what drawing the inputs alone would allow, by the generator of that row.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from numerics.runtime.compiler import find_compiler
from validate.simulate import Setup
from validate.simulate.chain import Chain
from validate.simulate.compiled import Compiled, CompiledChain, CompiledDirect, library
from validate.simulate.direct import Direct
from validate.simulate.learner import Learner

ROUNDS = 5


def best_time(work: Callable[[], Any]) -> float:
    """CPU seconds of this thread, the smallest of ROUNDS."""
    times = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times)


def rate(
    kind: type[Learner], units: int, size: int, replicas: int, steps: int, dtype: Any, batch: int = 1
) -> float:
    """Replica-steps per second of a committee of ``units`` students and as many teachers."""
    setup = Setup(students=units, teachers=units, Q=np.eye(units) / 2, R=np.eye(units) / 10, batch_size=batch)
    learner = kind(setup, replicas, size, 0, np, dtype)
    position = 0

    def run() -> None:
        nonlocal position
        if isinstance(learner, Compiled):
            learner.advance_replicas(0, replicas, position, position + steps)  # in this thread
        else:
            learner.advance(position, position + steps)
        position += steps

    return replicas * steps / best_time(run)


def numpy_normals(dtype: Any) -> float:
    """Normals per second of numpy's generator."""
    rng = np.random.Generator(np.random.SFC64(0))
    return 1e6 / best_time(lambda: [rng.standard_normal(4096, dtype=dtype) for _ in range(244)])


def compiled_normals(dtype: Any) -> float:
    """Normals per second of the C kernel."""
    out, key, draw = np.empty(4096, dtype), np.array([1, 2], np.uint32), library(dtype).normals
    arguments = ctypes.c_void_p(out.ctypes.data), ctypes.c_int64(4096), ctypes.c_void_p(key.ctypes.data)
    zero = ctypes.c_uint32(0)
    return 1e6 / best_time(lambda: [draw(*arguments, zero, ctypes.c_int64(i), zero) for i in range(244)])


def main() -> None:
    """Print a table."""
    print(f"{'simulator':28} {'K=M':>4} {'N':>8} {'b':>4} {'rate':>10} {'/ numpy':>8} {'of bound':>9}")

    def line(name: str, units: int, size: int, batch: int, found: float, base: float, normals: float) -> None:
        bound = f"{found * batch * size / normals:9.2f}" if normals else ""
        print(f"{name:28} {units:4} {size:8} {batch:4} {found:10,.0f} {found / base:8.1f} {bound}")

    drawn = {dtype: numpy_normals(dtype) for dtype in (np.float64, np.float32)}
    for units, size, replicas, steps in ((2, 1000, 64, 64), (8, 4096, 16, 16)):
        base = rate(Direct, units, size, replicas, steps, np.float64)
        line("numpy, double", units, size, 1, base, base, drawn[np.float64])
        single = rate(Direct, units, size, replicas, steps, np.float32)
        line("numpy, single", units, size, 1, single, base, drawn[np.float32])
        if find_compiler() is not None:
            for name, dtype in (("C, double", np.float64), ("C, single", np.float32)):
                found = rate(CompiledDirect, units, size, replicas, steps, dtype)
                line(name, units, size, 1, found, base, compiled_normals(dtype))
        for many in (64, 1024):
            found = rate(Chain, units, size, many, 64, np.float64)
            line(f"chain, {many} replicas", units, size, 1, found, base, 0.0)
        if find_compiler() is not None:
            found = rate(CompiledChain, units, size, 64, 256, np.float64)
            line("chain, C", units, size, 1, found, base, 0.0)
    base = rate(Direct, 2, 2000, 4, 4, np.float64, batch=100)
    line("numpy, double", 2, 2000, 100, base, base, drawn[np.float64])
    line("chain, 64 replicas", 2, 2000, 100, rate(Chain, 2, 2000, 64, 32, np.float64, batch=100), base, 0.0)
    if find_compiler() is not None:
        found = rate(CompiledChain, 2, 2000, 64, 64, np.float64, batch=100)
        line("chain, C", 2, 2000, 100, found, base, 0.0)


if __name__ == "__main__":
    main()
