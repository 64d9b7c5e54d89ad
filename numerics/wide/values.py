"""Values of a layer's averages at a variance and a covariance: closed forms where there are, else quadrature."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
from sympy import Expr, Symbol, lambdify

from derive.evaluate import evaluate
from derive.gaussian import Average, GaussianAverage
from derive.wide.propagation import c, q
from derive.wide.signals import Evaluate
from numerics.averages import integrate
from numerics.runtime.errors import InputError
from numerics.special import any_precision

DOUBLE = 15
"""Digits up to which quadrature in double precision serves."""
CONVERGED = 1e-11
"""A quadrature whose error estimate is larger than this, relative to the average or to one, has failed."""


def at_precision(digits: int = DOUBLE) -> Evaluate:
    """How ``derive.wide.signals`` evaluates an average, to so many digits; results are mpmath numbers.

    Raises InputError for an average that quadrature does not reach.
    """

    def value(given: Average, variance: Any, covariance: Any) -> Any:
        point = {q: variance, c: covariance}
        if given.closed:
            return evaluate(given.expression, point, digits)
        inert = {a: Symbol(f"average_{k}") for k, a in enumerate(given.expression.atoms(GaussianAverage))}
        parts = {name: _integral(a, point, digits) for a, name in inert.items()}
        return evaluate(given.expression.xreplace(inert), point | parts, digits)

    return value


def _integral(average: GaussianAverage, point: dict[Symbol, Any], digits: int) -> Any:
    free = average.expression.free_symbols - set(average.fields)
    if free:
        raise InputError(f"the activation holds the parameter {min(map(str, free))}; give it a number")
    rows = [[evaluate(entry, point, digits + 10) for entry in row] for row in average.covariance.tolist()]
    if digits > DOUBLE:
        function = lambdify(list(average.fields), average.expression, "mpmath")
        with mpmath.workdps(digits + 10):
            return any_precision.gaussian_average(function, rows, _kinked(average.expression), digits)
    found = integrate(average.expression, average.fields, np.array(rows, dtype=np.float64), 1e-14)
    if not found.error <= CONVERGED * max(1.0, abs(found.value)):
        raise InputError(
            f"the quadrature of <{average.expression}> does not converge (error about {found.error:.1g}): "
            "is the activation analytic, or kinked at 0 only?"
        )
    return mpmath.mpf(found.value)


def _kinked(expression: Expr) -> bool:
    from sympy import Abs, Heaviside, Max, Min, Piecewise, sign

    return bool(expression.has(Abs, Heaviside, Max, Min, Piecewise, sign))
