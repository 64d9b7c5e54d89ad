"""The derived flow of the perceptron, integrated: gain, angle and norm against time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from sympy import Expr, Symbol, lambdify

from derive.perceptron import Perceptron, angle, gamma, norm, perceptron
from derive.symbols import batch, eta, gain_decay, label_noise
from numerics.runtime.errors import IncompleteResult, InputError

STATE = (gamma, angle, norm)
SCALARS = (eta, gain_decay, batch, label_noise)
TOLERANCE = 1e-12

Rates = Mapping[Symbol, Expr]


def solve_perceptron(
    phi: str | Perceptron | Rates,
    start: Sequence[float],
    times: Sequence[float] | np.ndarray,
    learning_rate: float,
    decay: float = 0.0,
    samples: float = 1.0,
    noise: float = 0.0,
) -> np.ndarray:
    """gamma, R, L at ascending ``times``, (P, 3), from ``start``.

    ``phi`` is an activation's name, a derived perceptron, or rates of one's own for (gamma, R, L).

    Raises InputError for R outside [-1, 1], IncompleteResult where the integration stops early.
    """
    from scipy.integrate import solve_ivp

    if not -1 <= start[1] <= 1:
        raise InputError(f"R = J.B / (|J| |B|) must be in [-1, 1], not {start[1]!r}")
    rates = (
        perceptron(phi).rates if isinstance(phi, str) else phi.rates if isinstance(phi, Perceptron) else phi
    )
    function = _compiled(tuple(rates[s] for s in STATE))
    given = (learning_rate, decay, samples, noise)
    moments = np.asarray(times, dtype=float)
    solution = solve_ivp(
        lambda t, y: function(*y, *given), (0.0, max(float(moments[-1]), 1e-12)), list(start),
        method="DOP853", t_eval=moments, rtol=TOLERANCE, atol=TOLERANCE,
    )  # fmt: skip
    if not solution.success or len(solution.t) < len(moments):
        raise IncompleteResult(f"the flow could not be integrated: {solution.message}", solution)
    return solution.y.T


@cache
def _compiled(rates: tuple[Expr, ...]) -> Callable[..., list[float]]:
    """The rates as one function of state and parameters.  Rounding may carry R past 1: there kinked units'
    roots and arcsines keep the value at the edge."""
    safe = {
        "sqrt": lambda v: np.sqrt(np.maximum(v, 0.0)),
        "asin": lambda v: np.arcsin(np.clip(v, -1.0, 1.0)),
    }
    return lambdify((*STATE, *SCALARS), list(rates), modules=[safe, "numpy"], cse=True)
