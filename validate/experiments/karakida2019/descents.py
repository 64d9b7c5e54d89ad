"""Gradient descent and initial sharpness of deep networks as pieces of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from validate.simulate.deep import architecture, descend, measure
from validate.simulate.deep.descent import task
from validate.simulate.deep.gram import gram_matrix
from validate.simulate.deep.network import PROBES, TEACHER, Network, draw
from validate.simulate.deep.spectrum import largest

Shape = tuple[Sequence[int], str, float, float, str]
"""The arguments of ``architecture``."""

SINGLE = np.float32
"""Of descents that are compared by orders of magnitude: losses are known to some 1e-7 of the labels' squares."""
PERTURBATION = 1e-7
"""Of every parameter, relative to its own law: small enough for a quadratic loss, large beside rounding."""


def final_loss(
    shape: Shape, samples: int, seed: int, trial: int, learning_rate: float, steps: int
) -> dict[str, np.ndarray]:
    """The losses at the start and after ``steps`` full-batch steps, and the largest on the way.

    ``curvature`` is lambda_max of the Fisher information at the end, NaN where the loss is not finite.
    """
    start = task(architecture(*shape), samples, seed, trial, dtype=SINGLE)
    found = descend(start, learning_rate, steps)
    curvature = np.nan
    if np.isfinite(found.final):
        gram = gram_matrix(found.student, found.student.forward(start.inputs))
        curvature = largest(gram, 1)[0][0]
    return {
        "first": found.losses[0], "final": np.array(found.final), "largest": found.losses.max(),
        "curvature": np.array(curvature),
    }  # fmt: skip


def critical_rate(
    shape: Shape, samples: int, seed: int, trial: int, steps: int, exploded: float, lowest: float, highest: float,
    halvings: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The learning rate above which the loss exceeds ``exploded`` after ``steps``, by bisection of its logarithm."""
    start = task(architecture(*shape), samples, seed, trial, dtype=SINGLE)
    low, high = np.log(lowest), np.log(highest)
    for _ in range(halvings):
        middle = (low + high) / 2
        if descend(start, float(np.exp(middle)), steps).final > exploded:
            high = middle
        else:
            low = middle
    return {"rate": np.exp((low + high) / 2)}


def initial_sharpness(shape: Shape, samples: int, seed: int, trials: int) -> dict[str, np.ndarray]:
    """lambda_max of the Fisher information at the very starts of ``final_loss`` (trials)."""
    return {"lambda_max": measure(architecture(*shape), samples, trials, seed=seed, count=1).largest}


def growth_at_zero_residual(
    shape: Shape, samples: int, seed: int, excess: float, steps: int
) -> dict[str, np.ndarray]:
    """lambda_max from the growth of the loss next to the teacher, at the learning rate excess 2/lambda_max.

    Where the residuals vanish, descent multiplies the leading deviation by 1 - eta lambda_max(H) a step.
    """
    network = architecture(*shape)
    given = task(network, samples, seed)
    teacher = draw(network, seed, 0, TEACHER, np, np.float64)
    step = draw(network, seed, 0, PROBES, np, np.float64)
    start = replace(given, student=Network(network, teacher.plus(step, PERTURBATION)))

    at_teacher = Network(network, teacher)
    fisher = float(largest(gram_matrix(at_teacher, at_teacher.forward(given.inputs)), 1)[0][0])
    rate = excess * 2 / fisher
    losses = descend(start, rate, steps).losses
    factor = np.sqrt(losses[-1] / losses[-2])
    return {"fisher": np.array(fisher), "hessian": (1 + factor) / rate, "last": losses[-1]}
