"""The symmetric plateau in numbers: its error, the rate of escape, and when a trajectory escapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError

ENTRY, ESCAPE = 1.1, 0.5
"""A trajectory is on the plateau from the first time its error is below ENTRY times the plateau's, and has
left it when its error is below ESCAPE times that."""


@dataclass(frozen=True)
class Plateau:
    """The symmetric fixed point for given K, tau, learning rates of one and b = infinity.

    ``values`` are R, S, Q, C (and g); ``error`` the generalization error there; ``escape_rate`` the largest
    eigenvalue of the flow's Jacobian, per unit of time steps / N and of learning rate.
    """

    values: Mapping[str, float]
    error: float
    escape_rate: float


def plateau(
    normalization: str,
    students: int,
    input_variance: float,
    norm: float | None = None,
    activation: str = "erf",
) -> Plateau:
    """The plateau of the committee machine with as many orthonormal teachers as students.

    ``norm`` is Q* = |J_i|^2, which a normalization leaves free and no normalization fixes.

    Raises InputError if ``norm`` is given without a normalization, or missing with one.
    """
    symbols, functions = _compiled(normalization, activation)
    free = "Q" in functions.free
    if free != (norm is not None):
        raise InputError(
            "a normalization leaves the norm of the weights free: give it"
            if free
            else "without normalization the fixed point has its own norm: leave norm out"
        )
    values = functions.fixed_point(students, input_variance, np.nan if norm is None else norm)
    point = dict(zip(symbols, map(float, values), strict=True))
    jacobian = np.array(functions.jacobian(*values, students, input_variance), dtype=float)
    return Plateau(
        values=point,
        error=float(functions.error(*values, students, input_variance)),
        escape_rate=float(np.linalg.eigvals(jacobian).real.max()),
    )


@dataclass(frozen=True)
class _Functions:
    free: tuple[str, ...]
    fixed_point: Any
    jacobian: Any
    error: Any


@cache
def _compiled(normalization: str, activation: str) -> tuple[tuple[str, ...], _Functions]:
    """Numeric functions of K and tau (and Q*) for the fixed point, the Jacobian and the error."""
    from sympy import Matrix, S, lambdify

    from derive.landscape.fixed_point import symmetric_fixed_point
    from derive.model import committee
    from derive.online import derive_flow
    from derive.sites import Q_, reduce_flow
    from derive.symbols import K, eta, eta_g, gain_decay, tau, weight_decay

    flow = derive_flow(committee(activation, normalization))
    site = reduce_flow(flow)
    fixed = symmetric_fixed_point(flow)
    unit = {eta: S.One, eta_g: S.One, weight_decay: S.Zero, gain_decay: S.Zero}
    drift = [site.drift[s].xreplace(unit) for s in site.state]
    order = list(site.state)
    jacobian = Matrix([[rate.diff(s) for s in order] for rate in drift])
    functions = _Functions(
        free=tuple(str(s) for s in fixed.free),
        fixed_point=lambdify([K, tau, Q_], [fixed.values[s] for s in order], "numpy"),
        jacobian=lambdify([*order, K, tau], jacobian, "numpy", cse=True),
        error=lambdify([*order, K, tau], site.generalization_error, "numpy"),
    )
    return tuple(str(s) for s in order), functions


def crossing_times(
    times: np.ndarray, error: np.ndarray, plateau_error: float
) -> tuple[np.ndarray, np.ndarray]:
    """When trajectories enter the plateau and leave it.

    ``error`` has shape (..., times).  Times are interpolated in the logarithm of the error; nan where a
    threshold is not crossed.
    """
    entry = first_below(times, error, ENTRY * plateau_error)
    return entry, first_below(times, error, ESCAPE * plateau_error)


def first_below(times: np.ndarray, values: np.ndarray, threshold: float) -> np.ndarray:
    """The first time positive values fall to a threshold, linear in their logarithm; nan for never."""
    with np.errstate(invalid="ignore", divide="ignore"):  # a run that diverged holds nan
        log = np.log(np.asarray(values) / threshold)
    below = log <= 0
    index = below.argmax(axis=-1)
    reached = below.any(axis=-1)
    after = np.take_along_axis(log, index[..., None], axis=-1)[..., 0]
    earlier = np.maximum(index - 1, 0)
    before = np.take_along_axis(log, earlier[..., None], axis=-1)[..., 0]
    span = np.where(before > after, before - after, 1.0)
    part = np.where(index > 0, before / span, 0.0)
    crossing = times[earlier] + part * (times[index] - times[earlier])
    return np.where(reached, crossing, np.nan)
