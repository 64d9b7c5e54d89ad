"""Gradient descent with momentum and weight decay, as He et al. (2016) train residual networks."""

from __future__ import annotations

from collections.abc import Mapping

from validate.simulate.arrays import Array


class Momentum:
    """v <- momentum v + gradient + decay w, then w <- w - rate v, in place, on arrays by name; v starts at zero."""

    def __init__(self, rate: float, momentum: float = 0.9, decay: float = 1e-4) -> None:
        self.rate, self.momentum, self.decay = rate, momentum, decay
        self.velocity: dict[str, Array] = {}

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> None:
        """Move every parameter that has a gradient."""
        for name, gradient in gradients.items():
            velocity = self.momentum * self.velocity.get(name, 0) + gradient + self.decay * parameters[name]
            self.velocity[name] = velocity
            parameters[name][...] -= self.rate * velocity
