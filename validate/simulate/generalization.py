"""The generalization error at measured overlaps: <(t - s)^2> / 2 without label noise, Gaussian fields.

(t - s)^2 is a sum of products phi(a) phi(b) of two jointly Gaussian fields, averaged here by Gauss-Legendre
panels that end where phi may bend. The error against adaptive integration is below 1e-9 of the second
moments for the named activations at field variances up to 25. Fields are Gaussian for Gaussian inputs;
for other laws this is the error's limit of many inputs, to which corrections are of order 1/N.
"""

from __future__ import annotations

import math

import numpy as np

from validate.simulate.activations import Activation, activation
from validate.simulate.setup import Setup

RANGE = 8.0
"""Half-width of the integration in standard deviations; the tail beyond weighs 1e-15."""

NODES = 24
"""Gauss-Legendre nodes of a panel."""

CHUNK = 256
"""Pairs integrated at a time, to stay in cache."""


def generalization_error(
    setup: Setup, Q: np.ndarray, R: np.ndarray, T: np.ndarray, g: np.ndarray, w: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """The error at overlaps Q (..., K, K), R (..., K, M), T (..., M, M) and parameters g, w, shift (..., K).

    Batch normalization uses its population statistics here, as at test time: h = g x / sqrt(tau Q_ii) +
    shift.
    """
    K, M, tau = setup.students, setup.teachers, setup.input_variance
    units = K + M
    leading = Q.shape[:-2]
    covariance = np.empty((*leading, units, units))
    covariance[..., :K, :K], covariance[..., :K, K:] = Q, R
    covariance[..., K:, :K], covariance[..., K:, K:] = np.swapaxes(R, -1, -2), T
    covariance *= tau
    if setup.has_gain:
        norms = np.diagonal(Q, axis1=-2, axis2=-1) * (1.0 if setup.normalization == "weight" else tau)
        factor = np.concatenate([g / np.sqrt(norms), np.ones((*leading, M))], axis=-1)
        covariance *= factor[..., :, None] * factor[..., None, :]
    mean = np.concatenate([shift, np.zeros((*leading, M))], axis=-1)
    sign = np.concatenate([w, np.broadcast_to(-setup.v, (*leading, M))], axis=-1)
    a, b = np.triu_indices(units)
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    products = average_of_product(
        activation(setup.activation, np),
        mean[..., a], mean[..., b], variance[..., a], variance[..., b], covariance[..., a, b],
    )  # fmt: skip
    multiplicity = np.where(a == b, 0.5, 1.0)
    return (multiplicity * sign[..., a] * sign[..., b] * products).sum(axis=-1)


def average_of_product(
    phi: Activation,
    mean_a: np.ndarray,
    mean_b: np.ndarray,
    variance_a: np.ndarray,
    variance_b: np.ndarray,
    covariance: np.ndarray,
) -> np.ndarray:
    """<phi(a) phi(b)> of Gaussian fields a, b with these moments, elementwise over arrays of one shape."""
    moments = np.broadcast_arrays(mean_a, mean_b, variance_a, variance_b, covariance)
    flat = [np.ascontiguousarray(moment, dtype=float).reshape(-1) for moment in moments]
    averages = np.empty_like(flat[0])
    for start in range(0, averages.size, CHUNK):
        averages[start : start + CHUNK] = _average(phi, *(moment[start : start + CHUNK] for moment in flat))
    return averages.reshape(moments[0].shape)


def _average(
    phi: Activation, mean_a: np.ndarray, mean_b: np.ndarray, va: np.ndarray, vb: np.ndarray, cov: np.ndarray
) -> np.ndarray:
    # a = mean_a + sa z, b = mean_b + sb (rho z + c u), with z, u standard Gaussian.
    sa, sb = np.sqrt(va), np.sqrt(vb)
    tiny = np.finfo(float).tiny
    rho = np.clip(cov / np.maximum(sa * sb, tiny), -1, 1)
    c = np.sqrt((1 - rho) * (1 + rho))
    bend = phi.kinks[0] if phi.kinks else 0.0
    bend_a = (bend - mean_a) / np.maximum(sa, tiny)
    bend_b = (bend - mean_b) / np.maximum(sb, tiny)
    # Along z the inner integral turns at bend_b / rho, over a width c / rho.
    safe_rho = np.where(rho == 0, tiny, rho)
    turn, width = bend_b / safe_rho, 4 * c / np.abs(safe_rho)
    z, weight_z = _panels(np.stack([bend_a, turn - width, turn, turn + width], axis=-1))
    value_a = phi.value(mean_a[:, None] + sa[:, None] * z)
    inner = (bend_b[:, None] - rho[:, None] * z) / np.maximum(c, tiny)[:, None]
    u, weight_u = _panels(inner[:, :, None])
    b = mean_b[:, None, None] + sb[:, None, None] * (
        rho[:, None, None] * z[:, :, None] + c[:, None, None] * u
    )
    return (weight_z * value_a * (weight_u * phi.value(b)).sum(axis=-1)).sum(axis=-1)


def _panels(breaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights (the Gaussian density included) on [-RANGE, RANGE] cut at ``breaks`` (..., cuts)."""
    node, weight = np.polynomial.legendre.leggauss(NODES)
    ends = np.full((*breaks.shape[:-1], 1), RANGE)
    cuts = np.sort(np.concatenate([-ends, np.clip(breaks, -RANGE, RANGE), ends], axis=-1), axis=-1)
    middle, half = (cuts[..., 1:] + cuts[..., :-1]) / 2, (cuts[..., 1:] - cuts[..., :-1]) / 2
    z = (middle[..., None] + half[..., None] * node).reshape(*breaks.shape[:-1], -1)
    weights = (half[..., None] * weight).reshape(z.shape) * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return z, weights
