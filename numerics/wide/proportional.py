"""The bulk of the Fisher information after mean subtraction, for samples in proportion to the width."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from sympy import Symbol, lambdify

from derive.wide import Network
from derive.wide import proportional as theory
from derive.wide.signals import Signals
from derive.wide.symbols import C, rho
from numerics.runtime.errors import InputError
from numerics.wide.predict import order_parameters
from numerics.wide.units import given_shared, shared_lengths, shared_nodes

COUNT = 12
"""Quadrature nodes for the length of the shared backward signal."""
ITERATIONS, CONVERGED = 5000, 1e-12
SMALL = 1e-3
"""tau times the edge at which the expansion of z(tau) about 0 is read off."""


@dataclass(frozen=True)
class Bulk:
    """The limiting spectrum of F for T = ``ratio`` M, without what mean subtraction takes away.

    ``mean`` and ``variance`` are those of the (T - 1) C eigenvalues, ``edge`` the largest of the bulk.
    """

    ratio: float
    outputs: int
    mean: float
    variance: float
    edge: float

    @property
    def lower(self) -> float:
        """tr F^2 / tr F: the bound of (18) with its constant c_1 = variance / mean."""
        return self.mean + self.variance / self.mean

    def upper(self, samples: int) -> float:
        """sqrt(tr F^2): the bound of (18) with its constant c_2 = ratio * variance, times sqrt C."""
        return float(np.sqrt((samples - 1) * self.outputs * (self.mean**2 + self.variance)))


def bulk(network: Network, ratio: float, width: int = 1000) -> Bulk:
    """The bulk of F for T = ``ratio`` M samples, M to infinity.

    Shared backward signals are Gaussian over the units: from depth 3 on the unit with the largest makes
    lambda_max grow with the logarithm of M, at last.  ``width`` cuts them off where the largest of M is.

    Raises InputError for another normalization than ``mean`` or ``none``, a ratio that is not positive, a width
    below 2.
    """
    if network.normalization not in ("mean", "none"):
        raise InputError(
            f"the bulk is known with mean subtraction in the last layer, not with {network.normalization!r}"
        )
    if not 0 < ratio < np.inf:
        raise InputError(f"the samples over the width are a positive number, not {ratio}")
    if width < 2:
        raise InputError(f"the width must be at least 2, not {width}")
    network = replace(network, normalization="none")
    whole, cut = _Model.of(network, None), _Model.of(network, width)
    mean = whole.inverse_less_pole(1e-9, 1 / ratio)
    edge = cut.edge(1 / ratio)
    at = np.array([1.0, 2.0, 3.0, 4.0]) * SMALL / edge
    rises = np.array([(whole.inverse_less_pole(t, 1 / ratio) - mean) / t for t in at])
    variance = float(np.polynomial.polynomial.polyfit(at, rises, 3)[0])
    return Bulk(ratio, int(network.outputs), mean, variance, edge)


@cache
def _compiled(hidden: bool) -> Any:
    """The derivatives of a log-weight as one numpy function, for a hidden unit or an input."""
    weight = theory.unit_weight() if hidden else theory.input_weight()
    names = (theory.A, theory.B, theory.V, theory.U, theory.tau, C)
    own = (theory.slope, theory.bend, theory.noise, theory.slope_noise, theory.mixed_noise,
           theory.product_noise, theory.shared) if hidden else ()  # fmt: skip
    found = vars(theory.derivatives(weight))
    return lambdify([names, own], list(found.values()), "numpy", cse=True)


class _Layer(NamedTuple):
    """Units of a hidden layer: the data of ``unit_weight`` and the weight of every node."""

    data: tuple[np.ndarray, ...]
    weights: np.ndarray


@dataclass(frozen=True)
class _Model:
    """Layers 1 .. L-1 with the coefficients of the Gram matrix; arrays over layers start at the inputs."""

    layers: tuple[_Layer, ...]
    alphas: np.ndarray
    variances: np.ndarray
    """sigma_w^2 of layers 1 .. L."""
    on_eta: np.ndarray
    on_d: np.ndarray
    constant: float
    outputs: int

    @staticmethod
    def of(network: Network, width: int | None) -> _Model:
        found, _, _ = order_parameters(network)
        s = Signals(*(tuple(float(x) for x in column) for column in vars(found).values()))
        alphas = np.array([float(a) for a in network.widths])
        variances = np.array([float(layer.weight_variance) for layer in network.layers])
        layers, outputs = [], int(network.outputs)
        for k, layer in enumerate(network.layers[:-1]):
            scale = variances[k + 1] / alphas[k + 1]
            c, weight_c = shared_nodes(s.q_st[k], s.q_t[k] - s.q_st[k], width)
            zbar, weight_z = shared_lengths(scale * s.tilde_st[k + 1], outputs, width, COUNT)
            given = given_shared(layer.activation, c, s.q_t[k] - s.q_st[k])
            values = {
                theory.slope: given.slope, theory.bend: given.bend, theory.value: given.value,
                theory.gradient_: given.gradient, theory.mixed: given.mixed,
                theory.delta: s.q_t[k] - s.q_st[k],
                theory.backward_spread: scale * (s.tilde_t[k + 1] - s.tilde_st[k + 1]),
                C: outputs,
            }  # fmt: skip
            noises = [_number(e, values) for e in theory.noises().values()]
            columns = [np.broadcast_to(x, c.shape) for x in (given.slope, given.bend, *noises)]
            grid = [np.repeat(x, len(zbar)) for x in columns] + [np.tile(zbar, len(c))]
            layers.append(_Layer(tuple(grid), np.outer(weight_c, weight_z).ravel()))
        constant = sum(
            a * _number(theory.constant_diagonal(), dict(zip(_OVERLAPS, overlaps, strict=True)))
            for a, *overlaps in zip(alphas, s.hat_t, s.hat_st, s.tilde_t, s.tilde_st, strict=True)
        )
        return _Model(
            tuple(layers), alphas, variances, np.array(s.tilde_st),
            np.concatenate([[0.0], alphas[:-1] * np.array(s.hat_st[:-1])]), float(constant), outputs,
        )  # fmt: skip

    def solve(self, tau: float, start: np.ndarray | None = None) -> tuple[float, np.ndarray] | None:
        """sum_l alpha_l d(2 log-weight)/d tau at the stationary point, and that point; None if there is none.

        Iterated from the coefficients of the Gram matrix up, or from the solution at a smaller tau, it rises to the
        smallest solution.
        """
        depth, alphas = len(self.layers) + 1, self.alphas
        now = np.array([self.on_eta, self.on_d, np.zeros(depth), np.zeros(depth)]) if start is None else start
        for _ in range(ITERATIONS):
            means = np.zeros((depth, 5))  # eta, d, by V, by U, by tau
            for l in range(depth):
                data, weights = self.layers[l - 1] if l else ((), np.ones(1))
                found = _compiled(l > 0)((*now[:, l], tau, self.outputs), data)
                if np.min(found[5]) <= 0 or np.max(now[0, l] * found[6]) >= 1:
                    return None
                means[l] = [weights @ np.broadcast_to(x, weights.shape) for x in found[:5]]
            eta, d, by_V, by_U, by_tau = means.T
            new = np.array([self.on_eta, self.on_d, np.zeros(depth), np.zeros(depth)])
            new[0, :-1] += alphas[1:] / alphas[:-1] * self.variances[:-1] * by_V[1:]
            new[1, 2:] += self.variances[1:-1] * by_U[1:-1]
            new[2, 1:] = self.variances[:-1] * eta[:-1]
            new[3, 1:-1] = self.variances[1:-1] * alphas[2:] / alphas[1:-1] * d[2:]
            if np.max(np.abs(new - now)) <= CONVERGED * np.max(np.abs(new)):
                return float(alphas @ by_tau), new
            now = new
        return None

    def inverse_less_pole(self, tau: float, share: float) -> float:
        """z(tau) - 1/tau for rho = ``share`` and a tau below the bulk's; its limit at 0 is the mean eigenvalue."""
        found = self.solve(tau)
        assert found is not None, "tau is too large"
        return float(_Z(self.constant, found[0], np.inf, share))

    def edge(self, share: float) -> float:
        """The minimum of z over tau: z is convex down to the edge."""
        solutions: dict[float, np.ndarray] = {}

        def inverse(logarithm: float) -> float:
            tau = float(np.exp(logarithm))
            below = [t for t in solutions if t <= tau]
            found = self.solve(tau, solutions[max(below)] if below else None)
            if found is None:
                return np.inf
            solutions[tau] = found[1]
            return float(_Z(self.constant, found[0], tau, share))

        step = np.log(2.0)
        middle = float(-np.log(self.inverse_less_pole(1e-9, share))) - 3 * step
        while not np.isfinite(inverse(middle)):
            middle -= step
        while inverse(middle + step) < inverse(middle):
            middle += step
        while inverse(middle - step) < inverse(middle):
            middle -= step
        found = minimize_scalar(
            inverse, bracket=(middle - step, middle, middle + step), method="golden", options={"xtol": 1e-5}
        )
        return float(found.fun)


_OVERLAPS = tuple(Symbol(name) for name in ("hat_t", "hat_st", "tilde_t", "tilde_st"))
_constant, _layers = Symbol("constant"), Symbol("layers")
_Z = lambdify(
    (_constant, _layers, theory.tau, rho), theory.resolvent_inverse(_constant, _layers), "numpy"
)


def _number(expression: Any, values: dict[Any, Any]) -> Any:
    names = tuple(values)
    return lambdify(names, expression, "numpy")(*values.values())


__all__ = ["Bulk", "bulk"]
