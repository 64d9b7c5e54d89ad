"""A CUDA device against this machine's processor, in one run.

    python bench/bench_gpu.py

Wall-clock seconds, the best of several rounds after one to warm up, everything copied back to the host where
a user would have it; ratios are to the fastest way of the processor that is measured beside it.  ``--numpy``
goes through the same lines without a device, to see that they run.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from derive.activation import activation
from derive.model import committee
from derive.online import derive_flow
from numerics.kernel.flow import flow_program
from numerics.kernel.kernel import compile_program
from numerics.runtime.devices import cores, cupy_status, processor, to_host
from numerics.wide.kernel import kappa_sweep
from validate.simulate import Setup, simulate
from validate.simulate.deep import architecture, measure
from validate.simulate.products import squared_singular_values
from validate.simulate.residual import Architecture, ResNet

ROUNDS = 2


def wall(run: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """The best wall-clock time of ``rounds``, after one round to warm up."""
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def compare(title: str, ways: dict[str, Callable[[], Any]], rounds: int = ROUNDS) -> None:
    """One line a way, with its ratio to the fastest way of the processor (all but those named GPU)."""
    found = {name: wall(run, rounds) for name, run in ways.items()}
    base = min(seconds for name, seconds in found.items() if not name.startswith("GPU"))
    print(title)
    for name, seconds in found.items():
        print(f"  {name:24} {seconds:9.4f} s   {base / seconds:8.1f} times the processor's best", flush=True)


def overlaps(sets: int, units: int) -> dict[str, Any]:
    """Random overlaps of ``units`` students and as many teachers, for every parameter set."""
    vectors = np.random.default_rng(0).standard_normal((sets, 2 * units, 2 * units + 3)) / np.sqrt(2 * units)
    all_overlaps = vectors @ vectors.swapaxes(1, 2)
    ones = np.ones(units)
    return {
        "Q": all_overlaps[:, :units, :units], "R": all_overlaps[:, :units, units:],
        "T": all_overlaps[:, units:, units:], "g": ones, "w": ones, "v": ones, "eta": 0.7, "tau": 1.0, "b": 1.0,
        "lambda": 0.0, "sigma_0": 0.0, "eta_w": 0.0, "eta_g": 0.5, "zeta": 0.0,
    }  # fmt: skip


def right_hand_sides(xp: Any) -> None:
    """The committee's rates over many parameter sets."""
    for function, units, sets in (("erf", 2, 1_000_000), ("erf", 8, 20_000), ("relu", 2, 100_000)):
        program = flow_program(derive_flow(committee(function, normalization="batch")))
        values = overlaps(sets, units)
        ways: dict[str, Callable[[], Any]] = {}
        for name, backend in (("numpy", "numpy"), ("C, all cores", "c"), ("GPU, cuda", "cuda"), ("GPU, cupy", "cupy")):
            if backend == "numpy" and (units == 8 or function == "relu"):
                continue
            if name.startswith("GPU") and xp is np:
                continue
            kernel = compile_program(program, backend)
            ways[name] = lambda kernel=kernel, values=values: to_host(kernel(values)["dQ"])  # type: ignore[misc]
        compare(f"rates, {function}, K = M = {units}, {sets:,} sets, there and back", ways)
        if xp is not np:
            there = {k: xp.asarray(v) for k, v in values.items()}
            kernel = compile_program(program, "cuda")

            def stay(kernel: Any = kernel, there: Any = there) -> None:
                kernel(there)
                xp.cuda.Device().synchronize()

            print(f"  {'GPU, cuda, stays there':24} {wall(stay):9.4f} s", flush=True)


def sweeps(xp: Any) -> None:
    """kappa_1 and kappa_2 of networks of depth 3 at many points."""
    weights = np.linspace(0.5, 4, 4_000_000)
    backends = {"numpy": "numpy", "C, all cores": "c"} | ({} if xp is np else {"GPU, cuda": "cuda"})
    compare(
        "kappa_1 and kappa_2, relu, depth 3, 4,000,000 points, there and back",
        {
            name: lambda b=b: kappa_sweep(activation("relu"), weights, 0.3, 3, backend=b)  # type: ignore[misc]
            for name, b in backends.items()
        },
    )


def simulations(xp: Any) -> None:
    """Online learning, from its microscopic definition and as the overlap chain."""
    for units, batch, size, replicas, steps, method in (
        (2, 1, 1000, 1024, 5000, "direct"), (8, 1, 4096, 256, 1000, "direct"), (2, 5, 1000, 8, 5000, "direct"),
        (2, 100, 2000, 1024, 2000, "chain"), (8, 100, 2000, 256, 1000, "chain"),
    ):  # fmt: skip
        Q, R = np.eye(units) / 2, np.eye(units) / 10
        setup = Setup(students=units, teachers=units, Q=Q, R=R, batch_size=batch)
        run = partial(simulate, setup, [steps / size], replicas, size, method=method)
        ways = {
            "C, all cores": partial(run, compiled=True),
            "GPU, cupy": partial(run, xp=xp),
            "GPU, cuda": partial(run, xp=xp, compiled=True),
        }
        if method == "direct":
            ways["C, single, all cores"] = partial(run, compiled=True, dtype=np.float32)
            ways["GPU, cuda, single"] = partial(run, xp=xp, compiled=True, dtype=np.float32)
        compare(
            f"{method}, K = M = {units}, b = {batch}, N = {size}, {replicas} replicas, {steps} steps", ways
        )


def networks(xp: Any) -> None:
    """The Fisher information's largest eigenvalue, a residual network, products of matrices."""
    shape = architecture((2000, 2000, 2000, 1), "relu", 2.0, 0.0)

    def eigenvalue(module: Any) -> object:
        return measure(shape, 2000, 1, xp=module)

    compare("largest eigenvalue, L = 3, M = T = 2000", {
        "numpy": lambda: eigenvalue(np), "GPU, double": lambda: eigenvalue(xp),
    }, rounds=1)  # fmt: skip
    images = np.random.default_rng(0).standard_normal((3, 32, 32, 32), dtype=np.float32)

    def gradients(module: Any) -> object:
        logits, pullback = ResNet(Architecture(110), 1, np.float32, module).forward(module.asarray(images))
        return to_host(pullback(module.ones_like(logits))["layer1.kernel"])

    compare("ResNet-110, batch 32, single precision, forward and back", {
        "numpy": lambda: gradients(np), "GPU": lambda: gradients(xp),
    }, rounds=1)  # fmt: skip
    compare("singular values of products of 3 matrices, N = 500, 20 draws", {
        "numpy": lambda: squared_singular_values(3, 500, 20, 1),
        "GPU": lambda: squared_singular_values(3, 500, 20, 1, xp=xp),
    }, rounds=1)  # fmt: skip


def main() -> None:
    """Print every comparison."""
    status = cupy_status()
    if "--numpy" in sys.argv:
        xp: Any = np
    elif status.available:
        import cupy as xp  # type: ignore[no-redef]
    else:
        raise SystemExit(f"no device to measure: {status.reason}")
    print(f"{processor()} ({cores()} used, BLAS threads {os.environ.get('OPENBLAS_NUM_THREADS', 'default')})")
    print(f"{status.reason}; numpy {np.__version__}, {xp.__name__} {xp.__version__}")
    right_hand_sides(xp)
    sweeps(xp)
    simulations(xp)
    networks(xp)


if __name__ == "__main__":
    main()
