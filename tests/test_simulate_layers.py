"""Layers against their definitions, written out in loops, and their pullbacks against complex steps.

On complex inputs an imaginary part of 1e-30 is an exact derivative: nothing is subtracted.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from numerics.runtime.errors import InputError
from validate.simulate.layers import (
    Adam,
    Momentum,
    batch_normalization,
    convolution,
    dense,
    draw_weights,
    global_average_pool,
    kernel_gradient,
    normalize,
    relu,
    softmax,
    softmax_cross_entropy,
    zero_padding_shortcut,
)

STEP = 1e-30


def assert_pullback(layer, *inputs: np.ndarray, seed: int = 0) -> None:
    """<dy, J v> from a complex step equals <J^T dy, v> from the pullback, for every input on its own."""
    rng = np.random.default_rng(seed)
    y, pullback = layer(*inputs)
    dy = rng.standard_normal(y.shape)
    gradients = pullback(dy)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for place, gradient in enumerate(gradients):
        v = rng.standard_normal(inputs[place].shape)
        moved = [x + 1j * STEP * v if k == place else x for k, x in enumerate(inputs)]
        directional = layer(*moved)[0].imag / STEP
        assert gradient.shape == inputs[place].shape
        assert (dy * directional).sum() == pytest.approx((gradient * v).sum(), rel=1e-12, abs=1e-13)


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int, border: str) -> np.ndarray:
    """Equation (3) of Bjorck et al. (2018), in loops."""
    _, batch, height, width = x.shape
    margin = kernel.shape[-1] // 2
    y = np.zeros((kernel.shape[0], batch, -(-height // stride), -(-width // stride)))
    for o, c, i, j in np.ndindex(kernel.shape):
        for p, q in np.ndindex(y.shape[2:]):
            r, s = stride * p + i - margin, stride * q + j - margin
            if border == "periodic":
                r, s = r % height, s % width
            elif not (0 <= r < height and 0 <= s < width):
                continue
            y[o, :, p, q] += kernel[o, c, i, j] * x[c, :, r, s]
    return y


CONVOLUTIONS = [(3, 1, "zero", 6), (3, 2, "zero", 6), (3, 2, "zero", 5), (1, 2, "zero", 6), (5, 1, "zero", 6),
                (3, 1, "periodic", 6), (3, 2, "periodic", 6), (5, 2, "periodic", 6)]  # fmt: skip


@pytest.mark.parametrize(("size", "stride", "border", "pixels"), CONVOLUTIONS)
def test_convolution_is_its_definition(size, stride, border, pixels):
    rng = np.random.default_rng(1)
    x, kernel = rng.standard_normal((3, 2, pixels, pixels + 1)), rng.standard_normal((4, 3, size, size))
    assert np.allclose(
        convolution(x, kernel, stride, border)[0], convolved(x, kernel, stride, border), atol=1e-12
    )


@pytest.mark.parametrize(("size", "stride", "border", "pixels"), CONVOLUTIONS)
def test_convolution_pulls_back(size, stride, border, pixels):
    rng = np.random.default_rng(2)
    x, kernel = rng.standard_normal((3, 2, pixels, pixels + 1)), rng.standard_normal((4, 3, size, size))
    assert_pullback(lambda x, k: convolution(x, k, stride, border), x, kernel)


def test_summands_of_a_kernel_gradient():
    """With absolute values in their places, the sum of the absolute values of the summands of (4)."""
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal((2, 3, 4, 4)), rng.standard_normal((5, 3, 4, 4))
    summands = np.zeros((5, 2, 3, 3, 3, 4, 4))
    for i, j, p, q in np.ndindex(3, 3, 4, 4):
        r, s = p + i - 1, q + j - 1
        if 0 <= r < 4 and 0 <= s < 4:
            summands[:, :, i, j, :, p, q] = dy[:, None, :, p, q] * x[None, :, :, r, s]
    assert np.allclose(kernel_gradient(x, dy, 3), summands.sum(axis=(4, 5, 6)))
    assert np.allclose(kernel_gradient(abs(x), abs(dy), 3), abs(summands).sum(axis=(4, 5, 6)))


def test_dense_and_relu_pull_back():
    rng = np.random.default_rng(4)
    x, weights, bias = rng.standard_normal((3, 5)), rng.standard_normal((4, 3)), rng.standard_normal(4)
    assert np.allclose(dense(x, weights, bias)[0][:, 2], weights @ x[:, 2] + bias)
    assert_pullback(dense, x, weights, bias)
    assert_pullback(relu, x)
    assert (relu(np.array([-2.0, 0.0, 3.0]))[0] == [0, 0, 3]).all()


@pytest.mark.parametrize("axes", [(1, 2, 3), (1,), (2, 3)])
@pytest.mark.parametrize(("centre", "scale"), [(True, True), (True, False), (False, True)])
def test_batch_normalization(axes, centre, scale):
    rng = np.random.default_rng(5)
    x = 3 + 2 * rng.standard_normal((3, 4, 2, 5))
    kept = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
    gamma, beta = rng.uniform(0.5, 2, kept), rng.standard_normal(kept)
    assert_pullback(
        lambda x, g, b: batch_normalization(x, g, b, axes, centre=centre, scale=scale), x, gamma, beta
    )
    y, _ = normalize(x, axes, epsilon=0.0, centre=centre, scale=scale)
    deviation, mean = x.std(axis=axes), x.mean(axis=axes)
    assert np.allclose(y.std(axis=axes), 1 if scale else deviation)
    assert np.allclose(y.mean(axis=axes), 0 if centre else mean / deviation, atol=1e-12)


def test_shortcut_and_pooling():
    x = np.random.default_rng(6).standard_normal((2, 3, 5, 4))
    y, _ = zero_padding_shortcut(x, 5, 2)
    assert y.shape == (5, 3, 3, 2) and not y[2:].any() and (y[:2] == x[:, :, ::2, ::2]).all()
    assert_pullback(lambda x: zero_padding_shortcut(x, 5, 2), x)
    assert np.allclose(global_average_pool(x)[0][1, 2], x[1, 2].mean())
    assert_pullback(global_average_pool, x)


def test_cross_entropy():
    rng = np.random.default_rng(7)
    logits, labels = 3 * rng.standard_normal((4, 6)), rng.integers(0, 4, 6)
    p = softmax(logits)
    assert np.allclose(p.sum(axis=0), 1)
    loss, pullback = softmax_cross_entropy(logits, labels)
    assert loss == pytest.approx(-np.mean([math.log(p[k, b]) for b, k in enumerate(labels)]))
    v = rng.standard_normal(logits.shape)
    moved = softmax_cross_entropy(logits + 1j * STEP * v, labels)[0].imag / STEP
    assert moved == pytest.approx((pullback() * v).sum(), rel=1e-13)
    large, _ = softmax_cross_entropy(np.array([[1000.0], [0.0]]), np.array([1]))
    assert large == pytest.approx(1000)
    with pytest.raises(InputError, match="labels must be 0 to 3 for 4 classes; these run from 0 to 7"):
        softmax_cross_entropy(logits, np.array([0, 1, 2, 3, 7, 0]))
    with pytest.raises(InputError, match="labels must be whole numbers, not of type float64"):
        softmax_cross_entropy(logits, labels + 0.5)
    with pytest.raises(InputError, match="6 samples need as many labels"):
        softmax_cross_entropy(logits, labels[:5])


@pytest.mark.parametrize(
    ("scheme", "variance"),
    [
        ("xavier", 2 / (270 + 90)),
        ("xavier-uniform", 2 / (270 + 90)),
        ("he", 2 / 270),
        ("torch", 1 / (3 * 270)),
    ],
)
def test_initial_weights_have_their_variance(scheme, variance):
    """270 000 weights: five standard errors of a sample variance, and of a mean."""
    count = 100 * 10 * 30 * 9
    samples = [draw_weights((10, 30, 3, 3), scheme, np.random.default_rng(k)) for k in range(100)]
    assert np.var(samples) == pytest.approx(variance, rel=5 * math.sqrt(2 / (count)))
    assert abs(np.mean(samples)) < 5 * math.sqrt(variance / (count))


def test_an_unknown_initialization_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'xavier'"):
        draw_weights((2, 2), "xaver", np.random.default_rng(0))


def test_adam_steps_by_the_rate_first():
    """Moments corrected for their start make the first step rate * sign(gradient), at any scale."""
    x = {"w": np.array([1.0, -2.0, 3.0])}
    optimizer = Adam(0.1, epsilon=0.0)
    optimizer.step(x, {"w": np.array([1e-6, -50.0, 2.0])})
    assert np.allclose(x["w"], [0.9, -1.9, 2.9])
    g1, g2 = np.array([1e-6, -50.0, 2.0]), np.array([1.0, 1.0, -2.0])
    optimizer.step(x, {"w": g2})
    mean = (0.9 * 0.1 * g1 + 0.1 * g2) / (1 - 0.81)
    square = (0.999 * 0.001 * g1**2 + 0.001 * g2**2) / (1 - 0.999**2)
    assert np.allclose(x["w"], [0.9, -1.9, 2.9] - 0.1 * mean / np.sqrt(square))


def test_momentum_sums_past_gradients():
    """Two steps written out, with decay; without momentum and decay it is plain descent."""
    x, g1, g2 = np.array([1.0, -2.0]), np.array([0.5, 3.0]), np.array([-1.0, 2.0])
    held = {"w": x.copy()}
    optimizer = Momentum(0.1, momentum=0.9, decay=0.01)
    optimizer.step(held, {"w": g1})
    first = g1 + 0.01 * x
    after = x - 0.1 * first
    assert np.allclose(held["w"], after)
    optimizer.step(held, {"w": g2})
    assert np.allclose(held["w"], after - 0.1 * (0.9 * first + g2 + 0.01 * after))
    plain = {"w": x.copy()}
    Momentum(0.5, momentum=0, decay=0).step(plain, {"w": g1})
    assert np.allclose(plain["w"], x - 0.5 * g1)
