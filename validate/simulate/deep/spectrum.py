"""Eigenvalues of the dual Gram matrix: all of them where it is small, the largest by Lanczos where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from numerics.runtime.devices import to_host
from numerics.runtime.errors import InputError
from validate.simulate.arrays import Array
from validate.simulate.deep.gram import GramOperator

DENSE = 128
"""Up to this size, and where many eigenvalues are wanted, the whole spectrum is as fast as Lanczos."""

PROBES = 16
"""Random vectors for a trace; what they leave uncertain is small beside the spread over networks."""

RANK = 1e-6
"""Relative size below which a singular value of the few mean gradients' Gram matrix is rounding."""


def eigenvalues(matrix: Array, xp: Any = np) -> np.ndarray:
    """The whole spectrum of a symmetric matrix, descending."""
    return to_host(xp.linalg.eigvalsh(matrix))[::-1].copy()


def largest(operator: Array | GramOperator, count: int, xp: Any = np) -> tuple[np.ndarray, Array]:
    """The ``count`` largest eigenvalues, descending, and their eigenvectors (size, count).

    ``operator`` is a symmetric matrix or a GramOperator.  Lanczos is ARPACK's, to the precision of the type,
    from a fixed start; the products are made where the operator is (a cupy Lanczos would stop at an absolute
    residual only, which rounding may never reach).
    """
    matrix_free = isinstance(operator, GramOperator)
    size = operator.size if isinstance(operator, GramOperator) else len(operator)
    if not 1 <= count <= size:
        raise InputError(f"a Gram matrix of {size} outputs has no {count} largest eigenvalues")
    if size <= DENSE or count > size // 4:
        matrix = operator.apply(xp.eye(size, dtype=operator.dtype)) if matrix_free else operator
        values, vectors = xp.linalg.eigh(matrix)
        return to_host(values)[::-1][:count].copy(), vectors[:, ::-1][:, :count]
    from scipy.sparse.linalg import LinearOperator, eigsh

    def product(v: np.ndarray) -> np.ndarray:
        w = xp.asarray(v.reshape(-1))
        return to_host(operator.apply(w) if isinstance(operator, GramOperator) else operator @ w)

    start = np.random.default_rng(size).standard_normal(size).astype(operator.dtype)
    lanczos = LinearOperator((size, size), matvec=product, dtype=operator.dtype)
    values, vectors = eigsh(lanczos, count, which="LA", v0=start)
    order = np.argsort(values)[::-1]
    return values[order], xp.asarray(vectors[:, order])


def trace_of(operator: GramOperator, vectors: Array, generator: np.random.Generator, xp: Any = np) -> float:
    """An unbiased estimate of the trace of an operator that is known by its products alone.

    Exact on the span of the orthonormal ``vectors`` (the largest eigenvectors, where nearly all variance
    would come from), random signs on what is orthogonal to it.
    """
    signs = xp.asarray(generator.choice((-1.0, 1.0), (PROBES, operator.size)).astype(operator.dtype))
    signs = signs - (signs @ vectors) @ vectors.T
    total = 0.0
    for probes in (vectors.T, signs):
        values = [float(probe @ operator.apply(probe)) for probe in probes]
        total += sum(values) if probes is not signs else sum(values) / PROBES
    return total


def mean_gradient_overlap(
    operator: Array | GramOperator, values: np.ndarray, vectors: Array, outputs: int, xp: Any = np
) -> np.ndarray:
    """How much of each eigenvector of F lies in the span of the mean gradients E[grad f_k]: cos^2, 1 if all.

    The eigenvector of F is J^T v / sqrt(T lambda), the mean gradients are J^T B / T with B one block of ones
    an output, so their inner products need the Gram matrix G only: cos^2 = lambda v^T B (B^T G B)^-1 B^T v.
    """
    size = len(vectors)
    B = xp.repeat(xp.eye(outputs, dtype=vectors.dtype), size // outputs, axis=0)
    GB = operator.apply(B.T).T if isinstance(operator, GramOperator) else operator @ B
    projected = B.T @ vectors
    # A pseudo-inverse: layer normalization makes the sum of the mean gradients zero.
    squares = (projected * (xp.linalg.pinv(B.T @ GB, RANK) @ projected)).sum(axis=0)
    return values * to_host(squares)
