"""Spectra of small matrices in any precision, with the sector that each eigenvector belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mpmath


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues in ascending order, the unit eigenvectors (as rows), and the residual |A v - lambda v|."""

    eigenvalues: list[Any]
    eigenvectors: list[list[Any]]
    residual: Any


def symmetric_spectrum(matrix: Any) -> Spectrum:
    """The spectrum of a real symmetric mpmath matrix, at mpmath's working precision."""
    values, vectors = mpmath.eigsy(matrix)
    rows = [[vectors[a, k] for a in range(matrix.rows)] for k in range(matrix.cols)]
    residual = max(
        mpmath.norm(matrix * mpmath.matrix(v) - value * mpmath.matrix(v))
        for value, v in zip(values, rows, strict=True)
    )
    return Spectrum(list(values), rows, residual)


def sector(vector: Sequence[Any], variables: Sequence[str]) -> str:
    """Whether an eigenvector of a Hessian in (R, S, ...) breaks the symmetry R = S or keeps it.

    R stands for K overlaps and S for K(K-1), so that the breaking direction of the weights, R against S, is
    an eigenvector of its own at K = 2 only.  Beyond, R and S enter with entries in the ratio 1 : K-1 and no
    entry between them, so that by interlacing exactly one eigenvalue lies between those entries; its vector,
    and no other, moves R and S in opposite senses.
    """
    at = dict(zip(variables, vector, strict=True))
    return "breaking" if at["R"] * at["S"] < 0 else "symmetric"


def triangular_eigenvalues(matrix: Any, basis: Any) -> tuple[list[Any], Any]:
    """The diagonal of basis^-1 matrix basis, and the largest entry below it.

    Where the columns of ``basis`` span a flag of invariant subspaces the diagonal holds the eigenvalues, each
    with its own direction, which a general eigenvalue routine cannot tell apart where two of them meet.
    """
    triangular = mpmath.inverse(basis) * matrix * basis
    size = range(matrix.rows)
    below = max((abs(triangular[a, b]) for a in size for b in size if b < a), default=mpmath.mpf(0))
    return [triangular[a, a] for a in size], below
