"""The test error against independent computations."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf

from validate.simulate import Setup, simulate
from validate.simulate.activations import activation
from validate.simulate.direct import Direct
from validate.simulate.quadrature import average_of_product, products

PHI = {
    "erf": lambda h: erf(h / np.sqrt(2)),
    "relu": lambda h: np.maximum(h, 0),
    "leaky-relu(0.2)": lambda h: np.where(h > 0, h, 0.2 * h),
    "tanh": np.tanh,
    "gelu": lambda h: h * (1 + erf(h / np.sqrt(2))) / 2,
}


def random_pairs(count):
    """Variances from 0.01 to 25; half of the correlations near 1 or -1."""
    rng = np.random.default_rng(0)
    va, vb = 10 ** rng.uniform(-2, 1.4, (2, count))
    near = 1 - 10 ** rng.uniform(-10, -1, count)
    rho = np.where(rng.random(count) < 0.5, rng.uniform(-1, 1, count), np.sign(rng.normal(size=count)) * near)
    rho[:4] = 1, -1, 0, 0.5
    return va, vb, rho * np.sqrt(va * vb)


def by_quadrature(name, mean_a, mean_b, va, vb, c):
    """<phi(a) phi(b)> by both routes: two-dimensional integration, and the expansion that may avoid it."""
    phi = activation(name, np)
    matrices = np.stack([np.stack([va, c], axis=-1), np.stack([c, vb], axis=-1)], axis=-2)
    table = products(phi, np.stack([mean_a, mean_b], axis=-1), matrices)
    np.testing.assert_array_equal(table[:, 0, 1], table[:, 1, 0])
    return average_of_product(phi, mean_a, mean_b, va, vb, c), table


def test_erf_against_its_closed_form():
    """<erf erf> = (2/pi) asin(c / sqrt((1 + va)(1 + vb))) (Williams 1997)."""
    va, vb, c = random_pairs(300)
    integrated, table = by_quadrature("erf", 0 * va, 0 * va, va, vb, c)
    exact = 2 / np.pi * np.arcsin(c / np.sqrt((1 + va) * (1 + vb)))
    np.testing.assert_allclose(integrated, exact, rtol=0, atol=2e-7)
    np.testing.assert_allclose(table[:, 0, 1], exact, rtol=0, atol=2e-7)
    np.testing.assert_allclose(table[:, 0, 0], 2 / np.pi * np.arcsin(va / (1 + va)), rtol=0, atol=1e-12)
    easy = (np.maximum(va, vb) < 2) & (np.abs(c) < 0.9 * np.sqrt(va * vb))
    np.testing.assert_allclose(table[easy, 0, 1], exact[easy], rtol=0, atol=1e-9)


def test_relu_against_its_closed_form():
    """The arc-cosine kernel (Cho and Saul 2009)."""
    va, vb, c = random_pairs(300)
    scale = np.sqrt(va * vb)
    rho = np.clip(c / scale, -1, 1)
    exact = scale / (2 * np.pi) * (np.sqrt(1 - rho**2) + rho * (np.pi - np.arccos(rho)))
    integrated, table = by_quadrature("relu", 0 * va, 0 * va, va, vb, c)
    np.testing.assert_allclose(integrated / scale, exact / scale, rtol=0, atol=1e-8)
    np.testing.assert_allclose(table[:, 0, 1] / scale, exact / scale, rtol=0, atol=1e-8)
    np.testing.assert_allclose(table[:, 0, 0], va / 2, rtol=1e-12)


@pytest.mark.parametrize("name", PHI)
def test_the_two_routes_agree_for_shifted_fields(name):
    va, vb, c = random_pairs(60)
    mean_a, mean_b = np.random.default_rng(1).normal(size=(2, 60))
    integrated, table = by_quadrature(name, mean_a, mean_b, va, vb, c)
    scale = np.sqrt((mean_a**2 + va) * (mean_b**2 + vb))  # second moments of the fields
    np.testing.assert_allclose(integrated / scale, table[:, 0, 1] / scale, rtol=0, atol=5e-7)


@pytest.mark.parametrize("name", PHI)
def test_shifted_fields_against_adaptive_integration(name):
    """One field, means that move the kink: <phi(a)^2>, and independent fields: <phi(a)><phi(b)>."""
    phi, density = PHI[name], lambda z: np.exp(-z * z / 2) / np.sqrt(2 * np.pi)

    def integral(function, kink):
        pieces = sorted([-9.0, float(np.clip(kink, -9, 9)), 9.0])
        return sum(quad(function, a, b, epsabs=1e-12, limit=200)[0] for a, b in pairwise(pieces))

    for mean, deviation in ((0.4, 1.3), (-2.0, 0.5), (0.0, 3.0)):
        kink = -mean / deviation

        def moment(power, mean=mean, deviation=deviation, kink=kink):
            return integral(lambda z: phi(mean + deviation * z) ** power * density(z), kink)

        once, twice = moment(1), moment(2)
        moments = [np.array([value, value]) for value in (mean, mean, deviation**2, deviation**2)]
        for found in by_quadrature(name, *moments, np.array([deviation**2, 0.0])):
            found = found if found.ndim == 1 else found[:, 0, 1]
            np.testing.assert_allclose(found, [twice, once**2], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    "case",
    [
        {"normalization": "none", "activation": "gelu"},
        {"normalization": "batch", "shift": True, "activation": "relu"},
        {"normalization": "weight", "activation": "erf"},
        {"normalization": "batch", "statistics": "batch", "activation": "tanh"},
    ],
    ids=lambda case: "-".join(map(str, case.values())),
)
def test_against_fresh_inputs(case):
    """The error over 200,000 fresh inputs of the trained weights; four standard errors."""
    tau, size, count = 1.5, 30, 200_000
    setup = Setup(
        students=2, teachers=3, **case, batch_size=4, input_variance=tau, label_noise=0.7,
        second_layer_learning_rate=1,
        Q=[[0.5, 0.1], [0.1, 0.4]], R=[[0.3, 0.1, 0], [0.05, 0.2, 0]], T=np.eye(3) + 0.2, v=[1, 0.5, -0.5],
    )  # fmt: skip
    measured = simulate(setup, [0.0, 2.0], 1, size, seed=3)
    learner = Direct(setup, 1, size, seed=3)
    for step in range(2 * size):
        learner.step(step)
    inputs = np.sqrt(tau) * np.random.default_rng(1).standard_normal((count, size))
    x, y = np.split(inputs @ learner.weights[0].T, [2], axis=1)
    norms = np.sqrt((learner.students[0] ** 2).sum(axis=1))
    scale = {"none": 1, "batch": np.sqrt(tau) * norms, "weight": norms}[setup.normalization]
    phi = PHI[setup.activation]
    losses = (phi(y) @ setup.v - phi(learner.g[0] * x / scale + learner.shift[0]) @ learner.w[0]) ** 2 / 2
    assert abs(losses.mean() - measured.generalization_error[0, 1]) < 4 * losses.std() / np.sqrt(count)
