"""Batch normalization in training mode: with the statistics of the batch, and the gradient through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from validate.simulate.arrays import Array

EPSILON = 1e-5
"""Added to the variance."""


def normalize(
    x: Array, axes: tuple[int, ...], epsilon: float = EPSILON, centre: bool = True, scale: bool = True,
    xp: Any = np,
) -> tuple[Array, Callable[[Array], Array]]:  # fmt: skip
    """(x - mean) / sqrt(variance + epsilon), with mean and variance over ``axes``.

    ``centre`` or ``scale`` alone do one half of it; the variance is always taken about the mean.
    """
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    if not scale:
        return (centred if centre else x), lambda dy: dy - dy.mean(axis=axes, keepdims=True) if centre else dy
    inverse = 1 / xp.sqrt((centred * centred).mean(axis=axes, keepdims=True) + epsilon)
    standard = centred * inverse
    y = standard if centre else x * inverse

    def pullback(dy: Array) -> Array:
        along = (dy * y).mean(axis=axes, keepdims=True)  # through the standard deviation
        dx = dy - standard * along
        if centre:
            dx -= dy.mean(axis=axes, keepdims=True)
        return dx * inverse

    return y, pullback


def batch_normalization(
    x: Array, gamma: Array, beta: Array, axes: tuple[int, ...], xp: Any = np, **options: Any
) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array]]]:
    """gamma x^ + beta, with x^ normalized over ``axes``; gamma and beta have the shape of the other axes.

    ``options`` are those of ``normalize``.  The pullback gives the gradients with respect to x, gamma, beta.
    """
    normalized, back = normalize(x, axes, xp=xp, **options)
    shape = [1 if axis in axes else length for axis, length in enumerate(x.shape)]
    gain = gamma.reshape(shape)

    def pullback(dy: Array) -> tuple[Array, Array, Array]:
        return back(dy * gain), (dy * normalized).sum(axis=axes), dy.sum(axis=axes)

    return normalized * gain + beta.reshape(shape), pullback
