"""Hidden units whose preactivation has a part c that all samples share: averages over the rest, c given.

u = c + g with g ~ N(0, Delta); an average over units is one over c ~ N(0, q_st).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import roots_genlaguerre
from scipy.stats import chi, norm
from sympy import lambdify

from derive.activation import Activation, u
from derive.wide.propagation import gradient
from numerics.runtime.errors import InputError

RADIUS = 9.0
"""Standard deviations of g over which averages run: the rest weighs 2e-19."""
NODES = 80
"""Gauss-Legendre nodes on each side of a kink."""
SHARED_RADIUS, PER_SCALE, FEWEST, MOST = 6.5, 16.0, 24, 3000
"""Of the quadrature over c: its range in standard deviations, nodes a radius in units of sqrt(Delta), and limits."""


class SamplesAlike(InputError):
    """Two samples are too correlated for the quadrature over what they share."""


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


def shared_nodes(variance: float, spread: float, width: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for c ~ N(0, variance) over ``width`` units: beyond the quantile 1/(2 width) it is cut off.

    What is averaged varies with c over sqrt(spread), over which averages given c are taken: Gauss-Legendre with
    PER_SCALE radii R of c in these units as its number of nodes N errs by exp(-(N sqrt(spread) / R)^2 / 4).
    """
    if variance <= 0:
        return np.zeros(1), np.ones(1)
    radius = SHARED_RADIUS if width is None else norm.isf(0.5 / width)
    count = max(FEWEST, math.ceil(PER_SCALE * radius * math.sqrt(variance / spread)))
    if count > MOST:
        raise SamplesAlike(
            f"two samples are all but fully correlated (1 - {spread / (variance + spread):.1g}): the bulk of the "
            "spectrum cannot be computed there"
        )
    x, weight = np.polynomial.legendre.leggauss(count)
    weight = weight * norm.pdf(radius * x)
    return np.sqrt(variance) * radius * x, weight / weight.sum()


def shared_lengths(
    variance: float, outputs: int, width: int | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the length of ``outputs`` variables N(0, variance), cut off at the quantile 1/width."""
    if variance <= 0:
        return np.zeros(1), np.ones(1)
    if width is None:
        half_square, weight = roots_genlaguerre(count, outputs / 2 - 1)
        x = np.sqrt(2 * half_square)
    else:
        x, weight = np.polynomial.legendre.leggauss(count)
        x = (x + 1) / 2 * chi.isf(1 / width, outputs)
        weight = weight * chi.pdf(x, outputs)
    return np.sqrt(variance) * x, weight / weight.sum()
