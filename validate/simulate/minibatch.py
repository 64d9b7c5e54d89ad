"""Mini-batch gradients from their definition: every batch that can be drawn, or batches drawn at random.

A gradient estimator is a function from the indices of a batch (a sequence of whole numbers) to a vector.
Vectors of fractions make everything exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import combinations, product
from math import comb
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError

SAMPLINGS = ("with replacement", "without replacement", "independent inclusion")

MOST_BATCHES = 10**6
"""Batches that an enumeration visits, at most."""

Estimator = Callable[[Sequence[int]], Sequence[Any]]


def batches(samples: int, batch: int, sampling: str) -> Iterator[tuple[Fraction, tuple[int, ...]]]:
    """Every batch and its probability."""
    check_batch(samples, batch, sampling)
    number = {"with replacement": samples**batch, "without replacement": comb(samples, batch)}
    count = number.get(sampling, 2**samples)
    if count > MOST_BATCHES:
        raise InputError(f"{count} batches are too many to enumerate; draw them at random")
    indices = range(samples)
    if sampling == "with replacement":
        yield from ((Fraction(1, count), drawn) for drawn in product(indices, repeat=batch))
    elif sampling == "without replacement":
        yield from ((Fraction(1, count), drawn) for drawn in combinations(indices, batch))
    else:
        rate = Fraction(batch, samples)
        for size in range(samples + 1):
            probability = rate**size * (1 - rate) ** (samples - size)
            yield from ((probability, drawn) for drawn in combinations(indices, size))


def enumerated_error(
    estimator: Estimator, full: Sequence[Any], samples: int, batch: int, sampling: str
) -> tuple[Any, list[Any]]:
    """The exact mean of |estimate - full|^2 over all batches, and the exact mean of estimate - full."""
    square: Any = 0
    bias: list[Any] = [0] * len(full)
    for probability, drawn in batches(samples, batch, sampling):
        difference = [a - b for a, b in zip(estimator(drawn), full, strict=True)]
        square += probability * sum(d * d for d in difference)
        bias = [total + probability * d for total, d in zip(bias, difference, strict=True)]
    return square, bias


def sum_estimator(gradients: Sequence[Sequence[Any]], batch: int) -> Estimator:
    """The estimator of a loss that is a sum over samples: the sum of their gradients over ``batch``."""

    def estimate(drawn: Sequence[int]) -> list[Any]:
        return [sum((gradients[i][a] for i in drawn), start=0 * gradients[0][a]) / batch
                for a in range(len(gradients[0]))]  # fmt: skip

    return estimate


def centred_regression(inputs: Sequence[Any], labels: Sequence[Any], weight: Any) -> Estimator:
    """d/dw of the mean of (w (x - mean) - y)^2/2, the mean of x being the batch's own."""

    def estimate(drawn: Sequence[int]) -> list[Any]:
        mean = sum(inputs[i] for i in drawn) / len(drawn)
        centred = [inputs[i] - mean for i in drawn]
        return [sum((weight * x - labels[i]) * x for x, i in zip(centred, drawn, strict=True)) / len(drawn)]

    return estimate


def normalized_regression(
    inputs: np.ndarray, labels: np.ndarray, weight: float, epsilon: float = 1e-5
) -> Callable[[Any], np.ndarray]:
    """d/dw of the mean of (w x' - y)^2/2 with x' = (x - mean)/sqrt(variance + epsilon) over the batch.

    Indices (..., batch) give gradients (..., 1): many batches at once.
    """

    def estimate(drawn: Any) -> np.ndarray:
        indices = np.asarray(drawn)
        x, y = inputs[indices], labels[indices]
        deviation = x - x.mean(axis=-1, keepdims=True)
        normalized = deviation / np.sqrt((deviation**2).mean(axis=-1, keepdims=True) + epsilon)
        return ((weight * normalized - y) * normalized).mean(axis=-1, keepdims=True)

    return estimate


def draw(samples: int, batch: int, sampling: str, generator: np.random.Generator) -> np.ndarray:
    """The indices of one batch.  Raises InputError for one that cannot be drawn."""
    check_batch(samples, batch, sampling)
    if sampling == "with replacement":
        return generator.integers(samples, size=batch)
    if sampling == "without replacement":
        return generator.permutation(samples)[:batch]
    return np.flatnonzero(generator.random(samples) < batch / samples)


def drawn_errors(gradients: np.ndarray, batch: int, sampling: str, draws: int, seed: int) -> np.ndarray:
    """|estimate - full|^2 of ``draws`` random batches, for gradients of single samples (samples, parameters)."""
    samples = len(gradients)
    generator = np.random.default_rng(seed)
    full = gradients.mean(axis=0)
    errors = np.empty(draws)
    for d in range(draws):
        drawn = draw(samples, batch, sampling, generator)
        errors[d] = ((gradients[drawn].sum(axis=0) / batch - full) ** 2).sum()
    return errors


def check_batch(samples: int, batch: int, sampling: str) -> None:
    """Refuse a batch that cannot be drawn."""
    if sampling not in SAMPLINGS:
        raise InputError(f"unknown sampling {sampling!r}; known: {', '.join(SAMPLINGS)}")
    if batch < 1 or samples < 1:
        raise InputError(f"batch and data must hold at least one sample, not {batch} and {samples}")
    if batch > samples and sampling != "with replacement":
        raise InputError(
            f"a batch of {batch} cannot be drawn {sampling} from {samples} samples; "
            f"take a batch of at most {samples}"
        )
