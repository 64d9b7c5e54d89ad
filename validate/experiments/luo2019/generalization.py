"""Errors of regression by the replica method, as the experiments of luo2019 compare them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from sympy import Rational, lambdify

from derive.evaluate import evaluate
from derive.papers.luo2019.generalization import printed_eq25
from derive.papers.luo2019.replica_setting import replaced_free_energy, volume
from derive.replica import known
from derive.replica import symbols as engine
from derive.replica.free_energy import entropic_part
from numerics.replica.solve import Solution, solve
from numerics.saddle import newton


@cache
def expected_scale(batch: int) -> float:
    """<s> of M normal variables of variance one, s their root mean square.

    With s from the batch itself <(h/s)^2> = 1, so the gain of least loss is <t h/s>, the correlation of t and
    h times <s>, if in-sample fields are Gaussian.
    """
    from scipy.stats import chi

    return float(chi(batch).mean() / np.sqrt(batch))


def theory(
    loads: Sequence[float] | np.ndarray, noise: float, ridge: float, name: str = "linear"
) -> np.ndarray:
    """Errors by the replica method; infinite at alpha = 1 without a ridge."""
    chosen = [load for load in loads if load != 1 or ridge > 0]
    found = {row.alpha: row.generalization_error for row in solve(known(name), chosen, np.inf, noise, ridge)}
    return np.array([found.get(load, np.inf) for load in loads])


def shrunk(loads: Sequence[float] | np.ndarray, noise: float, batch: int) -> np.ndarray:
    """Errors of least squares, shrunk as batch normalization shrinks it."""
    c = expected_scale(batch)
    rows = solve(known("linear"), [load for load in loads if load != 1], np.inf, noise, 0.0)
    found = {r.alpha: 1 - 2 * c * r.R + c * c * r.q for r in rows}
    return np.array([found.get(load, np.inf) for load in loads])


def printed(load: float, noise: float) -> float:
    """The paper's (25)."""
    return float(evaluate(printed_eq25(), {"alpha": Rational(load), "S": Rational(noise)}, 20))


@cache
def _replaced_slopes() -> Any:
    """The gradient of the paper's free energy in q, R, Delta, with the prior of a ridge."""
    prior = entropic_part(known("relu"))[0] - volume()
    value = replaced_free_energy() + prior
    unknowns = (engine.q, engine.R, engine.Delta)
    arguments = (*unknowns, engine.alpha, engine.beta, engine.noise_variance, engine.ridge)
    return lambdify(arguments, [value.diff(s) for s in unknowns], "numpy")


def replaced(exact: Solution) -> dict[str, float]:
    """Q, q, R and the error of a ReLU student by the paper's replacement, at the parameters of an exact saddle
    point at finite beta."""
    slopes = _replaced_slopes()
    given = (exact.alpha, exact.beta, exact.noise, exact.ridge)
    root = newton(
        lambda v: np.array(slopes(*v, *given)) * exact.Delta, np.array([exact.q, exact.R, exact.Delta]),
        np.array([True, False, True]), ("q", "R", "Delta"), 1e-11,
    )  # fmt: skip
    q, R, Delta = map(float, root.x)
    return {"Q": q + Delta, "q": q, "R": R, "error": 1 + (q + Delta) / 2 - R}
