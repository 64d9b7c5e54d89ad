"""One unit that learns online from one unit, under every kind of normalization by a batch's statistics.

The student is phi(gamma (x - m) / s) of the field x = J.xi, the teacher phi(B.xi) with |B| = 1, plus label
noise.  Shapes: S replicas, M samples a batch, N inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerics.runtime.devices import to_host
from numerics.runtime.errors import InputError, unknown_name
from validate.simulate.activations import activation
from validate.simulate.arrays import Array
from validate.simulate.inputs import input_law
from validate.simulate.streams import FRAME, INPUTS, NOISE, Draws, replica_generator

STATISTICS = ("population", "batch", "mean-only", "variance-only", "root-mean-square")
CENTRED, SCALED = ("batch", "mean-only"), ("batch", "variance-only", "root-mean-square")
SMALLEST = {"population": 1, "batch": 3, "mean-only": 2, "variance-only": 2, "root-mean-square": 2}


@dataclass(frozen=True)
class PerceptronSetup:
    """What is simulated; gain, cosine and norm are gamma, J.B/|J| and |J| at the start, exact at every N.

    ``statistics``: m and s are 0 and |J| (``population``: weight normalization); the batch's mean and standard
    deviation (``batch``); its mean and |J| (``mean-only``); 0 and its standard deviation (``variance-only``);
    0 and its root mean square.  ``independent`` takes them from a second batch of as many samples.  They are
    differentiated through in every case.  One step: J -= (learning_rate / N) dloss/dJ, gamma -=
    (learning_rate / N) (dloss/dgamma + gain_decay gamma), of the loss (target - output)^2 / 2 averaged over
    ``batch_size`` fresh samples.  Inputs have variance one; ``label_noise`` is a standard deviation.
    """

    activation: str = "relu"
    statistics: str = "population"
    independent: bool = False
    learning_rate: float = 0.5
    gain_decay: float = 0.0
    batch_size: int = 1
    label_noise: float = 0.0
    input_law: str = "gaussian"
    gain: float = 1.0
    cosine: float = 0.0
    norm: float = 1.0

    def __post_init__(self) -> None:
        if self.statistics not in STATISTICS:
            raise unknown_name("statistics", self.statistics, STATISTICS)
        if not -1 <= self.cosine <= 1:
            raise InputError(f"cosine is R = J.B / (|J| |B|), in [-1, 1], not {self.cosine!r}")
        for name in ("gain", "norm", "learning_rate"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"{name} must be a positive number, not {getattr(self, name)!r}")
        for name in ("gain_decay", "label_noise"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name} must be a number of at least 0, not {getattr(self, name)!r}")
        needed = 1 if self.independent and self.statistics == "mean-only" else SMALLEST[self.statistics]
        if self.batch_size < needed:
            raise InputError(
                f'statistics = "{self.statistics}" needs a batch_size of at least {needed}, not '
                f"{self.batch_size}: with fewer the normalized fields do not depend on the weights"
            )
        if self.independent and self.statistics == "population":
            raise InputError("independent statistics are those of a second batch; the population's are none")


@dataclass(frozen=True)
class PerceptronRun:
    """gain, cosine, norm: gamma, R, L of each replica at each recorded time, (S, P); ``time`` is steps / N."""

    time: np.ndarray
    gain: np.ndarray
    cosine: np.ndarray
    norm: np.ndarray

    @property
    def entries(self) -> np.ndarray:
        """gamma, R, L behind each other, (S, P, 3)."""
        return np.stack([self.gain, self.cosine, self.norm], axis=-1)


def simulate_perceptron(
    setup: PerceptronSetup,
    times: Sequence[float] | np.ndarray,
    replicas: int,
    size: int,
    seed: int = 0,
    xp: Any = np,
    start: tuple[np.ndarray, np.ndarray] | None = None,
    mirrored: bool = False,
) -> PerceptronRun:
    """``replicas`` independent runs with N = ``size`` inputs, recorded at ascending ``times`` (steps / N).

    ``start``: gains (S) and cosines (S) of the replicas, instead of the setup's.  ``mirrored``: they start on the
    other side of the teacher, with the same inputs.  A replica that diverged holds inf or NaN.
    """
    if size < 2:
        raise InputError(f"size (N) must be at least 2, to realize an angle, not {size}")
    steps = np.rint(np.asarray(times, dtype=float) * size).astype(int)
    if len(steps) == 0 or steps[0] < 0 or (np.diff(steps) < 0).any():
        raise InputError("times must be a list of numbers of at least 0, in ascending order")
    unit = _Unit(setup, replicas, size, seed, xp, start, mirrored)
    records = np.empty((len(steps), 3, replicas))
    recorded = 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for step in range(int(steps[-1]) + 1):
            while recorded < len(steps) and steps[recorded] == step:
                records[recorded] = unit.order_parameters()
                recorded += 1
            if step < steps[-1]:
                unit.step(step)
    gain, cosine, norm = records.transpose(1, 2, 0)
    return PerceptronRun(steps / size, gain, cosine, norm)


class _Unit:
    """The weights of all replicas and their stochastic gradient descent."""

    def __init__(
        self, setup: PerceptronSetup, replicas: int, size: int, seed: int, xp: Any,
        start: tuple[np.ndarray, np.ndarray] | None, mirrored: bool = False,
    ) -> None:  # fmt: skip
        self.setup, self.size, self.xp = setup, size, xp
        self.phi = activation(setup.activation, xp)
        gains, cosines = start or (np.full(replicas, setup.gain), np.full(replicas, setup.cosine))
        streams = (seed, size)
        first, second = _frames(streams, replicas, size)
        sines = (-1 if mirrored else 1) * np.sqrt(1 - np.asarray(cosines) ** 2)
        self.gain = xp.asarray(np.array(gains, dtype=float))
        self.B = xp.asarray(first)
        self.J = xp.asarray(setup.norm * (np.asarray(cosines)[:, None] * first + sines[:, None] * second))
        samples = setup.batch_size * (2 if setup.independent else 1)
        law = input_law(setup.input_law, xp, np.float64)
        self.inputs = Draws(streams, replicas, INPUTS, (samples, size), law, xp)
        self.noise = Draws(streams, replicas, NOISE, (setup.batch_size,), _normal, xp)

    def order_parameters(self) -> np.ndarray:
        """gamma, R, L, (3, S)."""
        norm = self.xp.sqrt((self.J**2).sum(axis=1))
        return np.stack([to_host(a) for a in (self.gain, (self.J * self.B).sum(axis=1) / norm, norm)])

    def step(self, step: int) -> None:
        """One step in every replica."""
        setup, xp, rate = self.setup, self.xp, self.setup.learning_rate / self.size
        inputs = self.inputs.at(step)
        batch, source = inputs[:, : setup.batch_size], inputs[:, -setup.batch_size :]
        x, target = _fields(batch, self.J, xp), self.phi.value(_fields(batch, self.B, xp))
        if setup.label_noise:
            target = target + setup.label_noise * self.noise.at(step)
        z = _fields(source, self.J, xp) if setup.independent else x
        mean = z.mean(axis=1, keepdims=True)
        m = mean if setup.statistics in CENTRED else xp.zeros_like(mean)
        deviations = z if setup.statistics == "root-mean-square" else z - mean
        square = (self.J**2).sum(axis=1, keepdims=True)
        scaled = setup.statistics in SCALED
        s = xp.sqrt((deviations**2).mean(axis=1, keepdims=True) if scaled else square)

        normalized = (x - m) / s
        h = self.gain[:, None] * normalized
        signals = (self.phi.value(h) - target) * self.phi.derivative(h)
        gain_slope = (signals * normalized).mean(axis=1, keepdims=True)
        # dloss/dJ through the fields themselves, through the mean, and through the deviation.
        pull = -signals.mean(axis=1, keepdims=True) if setup.statistics in CENTRED else 0.0
        through_source = pull - gain_slope * deviations / s if scaled else pull + xp.zeros_like(z)
        gradient = _combined(batch, signals, xp) + _combined(source, through_source, xp)
        scale = self.gain[:, None] / s
        gradient = scale * gradient / setup.batch_size
        if not scaled:
            gradient = gradient - scale * gain_slope * self.J / s
        self.J = self.J - rate * gradient
        self.gain = self.gain - rate * (gain_slope[:, 0] + setup.gain_decay * self.gain)


def _frames(seed: tuple[int, ...], replicas: int, size: int) -> np.ndarray:
    """Two orthonormal directions of each replica, (2, S, N)."""
    frames = np.empty((2, replicas, size))
    for r in range(replicas):
        draw = replica_generator(seed, r, FRAME, segment=1).standard_normal((size, 2))
        frames[:, r] = np.linalg.qr(draw)[0].T
    return frames


def _fields(inputs: Array, weights: Array, xp: Any) -> Array:
    """weights.xi of each sample, (S, M)."""
    return xp.matmul(inputs, weights[:, :, None])[..., 0]


def _combined(inputs: Array, coefficients: Array, xp: Any) -> Array:
    """The sum of coefficient times input over samples, (S, N)."""
    return xp.matmul(coefficients[:, None, :], inputs)[:, 0]


def _normal(rng: Any, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)
