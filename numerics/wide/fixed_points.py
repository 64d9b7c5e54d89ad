"""Fixed points of the recursions for given variances, how stable they are, and the edge of chaos."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from scipy.optimize import brentq
from sympy import Float

from derive.activation import Activation
from derive.wide.fixed_points import LayerMaps, layer_maps, variance_slope
from numerics.runtime.errors import InputError
from numerics.wide.values import at_precision

LARGE, SMALL = 1e8, 1e-10
"""Variances beyond which a recursion counts as growing without bound, or as shrinking to zero."""
MARGINAL = 1e-9
"""A slope this close to one is neither stable nor unstable to first order."""


@dataclass(frozen=True)
class FixedPoint:
    """Where the signals of N(0, 1) inputs go with depth.

    ``variance``: q*.  ``variance_slope``: V'(q*).  ``chi_1``: the slope of the correlation map at correlation
    one, and the factor of squared gradients from layer to layer.  ``correlation``: the stable fixed point,
    ``correlation_slope`` the slope there; both None at q* = 0, where signals are gone before they correlate.
    """

    variance: float
    variance_slope: float
    chi_1: float
    correlation: float | None
    correlation_slope: float | None

    @property
    def phase(self) -> str:
        """``ordered``, ``chaotic``, or ``critical``."""
        if abs(self.chi_1 - 1) <= MARGINAL:
            return "critical"
        return "ordered" if self.chi_1 < 1 else "chaotic"

    @property
    def variance_depth(self) -> float:
        """Layers over which the distance from q* falls by e."""
        return _depth(self.variance_slope)

    @property
    def correlation_depth(self) -> float | None:
        """Layers over which the distance from the fixed correlation falls by e."""
        return None if self.correlation_slope is None else _depth(self.correlation_slope)

    @property
    def gradient_depth(self) -> float:
        """Layers over which squared gradients change by e: shrink below chi_1 = 1, grow above."""
        return _depth(self.chi_1)


def _depth(rate: float) -> float:
    if rate == 0:
        return 0.0
    return math.inf if abs(rate - 1) <= MARGINAL else abs(1 / math.log(abs(rate)))


@dataclass(frozen=True)
class _Maps:
    """The averages of an activation as functions of a variance and a covariance, in floats."""

    of: LayerMaps

    def value(self, name: str, variance: float, covariance: float | None = None) -> float:
        given = getattr(self.of, name)
        other = variance if covariance is None else covariance
        return float(at_precision()(given, Float(variance, 17), Float(other, 17)))


@cache
def _maps(phi: Activation) -> _Maps:
    return _Maps(layer_maps(phi))


def fixed_point(phi: Activation, weight_variance: float, bias_variance: float) -> FixedPoint:
    """The fixed point that the variance sigma_w^2 + sigma_b^2 of the first layer goes to.

    V is taken to be monotone between them, as it is for activations that grow in size with |u|.

    Raises InputError for negative variances and where the variance grows without bound.
    """
    if not (weight_variance >= 0 and bias_variance >= 0 and math.isfinite(weight_variance + bias_variance)):
        raise InputError(f"variances are finite and at least 0, not {weight_variance} and {bias_variance}")
    maps = _maps(phi)

    def excess(variance: float) -> float:
        return weight_variance * maps.value("power", variance) + bias_variance - variance

    reached = _reached(excess, weight_variance + bias_variance)
    variance = reached or SMALL  # q* = 0: the slopes there are limits
    power, weighted = maps.value("power", variance), maps.value("weighted_power", variance)
    slope = float(variance_slope(power, weighted, variance, weight_variance))
    chi_1 = weight_variance * maps.value("slope_power", variance)

    if reached == 0:
        return FixedPoint(0.0, slope, chi_1, None, None)

    def rise(r: float) -> float:
        overlap = maps.value("overlap", variance, r * variance)
        return (weight_variance * overlap + bias_variance) / variance - r

    correlation = _correlation(rise, chi_1)
    at = weight_variance * maps.value("slope_overlap", variance, correlation * variance)
    return FixedPoint(variance, slope, chi_1, correlation, at)


def _reached(excess: Callable[[float], float], start: float) -> float:
    """The zero of ``excess`` next to ``start`` in the direction of its sign there; 0 if there is none above SMALL."""
    if start == 0:
        return 0.0
    here = excess(start)
    if abs(here) <= 4e-16 * start:
        return float(start)
    factor = 2.0 if here > 0 else 0.5
    inner = start
    while True:
        outer = inner * factor
        if outer > LARGE:
            raise InputError(
                "the variance of the preactivations grows without bound with depth: there is no fixed point; "
                "take smaller weights"
            )
        if outer < SMALL:
            return 0.0
        if (excess(outer) > 0) != (here > 0):
            return float(brentq(excess, *sorted((inner, outer)), xtol=1e-15 * outer, rtol=1e-15))
        inner = outer


def _correlation(rise: Callable[[float], float], chi_1: float) -> float:
    """The stable fixed point in [0, 1], where R(r) - r changes sign: one below the edge of chaos, less above it."""
    if chi_1 <= 1 + MARGINAL:
        return 1.0
    if rise(0.0) <= 1e-15:  # odd activations without biases
        return 0.0
    gap = 0.5  # the slope above one at r = 1 makes R(r) < r just below
    while rise(1 - gap) >= 0 and gap > 1e-12:
        gap /= 2
    return float(brentq(rise, 0.0, 1 - gap, xtol=1e-15, rtol=1e-14))


def edge_of_chaos(phi: Activation, variance: float) -> tuple[float, float]:
    """(sigma_w^2, sigma_b^2) for which chi_1 = 1 at the fixed point q* = ``variance``.

    The edge is this curve over all q*; for ReLU it is one point, (2, 0), at every q*.

    Raises InputError where sigma_b^2 would be negative: no network has its edge at that variance.
    """
    if not 0 < variance < math.inf:
        raise InputError(f"the variance at the fixed point is positive, not {variance}")
    maps = _maps(phi)
    weight = 1 / maps.value("slope_power", variance)
    bias = variance - weight * maps.value("power", variance)
    if bias < -1e-12 * variance:
        raise InputError(f"no network is critical at the variance {variance}: it would need sigma_b^2 = {bias:.3g}")
    return weight, max(bias, 0.0)
