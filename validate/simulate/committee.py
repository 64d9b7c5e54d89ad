"""The committee machine, differentiated by hand: forward pass and gradient of every normalization.

Shapes: S replicas, b samples of the batch, K students, M teachers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from validate.simulate.activations import activation
from validate.simulate.arrays import Array
from validate.simulate.generalization import generalization_error
from validate.simulate.setup import Setup


@dataclass
class Sample:
    """What a gradient depends on: fields x (S, b, K) and y (S, b, M), label noise (S, b), gains g, second
    layer w and shift beta, each (S, K); and, where the model asks for them, the squared norms of the
    students' weights (S, K) or all their overlaps Q (S, K, K) and R (S, K, M)."""

    x: Array
    y: Array
    noise: Array
    g: Array
    w: Array
    shift: Array
    squared_norms: Array | None = None
    Q: Array | None = None
    R: Array | None = None


@dataclass
class Gradient:
    """The gradient of the loss averaged over the batch, and of penalties:

    dloss/dJ_i = (1/b) sum_u inputs[u, i] xi_u + sum_j students[i, j] J_j + sum_n teachers[i, n] B_n,

    with ``inputs`` (S, b, K), ``students`` (S, K, K), ``teachers`` (S, K, M); and the derivatives with
    respect to g, w and beta, each (S, K). None stands for zero.
    """

    inputs: Array
    students: Array | None = None
    teachers: Array | None = None
    g: Array | None = None
    w: Array | None = None
    shift: Array | None = None


class Committee:
    """Loss 1/2 (t - s)^2 of the committee machine under the setup's normalization."""

    def __init__(self, setup: Setup, xp: Any) -> None:
        self.setup, self.xp = setup, xp
        self.phi = activation(setup.activation, xp)
        self.v = xp.asarray(setup.v)
        self.needs_norms = setup.has_gain and setup.statistics == "population"
        self.needs_overlaps = False
        self.has_gain = setup.has_gain

    def gradient(self, sample: Sample) -> Gradient:
        """The gradient of the loss averaged over the batch, and of the decay of weights and gains."""
        gradient = self._of_loss(sample)
        if self.setup.weight_decay:
            decay = self.setup.weight_decay * self.xp.eye(self.setup.students, dtype=sample.w.dtype)
            gradient.students = decay if gradient.students is None else gradient.students + decay
        if self.setup.gain_decay and gradient.g is not None:
            gradient.g = gradient.g + self.setup.gain_decay * sample.g
        return gradient

    def _of_loss(self, sample: Sample) -> Gradient:
        if self.setup.normalization == "none":
            return self._plain(sample)
        if self.setup.statistics == "population":
            return self._population(sample)
        return self._batch(sample)

    def generalization_error(
        self, Q: np.ndarray, R: np.ndarray, T: np.ndarray, g: np.ndarray, w: np.ndarray, shift: np.ndarray
    ) -> np.ndarray:
        """<(t - s)^2> / 2 without label noise, at overlaps and parameters with any leading axes."""
        return generalization_error(self.setup, Q, R, T, g, w, shift)

    def _error_signals(self, sample: Sample, h: Array) -> tuple[Array, Array]:
        """dloss/dh of each sample (S, b, K), and dloss/dw averaged over the batch (S, K)."""
        hidden = self.phi.value(h)
        v = self.v.astype(h.dtype)
        student = self.xp.matmul(hidden, sample.w[:, :, None])[..., 0]
        teacher = self.xp.matmul(self.phi.value(sample.y), v[:, None])[..., 0] + sample.noise
        delta = student - teacher
        signals = delta[:, :, None] * self.phi.derivative(h) * sample.w[:, None, :]
        return signals, self._mean(delta[:, :, None] * hidden)

    def _mean(self, of_samples: Array) -> Array:
        return of_samples.mean(axis=1)

    def _plain(self, sample: Sample) -> Gradient:
        signals, dw = self._error_signals(sample, sample.x)
        return Gradient(signals, w=dw)

    def _population(self, sample: Sample) -> Gradient:
        xp, squared_norms = self.xp, sample.squared_norms
        assert squared_norms is not None
        tau = 1.0 if self.setup.normalization == "weight" else self.setup.input_variance
        variance = tau * squared_norms
        normalized = sample.x / xp.sqrt(variance)[:, None, :]
        scaled = sample.g[:, None, :] * normalized
        signals, dw = self._error_signals(sample, scaled + sample.shift[:, None, :])
        inputs = signals * (sample.g / xp.sqrt(variance))[:, None, :]
        # h_i depends on J_i through J_i.J_i as well: d(g x / sqrt(Q_ii)) = -h J_i / Q_ii . dJ_i
        students = None
        if self.setup.normalization != "batch-without-radial":
            radial = -self._mean(signals * scaled) / squared_norms
            students = radial[:, :, None] * xp.eye(radial.shape[-1], dtype=radial.dtype)
        return Gradient(
            inputs, students, g=self._mean(signals * normalized), w=dw,
            shift=self._mean(signals) if self.setup.shift else None,
        )  # fmt: skip

    def _batch(self, sample: Sample) -> Gradient:
        """Normalization by the statistics of the batch itself, differentiated through them."""
        centred = self.setup.statistics == "batch"
        x = sample.x - sample.x.mean(axis=1, keepdims=True) if centred else sample.x
        deviation = self.xp.sqrt((x * x).mean(axis=1))
        normalized = x / deviation[:, None, :]
        signals, dw = self._error_signals(
            sample, sample.g[:, None, :] * normalized + sample.shift[:, None, :]
        )
        dg = self._mean(signals * normalized)
        # The variance removes from the signals their part along the normalized fields, the mean their
        # average.
        projected = signals - normalized * dg[:, None, :]
        if centred:
            projected = projected - self._mean(signals)[:, None, :]
        return Gradient(
            projected * (sample.g / deviation)[:, None, :], g=dg, w=dw,
            shift=self._mean(signals) if self.setup.shift else None,
        )  # fmt: skip
