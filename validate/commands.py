"""The commands of the command line that simulate and judge."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from numerics.runtime import runfile
from numerics.runtime.devices import choose_backend
from numerics.runtime.results import SUFFIXES, check_writable, deliver, labelled, stamp


def simulate(arguments: Namespace) -> int:
    """``orderparams simulate``: replicas of the network itself, recorded at the run file's times."""
    from validate.runs import setup_of
    from validate.simulate import simulate as run_simulation

    run = runfile.load(arguments.run)
    setup = setup_of(run)
    checkpoint = None
    if arguments.out:
        check_writable(arguments.out, SUFFIXES)
        checkpoint = Path(f"{arguments.out}.checkpoint")
    backend, reason = choose_backend(arguments.backend, ("numpy", "cupy"), prefer=("cupy", "numpy"))
    measured = run_simulation(
        setup, run.times, arguments.replicas, arguments.size, seed=arguments.seed, method=arguments.method,
        xp=_array_module(backend), dtype=np.float32 if arguments.precision == "single" else np.float64,
        progress=sys.stderr.isatty(), checkpoint=checkpoint,
    )  # fmt: skip
    result: dict[str, Any] = {}
    for name, axes in measured.axes.items():
        values = getattr(measured, name)
        if values is not None:
            result[name] = labelled(values, *axes)
    error = measured.generalization_error
    result |= {
        "complete": True,
        "diverged_replicas": int((~np.isfinite(error).all(axis=1)).sum()),
        "run": run.source,
        "replicas": arguments.replicas,
        "size": arguments.size,
        "seed": arguments.seed,
        "method": arguments.method,
        "precision": arguments.precision,
        **stamp(backend, reason),
    }
    deliver(result, arguments.out)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return 0


def _array_module(backend: str) -> Any:
    if backend == "cupy":
        import cupy

        return cupy
    return np
