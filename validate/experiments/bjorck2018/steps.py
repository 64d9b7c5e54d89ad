"""Steps along the gradient of a mini-batch: pieces of work of the experiment on the first steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from validate.experiments.bjorck2018.networks import labelled_images
from validate.simulate.layers import Momentum, softmax_cross_entropy
from validate.simulate.residual import Architecture, ResNet, Watch

DIVERGED = 1e3
"""The paper's definition: a loss beyond this."""

UNITS = 10.0 ** np.arange(-1.5, 5.1, 0.5)
"""Steps at which a loss is taken, in units of the loss over the squared gradient: where a linear loss would be 0."""
HALVINGS = 3
"""Of the logarithm of the step, between the last of ``UNITS`` at which the loss is below its start and the next."""

Parameters = Mapping[str, np.ndarray]


def loss_of(network: ResNet, images: np.ndarray, labels: np.ndarray, watch: Watch | None = None) -> float:
    """The loss in training mode; infinite where it overflows."""
    with np.errstate(all="ignore"):
        loss = float(softmax_cross_entropy(network.forward(images, watch)[0], labels)[0])
    return loss if np.isfinite(loss) else np.inf


def gradient_of(network: ResNet, images: np.ndarray, labels: np.ndarray) -> tuple[float, Parameters]:
    """The loss and its gradient."""
    logits, pullback = network.forward(images)
    loss, back = softmax_cross_entropy(logits, labels)
    return float(loss), pullback(back())


def squared(arrays: Parameters) -> float:
    """Sum of the squares of all entries."""
    return float(sum((array.astype(float) ** 2).sum() for array in arrays.values()))


def moved(parameters: Parameters, gradients: Parameters, step: float, part: str = "") -> dict[str, np.ndarray]:
    """w - step gradient, for the parameters whose names contain ``part``."""
    return {
        name: w - w.dtype.type(step) * gradients[name] if part in name else w for name, w in parameters.items()
    }


def along(
    depth: int, normalization: str, initialization: str, seed: int, batch: int, side: int, data: str,
    updates: int, rate: float,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The loss of a mini-batch along its gradient: of the first batch, and of the one after ``updates`` steps.

    Those are stochastic gradient descent with momentum, at ``rate`` or half the largest step that lowers the loss
    of the first batch, whichever is less.  Arrays (batch looked at): ``loss`` before the step, ``natural``: the
    loss over the squared gradient, ``limit``: the largest step up to which the loss stays below its start,
    ``diverged``: the smallest beyond ``DIVERGED`` (and its start), ``relative``: what the limit moves the
    weights by, relative to their length, ``growth``: d ln loss / d ln step at large steps; ``steps`` and ``losses``
    (batch looked at, step).
    """
    network = ResNet(Architecture(depth, normalization=normalization, initialization=initialization), seed)
    looks, optimizer = [], None
    for number in range(updates + 1):
        images, labels = labelled_images(data, 3, batch, side, seed, number)
        loss, gradients = gradient_of(network, images, labels)
        if number in (0, updates):
            looks.append(_profile(network, images, labels, loss, gradients))
        if optimizer is None:
            optimizer = Momentum(min(rate, float(looks[0]["limit"]) / 2))
        if number < updates:
            optimizer.step(network.parameters, gradients)
    assert optimizer is not None
    found = {name: np.array([look[name] for look in looks]) for name in looks[0]}
    return {**found, "rate": np.array(optimizer.rate)}


def _profile(
    network: ResNet, images: np.ndarray, labels: np.ndarray, loss: float, gradients: Parameters
) -> dict[str, np.ndarray | float]:
    """What ``along`` returns, of one batch."""
    before, square = network.parameters, squared(gradients)

    def at(step: float) -> float:
        network.parameters = moved(before, gradients, step)
        return loss_of(network, images, labels)

    steps = UNITS * loss / square
    losses = np.full(len(steps), np.inf)
    for k, step in enumerate(steps):
        losses[k] = at(float(step))
        if np.isinf(losses[k]):
            break
    first = int(np.argmax(losses >= loss)) if (losses >= loss).any() else len(steps)
    low, high = (float(steps[k]) for k in (max(first - 1, 0), min(first, len(steps) - 1)))
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if at(middle) < loss else (low, middle)
    network.parameters = before
    weights = {name: w for name, w in before.items() if "gamma" not in name}
    finite = np.flatnonzero(np.isfinite(losses))[-2:]
    return {
        "loss": loss, "natural": loss / square, "limit": np.sqrt(low * high),
        "diverged": _crossing(steps, losses, max(DIVERGED, loss)), "steps": steps, "losses": losses,
        "relative": np.sqrt(low * high) * np.sqrt(square / squared(weights)),
        "growth": float(np.diff(np.log(losses[finite]))[0] / np.diff(np.log(steps[finite]))[0]),
    }  # fmt: skip


def _crossing(steps: np.ndarray, losses: np.ndarray, level: float) -> float:
    """The step at which the loss first passes a level, on a line in the logarithms; NaN if it never does."""
    beyond = losses > level
    if not beyond.any():
        return np.nan
    k = int(np.argmax(beyond))
    if k == 0 or np.isinf(losses[k]):
        return float(steps[k])
    x, y = np.log(steps[k - 1 : k + 1]), np.log(losses[k - 1 : k + 1])
    return float(np.exp(x[0] + (np.log(level) - y[0]) * (x[1] - x[0]) / (y[1] - y[0])))


def diverging(
    depth: int, initialization: str, seed: int, batch: int, side: int, data: str, rates: Sequence[float],
    fractions: Sequence[float], shown: Sequence[int],
) -> dict[str, np.ndarray]:  # fmt: skip
    """The first step without normalization, at the smallest of ``rates`` at which it diverges, bit by bit.

    In double precision, for what overflows in single.  ``rate``: that rate, or the largest if none diverges;
    ``loss`` (fraction); ``moments`` (fraction, layer, 2): over channels, mean of the absolute mean and of the
    variance of every convolution; ``channels0`` and so on for the layers ``shown``: (fraction, channel, 2).
    ``dense``, ``kernels``: the loss when only the readout, only the convolutions take the whole step.
    """
    network = ResNet(
        Architecture(depth, normalization="none", initialization=initialization), seed, np.float64
    )
    images, labels = labelled_images(data, 3, batch, side, seed)
    images = images.astype(float)
    loss, gradients = gradient_of(network, images, labels)
    before = network.parameters

    def at(step: float, watch: Watch | None = None, part: str = "") -> float:
        network.parameters = moved(before, gradients, step, part)
        return loss_of(network, images, labels, watch)

    rate = next((r for r in sorted(rates) if at(r) > max(DIVERGED, loss)), max(rates))
    losses, moments, channels = [], [], []
    for fraction in fractions:
        seen: dict[int, np.ndarray] = {}

        def watch(layer: int, what: str, array: np.ndarray, seen: dict[int, np.ndarray] = seen) -> None:
            if what == "convolution":
                seen[layer] = np.stack([array.mean(axis=(1, 2, 3)), array.var(axis=(1, 2, 3))], axis=-1)

        losses.append(at(fraction * rate, watch))
        moments.append([np.abs(seen[layer]).mean(axis=0) for layer in sorted(seen)])
        channels.append([seen[layer] for layer in shown])
    return {
        "rate": np.array(rate), "loss": np.array(losses), "moments": np.array(moments),
        **{f"channels{n}": np.stack([found[n] for found in channels]) for n in range(len(shown))},
        "dense": np.array(at(rate, part="dense")), "kernels": np.array(at(rate, part="kernel")),
    }  # fmt: skip
