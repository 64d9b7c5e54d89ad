"""Two inputs: the joint law of the stream for both, in the same channel, without normalization.

The steps of a channel for two inputs have the correlation that the branch gives them; written as a common and
two own Gaussians they are independent given the common one, over which a trapezoid runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from derive.residual import branch, weight_gain
from derive.residual.symbols import chi, first_gain, overlap, second_gain
from numerics.residual.law import REACH
from numerics.residual.stream import STAGES, check_blocks
from numerics.runtime.errors import InputError

PANELS, ORDER = 24, 12
COMMON = 8.0
"""The common Gaussian is taken from minus to plus this."""
SPACING = 0.6
"""Of the trapezoid, in units of the width that the own Gaussians leave; it errs by exp(-2 (pi/0.6)^2)."""
CLOSEST = 0.99
"""A correlation of the steps beyond this is too narrow for the nodes."""


def _nodes() -> tuple[np.ndarray, np.ndarray]:
    x, w = np.polynomial.legendre.leggauss(ORDER)
    width = REACH / PANELS
    inner = (width * np.arange(PANELS)[:, None] + width * (x + 1) / 2).ravel()
    return np.append(0.0, inner), np.append(1.0, np.tile(w * width / 2, PANELS))


@dataclass(frozen=True)
class PairLaw:
    """``mass`` (node, node) of both streams at ``scale`` times the nodes; the first node is the atom at zero."""

    mass: np.ndarray
    scale: float

    @classmethod
    def zero(cls) -> PairLaw:
        """Zero for both."""
        mass = np.zeros((PANELS * ORDER + 1,) * 2)
        mass[0, 0] = 1.0
        return cls(mass, 1.0)

    def square(self) -> float:
        """<x_s^2>."""
        return float(self.scale**2 * (_nodes()[0] ** 2 @ self.mass.sum(axis=1)))

    def product(self) -> float:
        """<x_s x_t>."""
        t = _nodes()[0]
        return float(self.scale**2 * (t @ self.mass @ t))

    def step(self, variance: float, correlation: float) -> PairLaw:
        """After reflected Gaussian steps of this variance and of a correlation from 0 to ``CLOSEST``."""
        t, weights = _nodes()
        scale = float(np.sqrt(self.square() + variance))
        own = np.sqrt((1 - correlation) * variance)
        spacing = min(0.5, SPACING * np.sqrt((1 - correlation) / max(correlation, 1e-9)))
        common = spacing * np.arange(-int(COMMON / spacing), int(COMMON / spacing) + 1)
        mass = np.zeros_like(self.mass)
        for z in common if correlation > 0 else (0.0,):
            x = self.scale * t + np.sqrt(correlation * variance) * z
            kernel = np.exp(-(((scale * t[:, None] - x) / own) ** 2) / 2) / (np.sqrt(2 * np.pi) * own)
            kernel *= scale * weights[:, None]
            kernel[0] = ndtr(-x / own)
            share = spacing * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) if correlation > 0 else 1.0
            mass += share * (kernel @ self.mass @ kernel.T)
        return PairLaw(mass, scale)

    def padded(self) -> PairLaw:
        """As many channels more, of zeros for both."""
        mass = self.mass / 2
        mass[0, 0] += 0.5
        return PairLaw(mass, self.scale)


def unnormalized_correlation(blocks: int, scheme: str, start: float = 0.0) -> np.ndarray:
    """<x_s x_t> / <x^2> after the first layer and every block, without normalization.

    ``start`` is the correlation of the two inputs, 0 to 1.  Blocks after two inputs have become too much
    alike for the nodes (see ``CLOSEST``) are NaN.
    """
    check_blocks(blocks)
    if not 0 <= start <= CLOSEST:
        raise InputError(f"the correlation of the inputs must be 0 to {CLOSEST}, not {start}")
    law = PairLaw.zero().step(1.0, start)
    found = np.full(STAGES * blocks + 1, np.nan)
    found[0] = law.product() / law.square()
    for block in range(STAGES * blocks):
        widens = block > 0 and block % blocks == 0
        variance, correlation = _branch(law, scheme, 2 if widens else 1)
        if correlation > CLOSEST:
            break
        law = (law.padded() if widens else law).step(variance, correlation)
        found[block + 1] = law.product() / law.square()
    return found


def _branch(law: PairLaw, scheme: str, widening: int) -> tuple[float, float]:
    """Variance of the steps of a block, and their correlation."""
    gains = {first_gain: weight_gain(scheme, widening), second_gain: weight_gain(scheme)}
    moments = {chi: law.square(), overlap: law.product()}
    variance, covariance = (
        float(equation.right.xreplace(gains).subs(moments))
        for equation in (branch().variance, branch().covariance)
    )
    return variance, covariance / variance
