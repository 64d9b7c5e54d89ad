"""A deep network with random weights, written as a list of layers.

    u_i^l = sum_j W_ij^l h_j^(l-1) + b_i^l,   h_i^l = phi_l(u_i^l),   f_k = u_k^L,   l = 1 .. L

W_ij^l ~ N(0, sigma_w^2 / M_(l-1)) and b_i^l ~ N(0, sigma_b^2), all independent; inputs h^0 = x have independent
N(0, 1) components.  M_l = alpha_l M for l < L, with M to infinity; the number of outputs M_L = C stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Any

from sympy import Expr, Rational, S, nan, sympify

from derive.activation import Activation, activation
from derive.errors import DerivationError

NORMALIZATIONS = {
    "none": "no normalization",
    "mean": "the mean over the samples is subtracted in the last layer",
    "batch-last": "mean and variance over the samples are normalized in the last layer",
    "batch-middle": "mean and variance over the samples are normalized in every layer but the last",
    "layer": "mean and variance over the units are normalized in every layer",
}


@dataclass(frozen=True)
class Layer:
    """A hidden layer: its activation, the variances of its weights and biases, and its width alpha_l.

    The last layer of a network is a linear readout: its activation is the identity, and its width counts the
    outputs C.
    """

    activation: Activation
    weight_variance: Expr
    bias_variance: Expr
    width: Expr

    @staticmethod
    def of(phi: str | Activation, weight_variance: Any, bias_variance: Any = 0, width: Any = 1) -> Layer:
        """A layer from names and numbers; floats stand for the rationals they are written as."""
        return Layer(activation(phi), _exact(weight_variance), _exact(bias_variance), _exact(width))


@dataclass(frozen=True)
class Network:
    """Layers 1 to L behind inputs of width alpha_0; ``Network([Layer.of("tanh", 3), Layer.of("identity", 3)])``.

    Raises DerivationError for fewer than two layers, a negative variance, a width that is not positive, a last
    layer that is not linear, or outputs that are no whole number.
    """

    layers: tuple[Layer, ...]
    input_width: Expr = S.One
    normalization: str = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "input_width", _exact(self.input_width))
        if self.depth < 2:
            raise DerivationError(f"the depth counts the last layer and must be at least 2, not {self.depth}")
        if self.normalization not in NORMALIZATIONS:
            near = get_close_matches(self.normalization, NORMALIZATIONS, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(NORMALIZATIONS)
            raise DerivationError(f"unknown normalization {self.normalization!r}; {hint}")
        for number, layer in enumerate(self.layers, 1):
            for name, variance in (("weight", layer.weight_variance), ("bias", layer.bias_variance)):
                if variance.is_negative:
                    raise DerivationError(
                        f"the {name} variance of layer {number} is {variance}; a variance cannot be negative"
                    )
        for number, width in enumerate(self.widths):
            if width.is_nonpositive:
                raise DerivationError(f"the width of layer {number} is {width}; widths must be positive")
        if self.layers[-1].activation.name != "identity":
            raise DerivationError("the last layer is a linear readout; give it the activation 'identity'")
        if self.outputs.is_integer is False or self.outputs.is_positive is False:
            raise DerivationError(
                f"the outputs are the width of the last layer: a whole number of at least 1, not {self.outputs}"
            )

    @property
    def depth(self) -> int:
        """L, the last layer included."""
        return len(self.layers)

    @property
    def outputs(self) -> Expr:
        """C."""
        return self.layers[-1].width

    @property
    def widths(self) -> tuple[Expr, ...]:
        """alpha_0 .. alpha_(L-1)."""
        return (self.input_width, *(layer.width for layer in self.layers[:-1]))

    @property
    def alpha(self) -> Expr:
        """sum_l alpha_l alpha_(l-1), l = 1 .. L-1: the parameters are alpha M^2 in number, to leading order."""
        widths = self.widths
        return sum((a * b for a, b in itertools.pairwise(widths)), start=sympify(0))

    def parameters(self, width: Any) -> Expr:
        """P, every weight and bias, for M = ``width``."""
        counts = [a * width for a in self.widths] + [self.outputs]
        return sum(((a + 1) * b for a, b in itertools.pairwise(counts)), start=sympify(0))


def network(
    depth: int,
    phi: str | Activation,
    weight_variance: Any,
    bias_variance: Any = 0,
    widths: Sequence[Any] | None = None,
    outputs: Any = 1,
    normalization: str = "none",
) -> Network:
    """A network whose layers are alike; ``widths`` are alpha_0 .. alpha_(L-1), default all 1.

    Variances, widths and outputs are numbers or sympy expressions.
    """
    if depth < 2:
        raise DerivationError(f"the depth counts the last layer and must be at least 2, not {depth}")
    if widths is None:
        widths = (1,) * depth
    if len(widths) != depth:
        raise DerivationError(
            f"a network of depth {depth} has {depth} widths, alpha_0 to alpha_{depth - 1}; {len(widths)} given"
        )
    hidden = [Layer.of(phi, weight_variance, bias_variance, width) for width in widths[1:]]
    readout = Layer.of("identity", weight_variance, bias_variance, outputs)
    return Network((*hidden, readout), _exact(widths[0]), normalization)


def _exact(value: Any) -> Expr:
    """A number as an exact one: 0.64 is 16/25, as it is written."""
    if isinstance(value, float):
        number = Rational(str(value)) if isfinite(value) else nan
    else:
        number = sympify(value)
        number = Rational(str(number)) if number.is_Float else number
    if number.is_number and not (number.is_real and number.is_finite):
        raise DerivationError(f"variances and widths are finite real numbers, not {value}")
    return number
