"""The law of squared singular values of a product of M Gaussian matrices, N = infinity, as arrays.

The derived law is a curve; its parameter is found by bisection, since log x and the distribution function
rise along it.  The lower half of the curve is parametrized by delta, zero at x = 0, where x ~ delta^(M + 1),
the upper half by phi, zero at the upper end, each by its logarithm: both ends keep their relative accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from sympy import Symbol, expand_log, log

from derive.products.density import delta, from_lower_end, from_upper_end, phi, upper_end
from derive.products.limit import M, check_factors
from numerics.kernel import Kernel, Output, compile_kernel
from numerics.runtime.errors import InputError

LOWEST = -745.0
"""The logarithm of the smallest positive floating-point number."""

FACTORS = Symbol("factors", positive=True)


@dataclass(frozen=True)
class ProductLaw:
    """The squared singular values of a product of ``factors`` matrices with entries of variance 1/N.

    ``density``, ``distribution`` and ``quantile`` take and return arrays of any shape, float64.
    """

    factors: int

    def __post_init__(self) -> None:
        check_factors(self.factors)

    @property
    def support_end(self) -> float:
        """The largest x."""
        return math.exp(self._log_end)

    @cached_property
    def _log_end(self) -> float:
        return float(expand_log(log(upper_end()), force=True).subs(M, self.factors).evalf(30))

    def density(self, x: np.ndarray | float) -> np.ndarray:
        """The density at x; zero outside of the support, infinite at x = 0."""
        values = self._checked(x)
        inside = (values > 0) & (values < self.support_end)
        result = np.where(values == 0, np.inf, 0.0)
        with np.errstate(over="ignore"):  # infinite where it is too large for a floating-point number
            result[inside] = self._at("log_x", np.log(values[inside]))["x_density"] / values[inside]
        return result

    def distribution(self, x: np.ndarray | float) -> np.ndarray:
        """The probability of a squared singular value up to x."""
        values = self._checked(x)
        inside = (values > 0) & (values < self.support_end)
        result = np.where(values >= self.support_end, 1.0, 0.0)
        result[inside] = self._at("log_x", np.log(values[inside]))["distribution"]
        return result

    def quantile(self, probability: np.ndarray | float) -> np.ndarray:
        """The x with this probability below it.  Raises InputError for probabilities outside of [0, 1]."""
        return np.exp(self.log_quantile(probability))

    def log_quantile(self, probability: np.ndarray | float) -> np.ndarray:
        """log x of the quantile, which does not underflow; minus infinity at probability 0."""
        p = np.asarray(probability, dtype=float)
        if not ((p >= 0) & (p <= 1)).all():
            raise InputError("a probability must lie between 0 and 1")
        inside = (p > 0) & (p < 1)
        result = np.where(p == 0, -np.inf, self._log_end)
        result[inside] = self._at("distribution", p[inside])["log_x"]
        return result

    def _checked(self, x: np.ndarray | float) -> np.ndarray:
        values = np.asarray(x, dtype=float)
        if not (values >= 0).all():
            raise InputError("a squared singular value cannot be negative or NaN")
        return values

    def _at(self, name: str, target: np.ndarray) -> dict[str, np.ndarray]:
        """log_x, distribution and x_density where the one of this ``name`` takes the values ``target``."""
        half = float(self._lower(np.array([math.pi / 2]))[name][0])
        found = {key: np.empty(target.shape) for key in from_lower_end()}
        for part, branch, end, rising in (
            (target <= half, self._lower, math.pi / 2, True),
            (target > half, self._upper, math.pi / 2 / (self.factors + 1), False),
        ):
            if part.any():
                parameter = _bisect(branch, name, target[part], end, rising)
                for key, values in branch(parameter).items():
                    found[key][part] = values
        return found

    def _lower(self, parameter: np.ndarray) -> dict[str, np.ndarray]:
        angle = (np.pi - parameter) / (self.factors + 1)
        return _kernels()[0]({delta.name: parameter, phi.name: angle, FACTORS.name: float(self.factors)})

    def _upper(self, parameter: np.ndarray) -> dict[str, np.ndarray]:
        return _kernels()[1]({phi.name: parameter, FACTORS.name: float(self.factors)})


def _bisect(
    branch: Callable[[np.ndarray], dict[str, np.ndarray]],
    name: str,
    target: np.ndarray,
    end: float,
    rising: bool,
) -> np.ndarray:
    """t in (0, end] where branch(t)[name] = target, by bisection in log t."""
    low, high = np.full(target.shape, LOWEST), np.full(target.shape, math.log(end))
    while True:
        middle = (low + high) / 2
        if ((middle <= low) | (middle >= high)).all():
            return np.exp(middle)
        left = (branch(np.exp(middle))[name] < target) == rising
        low, high = np.where(left, middle, low), np.where(left, high, middle)


@cache
def _kernels() -> tuple[Kernel, Kernel]:
    """The three functions of delta and those of phi, compiled for numpy."""
    lower, upper = (
        compile_kernel([Output(name, (), (), e.subs(M, FACTORS)) for name, e in functions.items()], "numpy")
        for functions in (from_lower_end(), from_upper_end())
    )
    return lower, upper
