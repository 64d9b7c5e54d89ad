"""A user's sample loss: the same trajectories as the built-in models, and refusals."""

import numpy as np
import pytest
from sympy import Abs, Function, Heaviside, IndexedBase, Max, Sum, Symbol, erf, exp, sign, sqrt, symbols, tanh

from numerics.runtime.errors import InputError
from validate.simulate import Setup, simulate
from validate.simulate.direct import Direct

K, M, i, j, n = symbols("K M i j n", integer=True)
x, y, Q, R, T, g, w, v = map(IndexedBase, "xyQRTgwv")
tau, noise = symbols("tau noise")

SHAPES = {
    "erf": lambda h: erf(h / sqrt(2)),
    "relu": lambda h: h * Heaviside(h),
    "leaky-relu(0.2)": lambda h: h * Heaviside(h) + 0.2 * h * Heaviside(-h),
    "identity": lambda h: h,
    "tanh": tanh,
    "gelu": lambda h: h * (1 + erf(h / sqrt(2))) / 2,
}
SCALES = {"none": 1, "batch": g[i] / sqrt(tau * Q[i, i]), "weight": g[i] / sqrt(Q[i, i])}
START = {
    "students": 2, "teachers": 3, "learning_rate": 0.7, "second_layer_learning_rate": 0.3,
    "input_variance": 1.3, "batch_size": 2, "label_noise": 0.2,
    "Q": [[0.5, 0.1], [0.1, 0.4]], "R": [[0.3, 0.1, 0], [0.05, 0.2, 0.1]],
    "g": [1.1, 0.8], "v": [1, 0.5, -0.5],
}  # fmt: skip


def committee(shape, scale):
    target = Sum(v[n] * shape(y[n]), (n, 1, M)) + noise
    return (target - Sum(w[i] * shape(scale * x[i]), (i, 1, K))) ** 2 / 2


@pytest.mark.parametrize("method", ["direct", "chain"])
@pytest.mark.parametrize("normalization", SCALES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_committee_written_as_a_loss_is_the_built_in_one(shape, normalization, method):
    built_in = Setup(**START, activation=shape, normalization=normalization)
    written = Setup(**START, model=committee(SHAPES[shape], SCALES[normalization]))
    a, b = (simulate(setup, [0.0, 2.0], 3, 20, method=method) for setup in (built_in, written))
    for name in ("Q", "R", "second_layer", "g"):
        if getattr(a, name) is None:
            assert getattr(b, name) is None
        else:
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=0, atol=1e-12)
    # 16384 quasi-random points against quadrature
    np.testing.assert_allclose(a.generalization_error, b.generalization_error, rtol=0, atol=4e-4)


class Penalized:
    """The radial part dropped, and decay as a penalty."""

    loss = committee(SHAPES["erf"], SCALES["batch"])
    penalty = Symbol("lambda") / 2 * Sum(Q[i, i], (i, 1, K)) + Symbol("zeta") / 2 * Sum(g[i] ** 2, (i, 1, K))
    radial = False


def test_a_model_may_drop_the_radial_part_and_hold_a_penalty():
    decay = {"weight_decay": 0.3, "gain_decay": 0.2}
    built_in = Setup(**START, **decay, activation="erf", normalization="batch-without-radial")
    a, b = (simulate(setup, [2.0], 3, 20) for setup in (built_in, Setup(**START, **decay, model=Penalized())))
    np.testing.assert_allclose(a.Q, b.Q, atol=1e-12)
    np.testing.assert_allclose(a.g, b.g, atol=1e-12)


def test_gradient_through_every_overlap_against_complex_steps():
    """A loss in which Q_ij, i != j, and R_in enter; the derivative in weight space by complex step."""
    loss = (
        sum(tanh(x[a]) * y[a] for a in (1, 2)) * exp(-Q[1, 2] * R[2, 1]) + Q[2, 1] ** 2 * R[1, 2] * x[2]
        + g[1] * Sum(Sum(Q[i, j] * w[i], (j, 1, K)), (i, 1, K)) / tau + noise * x[1]
    )  # fmt: skip

    def value(J, B, xi, e, g_, w_):
        xs, ys, q, r = xi @ J.T, xi @ B.T, J @ J.T, J @ B.T
        smooth = (np.tanh(xs) * ys).sum() * np.exp(-q[0, 1] * r[1, 0])
        return smooth + q[0, 1] ** 2 * r[0, 1] * xs[1] + g_[0] * (q * w_[:, None]).sum() / 1.3 + e * xs[0]

    start = {**START, "teachers": 2, "R": [[0.3, 0.1], [0.05, 0.2]], "v": [1, 1], "w": [0.5, 0.8]}
    learner = Direct(Setup(**start, model=loss), 1, 6, seed=4)
    J, B = learner.students[0].copy(), learner.teachers[0]
    g_, w_ = learner.g[0].copy(), learner.w[0].copy()
    learner.step(0)
    gradient = np.zeros((2, 6))
    for place in np.ndindex(2, 6):
        moved = J.astype(complex)
        moved[place] += 1e-30j
        for xi, e in zip(np.sqrt(1.3) * learner.xi[0], learner.noise.buffer[0, 0], strict=True):
            gradient[place] += value(moved, B, xi, e, g_, w_).imag / 1e-30 / 2
    np.testing.assert_allclose(learner.students[0], J - 0.7 / 6 * gradient, rtol=1e-13, atol=1e-14)


z = Symbol("z")


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        (tanh(z), "tanh"),
        (SHAPES["relu"](z), "relu"),
        (Max(0, z), "relu"),
        (z, "identity"),
        ((Abs(z) + z) / 2, "relu"),
    ],
)
def test_an_activation_may_be_an_expression(activation, name):
    a, b = (simulate(Setup(**START, activation=phi), [2.0], 3, 20) for phi in (activation, name))
    np.testing.assert_allclose(a.Q, b.Q, atol=1e-13)
    np.testing.assert_allclose(a.generalization_error, b.generalization_error, atol=1e-13)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (x[1] * Symbol("temperature"), "unknown symbol in the loss 'temperature'"),
        (IndexedBase("Z")[1], "unknown array in the loss 'Z'"),
        (Q[1] * x[1], "Q has 2 indices"),
        (x[3], r"out of range: its indices run from 1 to K = 2"),
        (x[i], "index i of x"),
        (Sum(x[i], (i, 1, Symbol("L"))), "limits"),
        ((y[1] - sign(x[1])) ** 2, "jumps in x_1"),
        ((y[1] - Heaviside(x[1] - y[2])) ** 2, "jumps in x_1"),
        ((y[1] - Function("f")(x[1])) ** 2, "no known derivative"),
    ],
)
def test_losses_that_cannot_be_simulated_are_refused(loss, message):
    with pytest.raises(InputError, match=message):
        simulate(Setup(**START, model=loss), [1.0], 1, 20)


def test_decay_without_a_penalty_is_refused():
    with pytest.raises(InputError, match="weight_decay needs a penalty"):
        simulate(Setup(**START, weight_decay=0.1, model=committee(tanh, 1)), [1.0], 1, 20)


@pytest.mark.parametrize(
    "activation", [sign(Symbol("z")), Symbol("a") * Symbol("z"), Function("f")(Symbol("z"))]
)
def test_activations_that_cannot_be_simulated_are_refused(activation):
    with pytest.raises(InputError):
        simulate(Setup(**START, activation=activation), [1.0], 1, 20)
