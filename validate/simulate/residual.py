"""Residual networks of He et al. (2016) for small images, at any depth 6 n + 2 and any width."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError, unknown_name
from validate.simulate.arrays import Array
from validate.simulate.layers import (
    batch_normalization,
    convolution,
    dense,
    draw_weights,
    global_average_pool,
    relu,
    zero_padding_shortcut,
)
from validate.simulate.layers.convolution import BORDERS
from validate.simulate.layers.initialize import INITIALIZATIONS

CHOICES: dict[str, tuple[str, ...]] = {
    "normalization": ("batch", "last", "none"),
    "shortcut": ("zero-padding", "projection"),
    "initialization": tuple(INITIALIZATIONS),
    "gain": ("one", "uniform"),
    "border": tuple(BORDERS),
}

Gradients = dict[str, Array]
Watch = Callable[[int, str, Array], None]
"""Called with a layer, what of it is shown, and the array: "convolution" (the output of the layer's
convolution) and "stream" (the output of the block that ends with the layer) on the way forward, "input" and
"gradient" (the convolution's input, and the loss's derivative with respect to its output) on the way back."""


@dataclass(frozen=True)
class Architecture:
    """A residual network: a convolution, three stages of n blocks of two convolutions, a dense readout.

    Layers are numbered as He et al. count them, 1 to ``depth`` = 6 n + 2.  The stages have ``width``, 2 and 4
    times as many channels, and half and a quarter of the pixels.  Convolutions are 3 x 3 without bias, ReLU
    follows each, in a block's second layer after its shortcut is added.  ``normalization``: after every
    convolution ("batch"), only after the last block ("last"), or nowhere; gains start at one, or uniform on
    (0, 1), shifts at zero.  ``shortcut`` between stages: option A (zero padding) or B (1 x 1 convolution).
    ``initialization`` "torch" draws the dense bias too; in the other schemes it is zero.
    """

    depth: int = 110
    width: int = 16
    input_channels: int = 3
    classes: int = 10
    normalization: str = "batch"
    shortcut: str = "zero-padding"
    initialization: str = "xavier"
    gain: str = "one"
    border: str = "zero"

    def __post_init__(self) -> None:
        if self.depth < 8 or self.depth % 6 != 2:
            near = max(8, 6 * round((self.depth - 2) / 6) + 2)
            raise InputError(f"the depth must be 6 n + 2 with n >= 1, as {near}, not {self.depth}")
        for name in ("width", "input_channels", "classes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)

    @property
    def blocks(self) -> int:
        """Blocks of a stage, n."""
        return (self.depth - 2) // 6

    def convolutions(self) -> Iterator[tuple[int, int, int, int]]:
        """Layer, channels in, channels out and stride of every 3 x 3 convolution."""
        yield 1, self.input_channels, self.width, 1
        channels = self.width
        for layer in range(2, self.depth):
            stage, place = divmod(layer - 2, 2 * self.blocks)
            outputs = self.width * 2**stage
            yield layer, channels, outputs, 2 if stage and place == 0 else 1
            channels = outputs


class ResNet:
    """A residual network with its parameters by name: "layer7.kernel", "layer7.gamma", "dense.bias", ...

    The same seed draws the same weights with and without normalization.
    """

    def __init__(
        self, architecture: Architecture, seed: int | tuple[int, ...], dtype: Any = np.float32, xp: Any = np
    ) -> None:
        self.architecture, self.xp = architecture, xp
        self.strides = {layer: stride for layer, _, _, stride in architecture.convolutions()}
        self.parameters = _draw(architecture, np.random.default_rng(seed), dtype, xp)

    def forward(self, images: Array, watch: Watch | None = None) -> tuple[Array, Callable[..., Gradients]]:
        """Logits (class, batch) of images (channel, batch, H, W), and the pullback.

        The pullback takes the gradient with respect to the logits, and a ``watch`` of its own, to those with
        respect to the parameters.  Batch normalization uses the statistics of this batch.
        """
        self._check(images)
        x, back = self._first(images, watch)
        backs = [back]
        for layer in range(2, self.architecture.depth - 1, 2):
            x, back = self._block(layer, x, watch)
            backs.append(back)
        if self.architecture.normalization == "last":
            x, back = self._normalize("last", x)
            backs.append(back)
        features, unpool = global_average_pool(x, self.xp)
        logits, undense = dense(features, self.parameters["dense.weights"], self.parameters["dense.bias"])

        def pullback(dlogits: Array, watch: Watch | None = None) -> Gradients:
            gradients: Gradients = {}
            dfeatures, gradients["dense.weights"], gradients["dense.bias"] = undense(dlogits)
            dx = unpool(dfeatures)
            for back in reversed(backs):
                dx = back(dx, gradients, watch)
            return gradients

        return logits, pullback

    def _first(self, images: Array, watch: Watch | None) -> tuple[Array, Back]:
        """Layer 1, rectified."""
        y, back = self._layer(1, images, watch)
        x, unrectify = relu(y)
        _show(watch, 1, "stream", x)
        return x, lambda dx, gradients, watch: back(unrectify(dx), gradients, watch)

    def _block(self, layer: int, x: Array, watch: Watch | None) -> tuple[Array, Back]:
        """Layers ``layer`` and the next: x to relu(shortcut(x) + branch(x))."""
        inside, back1 = self._layer(layer, x, watch)
        rectified, unrectify1 = relu(inside)
        branch, back2 = self._layer(layer + 1, rectified, watch)
        straight, back0 = self._shortcut(layer, x)
        y, unrectify2 = relu(straight + branch)
        _show(watch, layer + 1, "stream", y)

        def back(dy: Array, gradients: Gradients, watch: Watch | None) -> Array:
            dsum = unrectify2(dy)
            dinside = unrectify1(back2(dsum, gradients, watch))
            return back0(dsum, gradients, watch) + back1(dinside, gradients, watch)

        return y, back

    def _layer(self, layer: int, x: Array, watch: Watch | None) -> tuple[Array, Back]:
        """The convolution of a layer, and its normalization."""
        kernel = self.parameters[f"layer{layer}.kernel"]
        y, unconvolve = convolution(x, kernel, self.strides[layer], self.architecture.border, self.xp)
        _show(watch, layer, "convolution", y)
        normalized, unnormalize = self._normalize(f"layer{layer}", y)

        def back(dy: Array, gradients: Gradients, watch: Watch | None) -> Array:
            dconvolution = unnormalize(dy, gradients, watch)
            _show(watch, layer, "input", x)
            _show(watch, layer, "gradient", dconvolution)
            dx, gradients[f"layer{layer}.kernel"] = unconvolve(dconvolution)
            return dx

        return normalized, back

    def _normalize(self, name: str, x: Array) -> tuple[Array, Back]:
        """Batch normalization over batch and pixels, where the network has it under this name."""
        if f"{name}.gamma" not in self.parameters:
            return x, _pass
        gamma, beta = self.parameters[f"{name}.gamma"], self.parameters[f"{name}.beta"]
        y, unnormalize = batch_normalization(x, gamma, beta, (1, 2, 3), self.xp)

        def back(dy: Array, gradients: Gradients, watch: Watch | None) -> Array:
            dx, gradients[f"{name}.gamma"], gradients[f"{name}.beta"] = unnormalize(dy)
            return dx

        return y, back

    def _shortcut(self, layer: int, x: Array) -> tuple[Array, Back]:
        """The identity, or what leads to more channels and fewer pixels."""
        stride = self.strides[layer]
        if stride == 1:
            return x, _pass
        name = f"shortcut{layer}"
        if f"{name}.kernel" not in self.parameters:
            y, unpad = zero_padding_shortcut(x, 2 * x.shape[0], stride, self.xp)
            return y, lambda dy, gradients, watch: unpad(dy)
        y, unconvolve = convolution(x, self.parameters[f"{name}.kernel"], stride, xp=self.xp)
        z, unnormalize = self._normalize(name, y)

        def back(dz: Array, gradients: Gradients, watch: Watch | None) -> Array:
            dx, gradients[f"{name}.kernel"] = unconvolve(unnormalize(dz, gradients, watch))
            return dx

        return z, back

    def _check(self, images: Array) -> None:
        channels = self.architecture.input_channels
        if images.ndim != 4 or images.shape[0] != channels or images.shape[1] < 1 or min(images.shape[2:]) < 4:
            raise InputError(
                f"images must be an array ({channels} channels, batch, height, width) of one image or more, of at "
                f"least 4 x 4 pixels, not of shape {images.shape}"
            )


Back = Callable[[Array, Gradients, Watch | None], Array]
"""Takes the gradient with respect to an output to that with respect to the input, and enters those with
respect to parameters in a dictionary."""


def _pass(dy: Array, gradients: Gradients, watch: Watch | None) -> Array:
    return dy


def _show(watch: Watch | None, layer: int, what: str, array: Array) -> None:
    if watch is not None:
        watch(layer, what, array)


def _draw(
    architecture: Architecture, generator: np.random.Generator, dtype: Any, xp: Any
) -> dict[str, Array]:
    """Initial parameters: all weights first, then gains, so that weights do not depend on normalization."""
    scheme = architecture.initialization
    parameters: dict[str, Array] = {}
    normalized: dict[str, int] = {}
    for layer, inputs, outputs, stride in architecture.convolutions():
        shape = (outputs, inputs, 3, 3)
        parameters[f"layer{layer}.kernel"] = draw_weights(shape, scheme, generator, dtype, xp)
        normalized[f"layer{layer}"] = outputs
        if stride > 1 and architecture.shortcut == "projection":
            shape = (outputs, inputs, 1, 1)
            parameters[f"shortcut{layer}.kernel"] = draw_weights(shape, scheme, generator, dtype, xp)
            normalized[f"shortcut{layer}"] = outputs
    features, classes = 4 * architecture.width, architecture.classes
    parameters["dense.weights"] = draw_weights((classes, features), scheme, generator, dtype, xp)
    parameters["dense.bias"] = xp.zeros(classes, dtype)
    if scheme == "torch":
        bound = features**-0.5
        parameters["dense.bias"] = xp.asarray(generator.uniform(-bound, bound, classes).astype(dtype))
    if architecture.normalization == "last":
        normalized = {"last": features}
    if architecture.normalization != "none":
        for name, channels in normalized.items():
            gains = generator.uniform(size=channels) if architecture.gain == "uniform" else np.ones(channels)
            parameters[f"{name}.gamma"] = xp.asarray(gains.astype(dtype))
            parameters[f"{name}.beta"] = xp.zeros(channels, dtype)
    return parameters
