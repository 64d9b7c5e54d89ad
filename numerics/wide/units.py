"""Hidden units whose preactivation has a part c that all samples share: averages over the rest, c given.

u = c + g with g ~ N(0, Delta); an average over units is one over c ~ N(0, q_st).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import norm
from sympy import lambdify

from derive.activation import Activation, u
from derive.wide.propagation import gradient
from numerics.runtime.errors import InputError

RADIUS = 9.0
"""Standard deviations of g over which averages run: the rest weighs 2e-19."""
NODES = 80
"""Gauss-Legendre nodes on each side of a kink."""


@dataclass(frozen=True)
class Given:
    """<phi'>, <phi''>, Var phi, Var phi', Cov(phi, phi') over g, an entry for every c."""

    slope: np.ndarray
    bend: np.ndarray
    value: np.ndarray
    gradient: np.ndarray
    mixed: np.ndarray


@cache
def functions(phi: Activation) -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]:
    """phi and phi' as functions of an array."""
    if phi.expression.free_symbols - {u}:
        raise InputError(f"the activation {phi.name} holds a parameter; give it a number")
    value, slope = (lambdify(u, e, ["scipy", "numpy"]) for e in (phi.expression, gradient(phi)))
    return value, slope


def given_shared(phi: Activation, shared: np.ndarray, spread: float) -> Given:
    """The averages for every c of ``shared`` and Delta = ``spread``; phi is smooth or has its kink at 0."""
    value, slope = functions(phi)
    x, weight = np.polynomial.legendre.leggauss(NODES)
    deviation = np.sqrt(spread)
    kink = np.clip(-shared / deviation, -RADIUS, RADIUS)[:, None]
    half = np.concatenate([(kink + RADIUS) / 2 * (x + 1) - RADIUS, (RADIUS - kink) / 2 * (x + 1) + kink], axis=1)
    weights = np.concatenate([(kink + RADIUS) / 2 * weight, (RADIUS - kink) / 2 * weight], axis=1) * norm.pdf(half)
    field = shared[:, None] + deviation * half
    f, d = (np.broadcast_to(each(field), field.shape) for each in (value, slope))

    def mean(values: np.ndarray) -> np.ndarray:
        return (weights * values).sum(axis=1)

    centred_f, centred_d = f - mean(f)[:, None], d - mean(d)[:, None]
    return Given(
        mean(d), mean(half * d) / deviation,
        mean(centred_f**2), mean(centred_d**2), mean(centred_f * centred_d),
    )  # fmt: skip


def shared_nodes(variance: float, width: int | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for N(0, variance) over ``width`` units: beyond the quantile 1/(2 width) it is cut off."""
    if variance <= 0:
        return np.zeros(1), np.ones(1)
    if width is None:
        x, weight = np.polynomial.hermite_e.hermegauss(count)
    else:
        x, weight = np.polynomial.legendre.leggauss(count)
        x = x * norm.isf(0.5 / width)
        weight = weight * norm.pdf(x)
    return np.sqrt(variance) * x, weight / weight.sum()
