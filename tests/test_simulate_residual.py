"""Residual networks: gradients by complex step and by another library, structure, and time."""

from __future__ import annotations

import time

import numpy as np
import pytest

from numerics.runtime.errors import InputError
from validate.simulate.layers import kernel_gradient, softmax_cross_entropy
from validate.simulate.residual import Architecture, ResNet

SMALL = {"depth": 14, "width": 2, "classes": 3}
CASES = {
    "batch": {},
    "none": {"normalization": "none"},
    "last": {"normalization": "last", "initialization": "torch"},
    "projection": {"shortcut": "projection", "initialization": "he"},
    "projection, none": {"shortcut": "projection", "normalization": "none"},
    "uniform gains, periodic": {"gain": "uniform", "border": "periodic", "initialization": "xavier-uniform"},
}


def problem(case: str, dtype=np.float64):
    network = ResNet(Architecture(**SMALL, **CASES[case]), seed=3, dtype=dtype)
    rng = np.random.default_rng(4)
    images = rng.standard_normal((3, 4, 8, 8)).astype(dtype)
    return network, images, rng.integers(0, 3, 4)


@pytest.mark.parametrize("case", CASES)
def test_gradients_by_complex_step(case):
    """A random direction in every parameter on its own."""
    network, images, labels = problem(case)
    logits, pullback = network.forward(images)
    gradients = pullback(softmax_cross_entropy(logits, labels)[1]())
    assert gradients.keys() == network.parameters.keys()
    rng = np.random.default_rng(5)
    for name, gradient in gradients.items():
        kept = network.parameters[name]
        v = rng.standard_normal(kept.shape)
        network.parameters[name] = kept + 1e-30j * v
        directional = softmax_cross_entropy(network.forward(images)[0], labels)[0].imag / 1e-30
        network.parameters[name] = kept
        # In front of a normalization the loss does not see the size of a kernel: sums that cancel.
        scale = np.abs(gradient * v).sum()
        assert directional == pytest.approx((gradient * v).sum(), abs=1e-11 * scale), name


@pytest.mark.parametrize("case", CASES)
def test_gradients_by_automatic_differentiation(case):
    """The same network written in another library, and differentiated by it."""
    jax = pytest.importorskip("jax", reason="jax is not installed: the complex steps above stand alone")
    jax.config.update("jax_enable_x64", True)
    network, images, labels = problem(case)
    logits, pullback = network.forward(images)
    loss, back = softmax_cross_entropy(logits, labels)
    gradients = pullback(back())
    expected_loss, expected = jax.value_and_grad(jax_loss(jax, network.architecture))(
        {name: jax.numpy.asarray(value) for name, value in network.parameters.items()}, images, labels
    )
    assert loss == pytest.approx(float(expected_loss), rel=1e-12)
    for name, gradient in gradients.items():
        assert np.allclose(gradient, expected[name], rtol=0, atol=1e-10 * abs(gradient).max()), name


def jax_loss(jax, architecture: Architecture):
    """The loss as a function of parameters, images (channel, batch, H, W) and labels, in jax."""
    jnp = jax.numpy

    def convolve(x, kernel, stride, border="zero"):
        margin = kernel.shape[-1] // 2
        if border == "periodic":
            x = jnp.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="wrap")
            margin = 0
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), [(margin, margin)] * 2, dimension_numbers=("CNHW", "OIHW", "CNHW")
        )

    def bn(p, name, x):
        if f"{name}.gamma" not in p:
            return x
        mean, variance = (f(x, axis=(1, 2, 3), keepdims=True) for f in (jnp.mean, jnp.var))
        gain, shift = (p[f"{name}.{k}"][:, None, None, None] for k in ("gamma", "beta"))
        return gain * (x - mean) / jnp.sqrt(variance + 1e-5) + shift

    def layer(p, number, x, stride):
        y = convolve(x, p[f"layer{number}.kernel"], stride, architecture.border)
        return bn(p, f"layer{number}", y)

    def loss(p, images, labels):
        x = jax.nn.relu(layer(p, 1, images, 1))
        number = 2
        for stage in range(3):
            for block in range(architecture.blocks):
                stride = 2 if stage and block == 0 else 1
                branch = layer(p, number + 1, jax.nn.relu(layer(p, number, x, stride)), 1)
                if stride == 1:
                    straight = x
                elif architecture.shortcut == "projection":
                    straight = bn(p, f"shortcut{number}", convolve(x, p[f"shortcut{number}.kernel"], 2))
                else:
                    kept = x[:, :, ::2, ::2]
                    straight = jnp.concatenate([kept, jnp.zeros_like(kept)])
                x = jax.nn.relu(straight + branch)
                number += 2
        x = bn(p, "last", x) if architecture.normalization == "last" else x
        z = p["dense.weights"] @ x.mean(axis=(2, 3)) + p["dense.bias"][:, None]
        return -jax.nn.log_softmax(z, axis=0)[labels, jnp.arange(len(labels))].mean()

    return loss


def test_what_a_watch_sees():
    """The gradient of a kernel is made of the input and the gradient that the watch is shown."""
    network, images, labels = problem("batch")
    forward, backward = {}, {}
    logits, pullback = network.forward(
        images, lambda *key_array: forward.update({key_array[:2]: key_array[2]})
    )
    gradients = pullback(
        softmax_cross_entropy(logits, labels)[1](),
        lambda *key_array: backward.update({key_array[:2]: key_array[2]}),
    )
    assert {layer for layer, what in forward if what == "convolution"} == set(range(1, 14))
    assert [layer for layer, what in forward if what == "stream"] == [1, 3, 5, 7, 9, 11, 13]
    for layer, stride in network.strides.items():
        whole = kernel_gradient(backward[layer, "input"], backward[layer, "gradient"], 3, stride)
        assert np.allclose(whole, gradients[f"layer{layer}.kernel"])
        assert backward[layer, "gradient"].shape == forward[layer, "convolution"].shape


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_sizes_of_the_family(depth, millions):
    """He et al. (2016), Table 6."""
    network = ResNet(Architecture(depth=depth), 0)
    assert sum("kernel" in name for name in network.parameters) == depth - 1
    total = sum(array.size for array in network.parameters.values()) / 1e6
    assert total == pytest.approx(millions, abs=0.05 if millions > 1 else 0.006)


def test_weights_do_not_depend_on_normalization():
    with_bn, without = (ResNet(Architecture(depth=8, normalization=n), 5) for n in ("batch", "none"))
    assert all((without.parameters[name] == with_bn.parameters[name]).all() for name in without.parameters)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"depth": 100}, r"6 n \+ 2 with n >= 1, as 98"), ({"width": 0}, "width must be at least 1"),
     ({"normalization": "bach"}, "did you mean 'batch'"), ({"border": "wrap"}, "unknown border")],
)  # fmt: skip
def test_bad_architectures_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Architecture(**wrong)


def test_images_of_the_wrong_shape_are_refused():
    with pytest.raises(InputError, match="3 channels, batch, height, width"):
        ResNet(Architecture(**SMALL), 0).forward(np.zeros((4, 3, 8, 8)))


def test_resnet_110_is_fast():
    """Forward and backward at batch 16 in float32: under 3 s of one core's time (0.9 s were measured)."""
    network = ResNet(Architecture(), 0)
    images = np.random.default_rng(1).standard_normal((3, 16, 32, 32)).astype(np.float32)
    started = time.process_time()
    logits, pullback = network.forward(images)
    gradients = pullback(softmax_cross_entropy(logits, np.arange(16) % 10)[1]())
    assert time.process_time() - started < 3
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}
