"""Residual networks: gradients by complex step and by another library, structure, and time."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy.special import logsumexp

from numerics.runtime.errors import InputError
from tests.device import Device, DeviceArray, on_host
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
    """The same network written for another library, offset by offset, and differentiated by it."""
    network, images, labels = problem(case)
    logits, pullback = network.forward(images)
    loss, back = softmax_cross_entropy(logits, labels)
    gradients = pullback(back())
    own_loss = lambda p: loss_elsewhere(p, network.architecture, images, labels)  # noqa: E731
    expected_loss, expected = autograd.value_and_grad(own_loss)(network.parameters)
    assert loss == pytest.approx(float(expected_loss), rel=1e-12)
    for name, gradient in gradients.items():
        assert np.allclose(gradient, expected[name], rtol=0, atol=1e-10 * abs(gradient).max()), name


def loss_elsewhere(p, architecture: Architecture, images, labels):
    """The loss as a function of parameters, images (channel, batch, H, W) and labels, in autograd."""

    def convolve(x, kernel, stride, border="zero"):
        size = kernel.shape[-1]
        margin = size // 2
        rows, columns = -(-x.shape[2] // stride), -(-x.shape[3] // stride)
        if border == "zero" or not margin:
            x = anp.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)), "constant")
        else:
            x = anp.concatenate([x[:, :, -margin:], x, x[:, :, :margin]], axis=2)
            x = anp.concatenate([x[:, :, :, -margin:], x, x[:, :, :, :margin]], axis=3)
        return sum(
            anp.einsum(
                "oc,cbhw->obhw",
                kernel[:, :, i, j],
                x[:, :, i::stride, j::stride][:, :, :rows, :columns],
            )
            for i in range(size)
            for j in range(size)
        )

    def bn(name, x):
        if f"{name}.gamma" not in p:
            return x
        mean, variance = (f(x, axis=(1, 2, 3), keepdims=True) for f in (anp.mean, anp.var))
        gain, shift = (p[f"{name}.{k}"][:, None, None, None] for k in ("gamma", "beta"))
        return gain * (x - mean) / anp.sqrt(variance + 1e-5) + shift

    def layer(number, x, stride):
        return bn(f"layer{number}", convolve(x, p[f"layer{number}.kernel"], stride, architecture.border))

    x = anp.maximum(layer(1, images, 1), 0)
    number = 2
    for stage in range(3):
        for block in range(architecture.blocks):
            stride = 2 if stage and block == 0 else 1
            branch = layer(number + 1, anp.maximum(layer(number, x, stride), 0), 1)
            if stride == 1:
                straight = x
            elif architecture.shortcut == "projection":
                straight = bn(f"shortcut{number}", convolve(x, p[f"shortcut{number}.kernel"], 2))
            else:
                kept = x[:, :, ::2, ::2]
                straight = anp.concatenate([kept, anp.zeros(kept.shape)])
            x = anp.maximum(straight + branch, 0)
            number += 2
    x = bn("last", x) if architecture.normalization == "last" else x
    z = anp.dot(p["dense.weights"], anp.mean(x, axis=(2, 3))) + p["dense.bias"][:, None]
    return -anp.mean((z - logsumexp(z, axis=0))[labels, anp.arange(len(labels))])


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
    with pytest.raises(InputError, match="one image or more"):
        ResNet(Architecture(**SMALL), 0).forward(np.zeros((3, 0, 8, 8)))


def test_gradients_keep_single_precision():
    network, images, labels = problem("batch", np.float32)
    logits, pullback = network.forward(images)
    gradients = pullback(softmax_cross_entropy(logits, labels)[1]())
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("case", CASES)
def test_another_array_module_gives_the_same_gradients(case):
    """Everything stays on the device: an array that strays is refused."""
    network, images, labels = problem(case)
    device = Device()
    logits, pullback = network.forward(images)
    gradients = pullback(softmax_cross_entropy(logits, labels)[1]())
    twin = ResNet(network.architecture, seed=3, dtype=np.float64, xp=device)
    images, labels = device.asarray(images), device.asarray(labels)
    logits, pullback = twin.forward(images)
    found = pullback(softmax_cross_entropy(logits, labels, device)[1]())
    for name, gradient in gradients.items():
        assert isinstance(found[name], DeviceArray), name
        assert np.allclose(on_host(found[name]), gradient, rtol=0, atol=1e-12 * abs(gradient).max()), name
