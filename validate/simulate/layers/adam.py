"""Adam (Kingma and Ba 2015), Algorithm 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from validate.simulate.arrays import Array


class Adam:
    """Steps of Adam on arrays by name, in place; moments start at zero and are corrected for it."""

    def __init__(
        self, rate: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, xp: Any = np
    ) -> None:
        self.rate, self.beta1, self.beta2, self.epsilon, self.xp = rate, beta1, beta2, epsilon, xp
        self.steps = 0
        self.first: dict[str, Array] = {}
        self.second: dict[str, Array] = {}

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> None:
        """Move every parameter that has a gradient."""
        self.steps += 1
        for name, gradient in gradients.items():
            first = self.first.setdefault(name, self.xp.zeros_like(gradient))
            second = self.second.setdefault(name, self.xp.zeros_like(gradient))
            first += (1 - self.beta1) * (gradient - first)
            second += (1 - self.beta2) * (gradient * gradient - second)
            mean = first / (1 - self.beta1**self.steps)
            square = second / (1 - self.beta2**self.steps)
            parameters[name][...] -= self.rate * mean / (self.xp.sqrt(square) + self.epsilon)
