"""What a block adds to the stream: x goes to relu(x + W_2 relu(W_1 x)).

Weights are independent, so over the channels of a wide layer a preactivation is Gaussian: with second moments
<x x> of the stream over channels, those of W_1 x are sigma_1^2 <x x>, and the branch has sigma_2^2 <relu relu>,
whatever the law of the stream.  The stream is then a reflected walk: it takes a Gaussian step, and is set to
zero where it would become negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sympy import Expr, Symbol, integrate, sqrt

from derive.activation import activation
from derive.equation import Equation, Step
from derive.errors import DerivationError
from derive.gaussian import Average
from derive.residual.symbols import MEANING, chi, fan_in, fan_out, first_gain, overlap, second_gain
from derive.wide.propagation import c, propagation, q

BOUNDS: dict[str, Expr] = {
    "xavier": sqrt(6 / (fan_in + fan_out)),
    "he": sqrt(6 / fan_in),
    "torch": 1 / sqrt(fan_in),
}
"""The schemes of Glorot and Bengio, of He et al., and of torch, each by the bound of its uniform law; a normal
law of the same variance does the same to a wide layer."""


def weight_gain(scheme: str, widening: int = 1) -> Expr:
    """The number of a convolution's inputs times the variance of its weights.

    ``widening`` is channels out over channels in.  Raises DerivationError for an unknown scheme.
    """
    if scheme not in BOUNDS:
        raise DerivationError(f"unknown initialization {scheme!r}; known: {', '.join(BOUNDS)}")
    weight, bound = Symbol("w", real=True), Symbol("B", positive=True)
    variance = integrate(weight**2 / (2 * bound), (weight, -bound, bound)).subs(bound, BOUNDS[scheme])
    return (fan_in * variance).subs(fan_out, widening * fan_in).cancel()


@dataclass(frozen=True)
class Branch:
    """Second moments of what a block adds: of one input, and of two."""

    variance: Equation
    covariance: Equation


@cache
def branch() -> Branch:
    """The branch's second moments in those of the stream, closed by the average engine."""
    relu = propagation(activation("relu"))
    moments = {q: first_gain * chi, c: first_gain * overlap}
    return Branch(
        _moment("variance of a branch", relu.power, {q: moments[q]}),
        _moment("covariance of a branch", relu.overlap, moments),
    )


def _moment(name: str, found: Average, moments: dict[Symbol, Expr]) -> Equation:
    """Both convolutions applied to an average of the rectified units between them."""
    inside = Step("independent weights", found.argument, note="the preactivations are Gaussian, " + ", ".join(
        f"{symbol} = {value}" for symbol, value in moments.items()
    ))  # fmt: skip
    closed = Step("Gaussian average", found.argument, found.expression, ", ".join(found.rules))
    right = second_gain * found.expression.xreplace(moments)
    outside = Step("independent weights", found.expression, right, "the second convolution")
    left = Symbol("v" if len(moments) == 1 else "v_st")
    return Equation(name, left, right, MEANING, "mean-field theory of wide layers", (inside, closed, outside))
