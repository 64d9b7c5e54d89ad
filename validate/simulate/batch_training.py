"""Batch normalization trained on a fixed set of examples by stochastic gradient descent.

The student is phi(gamma (w.x_j - m) / s).  By default m is zero and s the root mean square of w.x over the batch, as
in luo2019 (Sec. 4); else m is the batch's mean, or s its deviation, or both, or neither (weight normalization).
Batches of M examples are drawn without replacement, anew in every epoch, and gradients go through m and s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from numerics.runtime.errors import InputError, unknown_name
from validate.simulate.perceptron import CENTRED, SCALED, STATISTICS
from validate.simulate.regression import Examples, output


@dataclass(frozen=True)
class Trained:
    """The trained student.

    ``weights`` are effective ones: phi(weights.x) is the student with the statistics of the training set, as
    running averages have them at test time, and the mean zero of all fields.  ``gain``: gamma.  ``change``: what the
    last tenth of the epochs changed of the effective weights, relative to their norm.
    """

    weights: np.ndarray
    gain: float
    change: float


def train_with_batches(
    examples: Examples, batch: int, student: str, epochs: int, seed: int | tuple[int, ...], rate: float = 0.5,
    statistics: str = "root-mean-square",
) -> Trained:  # fmt: skip
    """Train for ``epochs``; the learning rate falls linearly to 0 over their second half.

    A step is w -= rate * (gradient of the batch's summed loss), and gamma by its mean; |w|^2 = N is restored
    after every step, which the loss does not see, so that the effective rate stays ``rate``.  The start is the
    smallest direction that learning can leave: along the inputs' correlation with the targets.

    Raises InputError for a batch larger than the examples, or smaller than 2.
    """
    count = len(examples.targets)
    if statistics not in STATISTICS:
        raise unknown_name("statistics", statistics, STATISTICS)
    if not 2 <= batch <= count:
        raise InputError(f"a batch must hold at least 2 and at most all {count} examples, not {batch}")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    inputs = examples.inputs.astype(np.float32)
    targets = examples.targets.astype(np.float32)
    size = examples.size
    w = targets @ inputs
    w *= np.float32(np.sqrt(size) / np.linalg.norm(w))
    gain = 1.0
    whole = count // batch * batch
    early = np.zeros(size)
    for epoch in range(epochs):
        if epoch == epochs - max(1, epochs // 10):
            early = _effective(examples, w, gain, statistics)
        now = rate * min(1.0, 2 * (1 - epoch / epochs))
        order = rng.permutation(count)[:whole].reshape(-1, batch)
        for rows in order:
            x, t = inputs[rows], targets[rows]
            field = x @ w
            deviations = field if statistics == "root-mean-square" else field - field.mean()
            s = np.sqrt((deviations**2).mean()) if statistics in SCALED else np.float32(1)
            normalized = (deviations if statistics in CENTRED else field) / s
            h = gain * normalized
            signal = output(h, student) - t
            if student == "relu":
                signal = signal * (h > 0)
            along = (signal * normalized).mean()
            pull = signal - signal.mean() if statistics in CENTRED else signal
            if statistics in SCALED:
                pull = pull - along * deviations / s
            w -= np.float32(now) * (((gain / s) * pull) @ x)
            w *= np.float32(np.sqrt(size) / np.linalg.norm(w))
            gain -= now * float(along)
    weights = _effective(examples, w, gain, statistics)
    change = float(np.linalg.norm(weights - early) / np.linalg.norm(weights))
    return Trained(weights, float(gain), change)


def _effective(examples: Examples, w: np.ndarray, gain: float, statistics: str) -> np.ndarray:
    field = examples.inputs @ w.astype(float)
    if statistics not in SCALED:
        return gain * w.astype(float)
    return gain * w.astype(float) / (np.sqrt((field**2).mean()) if statistics == "root-mean-square" else field.std())
