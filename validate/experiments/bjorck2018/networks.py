"""Residual networks at initialization: pieces of work that the experiments share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from numerics.runtime.errors import unknown_name
from validate.simulate import digits
from validate.simulate.layers import kernel_gradient, softmax, softmax_cross_entropy
from validate.simulate.residual import Architecture, ResNet

TABLE1 = (18, 54, 90)
"""The layers of the paper's Table 1, in a network of depth 110."""

IMAGES = ("noise", "smooth", "constant")
"""Independent pixels, waves of the lowest frequency, one colour an image: each of unit variance."""


def images(kind: str, channels: int, batch: int, side: int, seed: int) -> np.ndarray:
    """Images (channel, batch, side, side) in single precision, of a kind of ``IMAGES`` or real ones."""
    return labelled_images(kind, channels, batch, side, seed)[0]


def labelled_images(
    kind: str, channels: int, batch: int, side: int, seed: int, number: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Random images (channel, batch, side, side) in single precision, and labels: the batch of this number.

    Images of a data set of ``digits`` have their own labels, and the same gray in every channel; those of
    ``IMAGES`` have random labels.
    """
    generator = np.random.default_rng((seed, 1, number) if number else (seed, 1))
    if kind in digits.SOURCES:
        gray, labels = digits.draw(kind, batch, side, generator)
        return np.repeat(gray[None].astype(np.float32), channels, axis=0), labels
    labels = np.random.default_rng((seed, 2, number) if number else (seed, 2)).integers(0, 10, batch)
    return _made_up(kind, (channels, batch, side, side), generator), labels


def _made_up(kind: str, shape: tuple[int, int, int, int], generator: np.random.Generator) -> np.ndarray:
    """Images of a kind of ``IMAGES``."""
    channels, batch, side, _ = shape
    if kind == "noise":
        return generator.standard_normal(shape, np.float32)
    if kind == "constant":
        return np.zeros(shape, np.float32) + generator.standard_normal((channels, batch, 1, 1), np.float32)
    if kind != "smooth":
        raise unknown_name("kind of image", kind, (*IMAGES, *digits.SOURCES))
    phase = 2 * np.pi * np.arange(side) / side
    x, y = np.meshgrid(phase, phase, indexing="ij")
    waves = np.stack([np.cos(x), np.sin(x), np.cos(y), np.sin(y)])
    weights = generator.standard_normal((channels, batch, 4)) / np.sqrt(2)
    return np.einsum("cbw,wxy->cbxy", weights, waves).astype(np.float32)


def gradients(
    depth: int, normalization: str, initialization: str, seed: int, batch: int, side: int, kind: str,
    shortcut: str = "zero-padding", gain: str = "one",
) -> dict[str, np.ndarray]:  # fmt: skip
    """One network, one batch of images, forward and backward.

    ``layers`` and ``a``, ``b`` (layer): for Table 1, means over a kernel of the sum of |d| and of |sum of d|.
    ``single`` (layer, percentile 0 to 100): |sum of d| over the sum of |d| of single parameters, of those that have
    any d but zero, and ``silent`` (layer): the share that has none.
    ``size`` (layer): root mean square of the gradient of every convolution.  ``middle``: the gradient in the
    kernel at half depth.  ``channels`` (out, in): sums over the kernel of the gradient's absolute values, ten
    layers earlier.  ``rows`` (class, batch): gradients of each image's own loss in the logits.
    ``top``: largest |logit|.  ``modal``: the share of images put in the class that is most often predicted.
    ``convolution`` and ``stream`` (layer, 2): mean over channels of the absolute mean, and of the variance.
    """
    network = ResNet(
        Architecture(
            depth, normalization=normalization, initialization=initialization, shortcut=shortcut, gain=gain
        ),
        seed,
    )
    x, labels = labelled_images(kind, 3, batch, side, seed)
    moments: dict[str, list[tuple[float, float]]] = {"convolution": [], "stream": []}
    layers = [max(2, round(depth * layer / 110)) for layer in TABLE1]
    absolute: dict[int, np.ndarray] = {}
    inputs: dict[int, np.ndarray] = {}

    def ahead(layer: int, what: str, array: np.ndarray) -> None:
        mean, variance = array.mean(axis=(1, 2, 3)), array.var(axis=(1, 2, 3))
        moments[what].append((float(np.abs(mean).mean()), float(variance.mean())))

    def behind(layer: int, what: str, array: np.ndarray) -> None:
        if layer not in layers:
            return
        if what == "input":
            inputs[layer] = array
        else:
            stride = network.strides[layer]
            absolute[layer] = kernel_gradient(np.abs(inputs.pop(layer)), np.abs(array), 3, stride)

    logits, pullback = network.forward(x, ahead)
    loss, back = softmax_cross_entropy(logits, labels)
    found = pullback(back(), behind)
    rows = softmax(logits)
    predicted = np.bincount(logits.argmax(axis=0), minlength=10)
    rows[labels, np.arange(batch)] -= 1
    half, earlier = depth // 2, max(2, depth // 2 - 10)
    sums = {layer: np.abs(found[f"layer{layer}.kernel"]) for layer in layers}
    heard = {layer: absolute[layer] > 0 for layer in layers}
    return {
        "layers": np.array(layers),
        "a": np.array([absolute[layer].mean() for layer in layers]),
        "b": np.array([sums[layer].mean() for layer in layers]),
        "single": np.array(
            [np.percentile(sums[l][heard[l]] / absolute[l][heard[l]], np.arange(101)) for l in layers]
        ),
        "silent": np.array([1 - heard[layer].mean() for layer in layers]),
        "size": np.array(
            [np.sqrt((found[f"layer{layer}.kernel"] ** 2).mean()) for layer in range(1, depth)]
        ),
        "middle": found[f"layer{half}.kernel"],
        "channels": np.abs(found[f"layer{earlier}.kernel"]).sum(axis=(2, 3)),
        "rows": rows, "loss": np.asarray(loss), "top": np.abs(logits).max(), "modal": predicted.max() / batch,
        "convolution": np.array(moments["convolution"]), "stream": np.array(moments["stream"]),
    }  # fmt: skip


def stream(
    depth: int, width: int, normalization: str, initialization: str, seeds: Sequence[int], batch: int,
    side: int, channels: int, kind: str, border: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Forward only, a network a seed: moments of the stream after the first layer and after every block.

    Arrays (seed, block): over channels, images and pixels ``mean`` and ``square``; ``overlap``: products of
    two different images at the same pixel.
    """
    shape = Architecture(
        depth, width, channels, normalization=normalization, initialization=initialization, border=border
    )
    found: dict[str, list[float]] = {"mean": [], "square": [], "overlap": []}

    def watch(layer: int, what: str, x: np.ndarray) -> None:
        if what != "stream":
            return
        own, total = (x * x).sum(dtype=float), x.sum(axis=1)
        pairs = ((total * total).sum(dtype=float) - own) / (batch - 1)  # ordered pairs, an image each
        found["mean"].append(float(x.mean(dtype=float)))
        found["square"].append(float(own / x.size))
        found["overlap"].append(float(pairs / x.size))

    for seed in seeds:
        ResNet(shape, seed).forward(images(kind, channels, batch, side, seed), watch)
    return {name: np.array(values).reshape(len(seeds), -1) for name, values in found.items()}
