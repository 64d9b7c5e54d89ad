"""Simulations as pieces of work: many of them, some at a time, each kept when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from validate.experiments.context import Context
from validate.runs import simulation_backend
from validate.simulate import Setup, Trajectories, compilable, simulate


@dataclass(frozen=True)
class Job:
    """One call of ``simulate`` with a setup that JSON can describe (no model of the user's own)."""

    setup: Setup
    times: tuple[float, ...]
    replicas: int
    size: int
    seed: int
    method: str = "direct"


def simulate_all(context: Context, jobs: Sequence[Job], label: str = "simulate") -> list[Trajectories]:
    """The trajectories of all jobs, in their order.  Give the most expensive first: some run at a time."""
    settings = [
        {
            "setup": job.setup.describe(), "times": list(job.times), "replicas": job.replicas,
            "size": job.size, "seed": job.seed, "method": job.method,
            "backend": backend_of(job.setup, context.backend),
        }
        for job in jobs
    ]  # fmt: skip
    return [
        trajectories(arrays, job.setup, job.size, job.seed, job.method)
        for job, arrays in zip(jobs, context.pieces(simulation, settings, label), strict=True)
    ]


def backend_of(setup: Setup, wanted: str) -> str:
    """What a setup is simulated on: the compiled simulations know the built-in networks with Gaussian inputs
    only; others take the arrays of the same processor or device."""
    arrays = {"c": "numpy", "cuda": "cupy"}
    return simulation_backend(setup, wanted if compilable(setup) else arrays.get(wanted, wanted))[0]


def simulation(
    setup: Mapping[str, Any], times: Sequence[float], replicas: int, size: int, seed: int, method: str,
    backend: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """One simulation as a piece: its recorded arrays by name."""
    return recorded(Setup(**setup), times, replicas, size, seed, method, backend)


def recorded(
    setup: Setup,
    times: Sequence[float] | np.ndarray,
    replicas: int,
    size: int,
    seed: int,
    method: str,
    backend: str,
) -> dict[str, np.ndarray]:
    """Simulate and return the arrays by name, without those that the setup does not have."""
    run = simulate(
        setup, times, replicas, size, seed=seed, method=method, **simulation_backend(setup, backend)[2]
    )
    names = ("time", "Q", "R", "T", "second_layer", "g", "shift")
    return {name: getattr(run, name) for name in names if getattr(run, name) is not None}


def trajectories(
    arrays: Mapping[str, np.ndarray], setup: Setup, size: int, seed: int, method: str
) -> Trajectories:
    """What ``recorded`` returned, as the trajectories it came from."""
    return Trajectories(
        time=arrays["time"], Q=arrays["Q"], R=arrays["R"], T=arrays["T"], second_layer=arrays["second_layer"],
        g=arrays.get("g"), shift=arrays.get("shift"), setup=setup, size=size, seed=seed, method=method,
    )  # fmt: skip
