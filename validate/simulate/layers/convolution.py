"""Convolutions of images as one matrix product over patches (im2col)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError, unknown_name
from validate.simulate.arrays import Array

BORDERS = {"zero": "constant", "periodic": "wrap"}
"""What lies beyond the border of an image, and the name of it in ``xp.pad``."""


def convolution(
    x: Array, kernel: Array, stride: int = 1, border: str = "zero", xp: Any = np
) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """O[o, b, p] = sum over c, s of I[c, b, stride p + s] K[o, c, s], offsets s centred at 0.

    x (in, batch, H, W), kernel (out, in, k, k) with k odd; the output is (out, batch, H/stride, W/stride),
    rounded up.  The pullback gives the gradients with respect to x and the kernel.
    """
    outputs, size = kernel.shape[0], kernel.shape[-1]
    if kernel.shape[1] != x.shape[0]:
        raise InputError(f"the kernel takes {kernel.shape[1]} channels, the images have {x.shape[0]}")
    patches = _patches(x, size, stride, border, xp)
    shape = (outputs, *patches.shape[3:])
    y = (kernel.reshape(outputs, -1) @ patches.reshape(kernel[0].size, -1)).reshape(shape)
    del patches  # nine times the input: the pullback makes them again

    def pullback(dy: Array) -> tuple[Array, Array]:
        dkernel = kernel_gradient(x, dy, size, stride, border, xp)
        dpatches = kernel.reshape(outputs, -1).T @ dy.reshape(outputs, -1)
        dpatches = dpatches.reshape(x.shape[0], size, size, *dy.shape[1:])
        return _gather(dpatches, x.shape, stride, border, xp), dkernel

    return y, pullback


def kernel_gradient(
    x: Array, dy: Array, size: int, stride: int = 1, border: str = "zero", xp: Any = np
) -> Array:
    """sum over b, p of dy[o, b, p] x[c, b, stride p + s]: the gradient of a kernel (out, in, size, size).

    With |x| and |dy| in their places it is the sum of the absolute values of its summands.
    """
    patches = _patches(x, size, stride, border, xp)
    flat = dy.reshape(dy.shape[0], -1) @ patches.reshape(x.shape[0] * size * size, -1).T
    return flat.reshape(dy.shape[0], x.shape[0], size, size)


def _patches(x: Array, size: int, stride: int, border: str, xp: Any) -> Array:
    """Every patch that a kernel sees: (in, size, size, batch, out height, out width)."""
    channels, batch, height, width = x.shape
    rows, columns = -(-height // stride), -(-width // stride)
    padded = _pad(x, size // 2, border, xp)
    patches = xp.empty((channels, size, size, batch, rows, columns), x.dtype)
    for i in range(size):
        for j in range(size):
            patches[:, i, j] = padded[
                :, :, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride
            ]
    return patches


def _gather(patches: Array, shape: tuple[int, ...], stride: int, border: str, xp: Any) -> Array:
    """The transpose of ``_patches``: what arrives at each pixel of images of ``shape``."""
    channels, batch, height, width = shape
    size, (rows, columns) = patches.shape[1], patches.shape[4:]
    margin = size // 2
    padded = xp.zeros((channels, batch, height + 2 * margin, width + 2 * margin), patches.dtype)
    for i in range(size):
        for j in range(size):
            padded[
                :, :, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride
            ] += patches[:, i, j]
    if margin == 0:
        return padded
    if border == "periodic":
        for axis in (2, 3):
            moved = xp.moveaxis(padded, axis, 0)
            moved[margin : 2 * margin] += moved[-margin:]
            moved[-2 * margin : -margin] += moved[:margin]
    return padded[:, :, margin:-margin, margin:-margin]


def _pad(x: Array, margin: int, border: str, xp: Any) -> Array:
    if border not in BORDERS:
        raise unknown_name("border", border, BORDERS)
    return xp.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode=BORDERS[border])
