"""The stream of wide residual networks: closed sums, laws on nodes and random walks against one another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import dblquad

from derive.errors import DerivationError
from derive.residual import branch, walk, weight_gain
from derive.residual.symbols import chi, first_gain, overlap, second_gain
from numerics.residual import growth, normalized_stream, unnormalized_correlation, unnormalized_stream
from numerics.residual.law import Law
from numerics.residual.pair import PairLaw
from numerics.runtime.errors import InputError
from validate.simulate.layers import draw_weights

SAMPLES = 400_000


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
def test_closed_sums_are_the_moments_of_the_law(steps):
    """Spitzer's identity against Nystrom's method, which share nothing."""
    law = Law.zero()
    for _ in range(steps):
        law = law.step(1.0)
    first, second = (float(value) for value in walk(steps))
    assert law.moment(1) == pytest.approx(first, rel=1e-12)
    assert law.moment(2) == pytest.approx(second, rel=1e-12)
    assert law.atom + law.mass.sum() == pytest.approx(1, abs=1e-13)


def test_two_steps_by_integration():
    """max(max(g, 0) + h, 0) squared, over the plane."""
    weight = lambda h, g: math.exp(-(g * g + h * h) / 2) / (2 * math.pi)  # noqa: E731
    above, _ = dblquad(lambda h, g: (g + h) ** 2 * weight(h, g), 0, 9, lambda g: -g, 9)
    below, _ = dblquad(lambda h, g: h * h * weight(h, g), -9, 0, 0, 9)
    assert float(walk(2)[1]) == pytest.approx(above + below, rel=1e-8)


@pytest.mark.parametrize("scheme", ["xavier", "he", "torch"])
@pytest.mark.parametrize("widening", [1, 2])
def test_gains_are_those_of_drawn_kernels(scheme, widening):
    kernel = draw_weights((100 * widening, 100, 3, 3), scheme, np.random.default_rng(0))
    measured = 900 * (kernel**2).mean()
    assert measured == pytest.approx(float(weight_gain(scheme, widening)), rel=0.02)


def test_the_branch_of_a_wide_dense_network():
    """Its second moments, over many units, from any stream."""
    rng = np.random.default_rng(1)
    width, gains = 6000, (1.3, 0.7)
    streams = np.abs(rng.standard_normal((2, width)) + 0.8 * rng.standard_normal(width))
    square = (streams**2).mean()
    streams *= np.sqrt(square / (streams**2).mean(axis=1))[:, None]
    inside = np.sqrt(gains[0] / width) * rng.standard_normal((width, width), np.float32) @ streams.T
    outside = (
        np.sqrt(gains[1] / width) * rng.standard_normal((width, width), np.float32) @ np.maximum(inside, 0)
    )
    moments = {
        chi: square,
        overlap: (streams[0] * streams[1]).mean(),
        first_gain: gains[0],
        second_gain: gains[1],
    }
    assert (outside**2).mean() == pytest.approx(float(branch().variance.right.subs(moments)), rel=0.05)
    found = (outside[:, 0] * outside[:, 1]).mean()
    assert found == pytest.approx(float(branch().covariance.right.subs(moments)), rel=0.05)


@pytest.mark.parametrize(("scheme", "factor"), [("xavier", 0.5), ("he", 2.0), ("torch", 1 / 18)])
def test_growth_is_that_of_a_random_walk(scheme, factor):
    """The step's variance is ``factor`` times the mean square: gains multiplied by hand, halved by ReLU."""
    rng = np.random.default_rng(2)
    x, logs = np.abs(rng.standard_normal(SAMPLES)), []
    for _ in range(60):
        square = (x * x).mean()
        x = np.maximum(x + np.sqrt(factor * square) * rng.standard_normal(SAMPLES), 0)
        logs.append(np.log((x * x).mean() / square))
    found = growth(scheme)
    late = np.array(logs[40 if scheme != "torch" else 50 :])
    assert np.log(found.factor) == pytest.approx(late.mean(), abs=4e-3 if scheme != "torch" else 1.5e-3)
    assert found.zeros == pytest.approx((x == 0).mean(), rel=0.05)
    assert 1 + factor / 2 <= found.factor <= 1 + factor


def test_a_deep_stage_grows_at_the_fixed_point():
    square = unnormalized_stream(60, "xavier").square
    assert square[60] / square[59] == pytest.approx(growth("xavier").factor, rel=1e-12)
    assert square[1] / square[0] != pytest.approx(growth("xavier").factor, rel=1e-2)


def test_the_stream_and_its_padding_against_random_walks():
    """Both networks, two inputs, stages of two blocks, a channel a sample."""
    rng = np.random.default_rng(3)
    blocks = 2
    free, tied = np.maximum(rng.standard_normal((2, 2, SAMPLES)), 0)
    predicted, normalized = unnormalized_stream(blocks, "xavier"), normalized_stream(blocks)
    correlation = unnormalized_correlation(blocks, "xavier")
    for block in range(3 * blocks + 1):
        if block:
            square, product = (tied**2).mean(), (tied[0] * tied[1]).mean()
            gain = 1.0
            if block in (blocks + 1, 2 * blocks + 1):
                gain = 2 / 3
                new = rng.random(SAMPLES) < 0.5
                free, tied = np.where(new, 0, free), np.where(new, 0, tied)
            free = np.maximum(free + rng.standard_normal(free.shape), 0)
            angle = np.arccos(product / square)
            alike = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
            common, own = rng.standard_normal(SAMPLES), rng.standard_normal(tied.shape)
            step = np.sqrt(alike) * common + np.sqrt(1 - alike) * own
            tied = np.maximum(tied + np.sqrt(gain * square / 2) * step, 0)
        tolerance = 0.01
        assert (free**2).mean() == pytest.approx(normalized.square[block], rel=tolerance)
        assert free.mean() == pytest.approx(normalized.mean[block], rel=tolerance)
        assert (free[0] * free[1]).mean() == pytest.approx(normalized.overlap[block], rel=tolerance)
        assert (tied**2).mean() == pytest.approx(predicted.square[block], rel=2 * tolerance)
        found = (tied[0] * tied[1]).mean() / (tied**2).mean()
        assert found == pytest.approx(correlation[block], rel=tolerance)


def test_one_of_two_inputs_has_the_law_of_one():
    law, pair = Law.zero().step(1.0), PairLaw.zero().step(1.0, 0.3)
    for correlation in (0.0, 0.6, 0.95):
        law, pair = law.step(0.7), pair.step(0.7, correlation)
        assert pair.square() == pytest.approx(law.moment(2), rel=1e-7)
        assert pair.mass.sum() == pytest.approx(1, abs=1e-7)


def test_two_like_inputs_become_too_much_alike():
    found = unnormalized_correlation(2, "xavier", start=0.99)
    assert np.isnan(found[-1]) and found[0] > 0.97


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda: unnormalized_stream(0, "he"), InputError, "at least 1 block, not 0"),
        (lambda: unnormalized_correlation(3, "he", 1.5), InputError, "0 to 0.99, not 1.5"),
        (lambda: weight_gain("lecun"), DerivationError, "unknown initialization 'lecun'"),
    ],
)
def test_bad_input(ask, error, message):
    with pytest.raises(error, match=message):
        ask()
