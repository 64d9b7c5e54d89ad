"""Which model a setup describes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from validate.simulate.committee import Committee, Gradient, Sample
from validate.simulate.setup import Setup


class Model(Protocol):
    """A sample loss with its gradient. ``needs_norms`` and ``needs_overlaps`` say which optional parts of a
    ``Sample`` it looks at."""

    has_gain: bool
    needs_norms: bool
    needs_overlaps: bool

    def gradient(self, sample: Sample) -> Gradient:
        """The gradient of the loss averaged over the batch, and of penalties."""

    def generalization_error(
        self, Q: np.ndarray, R: np.ndarray, T: np.ndarray, g: np.ndarray, w: np.ndarray, shift: np.ndarray
    ) -> np.ndarray:
        """The loss without label noise at overlaps (S, P, ...) and T (S, 1, M, M), averaged over the
        fields."""


def model_of(setup: Setup, xp: Any) -> Model:
    """The committee machine, or the user's model."""
    if setup.model is None:
        return Committee(setup, xp)
    from validate.simulate.user_model import UserModel

    return UserModel(setup, xp)
