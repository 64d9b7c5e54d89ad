"""Pooling, and the parameter-free shortcut of residual networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from validate.simulate.arrays import Array


def zero_padding_shortcut(
    x: Array, channels: int, stride: int, xp: Any = np
) -> tuple[Array, Callable[[Array], Array]]:
    """Option A of He et al. (2016): every ``stride``-th pixel, and new channels of zeros after the old ones."""
    kept = x[:, :, ::stride, ::stride]
    y = xp.zeros((channels, *kept.shape[1:]), x.dtype)
    y[: x.shape[0]] = kept

    def pullback(dy: Array) -> Array:
        dx = xp.zeros(x.shape, dy.dtype)
        dx[:, :, ::stride, ::stride] = dy[: x.shape[0]]
        return dx

    return y, pullback


def global_average_pool(x: Array, xp: Any = np) -> tuple[Array, Callable[[Array], Array]]:
    """The mean of every channel over its pixels: (channel, batch, H, W) to (channel, batch)."""
    pixels = x.shape[2] * x.shape[3]

    def pullback(dy: Array) -> Array:
        return xp.zeros(x.shape, dy.dtype) + dy[:, :, None, None] / pixels

    return x.mean(axis=(2, 3)), pullback
