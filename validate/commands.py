"""The commands of the command line that solve, simulate and plot."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from numerics.runtime import runfile
from numerics.runtime.devices import choose_backend
from numerics.runtime.errors import IncompleteResult, InputError
from numerics.runtime.results import SUFFIXES, check_writable, deliver, labelled, stamp

PLOT_SUFFIXES = (".svg", ".pdf", ".png")


def solve(arguments: Namespace) -> int:
    """``orderparams solve``: the order-parameter equations of a run file, or of a sweep over it."""
    from numerics.runs import solve_sweep

    run = runfile.load(arguments.run)
    varied = dict(runfile.parse_vary(text) for text in arguments.vary)
    if arguments.out:
        target = check_writable(arguments.out, SUFFIXES)
        if target.suffix != ".json" and {"students", "teachers"} & varied.keys():
            raise InputError(
                f"a sweep over sizes holds arrays of different shapes; save it as .json, not as {target}"
            )
    if arguments.plot:
        check_writable(arguments.plot, PLOT_SUFFIXES)
    backend, reason = choose_backend(arguments.backend, prefer=("c", "numpy"))
    solved = solve_sweep(run, varied, backend)
    result = {
        **solved.results,
        "complete": solved.complete,
        "message": solved.message,
        "run": run.source,
        "varied": varied,
        **stamp(backend, reason),
    }
    if arguments.plot:
        from validate import plots

        plots.save(plots.trajectories(solved.results, list(varied)), Path(arguments.plot))
    if arguments.out or not arguments.plot:
        deliver(result, arguments.out)
    if not solved.complete:
        raise IncompleteResult(
            f"{solved.message}; the rest is null, and the result is marked incomplete", result
        )
    return 0


def simulate(arguments: Namespace) -> int:
    """``orderparams simulate``: replicas of the network itself, recorded at the run file's times."""
    from validate.runs import setup_of, simulation_backend
    from validate.simulate import simulate as run_simulation

    run = runfile.load(arguments.run)
    setup = setup_of(run)
    checkpoint = None
    if arguments.out:
        check_writable(arguments.out, SUFFIXES)
        checkpoint = Path(f"{arguments.out}.checkpoint")
    backend, reason, options = simulation_backend(setup, arguments.backend)
    measured = run_simulation(
        setup, run.times, arguments.replicas, arguments.size, seed=arguments.seed, method=arguments.method,
        dtype=np.float32 if arguments.precision == "single" else np.float64,
        progress=sys.stderr.isatty(), checkpoint=checkpoint, **options,
    )  # fmt: skip
    result: dict[str, Any] = {}
    for name, axes in measured.axes.items():
        values = getattr(measured, name)
        result[name] = None if values is None else labelled(values, *axes)
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
