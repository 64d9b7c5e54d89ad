"""kappa_1 and kappa_2 of networks of depth 3 over a sweep of sigma_w^2, on one core.

For each activation: microseconds of a sweep of 200 points, called from Python, and nanoseconds a point of a
million; the first call, which derives and compiles, apart.  tanh has no closed form: its averages are nested
quadratures, and its sweep is shorter.

    python bench/bench_kappa.py
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from derive.activation import activation
from numerics.runtime.compiler import find_compiler
from numerics.wide.kernel import kappa_sweep

CLOSED = ("relu", "identity", "erf", "gelu")
TARGET = 100.0
"""Microseconds for the sweep of a ReLU network, with a C compiler."""


def seconds(run: Callable[[], object], rounds: int) -> float:
    """The best of so many rounds of CPU time."""
    best = np.inf
    for _ in range(rounds):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    few, many = np.linspace(0.5, 4, 200), np.linspace(0.5, 4, 1_000_000)
    for backend in ("numpy", "c") if find_compiler() else ("numpy",):
        for name in (*CLOSED, "tanh"):
            phi = activation(name)

            def sweep(weights: np.ndarray, phi=phi, backend=backend) -> object:  # type: ignore[no-untyped-def]
                return kappa_sweep(phi, weights, 0.3, 3, backend=backend)

            start = time.perf_counter()
            sweep(few)
            first = time.perf_counter() - start
            if name == "tanh":
                short = seconds(lambda: sweep(few), 3) * 1e6
                print(f"{backend:6} {name:9} first {first:5.2f} s   200 points {short:9.1f} us")
                continue
            short, long = seconds(lambda: sweep(few), 300) * 1e6, seconds(lambda: sweep(many), 3) * 1e3
            goal = f"   (goal {TARGET:.0f})" if (backend, name) == ("c", "relu") else ""
            times = f"200 points {short:9.1f} us   {long:7.1f} ns a point"
            print(f"{backend:6} {name:9} first {first:5.2f} s   {times}{goal}")


if __name__ == "__main__":
    main()
