"""Direct simulation: every weight component and every input component."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from validate.simulate.arrays import Array
from validate.simulate.committee import Gradient
from validate.simulate.initial import coordinates, realize
from validate.simulate.inputs import input_law
from validate.simulate.learner import Learner
from validate.simulate.setup import Setup
from validate.simulate.streams import INPUTS, NOISE, Draws


class Direct(Learner):
    """Stochastic gradient descent in N dimensions. ``weights`` (S, K + M, N): students, then teachers."""

    weight_arrays = ("weights",)
    noise_purpose = NOISE

    def __init__(
        self, setup: Setup, replicas: int, size: int, seed: int, xp: Any = np, dtype: Any = np.float64
    ) -> None:
        super().__init__(setup, replicas, size, seed, xp, dtype)
        self.weights = xp.asarray(realize(coordinates(setup, replicas, size), size, self.streams), self.dtype)
        # Inputs are drawn with unit variance; their scale is put on the few fields instead.
        self.scale = self.dtype(math.sqrt(setup.input_variance))
        law = input_law(setup.input_law, xp, self.dtype)
        self.inputs = Draws(self.streams, replicas, INPUTS, (setup.batch_size, size), law, xp)
        self.change = xp.empty_like(self.weights[:, : setup.students])

    @property
    def students(self) -> Array:
        """J (S, K, N)."""
        return self.weights[:, : self.setup.students]

    @property
    def teachers(self) -> Array:
        """B (S, M, N)."""
        return self.weights[:, self.setup.students :]

    def fields(self, step: int) -> tuple[Array, Array]:
        self.xi = self.inputs.at(step)
        fields = self.scale * self.xp.matmul(self.xi, self.weights.swapaxes(1, 2))
        return fields[:, :, : self.setup.students], fields[:, :, self.setup.students :]

    def squared_norms(self) -> Array:
        return self.xp.einsum("skn,skn->sk", self.students, self.students)

    def overlaps(self) -> tuple[Array, Array]:
        gram = self.xp.matmul(self.students, self.weights.swapaxes(1, 2))
        return gram[:, :, : self.setup.students], gram[:, :, self.setup.students :]

    def teacher_overlaps(self) -> Array:
        return self.xp.matmul(self.teachers, self.teachers.swapaxes(1, 2))

    def move_weights(self, gradient: Gradient) -> None:
        xp, rate = self.xp, self.setup.learning_rate / self.size
        coefficients = (rate / self.setup.batch_size) * self.scale * gradient.inputs
        change = xp.matmul(coefficients.swapaxes(1, 2), self.xi, out=self.change)
        if gradient.students is not None:
            change += xp.matmul(rate * gradient.students, self.students)
        if gradient.teachers is not None:
            change += xp.matmul(rate * gradient.teachers, self.teachers)
        self.students[...] -= change
