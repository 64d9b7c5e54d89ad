"""The generalization error at measured overlaps: <(t - s)^2> / 2 without label noise, Gaussian fields.

Fields are Gaussian for Gaussian inputs; for other laws this is the error in the limit of many inputs, and
corrections are of order 1/N.
"""

from __future__ import annotations

import numpy as np

from validate.simulate.activations import activation
from validate.simulate.quadrature import products
from validate.simulate.setup import Setup


def generalization_error(
    setup: Setup, Q: np.ndarray, R: np.ndarray, T: np.ndarray, g: np.ndarray, w: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """The error at overlaps Q (..., K, K), R (..., K, M), T (..., M, M) and parameters g, w, shift (..., K).

    Batch normalization uses its population statistics here, as at test time:
    h = g x / sqrt(tau Q_ii) + shift.
    """
    M, tau = setup.teachers, setup.input_variance
    leading = Q.shape[:-2]
    T = np.broadcast_to(T, (*leading, M, M))
    covariance = tau * np.block([[Q, R], [np.swapaxes(R, -1, -2), T]])
    if setup.has_gain:
        norms = np.diagonal(Q, axis1=-2, axis2=-1)
        scale = g / np.sqrt(norms if setup.normalization == "weight" else tau * norms)
        scale = np.concatenate([scale, np.ones((*leading, M))], axis=-1)
        covariance = scale[..., :, None] * covariance * scale[..., None, :]
    mean = np.concatenate([shift, np.zeros((*leading, M))], axis=-1)
    output = np.concatenate([w, np.broadcast_to(-setup.v, (*leading, M))], axis=-1)
    table = products(activation(setup.activation, np), mean, covariance)
    return np.einsum("...a,...ab,...b->...", output, table, output) / 2
