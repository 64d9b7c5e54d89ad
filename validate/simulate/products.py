"""Products of Gaussian matrices, drawn: every factor N x N with independent entries of variance 1/N."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from numerics.runtime.devices import to_host
from numerics.runtime.errors import InputError
from numerics.runtime.progress import progress
from validate.simulate.arrays import Array

ARRAYS_AT_ONCE = 5
"""Matrices that one draw holds at a time: the product, a factor, their product, and what the SVD needs."""

COPIES = 4
"""Of all singular values, in what compares and plots them."""

BATCH_NUMBERS = 1 << 20
"""Small matrices are drawn and decomposed together, up to this many entries a factor."""


def squared_singular_values(
    factors: int, size: int, draws: int, seed: int, xp: Any = np, show: bool | None = False
) -> np.ndarray:
    """The squared singular values of X_1 ... X_M for each draw: (draws, size), descending.

    Singular values below 1e-16 of the largest are rounding: their number grows once N^((M + 1)/2) nears 1e16.
    ``show`` shows a progress bar (None: on a terminal).  Raises InputError for numbers below 1 and for
    matrices or singular values that do not fit into memory.
    """
    check_size(factors, size, draws)
    found = []
    for generator, count in progress(list(_batches(size, draws, seed, xp)), "products", show=show):
        product = _factor(generator, count, size, xp)
        for _ in range(factors - 1):
            product = xp.matmul(product, _factor(generator, count, size, xp))
        found.append(to_host(xp.linalg.svd(product, compute_uv=False)) ** 2)
    return np.concatenate(found)


def log_extremes(factors: int, size: int, draws: int, seed: int) -> np.ndarray:
    """log sigma_max and log sigma_min of X_1 ... X_m for every m up to ``factors``: (draws, factors, 2).

    The smallest one is the inverse's largest.  Product and inverse are carried along with their norms
    divided out, so that both keep their relative accuracy at any depth.
    """
    check_size(factors, size, draws)
    result = []
    for generator, count in _batches(size, draws, seed, np):
        product: Array = np.eye(size)
        inverse: Array = np.broadcast_to(np.eye(size), (count, size, size))
        scales = np.zeros((count, 2))
        logarithms = np.empty((count, factors, 2))
        for m in range(factors):
            factor = _factor(generator, count, size, np)
            product = np.matmul(product, factor)
            inverse = np.linalg.solve(factor, inverse)
            for side, matrix in enumerate((product, inverse)):
                norms = np.linalg.norm(matrix, ord=2, axis=(1, 2))
                scales[:, side] += np.log(norms)
                matrix /= norms[:, None, None]  # in place
            logarithms[:, m] = scales * (1, -1)
        result.append(logarithms)
    return np.concatenate(result)


def check_size(factors: int, size: int, draws: int) -> None:
    """Refuse numbers below 1, and matrices and singular values that do not fit, before anything is drawn."""
    for name, value in (("number of factors", factors), ("size N", size), ("number of draws", draws)):
        if value < 1:
            raise InputError(f"the {name} must be at least 1, not {value}")
    needed, there = 8 * ARRAYS_AT_ONCE * size**2, memory()
    if needed > there:
        most = int((there / (8 * ARRAYS_AT_ONCE)) ** 0.5)
        raise InputError(
            f"products of {size} x {size} matrices need {needed / 2**30:.1f} GiB and there are "
            f"{there / 2**30:.1f} GiB; take N up to {most}"
        )
    kept = 8 * COPIES * size * draws
    if kept > there - needed:
        raise InputError(
            f"{draws} draws of {size} singular values need {kept / 2**30:.1f} GiB and there are "
            f"{(there - needed) / 2**30:.1f} GiB; take up to {(there - needed) // (8 * COPIES * size)} draws"
        )


def memory() -> int:
    """The bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _batches(size: int, draws: int, seed: int, xp: Any) -> Iterator[tuple[Any, int]]:
    """A generator of its own for each batch of draws, and how many it makes."""
    batch = max(1, BATCH_NUMBERS // size**2)
    for number, first in enumerate(range(0, draws, batch)):
        sequence = np.random.SeedSequence(seed, spawn_key=(size, number))
        if xp is np:
            generator: Any = np.random.Generator(np.random.SFC64(sequence))
        else:
            key = int(sequence.generate_state(1, np.uint64)[0])
            generator = xp.random.Generator(xp.random.Philox4x3210(key))
        yield generator, min(batch, draws - first)


def _factor(generator: Any, count: int, size: int, xp: Any) -> Array:
    return generator.standard_normal((count, size, size)) / xp.sqrt(size)
