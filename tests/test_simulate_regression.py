"""Regression on fixed examples, its sampler and its batch normalization, against other algorithms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from numerics.runtime.errors import InputError
from validate.simulate.batch_training import train_with_batches
from validate.simulate.perceptron import STATISTICS
from validate.simulate.posterior import sample_posterior
from validate.simulate.regression import (
    descend,
    draw_examples,
    generalization_error,
    least_squares,
    output,
    overlaps,
    shortest_interpolation,
    training_loss,
)


@pytest.mark.parametrize("load", [0.5, 2.0])
def test_least_squares_in_either_dimension(load: float) -> None:
    e = draw_examples(40, load, 0.25, 1)
    assert least_squares(e, 0.0) == pytest.approx(np.linalg.pinv(e.inputs) @ e.targets, abs=1e-9)
    normal = e.inputs.T @ e.inputs + 0.3 * np.eye(40)
    assert least_squares(e, 0.3) == pytest.approx(np.linalg.solve(normal, e.inputs.T @ e.targets), abs=1e-10)


def test_the_law_of_the_examples() -> None:
    e = draw_examples(200, 100.0, 0.25, 2)
    assert (e.teacher**2).mean() == pytest.approx(1, abs=1e-12)
    assert (e.inputs**2).mean() * 200 == pytest.approx(1, abs=3e-3)
    assert (e.targets - e.inputs @ e.teacher).var() == pytest.approx(0.25, abs=0.25 * 5 * np.sqrt(2 / 20_000))


@pytest.mark.parametrize("student", ["linear", "relu"])
def test_the_generalization_error_on_fresh_inputs(student: str) -> None:
    e = draw_examples(30, 1.0, 0.25, 3)
    weights = np.stack([1.3 * e.teacher + np.sin(np.arange(30)), np.cos(np.arange(30))])
    fresh = np.random.default_rng(4).standard_normal((200_000, 30)) / np.sqrt(30)
    squares = (fresh @ e.teacher - output(weights @ fresh.T, student)) ** 2
    error = squares.std(axis=1) / np.sqrt(200_000)
    found = generalization_error(weights, e.teacher, student)
    assert np.abs((squares.mean(axis=1) - found) / error).max() < 4
    if student == "linear":
        assert found == pytest.approx(((weights - e.teacher) ** 2).mean(axis=1), abs=1e-12)


@pytest.mark.parametrize("load", [0.6, 1.2])
def test_shortest_interpolation_is_the_quadratic_programs(load: float) -> None:
    e = draw_examples(20, load, 0.25, 5)
    found = shortest_interpolation(e)
    positive = e.targets > 0
    program = minimize(
        lambda w: (w**2).sum() / 2, np.zeros(20), jac=lambda w: w, method="SLSQP",
        constraints=[
            {"type": "eq", "fun": lambda w: (e.inputs @ w - e.targets)[positive]},
            {"type": "ineq", "fun": lambda w: -(e.inputs @ w)[~positive]},
        ],
        options={"maxiter": 500, "ftol": 1e-14},
    )  # fmt: skip
    assert program.success and found == pytest.approx(program.x, abs=1e-5)
    assert float(training_loss(found, e, "relu")) == pytest.approx(
        (e.targets[~positive] ** 2).sum() / (2 * len(positive)), rel=1e-9
    )
    assert shortest_interpolation(draw_examples(20, 4.0, 0.25, 5)) is None


def test_descent_ends_at_a_minimum() -> None:
    e = draw_examples(30, 1.5, 0.25, 6)
    linear = descend(e, np.zeros((2, 30)), "linear", 0.2, 20_000, 1e-10)
    assert linear.weights[1] == pytest.approx(least_squares(e, 0.2), abs=1e-8)
    start = np.random.default_rng(1).standard_normal(30)
    found = descend(e, start, "relu", 0.2, 20_000, 1e-10).weights

    def energy(w: np.ndarray) -> float:
        return len(e.targets) * float(training_loss(w, e, "relu")) + 0.1 * float((w**2).sum())

    around = np.random.default_rng(2).standard_normal((200, 30))
    higher = [energy(found + size * d / np.linalg.norm(d)) for d in around for size in (1e-3, 1e-2)]
    assert energy(found) < min(higher) < energy(start)


def test_sampling_a_gaussian_posterior() -> None:
    """The linear student's posterior is Gaussian: its mean is the ridge solution, its covariance the inverse."""
    beta, ridge = 3.0, 0.4
    sets = [draw_examples(24, 1.0, 0.25, (7, s)) for s in range(16)]
    found = sample_posterior(sets, beta, ridge, "linear", 400, 100, 8)
    for name, values in (("Q", found.Q), ("q", found.q), ("R", found.R)):
        exact = []
        for e in sets:
            mean = least_squares(e, ridge)
            spread = np.trace(np.linalg.inv(e.inputs.T @ e.inputs + ridge * np.eye(24))) / (24 * beta)
            square, along = overlaps(mean, e.teacher)
            exact.append({"Q": square + spread, "q": square, "R": along}[name])
        gap = values - np.array(exact)
        assert abs(gap.mean()) < 4 * gap.std(ddof=1) / 4, name
        assert gap.std() < 0.1
    assert 0.6 < found.accepted < 0.95


def test_one_batch_of_all_examples_is_least_squares() -> None:
    """Then the batch's statistics are those of the training set, and no noise is left."""
    e = draw_examples(40, 3.0, 0.25, 9)
    found = train_with_batches(e, 120, "linear", 3000, 1, rate=0.2)
    assert found.weights == pytest.approx(least_squares(e, 0.0), abs=2e-3) and found.change < 1e-3


@pytest.mark.parametrize("statistics", STATISTICS)
def test_the_slope_of_normalized_training(statistics: str) -> None:
    """One step of the gain and direction against differences of the batch's loss, for a ReLU student."""
    e = draw_examples(20, 1.0, 0.25, 10)
    w = e.targets @ e.inputs
    w *= np.sqrt(20) / np.linalg.norm(w)

    def scale(v: np.ndarray) -> float:
        field = e.inputs @ v
        length = np.linalg.norm(v) / np.sqrt(20)
        return {"root-mean-square": np.sqrt((field**2).mean()), "batch": field.std(), "variance-only": field.std()}.get(
            statistics, length
        )

    def normalized(v: np.ndarray) -> np.ndarray:
        field = e.inputs @ v
        return (field - (field.mean() if statistics in ("batch", "mean-only") else 0.0)) / scale(v)

    def loss(v: np.ndarray, gain: float = 1.0) -> float:
        h = gain * normalized(v)
        return float(((e.targets - output(h, "relu")) ** 2).sum()) / 2

    h, rate = 1e-6, 1e-3
    slope = np.array([(loss(w + h * d) - loss(w - h * d)) / (2 * h) for d in np.eye(20)])
    ahead = w - rate * slope
    ahead *= np.sqrt(20) / np.linalg.norm(ahead)
    gain = 1 - rate * (loss(w, 1 + h) - loss(w, 1 - h)) / (2 * h) / 20
    found = train_with_batches(e, 20, "relu", 1, 3, rate=rate, statistics=statistics)
    assert found.gain == pytest.approx(gain, abs=1e-6)
    expected = gain * ahead / scale(ahead)
    assert found.weights == pytest.approx(expected, abs=1e-5)
    assert np.abs(ahead - w).max() > 1e-4, "a step that float32 sees"


def test_bad_input() -> None:
    e = draw_examples(20, 1.0, 0.25, 11)
    for call, words in (
        (lambda: draw_examples(20, 0.0, 0.25, 1), "at least 2 inputs and 1 example"),
        (lambda: draw_examples(20, 1.0, -1.0, 1), "noise variance"),
        (lambda: least_squares(e, -0.1), "ridge must be"),
        (lambda: sample_posterior([e], np.inf, 0.1, "linear", 1, 1, 1), "finite beta"),
        (lambda: train_with_batches(e, 21, "linear", 1, 1), "at most all 20"),
        (lambda: train_with_batches(e, 20, "linear", 1, 1, statistics="layer"), "statistics"),
        (lambda: output(np.zeros(1), "tanh"), "student"),
    ):
        with pytest.raises(InputError, match=words):
            call()
