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

    Near full correlation a kinked activation takes the root of an error: closed forms get twice the digits.

    Raises InputError for an average that quadrature does not reach.
    """

    def value(given: Average, variance: Any, covariance: Any) -> Any:
        covariance = min(covariance, variance)  # rounding of a full correlation
        point = {q: variance, c: covariance}
        if given.closed:
            return evaluate(given.expression, point, 2 * digits + 10)
        factors = _factors(given)
        if factors is not None and covariance >= 0:
            if len(given.fields) == 1 or covariance == variance:
                return shared_average(factors ** len(given.fields), variance, variance, digits)
            return shared_average(factors, variance, covariance, digits)
        inert = {a: Symbol(f"average_{k}") for k, a in enumerate(given.expression.atoms(GaussianAverage))}
        parts = {name: _integral(a, point, digits) for a, name in inert.items()}
        return evaluate(given.expression.xreplace(inert), point | parts, digits)

    return value


def _factors(given: Average) -> Expr | None:
    """f with <f(u) f(v)> or <f(u)^2>, if that is the average and f is analytic, in the first field."""
    u = given.fields[0]
    if _kinked(given.argument) or given.argument.free_symbols - set(given.fields):
        return None
    if len(given.fields) == 1:
        return given.argument
    first, second = given.argument.as_independent(given.fields[1], as_Add=False)
    return first if second.xreplace({given.fields[1]: u}) == first else None


def shared_average(f: Expr, variance: Any, covariance: Any, digits: int = DOUBLE) -> Any:
    """<f(u) f(v)> = E_z[(E_xi f(sqrt(c) z + sqrt(q - c) xi))^2], and E_z f(sqrt(q) z) where c = q.

    Trapezoidal rules, whose steps shrink by sqrt 2 until the value settles: the error falls faster than any
    power of the step for analytic f.

    Raises InputError where it does not settle or f outgrows the Gaussian weight.
    """
    precise = digits > DOUBLE
    with mpmath.workdps(digits + 10 if precise else DOUBLE):
        (field,) = f.free_symbols or {Symbol("u")}
        function = lambdify([field], f, "mpmath" if precise else ["scipy", "numpy"])
        common, own = mpmath.sqrt(covariance), mpmath.sqrt(max(variance - covariance, 0))
        radius = mpmath.sqrt(2 * mpmath.log(10) * (digits + 5)) + 1
        step, before, tolerance = (
            mpmath.mpf("0.6"),
            None,
            mpmath.mpf(10) ** (-digits + (1 if not precise else 0)),
        )
        while step > mpmath.mpf("0.02"):
            total = (_sum_precise if precise else _sum_double)(function, common, own, radius, step)
            if not mpmath.isfinite(total):
                break
            # A square of a rounded inner average: its noise falls with its root only.
            size = max(abs(total), mpmath.sqrt(abs(total)) / 100, tolerance)
            if before is not None and abs(total - before) <= tolerance * size:
                edge = common * radius if own == 0 else 0
                ends = (edge, -edge) if precise else (float(edge), -float(edge))
                left = max(abs(mpmath.mpf(function(x))) for x in ends) * mpmath.exp(-radius * radius / 2)
                if left <= mpmath.mpf(10) ** (2 - digits) * max(abs(total), 1):
                    return mpmath.mpf(total)
                break
            before, step = total, step / mpmath.sqrt(2)
    raise InputError(
        f"the quadrature of <{f}> does not converge at variance {mpmath.nstr(variance, 6)}: the activation must be "
        "square-integrable under the Gaussian weight, and analytic (or kinked at 0 only, written with Abs, "
        "Heaviside or sign)"
    )


def _sum_double(function: Any, common: Any, own: Any, radius: Any, step: Any) -> Any:
    half = int(radius / step) + 1
    z = float(step) * (np.arange(-half, half) + 0.382)
    weight = float(step) / np.sqrt(2 * np.pi) * np.exp(-z * z / 2)
    with np.errstate(all="ignore"):
        if own == 0:
            return mpmath.mpf(float(weight @ np.broadcast_to(function(float(common) * z), z.shape)))
        u = float(common) * z[:, None] + float(own) * z
        inner = np.broadcast_to(function(u), u.shape) @ weight
        return mpmath.mpf(float(weight @ inner**2))


def _sum_precise(function: Any, common: Any, own: Any, radius: Any, step: Any) -> Any:
    half = int(radius / step) + 1
    z = [step * (k + mpmath.mpf("0.382")) for k in range(-half, half)]
    weight = [step / mpmath.sqrt(2 * mpmath.pi) * mpmath.exp(-x * x / 2) for x in z]
    if own == 0:
        return mpmath.fdot(weight, [function(common * x) for x in z])
    rows = (mpmath.fdot(weight, [function(common * x + own * y) for y in z]) for x in z)
    return mpmath.fsum(w * row**2 for w, row in zip(weight, rows, strict=True))


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
