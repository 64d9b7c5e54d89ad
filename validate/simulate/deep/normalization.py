"""Standardization of the fields of a layer, over samples or over units, and its derivative.

v = (u - mean u) / sigma has the derivative dv = (du - mean du - v mean(v du)) / sigma along its axis: a
symmetric projection over sigma, so the same map carries tangents forward and cotangents back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from validate.simulate.arrays import Array

SAMPLES, UNITS = -2, -1


@dataclass(frozen=True)
class Standardization:
    """Where the statistics are taken (``axis``), and whether the variance is divided out."""

    axis: int
    scaled: bool

    def value(self, u: Array, xp: Any) -> tuple[Array, Array | None]:
        """v, and sigma (None where the variance is not divided out); u (T, M)."""
        centred = u - u.mean(axis=self.axis, keepdims=True)
        if not self.scaled:
            return centred, None
        sigma = xp.sqrt((centred * centred).mean(axis=self.axis, keepdims=True))
        return centred / sigma, sigma

    def derivative(self, v: Array, sigma: Array | None, change: Array) -> Array:
        """The derivative, or its transpose, at (v, sigma) applied to ``change`` (..., T, M)."""
        centred = change - change.mean(axis=self.axis, keepdims=True)
        if sigma is None:
            return centred
        return (centred - v * (v * change).mean(axis=self.axis, keepdims=True)) / sigma


STANDARDIZATIONS: dict[str, Standardization | None] = {
    "none": None,
    "mean": Standardization(SAMPLES, scaled=False),
    "batch": Standardization(SAMPLES, scaled=True),
    "layer": Standardization(UNITS, scaled=True),
}
"""By the name of a layer's normalization."""
