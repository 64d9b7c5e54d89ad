"""Simulations as pieces of work: many of them, two at a time, each kept when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from validate.experiments.context import Context
from validate.simulate import Setup, Trajectories, simulate


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
    """The trajectories of all jobs, in their order.  Give the most expensive first: two run at a time."""
    on_device = context.backend in ("cupy", "cuda")
    settings = [
        {
            "setup": job.setup.describe(), "times": list(job.times), "replicas": job.replicas,
            "size": job.size, "seed": job.seed, "method": job.method, "on_device": on_device,
        }
        for job in jobs
    ]  # fmt: skip
    return [
        Trajectories(
            time=arrays["time"], Q=arrays["Q"], R=arrays["R"], T=arrays["T"],
            second_layer=arrays["second_layer"], g=arrays.get("g"), shift=arrays.get("shift"),
            setup=job.setup, size=job.size, seed=job.seed, method=job.method,
        )
        for job, arrays in zip(jobs, context.pieces(simulation, settings, label), strict=True)
    ]  # fmt: skip


def simulation(
    setup: Mapping[str, Any], times: Sequence[float], replicas: int, size: int, seed: int, method: str,
    on_device: bool,
) -> dict[str, np.ndarray]:  # fmt: skip
    """One simulation as a piece: its recorded arrays by name."""
    xp: Any = np
    if on_device:
        import cupy

        xp = cupy
    run = simulate(Setup(**setup), times, replicas, size, seed=seed, method=method, xp=xp)
    names = ("time", "Q", "R", "T", "second_layer", "g", "shift")
    return {name: getattr(run, name) for name in names if getattr(run, name) is not None}
