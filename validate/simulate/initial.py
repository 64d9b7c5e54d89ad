"""Initial weights: overlaps realized exactly at every N, or students drawn from N(0, norm^2 / N).

All weight vectors, students before teachers, live in a frame of K + M orthonormal directions: row a of the
coordinates (K + M, K + M) holds vector a, so overlaps are coordinates @ coordinates.T. The direct simulation
places that frame at random in N dimensions; the overlap chain needs no more than the coordinates.
"""

from __future__ import annotations

import math

import numpy as np

from numerics.runtime.errors import InputError
from validate.simulate.setup import Setup
from validate.simulate.streams import FRAME, Seed, replica_generator


def coordinates(setup: Setup, replicas: int, size: int) -> np.ndarray:
    """Coordinates of all weight vectors in the frame, (replicas, K + M, K + M)."""
    units = setup.students + setup.teachers
    if size < units:
        raise InputError(f"size (N) must be at least students + teachers = {units}, not {size}")
    if setup.draw is None:
        return np.broadcast_to(_root(joint_overlaps(setup)), (replicas, units, units)).copy()
    seed, norm = setup.draw["seed"], setup.draw["norm"]
    generators = (replica_generator(int(seed), r, FRAME) for r in range(replicas))
    scale = norm / math.sqrt(size)
    return np.stack([_drawn(rng, setup, size, scale) for rng in generators])


def joint_overlaps(setup: Setup) -> np.ndarray:
    """The matrix [[Q, R], [R^T, T]] of the initial overlaps, refused where no vectors can have them."""
    joint = np.block([[_symmetric(setup, "Q"), setup.R], [setup.R.T, _symmetric(setup, "T")]])
    lowest = np.linalg.eigvalsh(joint)[0]
    if lowest < -1e-10 * np.trace(joint):
        raise InputError(
            "no weight vectors have these overlaps: the matrix [[Q, R], [R^T, T]] has the "
            f"eigenvalue {lowest:.6g}"
        )
    return joint


def realize(coordinates: np.ndarray, size: int, seed: Seed) -> np.ndarray:
    """Weight vectors (replicas, K + M, N) with these coordinates in a random orthonormal frame of each
    replica."""
    units = coordinates.shape[-1]
    weights = np.empty((len(coordinates), units, size))
    for r, rows in enumerate(coordinates):
        frame, _ = np.linalg.qr(replica_generator(seed, r, FRAME, segment=1).standard_normal((size, units)))
        weights[r] = rows @ frame.T
    return weights


def _symmetric(setup: Setup, name: str) -> np.ndarray:
    matrix = getattr(setup, name)
    if np.abs(matrix - matrix.T).max() > 1e-12 * np.abs(matrix).max():
        raise InputError(f"the initial {name} must be symmetric")
    return matrix


def _root(joint: np.ndarray) -> np.ndarray:
    """A square root L, joint = L L^T, of a positive semidefinite matrix of any rank."""
    values, vectors = np.linalg.eigh((joint + joint.T) / 2)
    # Below 1e-14 of the largest an eigenvalue is rounding; kept, it would split collinear vectors by 1e-8.
    values = np.where(values > 1e-14 * values[-1], values, 0)
    return vectors * np.sqrt(values)


def _drawn(rng: np.random.Generator, setup: Setup, size: int, scale: float) -> np.ndarray:
    """Coordinates of given teachers and Gaussian students: the teachers span the first M directions, and what
    the students have outside them is triangular with chi variables on the diagonal (Bartlett)."""
    K, M = setup.students, setup.teachers
    rows = np.zeros((K + M, K + M))
    rows[K:, :M] = _root(_symmetric(setup, "T"))
    rows[:K, :M] = scale * rng.standard_normal((K, M))
    lengths = np.sqrt(rng.chisquare(size - M - np.arange(K)))
    rows[:K, M:] = scale * (np.tril(rng.standard_normal((K, K)), -1) + np.diag(lengths))
    return rows
