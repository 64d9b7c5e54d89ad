"""One step of online learning, whatever carries the weights: draw samples, differentiate, move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from numerics.runtime.devices import to_host
from validate.simulate.arrays import Array
from validate.simulate.committee import Gradient, Sample
from validate.simulate.models import model_of
from validate.simulate.setup import Setup
from validate.simulate.streams import Draws


class Learner(ABC):
    """Replicas that learn in step. A subclass carries the weights: all components, or their overlaps."""

    weight_arrays: tuple[str, ...]
    """Names of the attributes that hold the weights: what a checkpoint must keep beside g, w and shift."""

    noise_purpose: int
    """The stream of the label noise."""

    def __init__(
        self, setup: Setup, replicas: int, size: int, seed: int, xp: Any = np, dtype: Any = np.float64
    ) -> None:
        self.setup, self.size, self.xp, self.dtype = setup, size, xp, np.dtype(dtype).type
        self.model = model_of(setup, xp)
        self.g, self.w = (xp.asarray(np.tile(row, (replicas, 1)), self.dtype) for row in (setup.g, setup.w))
        self.shift = xp.zeros_like(self.g)
        self.streams = (seed, size)  # different sizes must be independent, to be extrapolated
        self.noise = Draws(
            self.streams, replicas, self.noise_purpose, (setup.batch_size,), self._draw_noise, xp
        )
        self.no_noise = xp.zeros((replicas, setup.batch_size), self.dtype)

    def _draw_noise(self, rng: Any, shape: tuple[int, ...]) -> Array:
        return self.dtype(self.setup.label_noise) * rng.standard_normal(shape, dtype=self.dtype)

    @abstractmethod
    def fields(self, step: int) -> tuple[Array, Array]:
        """Fields x (S, b, K) and y (S, b, M) of the fresh samples of this step."""

    @abstractmethod
    def squared_norms(self) -> Array:
        """J_i.J_i, (S, K)."""

    @abstractmethod
    def overlaps(self) -> tuple[Array, Array]:
        """Q (S, K, K) and R (S, K, M)."""

    @abstractmethod
    def teacher_overlaps(self) -> Array:
        """T (S, M, M)."""

    @abstractmethod
    def move_weights(self, gradient: Gradient) -> None:
        """J -= (eta / N) gradient, on the samples that ``fields`` returned last."""

    def advance(self, first: int, last: int) -> None:
        """The steps from ``first`` to before ``last``."""
        for step in range(first, last):
            self.step(step)

    def step(self, step: int) -> None:
        """One step of stochastic gradient descent in every replica."""
        x, y = self.fields(step)
        noise = self.noise.at(step) if self.setup.label_noise else self.no_noise
        sample = Sample(x, y, noise, self.g, self.w, self.shift)
        if self.model.needs_norms:
            sample.squared_norms = self.squared_norms()
        if self.model.needs_overlaps:
            sample.Q, sample.R = self.overlaps()
        gradient = self.model.gradient(sample)
        self.move_weights(gradient)
        self._move_parameters(gradient)

    def _move_parameters(self, gradient: Gradient) -> None:
        gain_rate = self.setup.gain_learning_rate / self.size
        if gradient.g is not None:
            self.g = self.g - gain_rate * gradient.g
        if gradient.shift is not None:
            self.shift = self.shift - gain_rate * gradient.shift
        if gradient.w is not None and self.setup.second_layer_learning_rate:
            self.w = self.w - (self.setup.second_layer_learning_rate / self.size) * gradient.w

    def state(self) -> dict[str, np.ndarray]:
        """Everything that moves, as numpy arrays."""
        return {name: to_host(getattr(self, name)) for name in (*self.weight_arrays, "g", "w", "shift")}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from what ``state`` returned."""
        for name in (*self.weight_arrays, "g", "w", "shift"):
            setattr(self, name, self.xp.asarray(state[name]))
