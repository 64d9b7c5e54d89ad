"""The generalization error at measured overlaps: <(t - s)^2> / 2 without label noise, Gaussian fields.

Fields are Gaussian for Gaussian inputs; for other laws this is the error in the limit of many inputs, and
corrections are of order 1/N.
"""

from __future__ import annotations

import numpy as np

from validate.simulate.activations import Activation, activation
from validate.simulate.quadrature import average_of_product, average_of_square
from validate.simulate.setup import Setup


def generalization_error(
    setup: Setup, Q: np.ndarray, R: np.ndarray, T: np.ndarray, g: np.ndarray, w: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """The error at overlaps Q (..., K, K), R (..., K, M), T (..., M, M) and parameters g, w, shift (..., K).

    Batch normalization uses its population statistics here, as at test time: h = g x / sqrt(tau Q_ii) +
    shift.
    """
    phi, tau = activation(setup.activation, np), setup.input_variance
    norms = np.diagonal(Q, axis1=-2, axis2=-1)
    if setup.has_gain:
        factor = g / np.sqrt(norms if setup.normalization == "weight" else tau * norms)
    else:
        factor = np.ones_like(norms)
    origin = np.zeros(setup.teachers)
    student_part = _quadratic(phi, shift, tau * factor[..., :, None] * Q * factor[..., None, :], w)
    teacher_part = _quadratic(phi, np.broadcast_to(origin, T.shape[:-1]), tau * T, setup.v)
    between = average_of_product(
        phi,
        shift[..., :, None],
        origin,
        (tau * factor**2 * norms)[..., :, None],
        tau * np.diagonal(T, axis1=-2, axis2=-1)[..., None, :],
        tau * factor[..., :, None] * R,
    )
    return student_part / 2 + teacher_part / 2 - np.einsum("...i,...in,n->...", w, between, setup.v)


def _quadratic(phi: Activation, mean: np.ndarray, covariance: np.ndarray, output: np.ndarray) -> np.ndarray:
    """<(sum_a output_a phi(field_a))^2>: every pair of different fields is integrated once."""
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    total = (output**2 * average_of_square(phi, mean, variance)).sum(axis=-1)
    a, b = np.triu_indices(covariance.shape[-1], 1)
    pairs = average_of_product(
        phi, mean[..., a], mean[..., b], variance[..., a], variance[..., b], covariance[..., a, b]
    )
    return total + 2 * (output[..., a] * output[..., b] * pairs).sum(axis=-1)
