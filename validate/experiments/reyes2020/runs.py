"""The network of the paper, trained on digits: pieces of work that the experiments share."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from validate.simulate import digits
from validate.simulate.classifier import Classifier, Statistics, epoch
from validate.simulate.curvature import last_layer_hessian
from validate.simulate.digits import Digits
from validate.simulate.layers import Adam

FRACTIONS = (0.7, 0.15, 0.15)
"""Of the samples: for training, validation, test."""

TOP = 12
"""How many of the largest eigenvalues are kept."""

ZERO = 1e-12
"""An eigenvalue below this times the largest is zero up to rounding."""

CLASSES = 10


def training(
    data: str, normalization: str, seed: int, rate: float, decay: float, epochs: int, batch_size: int,
    hidden: int, recorded: Sequence[int],
) -> dict[str, np.ndarray]:  # fmt: skip
    """Train one network; accuracies and losses after every epoch, the last layer's spectrum after some.

    Arrays over epochs 0 to ``epochs``: accuracy and loss (epoch, part), seconds of this processor spent on
    learning; over the ``recorded`` epochs: the largest eigenvalues of the Hessian in W2 over the training
    set, the trace, how many eigenvalues vanish, and how many hidden units are dead (constant).  And the number of
    training samples.
    """
    parts = digits.split(digits.load(data), FRACTIONS, seed)
    network = Classifier(len(parts[0].images), hidden, CLASSES, normalization, seed)
    optimizer, generator = Adam(rate), np.random.default_rng((seed, 1))
    seconds, curves, spectra = [0.0], [], []
    for number in range(epochs + 1):
        if number:
            started = time.process_time()
            epoch(network, optimizer, parts[0].images, parts[0].labels, batch_size, decay, generator)
            seconds.append(seconds[-1] + time.process_time() - started)
        statistics = network.statistics(parts[0].images)
        curves.append([judged(network, part, statistics) for part in parts])
        if number in recorded:
            spectra.append(_spectrum(network, parts[0], statistics))
    accuracy, loss = np.moveaxis(np.array(curves), -1, 0)
    top, trace, zeros, dead = (np.array(column) for column in zip(*spectra, strict=True))
    return {"accuracy": accuracy, "loss": loss, "seconds": np.array(seconds), "top": top, "trace": trace,
            "zeros": zeros, "dead": dead, "samples": np.array(len(parts[0]))}  # fmt: skip


def trained(
    data: Digits, normalization: str, seed: int, rate: float, decay: float, epochs: int, batch_size: int,
    hidden: int,
) -> Classifier:  # fmt: skip
    """One network after so many epochs on all of ``data``."""
    network = Classifier(len(data.images), hidden, CLASSES, normalization, seed)
    optimizer, generator = Adam(rate), np.random.default_rng((seed, 1))
    for _ in range(epochs):
        epoch(network, optimizer, data.images, data.labels, batch_size, decay, generator)
    return network


def judged(network: Classifier, part: Digits, statistics: Statistics) -> tuple[float, float]:
    """Accuracy and cross-entropy on some samples."""
    p = network.probabilities(network.features(part.images, statistics))
    right = p[part.labels, np.arange(len(part))]
    return float((p.argmax(axis=0) == part.labels).mean()), float(-np.log(np.maximum(right, 1e-300)).mean())


def _spectrum(
    network: Classifier, part: Digits, statistics: Statistics
) -> tuple[np.ndarray, float, int, int]:
    """The largest eigenvalues of the last layer's Hessian, its trace, its zeros, and dead hidden units."""
    features = network.features(part.images, statistics)
    values = np.linalg.eigvalsh(last_layer_hessian(features, network.probabilities(features), bias=False))
    dead = int((np.ptp(features, axis=1) == 0).sum())
    return values[::-1][:TOP], float(values.sum()), int((np.abs(values) < ZERO * values[-1]).sum()), dead
