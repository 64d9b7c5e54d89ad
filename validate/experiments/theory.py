"""The derived flow as curves to compare a simulation with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from derive.model import committee
from derive.online import Flow, derive_flow
from numerics.kernel.flow import flow_kernel, rate_name
from numerics.runtime.errors import IncompleteResult
from validate.simulate import Setup

TOLERANCE = 1e-9
"""Relative tolerance of the integration: far below every standard error it is compared with."""


@dataclass(frozen=True)
class Curves:
    """The theory at P times: Q (P, K, K), R (P, K, M), second_layer and g (P, K), error (P).

    ``g`` is None where the model has no gain.
    """

    time: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    second_layer: np.ndarray
    g: np.ndarray | None
    generalization_error: np.ndarray


class Theory:
    """A flow compiled, to be integrated from the start of any setup."""

    def __init__(self, flow: Flow, backend: str = "numpy") -> None:
        self.flow = flow
        self.kernel = flow_kernel(flow, backend)

    def solve(
        self, setup: Setup, times: Sequence[float] | np.ndarray, size: float = np.inf, **changed: float
    ) -> Curves:
        """The curves at ascending ``times`` from the overlaps of ``setup``.

        ``size`` is N where the flow holds it (finite-size terms); ``changed`` overrides scalars by the names
        of their symbols (eta, eta_g, eta_w, tau, b, sigma_0, lambda, zeta).
        """
        from scipy.integrate import solve_ivp

        times = np.asarray(times, dtype=float)
        inputs = {**scalars(setup), "N": size, **changed, "T": setup.T, "v": setup.v, "w": setup.w}
        start = {"Q": setup.Q, "R": setup.R, "g": setup.g, "w": setup.w}
        names = [variable.name for variable in self.flow.state]
        shapes = [np.shape(start[name]) for name in names]
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])

        def unpack(vector: np.ndarray) -> dict[str, np.ndarray]:
            return {
                name: vector[..., a:b].reshape(*vector.shape[:-1], *shape)
                for name, shape, a, b in zip(names, shapes, ends, ends[1:], strict=False)
            }

        def rates(_: float, vector: np.ndarray) -> np.ndarray:
            results = self.kernel({**inputs, **unpack(vector)})
            return np.concatenate([np.ravel(results[rate_name(name)]) for name in names])

        initial = np.concatenate([np.ravel(start[name]) for name in names])
        solved = solve_ivp(
            rates, (0.0, float(times[-1])), initial, method="DOP853", t_eval=times,
            rtol=TOLERANCE, atol=1e-2 * TOLERANCE,
        )  # fmt: skip
        if solved.status != 0:
            raise IncompleteResult(f"the flow could not be integrated: {solved.message}", solved)
        found = unpack(solved.y.T)
        error = self.kernel({**inputs, **found})["generalization_error"]
        still = np.broadcast_to(setup.w, (len(times), setup.students))
        return Curves(
            times, found["Q"], found["R"], found.get("w", still), found.get("g"),
            np.broadcast_to(error, times.shape),
        )  # fmt: skip


def scalars(setup: Setup) -> Mapping[str, float]:
    """A setup's parameters under the names of their symbols."""
    return {
        "eta": setup.learning_rate, "eta_g": setup.gain_rate, "eta_w": setup.second_layer_learning_rate,
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
