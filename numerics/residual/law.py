"""The law of a reflected Gaussian walk, as an atom at zero and a density at quadrature nodes.

A step takes x to max(x + sqrt(v) g, 0).  The density after it is a smooth function, known at the nodes from
the law before it (Nystrom's method): Gauss-Legendre panels integrate it to rounding, as long as a step is not
much narrower than a panel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import ndtr

PANELS, ORDER, REACH = 24, 16, 12.0
"""The nodes reach to ``REACH`` units of the law's own scale."""


@cache
def nodes() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss-Legendre panels on (0, REACH)."""
    x, w = np.polynomial.legendre.leggauss(ORDER)
    width = REACH / PANELS
    starts = width * np.arange(PANELS)[:, None]
    return (starts + width * (x + 1) / 2).ravel(), np.tile(w * width / 2, PANELS)


@dataclass(frozen=True)
class Law:
    """Probability ``atom`` of zero, and ``mass`` (density times weight) at ``scale`` times the nodes."""

    atom: float
    mass: np.ndarray
    scale: float

    @classmethod
    def zero(cls) -> Law:
        """Zero for certain."""
        return cls(1.0, np.zeros(len(nodes()[0])), 1.0)

    def moment(self, order: int) -> float:
        """<x^order>, order at least 1."""
        return float(self.scale**order * (nodes()[0] ** order @ self.mass))

    def step(self, variance: float) -> Law:
        """The law after a reflected Gaussian step of this variance."""
        t, weights = nodes()
        x, deviation = np.append(0.0, self.scale * t), np.sqrt(variance)
        before = np.append(self.atom, self.mass)
        scale = float(np.sqrt(self.moment(2) + variance))
        arguments = (scale * t[:, None] - x) / deviation
        density = np.exp(-(arguments**2) / 2) @ before / (np.sqrt(2 * np.pi) * deviation)
        return Law(float(ndtr(-x / deviation) @ before), scale * weights * density, scale)

    def padded(self, share: float) -> Law:
        """Mixed with new channels of zeros, of which there is this share."""
        return Law((1 - share) * self.atom + share, (1 - share) * self.mass, self.scale)

    def rescaled(self, factor: float) -> Law:
        """The law of ``factor`` times x."""
        return Law(self.atom, self.mass, factor * self.scale)
