"""One step of the direct simulation against finite differences of the loss, in the space of weights."""

import numpy as np
import pytest
from scipy.special import erf

from validate.simulate import Setup
from validate.simulate.direct import Direct

N, K, M, B, TAU = 7, 2, 3, 4, 1.7

PHI = {
    "erf": lambda h: erf(h / np.sqrt(2)),
    "relu": lambda h: np.maximum(h, 0),
    "leaky-relu(1/5)": lambda h: np.where(h > 0, h, 0.2 * h),
    "identity": lambda h: h,
    "tanh": np.tanh,
    "gelu": lambda h: h * (1 + erf(h / np.sqrt(2))) / 2,
    "abs": np.abs,
    "softplus": lambda h: np.log(1 + np.exp(h)),
    "normal-cdf": lambda h: (1 + erf(h / np.sqrt(2))) / 2,
    "normal-density": lambda h: np.exp(-(h**2) / 2) / np.sqrt(2 * np.pi),
}


def preactivation(setup, J, g, shift, xi, frozen_J):
    """h (b, K) by definition; ``frozen_J`` is where the gradient must not look."""
    x = xi @ J.T
    if setup.normalization == "none":
        return x
    if setup.normalization == "weight":
        return g * x / np.linalg.norm(J, axis=1)
    if setup.statistics == "population":
        norms = np.linalg.norm(frozen_J if setup.normalization == "batch-without-radial" else J, axis=1)
        return g * x / (np.sqrt(TAU) * norms) + shift
    if setup.statistics == "batch":
        return g * (x - x.mean(axis=0)) / x.std(axis=0) + shift
    return g * x / np.sqrt((x**2).mean(axis=0)) + shift


def loss(setup, J, g, w, shift, B_, xi, noise, frozen_J):
    phi = PHI[setup.activation]
    s = phi(preactivation(setup, J, g, shift, xi, frozen_J)) @ w
    t = phi(xi @ B_.T) @ setup.v + noise
    decay = setup.weight_decay / 2 * (J**2).sum() + setup.gain_decay / 2 * (g**2).sum()
    return 0.5 * ((t - s) ** 2).mean() + decay


def difference_quotient(function, at, h=1e-6):
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = h
        gradient[index] = (function(at + step) - function(at - step)) / (2 * h)
    return gradient


CASES = [
    {"normalization": "none"},
    {"normalization": "batch"},
    {"normalization": "batch", "shift": True},
    {"normalization": "batch-without-radial"},
    {"normalization": "weight"},
    {"normalization": "batch", "statistics": "batch", "shift": True},
    {"normalization": "batch", "statistics": "batch-uncentred"},
]


def make(case, activation):
    gains = {"gain_decay": 0.4, "gain_learning_rate": 0.9} if case["normalization"] != "none" else {}
    return Setup(
        students=K, teachers=M, activation=activation, **case, **gains,
        learning_rate=1.3, second_layer_learning_rate=0.6, weight_decay=0.3,
        input_variance=TAU, batch_size=B, label_noise=0.5,
        Q=[[0.9, 0.2], [0.2, 0.6]], R=[[0.3, 0.1, 0.2], [0.0, 0.3, -0.1]],
        T=np.eye(3) + 0.1, g=[1.2, 0.7], w=[0.8, -1.1], v=[1.0, 0.5, -0.4],
    )  # fmt: skip


@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_step_is_minus_the_gradient_of_the_loss(case, activation):
    setup = make(case, activation)
    learner = Direct(setup, 3, N, seed=5)
    learner.shift = np.full((3, K), 0.3) if setup.shift else learner.shift
    J, teachers = learner.students.copy(), learner.teachers.copy()
    g, w, shift = learner.g.copy(), learner.w.copy(), learner.shift.copy()
    learner.step(0)
    for r in range(3):
        xi, noise = np.sqrt(TAU) * learner.xi[r], learner.noise.buffer[r, 0]

        def of(J_=J[r], g_=g[r], w_=w[r], shift_=shift[r], r=r, xi=xi, noise=noise):
            return loss(setup, J_, g_, w_, shift_, teachers[r], xi, noise, J[r])

        def moved(before, rate, name, of=of):
            return before - rate / N * difference_quotient(lambda at: of(**{name: at}), before)

        close = {"rtol": 0, "atol": 2e-9}  # difference quotients: h^2 and 1e-16 / h, over N
        np.testing.assert_allclose(learner.students[r], moved(J[r], 1.3, "J_"), **close)
        np.testing.assert_allclose(learner.w[r], moved(w[r], 0.6, "w_"), **close)
        if setup.normalization != "none":
            np.testing.assert_allclose(learner.g[r], moved(g[r], 0.9, "g_"), **close)
        if setup.shift:
            np.testing.assert_allclose(learner.shift[r], moved(shift[r], 0.9, "shift_"), **close)
        np.testing.assert_array_equal(learner.teachers[r], teachers[r])


def test_dropping_the_radial_part_matters():
    """The two gradients differ along J_i only, and do differ."""
    steps = {}
    for normalization in ("batch", "batch-without-radial"):
        learner = Direct(make({"normalization": normalization}, "erf"), 1, N, seed=5)
        J = learner.students[0].copy()
        learner.step(0)
        steps[normalization] = learner.students[0] - J
    difference = steps["batch"] - steps["batch-without-radial"]
    along = difference - (difference * J).sum(1, keepdims=True) / (J * J).sum(1, keepdims=True) * J
    assert np.abs(along).max() < 1e-14
    assert np.abs(difference).max() > 1e-3
