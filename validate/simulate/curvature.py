"""Hessians of a classifier's loss: the last layer's from its definition, the whole by complex steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError
from validate.simulate.arrays import Array
from validate.simulate.classifier import Classifier

STEP = 1e-30
"""The imaginary part of a complex step: so small that its square vanishes."""


def last_layer_hessian(features: Array, probabilities: Array, bias: bool = True, xp: Any = np) -> Array:
    """Second derivatives of the mean cross-entropy in the last layer's weights.

    features (hidden, samples), probabilities (class, samples).  Rows and columns run over classes and, within
    a class, over hidden units, then the bias: d2 L / dW_kj dW_li = <(delta_kl p_k - p_k p_l) h_j h_i>.
    Raises InputError where the two are not of the same samples.
    """
    samples = features.shape[1]
    if samples < 1 or probabilities.shape[1] != samples:
        raise InputError(
            "features (hidden, samples) and probabilities (class, samples) need the same samples, at least one; "
            f"these have shapes {features.shape} and {probabilities.shape}"
        )
    h = xp.concatenate([features, xp.ones((1, samples), features.dtype)]) if bias else features
    classes, width = len(probabilities), len(h)
    hessian = xp.empty((classes, width, classes, width), h.dtype)
    for k in range(classes):
        for l in range(k + 1):
            weight = probabilities[k] * ((k == l) - probabilities[l]) / samples
            hessian[k, :, l] = (h * weight) @ h.T
            hessian[l, :, k] = hessian[k, :, l]
    return hessian.reshape(classes * width, classes * width)


def recoordinate(
    features: Array, weights: Array, bias: Array, centre: bool = False, scale: bool | float = False
) -> tuple[Array, Array, Array]:
    """Features, weights and bias of the same logits, with units centred, scaled to unit variance, or times a number.

    features (hidden, samples), weights (class, hidden), bias (class).  Raises InputError for units that are constant
    where they should be scaled: a dead unit has no scale.
    """
    mean = features.mean(axis=1) if centre else 0 * features[:, 0]
    factor = np.full(len(features), float(scale or 1.0))
    if scale is True:
        dead = np.flatnonzero(np.ptp(features, axis=1) == 0)
        if len(dead):
            raise InputError(
                f"{len(dead)} of {len(features)} units are constant over the samples and cannot be scaled to unit "
                f"variance (the first is unit {dead[0]}); leave them out"
            )
        factor = 1 / features.std(axis=1)
    return (features - mean[:, None]) * factor[:, None], weights / factor, bias + weights @ mean


def full_hessian(
    network: Classifier, x: Array, labels: Array, names: Sequence[str] = ("W1", "b1", "W2", "b2"),
    decay: float = 0.0,
) -> tuple[np.ndarray, dict[str, slice]]:  # fmt: skip
    """Second derivatives of the loss of x in training mode, and where each of the parameters ``names`` is.

    A column is the imaginary part of the gradient at a parameter moved by an imaginary step: exact, as far as
    the piecewise linear units are differentiable.  Its cost is a gradient a parameter.
    """
    own = network.parameters
    ends = np.cumsum([0, *(own[name].size for name in names)])
    places = {name: slice(*ends[k : k + 2]) for k, name in enumerate(names)}
    columns = []
    try:
        for name in names:
            flat = own[name].ravel()
            for entry in range(flat.size):
                moved = flat.astype(complex)
                moved[entry] += 1j * STEP
                network.parameters = {**own, name: moved.reshape(own[name].shape)}
                _, gradients = network.gradients(x, labels, decay)
                columns.append(np.concatenate([gradients[n].imag.ravel() for n in names]) / STEP)
    finally:
        network.parameters = own
    hessian = np.stack(columns, axis=1)
    return (hessian + hessian.T) / 2, places
