"""Softmax and its cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError
from validate.simulate.arrays import Array


def softmax(logits: Array, xp: Any = np) -> Array:
    """exp(z_k) / sum_j exp(z_j) of logits (class, batch)."""
    exponentials = xp.exp(logits - logits.real.max(axis=0, keepdims=True))
    return exponentials / exponentials.sum(axis=0, keepdims=True)


def softmax_cross_entropy(logits: Array, labels: Array, xp: Any = np) -> tuple[Array, Callable[[], Array]]:
    """The mean over the batch of -log softmax(z)[label], for logits (class, batch), labels (batch).

    The pullback takes no argument and gives the gradient with respect to the logits.  Raises InputError for
    labels that are not classes.
    """
    classes, batch = logits.shape
    if labels.shape != (batch,):
        raise InputError(f"{batch} samples need as many labels, not an array of shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise InputError(f"labels must be whole numbers, not of type {labels.dtype}")
    if batch and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InputError(
            f"labels must be 0 to {classes - 1} for {classes} classes; "
            f"these run from {int(labels.min())} to {int(labels.max())}"
        )
    chosen = (labels, xp.arange(batch))
    shifted = logits - logits.real.max(axis=0, keepdims=True)
    loss = (xp.log(xp.exp(shifted).sum(axis=0)) - shifted[chosen]).mean()

    def pullback() -> Array:
        gradient = softmax(logits, xp)
        gradient[chosen] -= 1
        return gradient / batch

    return loss, pullback
