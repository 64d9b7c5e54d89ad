"""One network: its parameters, its outputs, and their derivatives by backpropagation written out by hand.

Cotangents and tangents may carry leading axes: (..., T, M).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from validate.simulate.activations import activation
from validate.simulate.arrays import Array
from validate.simulate.deep.architecture import Architecture
from validate.simulate.deep.normalization import STANDARDIZATIONS
from validate.simulate.streams import Seed, replica_generator

PARAMETERS, INPUTS, TEACHER, PROBES = range(20, 24)
"""The purposes a replica draws for; apart from those of the other simulations."""


@dataclass(frozen=True)
class Parameters:
    """Weights W^l (..., M_l, M_(l-1)) and biases b^l (..., M_l), or a tangent or gradient with respect to them."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def map(self, function: Callable[[Array], Array]) -> Parameters:
        """``function`` of every array."""
        return Parameters(tuple(map(function, self.weights)), tuple(map(function, self.biases)))

    def plus(self, step: Parameters, scale: complex) -> Parameters:
        """self + scale * step."""
        pairs = (zip(self.weights, step.weights, strict=True), zip(self.biases, step.biases, strict=True))
        weights, biases = (tuple(a + scale * b for a, b in pair) for pair in pairs)
        return Parameters(weights, biases)

    def flat(self, xp: Any) -> Array:
        """All of them in one axis, (..., P)."""
        leading = self.biases[0].shape[:-1]
        return xp.concatenate([a.reshape(*leading, -1) for a in self.weights + self.biases], axis=-1)


def draw(shape: Architecture, seed: Seed, replica: int, purpose: int, xp: Any, dtype: Any) -> Parameters:
    """Random parameters by the law of each layer; the same numbers on every array module."""
    generator = replica_generator(seed, replica, purpose)
    weights, biases = [], []
    for layer, fan_in in zip(shape.layers, shape.widths, strict=False):
        W = generator.standard_normal((layer.width, fan_in)) * np.sqrt(layer.weight_variance / fan_in)
        b = generator.standard_normal(layer.width) * np.sqrt(layer.bias_variance)
        weights.append(xp.asarray(W.astype(dtype)))
        biases.append(xp.asarray(b.astype(dtype)))
    return Parameters(tuple(weights), tuple(biases))


def gaussian_inputs(
    shape: Architecture, samples: int, seed: Seed, replica: int, xp: Any, dtype: Any
) -> Array:
    """x (T, M_0) with independent N(0, 1) components."""
    generator = replica_generator(seed, replica, INPUTS)
    return xp.asarray(generator.standard_normal((samples, shape.inputs)).astype(dtype))


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves, a list over layers: h^(l-1), v^l, sigma^l, phi'(v^l) (None where it is 1)."""

    inputs: list[Array]
    fields: list[Array]
    scales: list[Array | None]
    slopes: list[Array | None]

    @property
    def outputs(self) -> Array:
        """f (T, C)."""
        return self.fields[-1]


class Network:
    """An architecture with parameters, on one array module."""

    def __init__(self, shape: Architecture, parameters: Parameters, xp: Any = np) -> None:
        self.shape, self.parameters, self.xp = shape, parameters, xp
        # The last layer's output is its field: a linear readout.
        self.activations = [activation(layer.activation, xp) for layer in shape.layers[:-1]]
        self.standardizations = [STANDARDIZATIONS[layer.normalization] for layer in shape.layers]

    def with_parameters(self, parameters: Parameters) -> Network:
        """The same architecture with other parameters."""
        return Network(self.shape, parameters, self.xp)

    def forward(self, x: Array) -> Trace:
        """Outputs of all samples x (T, M_0), with what the derivatives need."""
        trace = Trace([], [], [], [])
        h = x
        for l, (W, b) in enumerate(zip(self.parameters.weights, self.parameters.biases, strict=True)):
            trace.inputs.append(h)
            v, sigma = h @ W.T + b, None
            standardization = self.standardizations[l]
            if standardization is not None:
                v, sigma = standardization.value(v, self.xp)
            trace.fields.append(v)
            trace.scales.append(sigma)
            hidden = l < len(self.activations)
            trace.slopes.append(self.activations[l].derivative(v) if hidden else None)
            h = self.activations[l].value(v) if hidden else v
        return trace

    def deltas(self, trace: Trace, cotangent: Array, last: bool = True) -> list[Array]:
        """delta^l = d(sum of cotangent * f) / d u^l for every layer; cotangent (..., T, C).

        ``last=False`` takes the cotangent with respect to the fields of the last layer before its
        normalization.
        """
        deltas: list[Array] = []
        delta = cotangent
        for l in reversed(range(self.shape.depth)):
            slope = trace.slopes[l]
            if slope is not None:
                delta = delta * slope
            if last or l < self.shape.depth - 1:
                delta = self._normalized(trace, l, delta)
            deltas.append(delta)
            if l > 0:
                delta = delta @ self.parameters.weights[l]
        return deltas[::-1]

    def pull(self, trace: Trace, cotangent: Array) -> Parameters:
        """J^T cotangent: the gradient of sum of cotangent * f; cotangent (..., T, C)."""
        deltas = self.deltas(trace, cotangent)
        return Parameters(
            tuple(d.swapaxes(-1, -2) @ h for d, h in zip(deltas, trace.inputs, strict=True)),
            tuple(d.sum(axis=-2) for d in deltas),
        )

    def push(self, trace: Trace, tangent: Parameters) -> Array:
        """J tangent: the change of the outputs (..., T, C) with the parameters."""
        change: Array = None
        for l, (dW, db) in enumerate(zip(tangent.weights, tangent.biases, strict=True)):
            du = trace.inputs[l] @ dW.swapaxes(-1, -2) + db[..., None, :]
            if change is not None:
                du = du + change @ self.parameters.weights[l].T
            change = self._normalized(trace, l, du)
            slope = trace.slopes[l]
            if slope is not None:
                change = change * slope
        return change

    def _normalized(self, trace: Trace, l: int, change: Array) -> Array:
        """The derivative of layer l's normalization, which is its own transpose."""
        standardization = self.standardizations[l]
        if standardization is None:
            return change
        return standardization.derivative(trace.fields[l], trace.scales[l], change)
