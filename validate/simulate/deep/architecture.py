"""What a network is: a number of inputs and a list of layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from numerics.runtime.errors import InputError, unknown_name

NORMALIZATIONS = ("none", "mean", "batch", "layer")
"""Of one layer: nothing; the mean over samples subtracted; mean and variance over samples; over units."""

PLACES = {
    "none": ("none", "none"), "mean": ("none", "mean"), "batch-last": ("none", "batch"),
    "batch-middle": ("batch", "none"), "layer": ("layer", "layer"),
}  # fmt: skip
"""Of a whole network, as the normalizations of hidden layers and of the last: nothing; the mean over samples subtracted
in the last layer; mean and variance there; mean and variance over samples in all layers but the last; over units in
every layer."""


@dataclass(frozen=True)
class Layer:
    """Weights N(0, weight_variance / M_(l-1)), biases N(0, bias_variance), a normalization, an activation.

    ``activation`` is a name (``erf`` means erf(x/sqrt 2)) or a sympy expression in one variable.
    """

    width: int
    activation: Any = "identity"
    weight_variance: float = 1.0
    bias_variance: float = 0.0
    normalization: str = "none"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise InputError(f"a layer needs at least 1 unit, not {self.width}")
        for name in ("weight_variance", "bias_variance"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} must be a finite number of at least 0, not {value}")
        if self.normalization not in NORMALIZATIONS:
            raise unknown_name("normalization of a layer", self.normalization, NORMALIZATIONS)


@dataclass(frozen=True)
class Architecture:
    """``inputs`` M_0, and the layers 1 to L; the last one is the output f."""

    inputs: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if self.inputs < 1 or not self.layers:
            raise InputError("a network needs at least 1 input and 1 layer")
        if self.layers[-1].activation != "identity":
            raise InputError(
                f"the last layer is a linear readout: its activation must be identity, not {self.layers[-1].activation}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """M_0, M_1, ..., M_L."""
        return (self.inputs, *(layer.width for layer in self.layers))

    @property
    def depth(self) -> int:
        """L."""
        return len(self.layers)

    @property
    def outputs(self) -> int:
        """C = M_L."""
        return self.layers[-1].width

    @property
    def parameters(self) -> int:
        """P, the number of weights and biases."""
        return sum(m * (n + 1) for n, m in pairwise(self.widths))

    @property
    def mixes_samples(self) -> bool:
        """Whether a sample's hidden fields depend on the other samples."""
        return any(layer.normalization in ("mean", "batch") for layer in self.layers[:-1])


def architecture(
    widths: Sequence[int],
    activation: Any,
    weight_variance: float,
    bias_variance: float,
    normalization: str = "none",
) -> Architecture:
    """A network of ``widths`` M_0, ..., M_L, the same activation in every hidden layer, linear readout.

    ``normalization`` is one of PLACES.
    """
    if len(widths) < 2:
        raise InputError(f"a network needs the widths of its inputs and of 1 layer at least, not {widths}")
    if normalization not in PLACES:
        raise unknown_name("normalization", normalization, PLACES)
    hidden, last = PLACES[normalization]
    layers = [Layer(m, activation, weight_variance, bias_variance, hidden) for m in widths[1:-1]]
    layers.append(Layer(widths[-1], "identity", weight_variance, bias_variance, last))
    return Architecture(widths[0], tuple(layers))
