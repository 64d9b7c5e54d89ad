"""Numbers for the corrections that batch statistics make to an expected loss, for several laws of a preactivation.

The teacher's field is y = R t + sqrt(1 - R^2) e with Gaussian e, the preactivation t of any law of mean zero and
variance one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from sympy import Expr, lambdify

from derive.batch_statistics import Part, cosine, gain, kurtosis, parts, perceptron_loss, skewness, t, y
from numerics.runtime.errors import InputError, unknown_name

PANELS, NODES = 12, 24
"""Gauss-Legendre panels on each side of zero and nodes on each of them: smooth integrands to 1e-13."""
REACH = 10.0
"""Standard deviations after which a Gaussian has nothing to add."""


@dataclass(frozen=True)
class Law:
    """Points and weights that integrate over a law, zero between panels; its density at zero."""

    points: np.ndarray
    weights: np.ndarray
    density_at_zero: float

    def moment(self, power: int) -> float:
        return float(self.weights @ self.points**power)


def _gaussian(t: np.ndarray) -> np.ndarray:
    return np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)


DENSITIES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float, float]] = {
    "gaussian": (_gaussian, -REACH, REACH),
    "uniform": (lambda t: np.full_like(t, 1 / np.sqrt(12)), -np.sqrt(3), np.sqrt(3)),
    "exponential": (lambda t: np.exp(-1 - t), -1.0, 50.0),
}
"""Density and support."""
LAWS = (*DENSITIES, "binary")


@cache
def law(name: str) -> Law:
    """``gaussian``, ``uniform``, ``exponential`` (1 + t is exponential) or ``binary`` (t = 1 or -1)."""
    if name == "binary":
        return Law(np.array([-1.0, 1.0]), np.array([0.5, 0.5]), 0.0)
    if name not in DENSITIES:
        raise unknown_name("law", name, LAWS)
    density, low, high = DENSITIES[name]
    points, weights = _panels(np.array([low, 0.0]), np.array([0.0, high]))
    return Law(points.ravel(), (weights * density(points)).ravel(), float(density(np.zeros(1))[0]))


def _panels(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights on intervals, an axis more."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    width = (high - low)[..., None, None] / PANELS
    starts = low[..., None, None] + width * np.arange(PANELS)[:, None]
    points = starts + width * (nodes + 1) / 2
    shape = (*low.shape, PANELS * NODES)
    return points.reshape(shape), np.broadcast_to(width * weights / 2, points.shape).reshape(shape)


@dataclass(frozen=True)
class Correction:
    """M times what batch statistics add to an expected loss: by the mean of what they do to a preactivation, at first
    order in it, and by its mean square."""

    first: float
    second: float

    @property
    def total(self) -> float:
        return self.first + self.second


def expected_correction(
    phi: str, kind: str, independent: bool, scale: float, overlap: float, of: str = "gaussian"
) -> Correction:
    """That of <(phi(y) - phi(gamma t))^2> / 2 at gamma = ``scale``, R = ``overlap``, t of the law ``of``."""
    return Correction(*(_mean(part, scale, overlap, of) for part in _parts(phi, kind, independent)))


def gain_slope(
    phi: str, kind: str, independent: bool, scale: float, overlap: float, of: str = "gaussian"
) -> float:
    """M times what batch statistics add to the slope of the expected loss in gamma."""
    return sum(_mean(part.diff(gain), scale, overlap, of) for part in _parts(phi, kind, independent))


def best_gain(phi: str, overlap: float, of: str = "gaussian") -> float:
    """The gain of least expected loss under the population's normalization."""
    from scipy.optimize import brentq

    slope = _population(phi).diff(gain)
    return float(brentq(lambda g: _mean(slope, g, overlap, of), 1e-3, 10.0, xtol=1e-14))


def gain_shift(phi: str, kind: str, independent: bool, overlap: float, of: str = "gaussian") -> float:
    """M times the relative change of the best gain under batch statistics, at leading order."""
    best = best_gain(phi, overlap, of)
    stiffness = _mean(_population(phi).diff(gain).diff(gain), best, overlap, of)
    return -gain_slope(phi, kind, independent, best, overlap, of) / (stiffness * best)


@cache
def _parts(phi: str, kind: str, independent: bool) -> tuple[Part, Part]:
    return parts(perceptron_loss(phi), kind, independent)


@cache
def _population(phi: str) -> Part:
    return Part(perceptron_loss(phi), 0 * gain)


def _mean(part: Part, scale: float, overlap: float, of: str) -> float:
    """The average over the law and the teacher's field, split where a kink of the teacher may be."""
    if not -1 < overlap < 1:
        raise InputError(f"R must be between -1 and 1, not {overlap!r}")
    chosen = law(of)
    at = (scale, overlap, chosen.moment(4) - 3, chosen.moment(3))
    regular = chosen.weights @ _over_teacher(part.regular, chosen.points, at)
    zero = _over_teacher(part.at_zero, np.zeros(1), at)[0] if chosen.density_at_zero else 0.0
    return float(regular + chosen.density_at_zero * zero)


def _over_teacher(integrand: Expr, points: np.ndarray, at: tuple[float, float, float, float]) -> np.ndarray:
    """The average over y given each t."""
    overlap = at[1]
    width = np.sqrt(1 - overlap**2)
    centre = overlap * points
    low, high = centre - REACH * width, centre + REACH * width
    edge = np.clip(0.0, low, high)
    field, weights = (
        np.concatenate(pair, axis=-1) for pair in zip(_panels(low, edge), _panels(edge, high), strict=True)
    )
    weights = weights * _gaussian((field - centre[:, None]) / width) / width
    values = _compiled(integrand)(points[:, None], field, *at)
    return (weights * np.broadcast_to(values, field.shape)).sum(axis=-1)


@cache
def _compiled(integrand: Expr) -> Callable[..., np.ndarray]:
    return lambdify((t, y, gain, cosine, kurtosis, skewness), integrand, ["scipy", "numpy"], cse=True)
