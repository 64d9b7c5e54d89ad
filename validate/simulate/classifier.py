"""A network with one hidden layer that learns to classify: dense, ReLU and batch normalization, dense, softmax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError, unknown_name
from validate.simulate.arrays import Array
from validate.simulate.layers import (
    Adam,
    batch_normalization,
    dense,
    draw_weights,
    relu,
    softmax,
    softmax_cross_entropy,
)
from validate.simulate.layers.normalization import EPSILON

NORMALIZATIONS: dict[str, tuple[bool, bool, bool]] = {
    "none": (False, False, False), "batch": (True, True, False), "centre": (True, False, False),
    "scale": (False, True, False), "batch-before": (True, True, True),
}  # fmt: skip
"""Whether the hidden units are centred, whether they are scaled to unit variance, and whether that is done before
the rectifier instead of after it."""


@dataclass(frozen=True)
class Statistics:
    """Means and variances, over some samples, of what is normalized."""

    mean: Array
    variance: Array


class Classifier:
    """y = softmax(W2 n(relu(W1 x + b1)) + b2), with n batch normalization after the rectifier, before it, or nothing.

    ``parameters`` are W1 (hidden, inputs), b1, W2 (classes, hidden), b2 and, where the units are normalized,
    gamma and beta of n.  Learning uses the statistics of its batch, prediction those of a set of samples that
    it is given (the whole training set, where others keep a running average).
    """

    def __init__(
        self, inputs: int, hidden: int, classes: int, normalization: str, seed: int, dtype: Any = np.float64,
        initialization: str = "xavier-uniform", xp: Any = np,
    ) -> None:  # fmt: skip
        if normalization not in NORMALIZATIONS:
            raise unknown_name("normalization", normalization, NORMALIZATIONS)
        for name, count in (("inputs", inputs), ("hidden units", hidden), ("classes", classes)):
            if count < 1:
                raise InputError(f"the number of {name} must be at least 1, not {count}")
        self.centre, self.scale, self.before = NORMALIZATIONS[normalization]
        self.xp = xp
        generator = np.random.default_rng(seed)
        self.parameters: dict[str, Array] = {
            "W1": draw_weights((hidden, inputs), initialization, generator, dtype, xp),
            "b1": xp.zeros(hidden, dtype),
            "W2": draw_weights((classes, hidden), initialization, generator, dtype, xp),
            "b2": xp.zeros(classes, dtype),
        }
        if self.centre or self.scale:
            self.parameters |= {"gamma": xp.ones(hidden, dtype), "beta": xp.zeros(hidden, dtype)}

    def gradients(self, x: Array, labels: Array, decay: float = 0.0) -> tuple[Any, dict[str, Array]]:
        """Loss of a batch x (inputs, batch) in training mode, and its gradient by parameter.

        The loss is the mean cross-entropy plus ``decay`` / 2 times the squares of W1 and W2.
        """
        p = self.parameters
        found: dict[str, Array] = {}

        def normalize(units: Array) -> tuple[Array, Callable[[Array], Array]]:
            normalized, back = batch_normalization(
                units, p["gamma"], p["beta"], (1,), self.xp, centre=self.centre, scale=self.scale
            )

            def pullback(dy: Array) -> Array:
                dunits, found["gamma"], found["beta"] = back(dy)
                return dunits

            return normalized, pullback

        units, back1 = dense(x, p["W1"], p["b1"])
        backs = []
        for layer in self._order(relu, normalize):
            units, back = layer(units)
            backs.append(back)
        logits, back2 = dense(units, p["W2"], p["b2"])
        loss, unlose = softmax_cross_entropy(logits, labels, self.xp)
        dunits, found["W2"], found["b2"] = back2(unlose())
        for back in reversed(backs):
            dunits = back(dunits)
        _, found["W1"], found["b1"] = back1(dunits)
        for name in ("W1", "W2"):
            loss = loss + decay / 2 * (p[name] * p[name]).sum()
            found[name] = found[name] + decay * p[name]
        return loss, found

    def statistics(self, x: Array) -> Statistics:
        """Statistics of the hidden units, rectified ones unless they are normalized before, over samples x (inputs,
        samples)."""
        units = self._fields(x) if self.before else relu(self._fields(x))[0]
        return Statistics(units.mean(axis=1), units.var(axis=1))

    def features(self, x: Array, statistics: Statistics) -> Array:
        """What the last layer sees, (hidden, samples), normalized by given statistics."""

        def normalize(units: Array) -> Array:
            if self.centre:
                units = units - statistics.mean[:, None]
            if self.scale:
                units = units / self.xp.sqrt(statistics.variance + EPSILON)[:, None]
            return self.parameters["gamma"][:, None] * units + self.parameters["beta"][:, None]

        units = self._fields(x)
        for layer in self._order(lambda fields: relu(fields)[0], normalize):
            units = layer(units)
        return units

    def logits(self, features: Array) -> Array:
        """The last layer, (classes, samples)."""
        return self.parameters["W2"] @ features + self.parameters["b2"][:, None]

    def probabilities(self, features: Array) -> Array:
        """Softmax of the last layer, (classes, samples)."""
        return softmax(self.logits(features), self.xp)

    def _fields(self, x: Array) -> Array:
        return dense(x, self.parameters["W1"], self.parameters["b1"])[0]

    def _order(self, rectify: Callable[..., Any], normalize: Callable[..., Any]) -> list[Callable[..., Any]]:
        """The layers between the two dense ones."""
        layers = [rectify, normalize] if "gamma" in self.parameters else [rectify]
        return layers[::-1] if self.before else layers


def epoch(
    network: Classifier, optimizer: Adam, x: Array, labels: Array, batch_size: int, decay: float,
    generator: np.random.Generator,
) -> None:  # fmt: skip
    """One pass over the samples in random order; samples that do not fill a batch wait for the next pass."""
    if not 1 <= batch_size <= len(labels):
        raise InputError(f"the batch size must be 1 to {len(labels)} samples, not {batch_size}")
    order = generator.permutation(len(labels))
    for start in range(0, len(order) - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size]
        _, gradients = network.gradients(x[:, chosen], labels[chosen], decay)
        optimizer.step(network.parameters, gradients)
