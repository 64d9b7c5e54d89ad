"""Order parameters and kappas of wide networks against exact rationals, independent quadrature, simulation."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import sympy
from scipy import integrate, special, stats

from derive.activation import Activation, activation, u
from derive.errors import DerivationError
from derive.wide import Layer, Network, network, signals
from derive.wide.gram import kappas
from derive.wide.signals import recursions
from numerics.runtime.compiler import find_compiler
from numerics.runtime.errors import InputError
from numerics.wide import order_parameters
from numerics.wide.kernel import kappa_sweep

RELATIVE = 1e-13
BACKENDS = [
    "numpy",
    pytest.param("c", marks=pytest.mark.skipif(find_compiler() is None, reason="no C compiler")),
]
SMOOTH = {
    "erf": (lambda x: special.erf(x / np.sqrt(2)), lambda x: np.sqrt(2 / np.pi) * np.exp(-x * x / 2)),
    "tanh": (np.tanh, lambda x: np.cosh(x) ** -2.0),
    "gelu": (lambda x: x * special.ndtr(x), lambda x: special.ndtr(x) + x * stats.norm.pdf(x)),
}


def identity_kappas(depth: int, weight: Fraction, bias: Fraction) -> tuple[Fraction, Fraction]:
    """A linear network by hand: qhat is q, and every backward signal gets the weight variance."""
    hat_t, hat_st = [Fraction(1)], [Fraction(0)]
    for _ in range(depth - 1):
        hat_t.append(weight * hat_t[-1] + bias)
        hat_st.append(weight * hat_st[-1] + bias)
    tilde = [weight ** (depth - l) for l in range(1, depth + 1)]
    one, two = (sum(a * b for a, b in zip(tilde, hat, strict=True)) for hat in (hat_t, hat_st))
    return Fraction(one, depth - 1), Fraction(two, depth - 1)


@pytest.mark.parametrize(("depth", "weight", "bias"), [(2, "2", "0"), (3, "3", "16/25"), (6, "1/2", "1/3")])
def test_kappas_of_a_linear_network_are_the_rationals(depth: int, weight: str, bias: str) -> None:
    model = network(depth, "identity", sympy.Rational(weight), sympy.Rational(bias))
    expected = identity_kappas(depth, Fraction(weight), Fraction(bias))
    assert kappas(model, signals(model)) == tuple(sympy.Rational(x) for x in expected)


def test_kappa_1_of_a_relu_network_is_the_rational() -> None:
    """Half of every square passes: qhat_t = q_t / 2, and phi'^2 averages to 1/2."""
    weight, bias, hat, tilde = Fraction(3), Fraction(7, 10), [Fraction(1)], [Fraction(1)]
    for _ in range(4):
        hat.append((weight * hat[-1] + bias) / 2)
        tilde.insert(0, tilde[0] * weight / 2)
    expected = sum(a * b for a, b in zip(tilde, hat, strict=True)) / 4
    model = network(5, "relu", 3, sympy.Rational(7, 10))
    assert kappas(model, signals(model))[0] == sympy.Rational(expected)
    number = float(kappa_sweep(activation("relu"), 3.0, 0.7, 5)["kappa_1"])
    assert number == pytest.approx(float(expected), rel=RELATIVE)


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_kappas_against_independent_quadrature(name: str) -> None:
    """Composite Gauss-Legendre of the definition, over the common and the own part of two preactivations."""
    phi, slope = SMOOTH[name]
    weight, bias = 1.5, 0.4
    nodes, weights = np.polynomial.legendre.leggauss(30)
    edges = np.linspace(-9, 9, 13)
    z = np.concatenate([a + (b - a) * (nodes + 1) / 2 for a, b in pairwise(edges)])
    w = np.tile(weights * 0.75, 12) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    pairs = np.sqrt(bias) * z[:, None] + np.sqrt(weight) * z
    hat_t, hat_st = w @ phi(np.sqrt(weight + bias) * z) ** 2, w @ (phi(pairs) @ w) ** 2
    tilde_t = weight * (w @ slope(np.sqrt(weight + bias) * z) ** 2)
    tilde_st = weight * (w @ (slope(pairs) @ w) ** 2)
    expected = tilde_t + hat_t, hat_st
    _, one, two = order_parameters(network(2, name, 1.5, 0.4))
    assert float(abs(one / expected[0] - 1)) < RELATIVE
    assert float(abs(two / expected[1] - 1)) < RELATIVE
    swept = kappa_sweep(activation(name), 1.5, 0.4, 2)
    assert float(swept["kappa_1"]) == pytest.approx(float(expected[0]), rel=RELATIVE)
    assert float(swept["kappa_2"]) == pytest.approx(float(expected[1]), rel=RELATIVE)
    found, _, _ = order_parameters(network(2, name, 1.5, 0.4))
    assert float(abs(found.tilde_st[0] / tilde_st - 1)) < RELATIVE


def test_relu_overlap_against_the_orthant() -> None:
    """<relu relu> by scipy in polar coordinates: r^2 and the sector of two positive fields."""
    q, c = 2.0, 0.7
    half = math.acos(c / q) / 2
    expected = q * integrate.quad(
        lambda a: math.cos(a - half) * math.cos(a + half) / math.pi, half - math.pi / 2, math.pi / 2 - half,
        epsabs=1e-15,
    )[0]  # fmt: skip
    found, _, _ = order_parameters(network(2, "relu", q - c, c))
    assert float(found.hat_st[1]) == pytest.approx(expected, rel=RELATIVE)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["relu", "tanh", "identity"])
def test_sweeps_agree_with_single_points(backend: str, name: str) -> None:
    weight, bias, depth = (
        np.array([0.5, 2.0, 3.0, 1.0]),
        np.array([0.1, 0.0, 0.64, 2.0]),
        np.array([2, 3, 5, 3]),
    )
    widths = [1.0, 2.0, 0.5, 1.0, 1.5]
    swept = kappa_sweep(activation(name), weight, bias, depth, widths, backend)
    for k, layers in enumerate(depth):
        model = network(int(layers), name, weight[k], bias[k], widths[:layers])
        _, one, two = order_parameters(model)
        assert swept["kappa_1"][k] == pytest.approx(float(one), rel=RELATIVE)
        assert swept["kappa_2"][k] == pytest.approx(float(two), rel=RELATIVE, abs=1e-15)


def test_fused_and_layered_kernels_agree() -> None:
    weight = np.linspace(0.5, 4, 7)
    fused = kappa_sweep(activation("gelu"), weight, 0.3, 3, backend="numpy")
    mixed = kappa_sweep(activation("gelu"), np.r_[weight, 1.0], 0.3, np.array([3] * 7 + [5]), backend="numpy")
    np.testing.assert_allclose(fused["kappa_2"], mixed["kappa_2"][:7], rtol=RELATIVE)


def test_thirty_digits() -> None:
    _, one, two = order_parameters(network(2, "tanh", 1, 0.5), 30)
    _, rough_one, rough_two = order_parameters(network(2, "tanh", 1, 0.5))
    assert float(abs(one / rough_one - 1)) < RELATIVE
    assert float(abs(two / rough_two - 1)) < RELATIVE
    _, _, exact = order_parameters(network(2, "relu", 2), 40)
    assert mpmath.nstr(exact, 35) == mpmath.nstr(_inverse_pi(40), 35)


def _inverse_pi(digits: int) -> mpmath.mpf:
    with mpmath.workdps(digits + 5):
        return 1 / mpmath.pi


def test_the_slope_of_leaky_relu_stays_a_symbol() -> None:
    found = recursions(Layer.of("leaky-relu", 2))
    slope = sympy.Symbol("a", real=True)
    right = found["q_hat_t"].right
    q = next(iter(right.atoms(sympy.Indexed)))
    assert sympy.expand(right - q * (1 + slope**2) / 2) == 0


def test_recursions_agree_with_a_wide_layer() -> None:
    """One random layer of 4 million units: both overlaps within 5 standard errors of the recursion."""
    rng = np.random.default_rng(3)
    found = signals(network(3, "relu", 2, sympy.Rational(1, 2)))
    q, c = float(found.q_t[1]), float(found.q_st[1])
    z, x, y = rng.standard_normal((3, 4_000_000))
    a = np.maximum(math.sqrt(c) * z + math.sqrt(q - c) * x, 0)
    b = np.maximum(math.sqrt(c) * z + math.sqrt(q - c) * y, 0)
    for measured, predicted in ((a * a, found.hat_t[2]), (a * b, found.hat_st[2])):
        z_score = (measured.mean() - float(predicted)) / stats.sem(measured)
        assert abs(z_score) < 5
        assert (
            abs((measured.mean() - float(predicted) / 2) / stats.sem(measured)) > 5
        )  # it would see a factor 2


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: network(1, "relu", 2), "depth"),
        (lambda: network(3, "relu", -2), "weight variance"),
        (lambda: network(3, "relu", 2, -1), "bias variance"),
        (lambda: network(3, "relu", 2, 0, (1, 1)), "3 widths"),
        (lambda: network(3, "relu", 2, 0, (1, 0, 1)), "positive"),
        (lambda: network(3, "relu", 2, normalization="batch-first"), "batch-last"),
        (lambda: network(3, "relu", float("inf")), "finite"),
        (lambda: signals(network(3, "step", 2)), "jumps"),
        (lambda: Network((Layer.of("relu", 1), Layer.of("relu", 1)), sympy.S.One), "readout"),
    ],
)
def test_bad_networks_are_refused(build, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DerivationError, match=words):
        build()


def test_activations_beyond_quadrature_are_refused() -> None:
    for expression in (sympy.exp(u**2), sympy.Abs(u - 1)):
        with pytest.raises(InputError, match="does not converge"):
            order_parameters(network(2, Activation("mine", expression), 2))


def test_sweeps_refuse_bad_points() -> None:
    phi = activation("relu")
    for bad in ({"depth": 1}, {"weight_variance": -1.0}, {"bias_variance": np.nan}, {"widths": [1.0]}):
        good = {"weight_variance": 2.0, "bias_variance": 0.1, "depth": 3}
        with pytest.raises(InputError):
            kappa_sweep(phi, **(good | bad))
