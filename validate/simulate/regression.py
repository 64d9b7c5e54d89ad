"""Regression on a fixed set of examples: a linear teacher with label noise, a linear or ReLU student.

Inputs x are Gaussian of variance 1/N, the teacher B is Gaussian of variance one, targets are B.x + noise.  The
training loss is sum_j (target_j - phi(w.x_j))^2 / 2 + ridge |w|^2 / 2.  Shapes: N inputs, P examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import nnls

from numerics.runtime.errors import InputError, unknown_name

STUDENTS = ("linear", "relu")
ANGLES = 1024
RANK = 1e-10
FEASIBLE = 1e-6
REST = 1e-4
"""The last step of gradient descent, relative to the first."""


@dataclass(frozen=True)
class Examples:
    """inputs (P, N), targets (P), and the teacher's weights (N)."""

    inputs: np.ndarray
    targets: np.ndarray
    teacher: np.ndarray

    @property
    def size(self) -> int:
        return self.inputs.shape[1]

    def chosen(self, mask: np.ndarray) -> Examples:
        """Those of the examples where ``mask`` (P) is true."""
        return Examples(self.inputs[mask], self.targets[mask], self.teacher)


def draw_examples(size: int, load: float, noise: float, seed: int | tuple[int, ...]) -> Examples:
    """load N examples with N = ``size`` inputs, label noise of variance ``noise``; |B|^2 = N exactly."""
    count = round(load * size)
    if size < 2 or count < 1:
        raise InputError(f"there must be at least 2 inputs and 1 example, not N = {size} and P = {count}")
    if not noise >= 0:
        raise InputError(f"the noise variance must be a number of at least 0, not {noise:g}")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    teacher = rng.standard_normal(size)
    teacher *= np.sqrt(size) / np.linalg.norm(teacher)
    inputs = rng.standard_normal((count, size)) / np.sqrt(size)
    targets = inputs @ teacher + np.sqrt(noise) * rng.standard_normal(count)
    return Examples(inputs, targets, teacher)


def output(field: np.ndarray, student: str) -> np.ndarray:
    """phi of the student's field."""
    if student not in STUDENTS:
        raise unknown_name("student", student, STUDENTS)
    return field if student == "linear" else np.maximum(field, 0.0)


def generalization_error(weights: np.ndarray, teacher: np.ndarray, student: str) -> np.ndarray:
    """<(B.x - phi(w.x))^2> over fresh inputs, for weights (..., N).

    The two fields are Gaussian and phi is homogeneous: the average over their radius is 2, that over their
    angle is a sum.
    """
    Q, R = overlaps(weights, teacher)
    angle = 2 * np.pi * (np.arange(ANGLES) + 0.5) / ANGLES
    across = np.sqrt(np.maximum(Q - R**2, 0.0))
    field = R[..., None] * np.cos(angle) + across[..., None] * np.sin(angle)
    return 2 * ((np.cos(angle) - output(field, student)) ** 2).mean(axis=-1)


def overlaps(weights: np.ndarray, teacher: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """|w|^2 / N and w.B / N of weights (..., N)."""
    size = len(teacher)
    return (weights**2).sum(axis=-1) / size, (weights @ teacher) / size


def training_loss(weights: np.ndarray, examples: Examples, student: str) -> np.ndarray:
    """sum_j (target_j - phi(w.x_j))^2 / (2 P) of weights (..., N)."""
    rest = examples.targets - output(weights @ examples.inputs.T, student)
    return (rest**2).mean(axis=-1) / 2


def least_squares(examples: Examples, ridge: float) -> np.ndarray:
    """The linear student's minimum; without a ridge the shortest of the minima.

    Solved in the smaller of the two dimensions.  Raises InputError for a ridge below 0, and, at a ridge of 0,
    for a square system that is singular.
    """
    if not ridge >= 0:
        raise InputError(f"the ridge must be a number of at least 0, not {ridge:g}")
    x, t = examples.inputs, examples.targets
    wide = len(t) < examples.size
    gram = x @ x.T if wide else x.T @ x
    gram[np.diag_indices_from(gram)] += ridge
    try:
        factor = cho_factor(gram, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        raise InputError("the inputs' correlations are singular; give a positive ridge") from None
    return x.T @ cho_solve(factor, t) if wide else cho_solve(factor, x.T @ t)


def shortest_interpolation(examples: Examples) -> np.ndarray | None:
    """The shortest weights at which a ReLU student's every loss is at its least: w.x = target where that is
    positive, w.x <= 0 where it is negative; None where there are none.

    Equalities are met by the shortest w_0; what is left is a least-distance problem orthogonal to them, which
    Lawson and Hanson (1974, chapter 23) turn into non-negative least squares.
    """
    positive = examples.targets > 0
    fixed, free = examples.chosen(positive), examples.chosen(~positive)
    if positive.sum() >= examples.size:
        return None
    start = least_squares(fixed, 0.0) if positive.any() else np.zeros(examples.size)
    if len(free.targets) == 0:
        return start
    basis = np.linalg.qr(fixed.inputs.T)[0]
    bound = -(free.inputs - (free.inputs @ basis) @ basis.T)
    limit = free.inputs @ start
    matrix = np.vstack([bound.T, limit])
    goal = np.zeros(len(matrix))
    goal[-1] = 1.0
    multipliers, distance = nnls(matrix, goal, maxiter=50 * len(limit))
    if distance < RANK:
        return None
    rest = matrix @ multipliers - goal
    found = start - rest[:-1] / rest[-1]
    held = float((free.inputs @ found).max())
    return found if held < FEASIBLE * np.sqrt(1 + (found**2).mean()) else None


@dataclass(frozen=True)
class Descent:
    """weights (..., N) where gradient descent stopped, its steps, and the size of the gradient there, relative
    to that at weights 0 (a minimum that lies on kinks of a ReLU keeps a gradient on either side)."""

    weights: np.ndarray
    steps: int
    slope: float


def descend(
    examples: Examples, start: np.ndarray, student: str, ridge: float = 0.0, steps: int = 2000,
    tolerance: float = 1e-7,
) -> Descent:  # fmt: skip
    """Full-batch gradient descent of the training loss from weights (..., N), until all have settled.

    The step is one over the largest curvature that the loss can have; over the second half of the steps it
    falls geometrically, so that weights come to rest on kinks.
    """
    x, t = examples.inputs, examples.targets
    curvature = np.linalg.norm(x, 2) ** 2 + ridge
    reference = np.linalg.norm(x.T @ t)
    weights = np.array(start, dtype=float)
    slope = np.inf
    for step in range(steps):
        field = weights @ x.T
        signal = output(field, student) - t
        if student == "relu":
            signal = signal * (field > 0)
        gradient = signal @ x + ridge * weights
        slope = float(np.linalg.norm(gradient, axis=-1).max() / reference)
        if slope < tolerance:
            return Descent(weights, step, slope)
        weights = weights - gradient / curvature * min(1.0, REST ** (2 * step / steps - 1))
    return Descent(weights, steps, slope)
