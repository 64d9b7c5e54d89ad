"""The exact chain of the overlaps at finite N, for isotropic Gaussian inputs.

Split space into the span of the teachers (M directions), a further K directions that hold the rest of the
students, and the N - K - M directions orthogonal to all weights. Inputs have independent Gaussian coordinates
in the first K + M, and enter otherwise only through the inner products of their orthogonal parts, a Wishart
matrix with N - K - M degrees of freedom. After a step the students have left the K directions; only their
overlaps matter, so their remainder is rotated back into K directions (a Cholesky factor of its Gram matrix).

The number of directions is fixed whatever the rank of the overlaps, so collinear weights need no special
case. The cost of a step does not depend on N; nothing but rounding separates this from the direct simulation
in distribution.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError
from validate.simulate.arrays import Array, semidefinite_cholesky
from validate.simulate.committee import Gradient
from validate.simulate.initial import coordinates
from validate.simulate.learner import Learner
from validate.simulate.setup import Setup
from validate.simulate.streams import CHAIN_INPUTS, CHAIN_LENGTH, CHAIN_MIXING, CHAIN_NOISE, Draws


class Chain(Learner):
    """Overlaps carried by coordinates: ``aligned`` (S, K, M) of the students along the teachers' directions,
    ``apart`` (S, K, K) of their remainder; ``teachers`` (S, M, M) of the teachers."""

    weight_arrays = ("aligned", "apart")
    noise_purpose = CHAIN_NOISE

    def __init__(
        self, setup: Setup, replicas: int, size: int, seed: int, xp: Any = np, dtype: Any = np.float64
    ) -> None:
        K, M, b = setup.students, setup.teachers, setup.batch_size
        if setup.input_law != "gaussian":
            raise InputError(
                f"the chain is exact for gaussian inputs only: simulate {setup.input_law} ones directly"
            )
        if np.dtype(dtype) != np.float64:
            raise InputError("the chain runs in double precision only")
        self.rank = min(b, K)
        outside = size - K - M
        if outside < self.rank:
            raise InputError(f"the chain needs size (N) of at least {K + M + self.rank} here, not {size}")
        super().__init__(setup, replicas, size, seed, xp, dtype)
        self.teachers, self.aligned, self.apart = (
            xp.asarray(part) for part in _split(coordinates(setup, replicas, size), K)
        )
        self.scale = math.sqrt(setup.input_variance)
        self.inputs = Draws(
            self.streams,
            replicas,
            CHAIN_INPUTS,
            (b, M + K),
            lambda rng, shape: self.scale * rng.standard_normal(shape),
            xp,
        )
        # Bartlett: a Wishart matrix is T T^T, T lower triangular with chi variables on the diagonal.
        shapes = xp.asarray((outside - np.arange(self.rank)) / 2)
        self.lengths = Draws(
            self.streams, replicas, CHAIN_LENGTH, (self.rank,),
            lambda rng, shape: xp.sqrt(2 * rng.standard_gamma(shapes, shape)), xp,
        )  # fmt: skip
        self.mixing = Draws(
            self.streams,
            replicas,
            CHAIN_MIXING,
            (self.rank, self.rank),
            lambda rng, shape: rng.standard_normal(shape),
            xp,
        )

    def fields(self, step: int) -> tuple[Array, Array]:
        xp, M = self.xp, self.setup.teachers
        self.step_number, self.xi = step, self.inputs.at(step)
        along_teachers = self.xi[:, :, :M]
        x = xp.matmul(along_teachers, self.aligned.swapaxes(1, 2))
        x += xp.matmul(self.xi[:, :, M:], self.apart.swapaxes(1, 2))
        return x, xp.matmul(along_teachers, self.teachers.swapaxes(1, 2))

    def squared_norms(self) -> Array:
        return (self.aligned * self.aligned).sum(axis=2) + (self.apart * self.apart).sum(axis=2)

    def overlaps(self) -> tuple[Array, Array]:
        xp = self.xp
        Q = xp.matmul(self.aligned, self.aligned.swapaxes(1, 2)) + xp.matmul(
            self.apart, self.apart.swapaxes(1, 2)
        )
        return Q, xp.matmul(self.aligned, self.teachers.swapaxes(1, 2))

    def teacher_overlaps(self) -> Array:
        return self.xp.matmul(self.teachers, self.teachers.swapaxes(1, 2))

    def move_weights(self, gradient: Gradient) -> None:
        xp, M = self.xp, self.setup.teachers
        rate = self.setup.learning_rate / self.size
        along_inputs = (rate / self.setup.batch_size) * gradient.inputs.swapaxes(1, 2)
        change = xp.matmul(along_inputs, self.xi)
        aligned, apart = self.aligned - change[:, :, :M], self.apart - change[:, :, M:]
        if gradient.students is not None:
            aligned -= rate * xp.matmul(gradient.students, self.aligned)
            apart -= rate * xp.matmul(gradient.students, self.apart)
        if gradient.teachers is not None:
            aligned -= rate * xp.matmul(gradient.teachers, self.teachers)
        outside = self._outside(along_inputs)
        gram = xp.matmul(apart, apart.swapaxes(1, 2)) + xp.matmul(outside, outside.swapaxes(1, 2))
        self.aligned, self.apart = aligned, semidefinite_cholesky(gram, xp)

    def _outside(self, along_inputs: Array) -> Array:
        """What the students gain outside all K + M directions, in coordinates (S, K, rank) of that part."""
        xp, rank = self.xp, self.rank
        wishart = self.lengths.at(self.step_number)[:, :, None] * xp.eye(rank)
        if rank > 1:
            wishart = wishart + xp.tril(self.mixing.at(self.step_number), -1)
        if self.setup.batch_size > rank:
            along_inputs = semidefinite_cholesky(xp.matmul(along_inputs, along_inputs.swapaxes(1, 2)), xp)
        return self.scale * xp.matmul(along_inputs, wishart)


def _split(rows: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates of teachers, and of students along and apart from them, out of those of all in one
    frame."""
    M = rows.shape[-1] - K
    frame, _ = np.linalg.qr(rows[:, K:].swapaxes(1, 2), mode="complete")
    turned = rows @ frame
    return turned[:, K:, :M], turned[:, :K, :M], turned[:, :K, M:]
