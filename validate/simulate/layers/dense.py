"""Fully connected layers and rectifiers."""

from __future__ import annotations

from collections.abc import Callable

from numerics.runtime.errors import InputError
from validate.simulate.arrays import Array


def dense(
    x: Array, weights: Array, bias: Array
) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array]]]:
    """y = W x + b for features x (in, batch), weights (out, in), bias (out).

    The pullback gives the gradients with respect to x, W and b.  Raises InputError where x does not fit W.
    """
    if x.ndim != 2 or x.shape[0] != weights.shape[1]:
        raise InputError(f"features must be an array of {weights.shape[1]} rows, one an input, not of shape {x.shape}")
    y = weights @ x + bias[:, None]

    def pullback(dy: Array) -> tuple[Array, Array, Array]:
        return weights.T @ dy, dy @ x.T, dy.sum(axis=1)

    return y, pullback


def relu(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """max(x, 0), with slope 0 at 0."""
    positive = x.real > 0
    return x * positive, lambda dy: dy * positive
