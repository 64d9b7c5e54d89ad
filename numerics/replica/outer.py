"""Averages over the shared part m of the student's field and the target t, by Gauss-Legendre panels.

Panels end where the inner problem has kinks or jumps in m, and shrink geometrically towards them at finite
temperature, where kinks are round.  Where noise beside the target makes the average threefold and nothing has
kinks, even steps do with a tenth of the points: for analytic functions with normal weights they converge as fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from numerics.special.legendre import gauss_legendre

REACH = 9.0
"""Standard deviations that are integrated over: beyond, the weight is below 3e-19."""
NEGLIGIBLE = 1e-22
LEVELS = 40
EVEN = 3.0
"""Even steps of EVEN / order: 1/4 at order 12, where they integrate the normal weight to 1e-34."""


@dataclass(frozen=True)
class Nodes:
    """Points of the average: fields ``m``, ``t``, ``noise``, weights that sum to one, and ``u``, m's deviation
    from what t predicts in units of ``deviation``."""

    m: np.ndarray
    t: np.ndarray
    noise: np.ndarray
    u: np.ndarray
    weight: np.ndarray
    deviation: float

    def average(self, values: np.ndarray) -> float:
        return float((self.weight * values).sum())


def nodes(
    q: float,
    R: float,
    variance: float,
    noise_variance: float,
    breakpoints: Callable[[np.ndarray, np.ndarray], np.ndarray],
    width: float,
    target_width: float,
    smooth: bool,
    order: int,
) -> Nodes:
    """The rule for overlaps q, R and a target of that ``variance``.

    ``breakpoints(t, noise)`` gives places in m, (places, ...), NaN where there is none; ``width`` is the
    scale on which they are round, 0 for sharp ones, ``target_width`` that on which what t = 0 divides is
    round; ``noise_variance`` is that of noise beside t.  ``smooth``: there are no kinks, in no field.
    """
    deviation = float(np.sqrt(max(q - R * R / variance, 0.0)))
    even = smooth and noise_variance > 0
    z, z_weight = _even(order) if even else _panels(_graded(np.zeros((1, 1)), target_width), order)
    z, z_weight = z[0], z_weight[0]
    if noise_variance > 0:
        e, e_weight = _even(order) if even else _panels(_graded(np.zeros((0, 1)), 1.0), order)
        z, extra = (v.ravel() for v in np.meshgrid(z, e[0], indexing="ij"))
        z_weight = np.outer(z_weight, e_weight[0]).ravel()
        noise = extra * np.sqrt(noise_variance)
    else:
        noise = np.zeros_like(z)
    kept = z_weight > NEGLIGIBLE
    z, z_weight, noise = z[kept], z_weight[kept], noise[kept]
    t = np.sqrt(variance) * z
    centre = R * t / variance
    if even:
        u, u_weight = (np.broadcast_to(v, (len(z), v.size)) for v in _even(order))
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            places = (breakpoints(t, noise) - centre) / deviation if deviation else np.zeros((0, len(t)))
        u, u_weight = _panels(_graded(places, width / deviation if deviation else 0.0), order)
    weight = z_weight[:, None] * u_weight
    chosen = weight > NEGLIGIBLE
    row = np.nonzero(chosen)[0]
    flat_u, flat = u[chosen], weight[chosen]
    return Nodes(centre[row] + deviation * flat_u, t[row], noise[row], flat_u, flat / flat.sum(), deviation)


def _graded(places: np.ndarray, width: float) -> np.ndarray:
    """Ends of panels (rows, ends): unit steps, and every place with a geometric approach to it."""
    count = places.shape[1]
    ends = [np.broadcast_to(np.arange(-REACH, REACH + 0.5)[:, None], (int(2 * REACH) + 1, count))]
    if len(places):
        offsets = [0.0]
        size = 0.5 * width
        while 0 < size < 1.0 and len(offsets) < 2 * LEVELS:
            offsets += [size, -size]
            size *= 2
        near = (places[:, None] + np.array(offsets)[None, :, None]).reshape(-1, count)
        ends.append(np.where(np.isfinite(near), near, REACH))
    return np.sort(np.clip(np.concatenate(ends), -REACH, REACH), axis=0).T


def _panels(ends: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and normal weights (rows, nodes) of Gauss-Legendre panels between ends (rows, ends)."""
    at, weight = _legendre(order)
    middle, half = (ends[:, 1:] + ends[:, :-1]) / 2, (ends[:, 1:] - ends[:, :-1]) / 2
    z = (middle[..., None] + half[..., None] * at).reshape(len(ends), -1)
    w = (half[..., None] * weight).reshape(len(ends), -1)
    return z, w * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def _even(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and normal weights (1, nodes) at even steps."""
    step = EVEN / order
    z = np.arange(-REACH, REACH + step / 2, step)[None]
    return z, step * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


@cache
def _legendre(order: int) -> tuple[np.ndarray, np.ndarray]:
    at, weight = gauss_legendre(order)
    return np.asarray(at), np.asarray(weight)
