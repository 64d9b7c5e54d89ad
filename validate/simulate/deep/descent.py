"""Full-batch gradient descent on the squared error of a teacher network's outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from validate.simulate.arrays import Array
from validate.simulate.deep.architecture import Architecture
from validate.simulate.deep.network import (
    PARAMETERS,
    TEACHER,
    Network,
    Parameters,
    draw,
    gaussian_inputs,
)
from validate.simulate.streams import Seed

HOPELESS = 1e20
"""A loss from which nothing returns to a finite one: the run stops there."""


@dataclass(frozen=True)
class Task:
    """A student at its random start, inputs (T, M_0) and a teacher's outputs as labels (T, C)."""

    student: Network
    inputs: Array
    labels: Array


@dataclass(frozen=True)
class Descent:
    """``losses`` (steps + 1), from the start on; infinite after a run that exploded beyond HOPELESS."""

    losses: np.ndarray
    student: Network
    """At the end, or where the run stopped."""

    @property
    def final(self) -> float:
        return float(self.losses[-1])


def task(
    shape: Architecture, samples: int, seed: Seed, replica: int = 0, xp: Any = np, dtype: Any = np.float64
) -> Task:
    """A random student and a random teacher of one architecture, normalization included, and N(0, 1) inputs."""
    x = gaussian_inputs(shape, samples, seed, replica, xp, dtype)
    teacher, student = (
        Network(shape, draw(shape, seed, replica, purpose, xp, dtype), xp)
        for purpose in (TEACHER, PARAMETERS)
    )
    return Task(student, x, teacher.forward(x).outputs)


def loss_and_gradient(network: Network, x: Array, y: Array) -> tuple[Array, Parameters]:
    """E = (1/2T) sum_(k,t) (y_k(t) - f_k(t))^2 and its gradient, for all samples at once."""
    trace = network.forward(x)
    residual = trace.outputs - y
    return (residual * residual).sum() / (2 * len(x)), network.pull(trace, residual / len(x))


def descend(start: Task, learning_rate: float, steps: int) -> Descent:
    """theta <- theta - learning_rate grad E, ``steps`` times."""
    network = start.student
    losses = np.full(steps + 1, np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(steps + 1):
            loss, gradient = loss_and_gradient(network, start.inputs, start.labels)
            if not float(loss) < HOPELESS:
                break
            losses[step] = float(loss)
            if step < steps:
                network = network.with_parameters(network.parameters.plus(gradient, -learning_rate))
    return Descent(losses, network)
