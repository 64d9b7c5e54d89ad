"""The derived flow as curves to compare a simulation with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from derive.model import committee
from derive.online import Flow, derive_flow
from numerics.integrate import solve
from numerics.runtime.errors import IncompleteResult
from validate.simulate import Setup

TOLERANCE = 1e-8
"""Relative tolerance of the integration: far below every standard error it is compared with."""


@dataclass(frozen=True)
class Curves:
    """The theory at P times: Q (P, K, K), R (P, K, M), second_layer and g (P, K), generalization_error (P);
    behind a leading axis where several values of a parameter were given.  ``g`` is None without gains."""

    time: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    second_layer: np.ndarray
    g: np.ndarray | None
    generalization_error: np.ndarray

    def __getitem__(self, place: int) -> Curves:
        """One of several sets of curves."""
        return Curves(
            self.time, self.Q[place], self.R[place], self.second_layer[place],
            None if self.g is None else self.g[place], self.generalization_error[place],
        )  # fmt: skip


@dataclass(frozen=True)
class Theory:
    """A flow, to be integrated from the start of any setup."""

    flow: Flow
    backend: str = "numpy"

    def solve(self, setup: Setup, times: Sequence[float] | np.ndarray, **changed: Any) -> Curves:
        """The curves at increasing ``times`` from the overlaps of ``setup``.

        ``changed`` overrides scalars by the names of their symbols (eta, eta_g, eta_w, tau, b, sigma_0,
        lambda, zeta; N for finite-size terms); an array of values puts a leading axis on the curves.

        Raises IncompleteResult where the tolerance cannot be kept.
        """
        wanted = np.asarray(times, dtype=float)
        moments = wanted if wanted[0] == 0 else np.concatenate([[0.0], wanted])
        start = {"Q": setup.Q, "R": setup.R, "g": setup.g, "w": setup.w}
        moving = [variable.name for variable in self.flow.state]
        given = {**scalars(setup), **changed, "T": setup.T, "v": setup.v, "w": setup.w}
        solution = solve(
            self.flow, {name: start[name] for name in moving}, moments,
            {name: value for name, value in given.items() if name not in moving},
            rtol=TOLERANCE, atol=1e-2 * TOLERANCE, backend=self.backend,
        )  # fmt: skip
        if not solution.complete:
            raise IncompleteResult(f"the flow could not be integrated: {solution.message}", solution)
        error = solution["generalization_error"]
        skipped = len(moments) - len(wanted)

        def recorded(name: str) -> np.ndarray:
            if name not in moving:
                return np.broadcast_to(start[name], (*error[..., skipped:].shape, *np.shape(start[name])))
            values = solution[name]
            return values[(slice(None),) * (error.ndim - 1) + (slice(skipped, None),)]

        return Curves(
            wanted, recorded("Q"), recorded("R"), recorded("w"),
            recorded("g") if "g" in moving else None, error[..., skipped:],
        )  # fmt: skip


def scalars(setup: Setup) -> Mapping[str, float]:
    """A setup's parameters under the names of their symbols."""
    return {
        "eta": setup.learning_rate, "eta_g": setup.gain_learning_rate,
        "eta_w": setup.second_layer_learning_rate,
        "tau": setup.input_variance, "b": setup.batch_size, "sigma_0": setup.label_noise,
        "lambda": setup.weight_decay, "zeta": setup.gain_decay,
    }  # fmt: skip


@cache
def committee_flow(activation: Any, normalization: str) -> Flow:
    """The flow of the committee machine, derived once a process."""
    return derive_flow(committee(activation, normalization))


@cache
def theory_of(activation: str, normalization: str, backend: str = "numpy") -> Theory:
    """The theory of the committee machine under one of the normalizations."""
    return Theory(committee_flow(activation, normalization), backend)
