"""kappa_1 and kappa_2 to 1e-13 at every depth: own recursions at 60 digits and by composite quadrature."""

from __future__ import annotations

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from scipy import special, stats

from derive.activation import activation
from derive.wide import network
from numerics.runtime.compiler import find_compiler
from numerics.wide import order_parameters
from numerics.wide.kernel import kappa_sweep

RELATIVE = 1e-13
BACKENDS = [
    "numpy",
    pytest.param("c", marks=pytest.mark.skipif(find_compiler() is None, reason="no C compiler")),
]
REGIMES = [(2, 0), (1, 1), (0.5, 1), (3.7, 0.001), (2, 100), (0.01, 3)]
"""Critical, ordered (correlations tend to one exponentially), exploding, hardly any weights."""


def leaky_kappas(depth: int, weight: object, bias: object, slope: float, alphas: list[float]) -> tuple[mp.mpf, mp.mpf]:
    """Leaky ReLU by polar coordinates in terms of the angle between the fields, itself from its sine and cosine."""
    with mp.workdps(60):
        w, b, a = mp.mpf(weight), mp.mpf(bias), mp.mpf(slope)
        hats, gains = [(mp.mpf(1), mp.mpf(0))], []
        for _ in range(1, depth):
            q, c = (w * h + b for h in hats[-1])
            angle = mp.atan2(mp.sqrt((q - c) * (q + c)), c)
            both = ((1 + a**2) * (mp.pi - angle) + 2 * a * angle) / (2 * mp.pi)  # <phi' phi'>, by quadrants
            hats.append((q * (1 + a**2) / 2, c * both + q * (1 - a) ** 2 * mp.sin(angle) / (2 * mp.pi)))
            gains.append((w * (1 + a**2) / 2, w * both))
        sums = []
        for k in (0, 1):
            tilde, total = mp.mpf(1), mp.mpf(0)
            for l in reversed(range(depth)):
                total += mp.mpf(alphas[l]) * tilde * hats[l][k]
                tilde *= gains[l - 1][k] if l else 1
            sums.append(total / mp.fsum(mp.mpf(x) * mp.mpf(y) for x, y in pairwise(alphas)))
        return sums[0], sums[1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("depth", [2, 3, 5, 30, 100])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_sweeps_of_kinked_networks(backend: str, depth: int, slope: float) -> None:
    alphas = np.random.default_rng(depth).uniform(0.5, 2, depth).tolist()
    weight, bias = np.array(REGIMES, dtype=float).T
    name, given = ("leaky-relu", {"a": slope}) if slope else ("relu", {})
    swept = kappa_sweep(activation(name), weight, bias, depth, alphas, backend, **given)
    for k, (w, b) in enumerate(REGIMES):
        one, two = leaky_kappas(depth, w, b, slope, alphas)
        assert swept["kappa_1"][k] == pytest.approx(float(one), rel=RELATIVE)
        assert swept["kappa_2"][k] == pytest.approx(float(two), rel=RELATIVE)


@pytest.mark.parametrize(("weight", "bias"), REGIMES)
def test_single_points_keep_the_digits_they_print(weight: float, bias: float) -> None:
    one, two = leaky_kappas(40, str(weight), str(bias), 0.0, [1.0] * 40)
    for digits in (15, 30):
        _, first, second = order_parameters(network(40, "relu", weight, bias), digits)
        with mp.workdps(60):
            assert abs(first / one - 1) < mp.mpf(10) ** (1 - digits)
            assert abs(second / two - 1) < mp.mpf(10) ** (1 - digits)


SMOOTH = {
    "tanh": (np.tanh, lambda x: np.cosh(x) ** -2.0),
    "erf": (lambda x: special.erf(x / np.sqrt(2)), lambda x: np.sqrt(2 / np.pi) * np.exp(-x * x / 2)),
    "gelu": (lambda x: x * special.ndtr(x), lambda x: special.ndtr(x) + x * stats.norm.pdf(x)),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_smooth_activations_at_depth_4(name: str, backend: str) -> None:
    """The recursion by composite Gauss-Legendre over the common and the own part of two preactivations."""
    phi, slope = SMOOTH[name]
    nodes, weights = np.polynomial.legendre.leggauss(30)
    edges = np.linspace(-9, 9, 37)
    z = np.concatenate([a + (b - a) * (nodes + 1) / 2 for a, b in pairwise(edges)])
    w = np.tile(weights / 4, 36) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    for weight, bias in ((3.0, 0.64), (1.0, 0.01), (9.0, 0.5)):
        hat, gains = [(1.0, 0.0)], []
        for _ in range(3):
            q, c = (weight * h + bias for h in hat[-1])
            alone, pair = np.sqrt(q) * z, np.sqrt(c) * z[:, None] + np.sqrt(q - c) * z
            hat.append((w @ phi(alone) ** 2, w @ (phi(pair) @ w) ** 2))
            gains.append((weight * (w @ slope(alone) ** 2), weight * (w @ (slope(pair) @ w) ** 2)))
        expected = []
        for k in (0, 1):
            tilde, total = 1.0, 0.0
            for l in reversed(range(4)):
                total += tilde * hat[l][k] / 3
                tilde *= gains[l - 1][k] if l else 1
            expected.append(total)
        swept = kappa_sweep(activation(name), weight, bias, 4, backend=backend)
        _, *single = order_parameters(network(4, name, weight, bias))
        for kappa, value, point in zip(("kappa_1", "kappa_2"), expected, single, strict=True):
            assert float(swept[kappa]) == pytest.approx(value, rel=RELATIVE)
            assert float(point) == pytest.approx(value, rel=RELATIVE)


@pytest.mark.parametrize("name", ["tanh", "erf", "gelu"])
def test_thirty_digits(name: str) -> None:
    """L = 2 at weights 3/2, biases 2/5: the definition by Gauss-Legendre at 40 digits, panel by panel."""
    with mp.workdps(40):
        functions = {
            "tanh": mp.tanh, "erf": lambda x: mp.erf(x / mp.sqrt(2)), "gelu": lambda x: x * mp.ncdf(x),
        }  # fmt: skip
        slopes = {
            "tanh": lambda x: mp.sech(x) ** 2, "erf": lambda x: mp.sqrt(2 / mp.pi) * mp.exp(-x * x / 2),
            "gelu": lambda x: mp.ncdf(x) + x * mp.npdf(x),
        }  # fmt: skip
        phi, slope, w, b = functions[name], slopes[name], mp.mpf(3) / 2, mp.mpf(2) / 5
        edges = [mp.mpf(k) for k in range(-14, 15)]

        def mean(f) -> mp.mpf:  # type: ignore[no-untyped-def]
            return mp.quad(lambda z: f(z) * mp.npdf(z), edges, method="gauss-legendre", maxdegree=5)

        one = w * mean(lambda z: slope(mp.sqrt(w + b) * z) ** 2) + mean(lambda z: phi(mp.sqrt(w + b) * z) ** 2)
        _, first, _ = order_parameters(network(2, name, "1.5", "0.4"), 30)
        assert abs(first / one - 1) < mp.mpf(10) ** -29
