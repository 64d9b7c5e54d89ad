"""From a run file to a simulation of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from numerics.runtime.devices import choose_backend
from numerics.runtime.runfile import BATCH_STATISTICS, Run
from validate.simulate import Setup, compilable


def setup_of(run: Run) -> Setup:
    """The microscopic setup that ``run`` describes.

    A drawn start is simulated at the overlaps of its draw, the same ones that the theory starts from,
    in directions that differ from replica to replica.
    """
    p, initial, simulation = run.parameters, run.initial, run.simulation
    return Setup(
        students=p.students,
        teachers=p.teachers,
        activation=p.activation,
        normalization="batch" if p.normalization in BATCH_STATISTICS else p.normalization,
        learning_rate=p.learning_rate,
        gain_learning_rate=p.gain_learning_rate,
        second_layer_learning_rate=p.second_layer_learning_rate,
        input_variance=p.input_variance,
        batch_size=p.batch_size,  # type: ignore[arg-type]  # Setup refuses an infinite one
        label_noise=p.label_noise,
        weight_decay=p.weight_decay,
        gain_decay=p.gain_decay,
        statistics=BATCH_STATISTICS.get(p.normalization, simulation.statistics),
        shift=simulation.shift,
        input_law=simulation.input_law,
        Q=initial.Q,
        R=initial.R,
        T=initial.T,
        g=initial.g,
        w=initial.w,
        v=initial.v,
        model=None if run.model == "committee" else run.model,
    )


def simulation_backend(setup: Setup, wanted: str = "auto") -> tuple[str, str, dict[str, Any]]:
    """The backend to simulate ``setup`` on, the reason, and what ``simulate`` must be told of it."""
    # The compiled simulations know the built-in networks only; asked for by name, they say so themselves.
    prefer = ("cuda", "c", "numpy") if compilable(setup) else ("cupy", "numpy")
    backend, reason = choose_backend(wanted, prefer=prefer)
    xp: Any = np
    if backend in ("cupy", "cuda"):
        import cupy as xp  # type: ignore[no-redef, import-not-found]
    return backend, reason, {"xp": xp, "compiled": backend in ("c", "cuda")}
