"""The derived statements about a classifier's last layer, as numbers for given features and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Expr, Indexed, Sum, Symbol, lambdify

from derive import readout
from derive.readout.bounds import right
from derive.readout.features import c, t, u
from derive.readout.structure import without_common
from derive.readout.symbols import p
from numerics.runtime.errors import InputError

NORMALIZED = 1e-6
"""Probabilities of a sample must sum to one up to this."""


@dataclass(frozen=True)
class Readout:
    """Features (feature, sample), with a row of ones where there is a bias, and probabilities (class, sample).

    Eigenvalues are those of the Hessian of the mean cross-entropy, the largest first.  Raises InputError for arrays
    that do not fit together, and for columns that are no probabilities.
    """

    features: np.ndarray
    probabilities: np.ndarray

    def __post_init__(self) -> None:
        h, q = self.features, self.probabilities
        if h.ndim != 2 or q.ndim != 2 or h.shape[1] != q.shape[1] or not h.shape[1]:
            raise InputError(
                "features (feature, sample) and probabilities (class, sample) need the same samples, at least one; "
                f"these have shapes {h.shape} and {q.shape}"
            )
        if not np.isfinite(h).all():
            raise InputError("the features must be finite numbers")
        if not ((q >= 0).all() and np.abs(q.sum(axis=0) - 1).max() < NORMALIZED):
            raise InputError("the probabilities of every sample must be at least 0 and sum to 1")

    @property
    def classes(self) -> int:
        return len(self.probabilities)

    @cached_property
    def moments(self) -> np.ndarray:
        """Eigenvalues of the second moments <h_i h_j> of the features."""
        found = np.linalg.eigvalsh(self.features @ self.features.T / self.features.shape[1])
        return np.maximum(found[::-1], 0.0)

    @cached_property
    def sample_trace(self) -> np.ndarray:
        """tr A of every sample."""
        return _over_classes(readout.trace().right, self.probabilities)

    def uniform_spectrum(self) -> np.ndarray:
        """All eigenvalues if every class had the same probability."""
        law = readout.uniform_spectrum()
        return self._repeated(float(law.scale.subs(readout.K, self.classes)))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """What each eigenvalue is at least and at most, from the smallest and the largest probability."""
        (kept,) = (e.value for e in without_common().eigenspaces if e.value != 0)
        low, high = self.probabilities.min(), self.probabilities.max()
        return self._repeated(float(kept * low)), self._repeated(float(kept * high))

    def steepest(self) -> float:
        """What the largest eigenvalue is at most, whatever the predictions."""
        return float(readout.steepest()) * float(self.moments[0])

    def trace(self) -> float:
        """The trace of the Hessian."""
        return float((self.sample_trace * (self.features**2).sum(axis=0)).mean())

    def loss_bound(self, labels: np.ndarray) -> float:
        """What the trace is at most, from the loss of every sample.

        Raises InputError for labels that are not classes.
        """
        if labels.shape != self.features.shape[1:]:
            raise InputError(f"{self.features.shape[1]} samples need as many labels, not {labels.shape}")
        if labels.dtype.kind not in "iu":
            raise InputError(f"labels must be whole numbers, not of type {labels.dtype}")
        if not 0 <= labels.min() <= labels.max() < self.classes:
            raise InputError(
                f"labels must be 0 to {self.classes - 1}; these run from {labels.min()} to {labels.max()}"
            )
        own = self.probabilities[labels, np.arange(len(labels))]
        with np.errstate(divide="ignore"):
            bound = lambdify(right, readout.loss_bound().right)(own)
        return float((bound * (self.features**2).sum(axis=0)).mean())

    def rank(self) -> int:
        """The rank of the Hessian, from the numerical rank of the features, at positive probabilities."""
        own = np.linalg.matrix_rank(self.features)
        return int(readout.rank().right.subs({readout.K: self.classes, readout.r: int(own)}))

    def nullity(self) -> int:
        """How many eigenvalues vanish."""
        return self.classes * len(self.features) - self.rank()

    def centred_change(self, centre: np.ndarray) -> float:
        """How the trace changes when ``centre`` is subtracted from the features, the bias making up for it."""
        term = readout.centred_trace().right.function
        weighted = (self.sample_trace * self.features).mean(axis=1)
        names = {e: Symbol(e.base.name) for e in term.atoms(Indexed)}
        function = lambdify([names[e] for e in sorted(names, key=str)] + [t], term.xreplace(names))
        values = {c.name: centre, u.name: weighted}
        arguments = [values[e.base.name] for e in sorted(names, key=str)]
        return float(function(*arguments, self.sample_trace.mean()).sum())

    def _repeated(self, scale: float) -> np.ndarray:
        """scale mu_s for every class but one, and zeros."""
        found = np.repeat(scale * self.moments, self.classes - 1)
        return np.concatenate([found, np.zeros(len(self.moments))])


def _over_classes(expression: Expr, probabilities: np.ndarray) -> np.ndarray:
    """A function of sums over classes of functions of p_k, for every sample."""
    one = Symbol("one")
    sums: Mapping[Any, Symbol] = {s: Symbol(f"sum{number}") for number, s in enumerate(expression.atoms(Sum))}
    values = []
    for s in sums:
        (entry,) = s.function.atoms(Indexed)
        if entry.base != p:
            raise InputError(f"{s} is no sum over the probabilities")
        values.append(lambdify(one, s.function.xreplace({entry: one}))(probabilities).sum(axis=0))
    return lambdify(list(sums.values()), expression.xreplace(sums))(*values)
