"""Nodes for averages over several normal variables: products of rules of one variable, cut to a ball.

A smooth integrand takes the trapezoidal rule, whose error falls faster than any power of the step; where it jumps
with a variable, that variable takes Gauss-Legendre panels between the jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache, reduce

import numpy as np

from numerics.special.legendre import gauss_legendre


@dataclass(frozen=True)
class Rule:
    """Steps of trapezoids in standard deviations of t, of m given t, and of x given m; the ``order`` of panels; the
    ``reach`` of all.  What depends on m is smooth on the scale of Delta, so it takes the widest step.

    ``hermite`` nodes of Gauss and Hermite instead are exact for polynomials of degree 2 ``hermite`` - 1.
    """

    target: float
    shared: float
    inner: float
    order: int
    reach: float = 7.5
    hermite: int = 0


ROUGH = Rule(0.75, 1.1, 0.75, 8, 5.0)
LEVELS = (Rule(0.5, 0.8, 0.42, 20), Rule(0.4, 0.65, 0.33, 28), Rule(0.3, 0.5, 0.25, 40))
"""For the approach; for the solution, whose error is its change by the next level, where it is taken if too large."""
EXACT = (Rule(0, 0, 0, 0, np.inf, hermite=3), Rule(0, 0, 0, 0, np.inf, hermite=4))
"""The levels of an inner problem that is quadratic, of which all moments are."""


@lru_cache(maxsize=8)
def nodes(
    cuts: tuple[tuple[float, ...], ...], shared: int, rule: Rule, even: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Of the targets, with jumps at ``cuts``, and of ``shared`` directions of m."""
    axes = [panels(np.array(places), rule) if places else _axis(rule.target, rule) for places in cuts]
    return product([*axes, *[_axis(rule.shared, rule)] * shared], rule.reach, even)


def _axis(step: float, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    if not rule.hermite:
        return trapezoid(step, rule.reach)
    at, weight = np.polynomial.hermite_e.hermegauss(rule.hermite)
    return at, weight / weight.sum()


def product(
    variables: list[tuple[np.ndarray, np.ndarray]], reach: float, even: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (count, variables) within a ball, and their weights, which sum to one; of an ``even`` integrand, one of
    every two opposite nodes."""
    axes = np.meshgrid(*(z for z, _ in variables), indexing="ij")
    weight = reduce(np.multiply.outer, (w for _, w in variables)).ravel()
    at = np.stack([axis.ravel() for axis in axes], axis=1)
    kept = (at**2).sum(axis=1) <= reach**2
    if even:
        side = np.zeros(len(at))
        for column in at.T:
            side = np.where(side == 0, np.sign(column), side)
        kept &= side >= 0
        weight = weight * np.where(side == 0, 1, 2)
    return at[kept], weight[kept] / weight[kept].sum()


@cache
def trapezoid(step: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
    count = int(reach / step)
    z = step * np.arange(-count, count + 1)
    weight = np.exp(-z * z / 2)
    return z, weight / weight.sum()


def panels(cuts: np.ndarray, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and normal weights (..., nodes) between the cuts (..., places) of a variable."""
    edge = np.full((*cuts.shape[:-1], 1), rule.reach)
    ends = np.concatenate([-edge, np.sort(np.clip(cuts, -rule.reach, rule.reach), axis=-1), edge], axis=-1)
    at, weight = gauss_legendre(rule.order)
    middle, half = (ends[..., 1:] + ends[..., :-1]) / 2, (ends[..., 1:] - ends[..., :-1]) / 2
    z = middle[..., None] + half[..., None] * np.asarray(at)
    w = half[..., None] * np.asarray(weight) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    shape = (*cuts.shape[:-1], -1)
    return z.reshape(shape), w.reshape(shape)
