"""The mean squared gradient of one output to order 1/M, by second-order jets along the layers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy.stats import norm
from sympy import lambdify

from derive.wide import Network
from derive.wide import finite_width as theory
from derive.wide.symbols import bias_variance, weight_variance
from numerics.runtime.errors import InputError
from numerics.wide.units import NODES, RADIUS, functions

Jet = np.ndarray
"""A function of q at a point, and its first two derivatives."""


def gradient_correction(network: Network) -> float:
    """E |grad f_k(t)|^2 - alpha M kappa_1 for M to infinity, the gradients of the biases not counted.

    For networks without normalization; inputs N(0, 1).  Zero for ReLU networks without biases.

    Raises InputError for a normalization, and for weights of no variance.
    """
    if network.normalization != "none":
        raise InputError(f"1/M corrections are known without normalization, not with {network.normalization!r}")
    weights = [float(layer.weight_variance) for layer in network.layers]
    biases = [float(layer.bias_variance) for layer in network.layers]
    alphas = [float(a) for a in network.widths]
    if min(weights) <= 0:
        raise InputError("1/M corrections need weights of a positive variance in every layer")
    depth = network.depth
    # Forward: q of every layer to leading order, and M times its mean shift and its variance.
    q, shift, spread = [weights[0] + biases[0]], [0.0], [2 * weights[0] ** 2 / alphas[0]]
    layers = []
    for k in range(depth - 1):
        here = _Averages(network.layers[k].activation, q[-1])
        up = weights[k + 1] * here.power
        layers.append(here)
        shift.append(up[1] * shift[-1] + up[2] * spread[-1] / 2)
        spread.append(up[1] ** 2 * spread[-1] + weights[k + 1] ** 2 * here.power_variance / alphas[k + 1])
        q.append(up[0] + biases[k + 1])
    # Backward: D as a jet and its correction, and E.
    D, first, E = np.array([1.0, 0.0, 0.0]), 0.0, q[-1] - biases[-1]
    total = 0.0
    for k in reversed(range(depth)):
        if k < depth - 1:
            here, w = layers[k], weights[k + 1]
            values = {
                theory.A: here.slope[0], theory.P: here.power[0], theory.R: here.both,
                theory.power_variance: here.power_variance, theory.mixed_covariance: here.mixed_covariance,
                theory.D: D[0], theory.D1: D[1], theory.D2: D[2], theory.E: E,
                theory.q: q[k], theory.below: biases[k], theory.U2: here.weighted, theory.UF: here.cross,
                weight_variance: w, bias_variance: biases[k + 1],
            }  # fmt: skip
            first = w * here.slope[0] * first + _at("backward_correction", values) / alphas[k + 1]
            E = _at("along", values)
            D = _times(w * here.slope, _compose(D, w * here.power))
        hat = np.array([(q[k] - biases[k]) / weights[k], 1 / weights[k], 0.0])
        product = _times(hat, D)
        total += alphas[k] * (product[1] * shift[k] + product[2] * spread[k] / 2 + hat[0] * first)
    return float(total)


class _Averages:
    """Averages over u ~ N(0, q); ``power`` and ``slope``, <phi^2> and <phi'^2>, as jets in q."""

    def __init__(self, phi: Any, q: float) -> None:
        value, slope = functions(phi)
        x, weight = np.polynomial.legendre.leggauss(NODES)
        z = RADIUS / 2 * np.concatenate([x - 1, x + 1])
        weight = RADIUS / 2 * np.tile(weight, 2) * norm.pdf(z)
        u = np.sqrt(q) * z
        f, d = (np.broadcast_to(each(u), u.shape) for each in (value, slope))

        def jet(values: np.ndarray) -> Jet:
            by_q = np.array([np.ones_like(z), (z**2 - 1) / (2 * q), (z**4 - 6 * z**2 + 3) / (4 * q * q)])
            return by_q @ (weight * values)  # type: ignore[no-any-return]

        self.power, self.slope = jet(f**2), jet(d**2)
        self.both, self.weighted, self.cross = weight @ (f * d) ** 2, weight @ (u * d) ** 2, weight @ (u * d * f)
        self.power_variance = weight @ f**4 - self.power[0] ** 2
        self.mixed_covariance = self.both - self.power[0] * self.slope[0]


def _times(f: Jet, g: Jet) -> Jet:
    return np.array([f[0] * g[0], f[1] * g[0] + f[0] * g[1], f[2] * g[0] + 2 * f[1] * g[1] + f[0] * g[2]])


def _compose(f: Jet, inner: Jet) -> Jet:
    """f(inner(q)), f being the jet at inner."""
    return np.array([f[0], f[1] * inner[1], f[2] * inner[1] ** 2 + f[1] * inner[2]])


@cache
def _compiled(name: str, names: tuple[Any, ...]) -> Any:
    return lambdify(names, getattr(theory, name)(), "numpy")


def _at(name: str, values: dict[Any, Any]) -> float:
    return float(_compiled(name, tuple(values))(*values.values()))
