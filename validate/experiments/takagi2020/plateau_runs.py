"""Runs that fall onto the symmetric plateau and leave it: measured by the chain, predicted by the flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerics.integrate import solve
from numerics.plateau import crossing_times, plateau
from validate.experiments.context import Context
from validate.experiments.simulation import backend_of
from validate.experiments.theory import committee_flow, scalars
from validate.runs import simulation_backend
from validate.simulate import Setup, simulate


@dataclass(frozen=True)
class Procedure:
    """One way to train, as the report names it."""

    label: str
    normalization: str
    statistics: str = "population"
    gain: float | None = None

    def setup(self, students: int, input_variance: float, **other: Any) -> Setup:
        """K = M, orthonormal teachers, gains as this procedure starts them."""
        gains = None if self.gain is None else [self.gain] * students
        return Setup(
            students, students, normalization=self.normalization, statistics=self.statistics,
            input_variance=input_variance, g=gains, **other,
        )  # fmt: skip


VANILLA = Procedure("no normalization", "none")
PRINTED = Procedure("batch, radial term dropped", "batch-without-radial", gain=1.0)
EXACT = Procedure("batch, exact gradient", "batch", gain=1.0)
REAL = Procedure("batch, real statistics", "batch", "batch", gain=1.0)
PROCEDURES = (VANILLA, PRINTED, EXACT, REAL)


@dataclass(frozen=True)
class Escape:
    """Entry and escape of every replica (nan: not within the horizon), and its error at every time."""

    setup: Setup
    times: np.ndarray
    error: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    g: np.ndarray | None
    entry: np.ndarray
    escape: np.ndarray

    @property
    def median(self) -> float:
        """The median escape time; infinite when more than half of the replicas stay."""
        return float(np.median(np.where(np.isnan(self.escape), np.inf, self.escape)))


def measure(
    context: Context, setups: Sequence[Setup], times: Sequence[float] | np.ndarray, replicas: int,
    size: int, seed: int, label: str,
) -> list[Escape]:  # fmt: skip
    """Simulate every setup by the chain, and time its escape."""
    settings = [
        {
            "setup": setup.describe(), "times": [float(t) for t in times], "replicas": replicas,
            "size": size, "seed": seed + number, "backend": backend_of(setup, context.backend),
        }
        for number, setup in enumerate(setups)
    ]  # fmt: skip
    runs = context.pieces(chain_run, settings, label)
    return [timed(setup, run) for setup, run in zip(setups, runs, strict=True)]


def chain_run(
    setup: Mapping[str, Any], times: Sequence[float], replicas: int, size: int, seed: int, backend: str
) -> dict[str, np.ndarray]:
    """One chain as a piece."""
    network = Setup(**setup)
    options = simulation_backend(network, backend)[2]
    run = simulate(network, times, replicas, size, seed=seed, method="chain", **options)
    arrays = {"times": run.time, "error": run.generalization_error, "Q": run.Q, "R": run.R}
    return arrays if run.g is None else {**arrays, "g": run.g}


def timed(setup: Setup, run: Mapping[str, np.ndarray]) -> Escape:
    """Entry and escape, against the error at the symmetric fixed point (the same for every normalization)."""
    reference = plateau("none", setup.students, setup.input_variance).error
    entry, escape = crossing_times(run["times"], run["error"], reference)
    return Escape(setup, run["times"], run["error"], run["Q"], run["R"], run.get("g"), entry, escape)


def predict(
    setup: Setup, times: Sequence[float] | np.ndarray, Q: np.ndarray, R: np.ndarray, **changed: Any
) -> Escape:
    """The same from the flow, started at overlaps Q, R (S, K, K); ``changed`` overrides scalars."""
    flow = committee_flow(setup.activation, setup.normalization)
    initial: dict[str, Any] = {"Q": Q, "R": R, "w": setup.w}
    if setup.has_gain:
        initial["g"] = changed.pop("g", setup.g)
    solution = solve(
        flow, initial, times, {**scalars(setup), "T": setup.T, "v": setup.v, **changed}, rtol=1e-7
    )
    run = {"times": np.asarray(times, dtype=float), "error": solution["generalization_error"]}
    run |= {"Q": solution["Q"], "R": solution["R"]}
    return timed(setup, run | ({"g": solution["g"]} if setup.has_gain else {}))


def random_overlaps(
    students: int, size: int, norm: float, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Q, R of students drawn from N(0, norm^2 / N) beside orthonormal teachers, for ``count`` draws."""
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((count, students, size)) * norm / np.sqrt(size)
    # The teachers may be taken as the first coordinate axes.
    return weights @ weights.transpose(0, 2, 1), weights[:, :, :students].copy()
