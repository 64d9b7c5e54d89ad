"""Activations by name, as arrays: value, derivative, and where they have a kink."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from numerics.runtime.errors import InputError, unknown_name
from validate.simulate.arrays import Array, special_functions

SMOOTH = ("erf", "identity", "tanh", "gelu", "softplus", "normal-cdf", "normal-density")
KINKED = ("relu", "abs", "leaky-relu(SLOPE)")

_LEAKY = re.compile(r"leaky-relu\(\s*([^()\s]+)\s*\)")
_SQRT_HALF = math.sqrt(0.5)


@dataclass(frozen=True)
class Activation:
    """phi and phi' of one hidden unit, elementwise; ``kinks`` are the points where phi' jumps."""

    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    kinks: tuple[float, ...] = ()


def activation(name: Any, xp: Any) -> Activation:
    """The activation of that name (``erf`` means erf(x/sqrt 2)) or of a sympy expression in one variable.

    At a kink the derivative takes the value from the left; under continuous inputs this has probability zero.
    """
    if not isinstance(name, str):
        return _from_sympy(name, xp)
    slope = leaky_slope(name)
    if slope is not None:
        return _kinked(slope, xp)
    special = special_functions(xp)
    if name == "erf":
        return Activation(
            lambda h: special.erf(h * _SQRT_HALF),
            lambda h: math.sqrt(2 / math.pi) * xp.exp(-0.5 * h * h),
        )
    if name == "identity":
        return Activation(lambda h: h, xp.ones_like)
    if name == "tanh":
        return Activation(xp.tanh, lambda h: 1 - xp.tanh(h) ** 2)
    if name == "gelu":
        return Activation(lambda h: h * special.ndtr(h), lambda h: special.ndtr(h) + h * _density(h, xp))
    if name == "normal-cdf":
        return Activation(special.ndtr, lambda h: _density(h, xp))
    if name == "normal-density":
        return Activation(lambda h: _density(h, xp), lambda h: -h * _density(h, xp))
    if name == "softplus":
        return Activation(lambda h: xp.logaddexp(h, xp.zeros_like(h)), special.expit)
    if name in ("step", "sign"):
        raise InputError(f"the activation {name!r} has no gradient to descend")
    raise unknown_name("activation", name, SMOOTH + KINKED)


def _density(h: Array, xp: Any) -> Array:
    return xp.exp(-0.5 * h * h) / math.sqrt(2 * math.pi)


def leaky_slope(name: str) -> float | None:
    """The slope at negative arguments of the functions that are h at positive ones: 0 for ``relu``, -1 for
    ``abs``, SLOPE for ``leaky-relu(SLOPE)``; None for another name."""
    leaky = _LEAKY.fullmatch(name.strip())
    if leaky is None:
        return {"relu": 0.0, "abs": -1.0}.get(name)
    try:
        return float(Fraction(leaky[1]))
    except (ValueError, ZeroDivisionError, OverflowError):
        text = leaky[1]
        raise InputError(f"the slope of leaky-relu must be a number, not {text!r}: leaky-relu(0.1)") from None


def _kinked(slope: float, xp: Any) -> Activation:
    return Activation(
        lambda h: xp.where(h > 0, h, slope * h),
        lambda h: xp.where(h > 0, h.dtype.type(1), h.dtype.type(slope)),
        (0.0,),
    )


def _from_sympy(expression: Any, xp: Any) -> Activation:
    from validate.simulate.expressions import kinks, lambdify_on, real_function_of_one_variable

    variable, body, slope = real_function_of_one_variable(expression)
    value, derivative = (lambdify_on([variable], part, xp) for part in (body, slope))
    return Activation(
        lambda h: xp.broadcast_to(xp.asarray(value(h), h.dtype), h.shape),
        lambda h: xp.broadcast_to(xp.asarray(derivative(h), h.dtype), h.shape),
        kinks(body, variable),
    )
