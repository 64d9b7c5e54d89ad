"""Sampling weights from exp(-beta training loss - beta ridge |w|^2 / 2), by Hamiltonian Monte Carlo.

The loss of regression.py, summed over the examples.  Each set of examples carries two chains, whose overlap is
that of two replicas.  Shapes: S sets of examples, two chains, P examples, N inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from numerics.runtime.errors import InputError
from validate.simulate.regression import Examples, generalization_error, output

TARGET = 0.8
"""The share of proposals to be accepted, which sets the step."""


@dataclass(frozen=True)
class Sampled:
    """Averages over the sampled sweeps, each (S): |w|^2/N, the overlap of the two chains, w.B/N, the training
    loss of an example, the generalization error; and the share of accepted proposals.

    ``drift``: each average's second half less its first, (S, 5), which is 0 in equilibrium.
    """

    Q: np.ndarray
    q: np.ndarray
    R: np.ndarray
    training_loss: np.ndarray
    error: np.ndarray
    accepted: float
    drift: np.ndarray


def sample_posterior(
    sets: Sequence[Examples], beta: float, ridge: float, student: str, sweeps: int, burn: int, seed: int,
    leaps: int = 16,
) -> Sampled:  # fmt: skip
    """Run two chains a set from independent starts: ``burn`` sweeps, cooled from beta = 1 to ``beta`` over their
    first half, then ``sweeps``.

    A sweep is one trajectory of ``leaps`` leapfrog steps, of random length; the step is adapted while burning.

    Raises InputError for a temperature or a ridge that is not positive.
    """
    if not (np.isfinite(beta) and beta > 0 and ridge > 0):
        raise InputError(f"sampling needs a positive finite beta and ridge, not {beta:g} and {ridge:g}")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    x = np.stack([e.inputs for e in sets])
    t = np.stack([e.targets for e in sets])[:, None]
    teacher = np.stack([e.teacher for e in sets])
    shape = (len(sets), 2, x.shape[2])
    back = np.ascontiguousarray(np.swapaxes(x, 1, 2))

    def energy(w: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """beta times the energy (S, 2), its gradient, and the summed loss."""
        field = w @ back
        rest = output(field, student) - t
        loss = (rest**2).sum(axis=-1) / 2
        if student == "relu":
            rest = rest * (field > 0)
        return beta * (loss + ridge * (w**2).sum(axis=-1) / 2), beta * (rest @ x + ridge * w), loss

    w = rng.standard_normal(shape) / np.sqrt(max(1.0, ridge))
    step = 1.0 / np.sqrt(np.linalg.norm(x[0], 2) ** 2 + ridge)
    records, accepted = [], 0.0
    for sweep in range(burn + sweeps):
        # Cooled over the first half of the burning, so that chains do not freeze where they start.
        now = beta * min(1.0, beta ** (2 * sweep / max(burn, 1) - 1)) if beta > 1 else beta
        value, slope, loss = energy(w, now)
        momentum = rng.standard_normal(shape)
        start = value + (momentum**2).sum(axis=-1) / 2
        length = step * rng.uniform(0.5, 1.0) / np.sqrt(now)
        at, force = w, slope
        for _ in range(leaps):
            momentum = momentum - length / 2 * force
            at = at + length * momentum
            ahead, force, lost = energy(at, now)
            momentum = momentum - length / 2 * force
        change = start - ahead - (momentum**2).sum(axis=-1) / 2
        chance = np.exp(np.minimum(change, 0.0))
        taken = rng.random(change.shape) < chance
        w = np.where(taken[..., None], at, w)
        loss = np.where(taken, lost, loss)
        if sweep < burn:
            step *= np.exp(0.1 * (float(chance.mean()) - TARGET))
            continue
        accepted += float(taken.mean()) / sweeps
        records.append(_record(w, teacher, loss / t.shape[-1], student))
    series = np.stack(records)
    half = len(series) // 2
    drift = series[half:].mean(axis=0) - series[:half].mean(axis=0)
    Q, q, R, training, error = series.mean(axis=0).T
    return Sampled(Q, q, R, training, error, accepted, drift)


def _record(w: np.ndarray, teacher: np.ndarray, loss: np.ndarray, student: str) -> np.ndarray:
    """The five averages over the two chains, (S, 5)."""
    size = w.shape[-1]
    errors = np.stack([generalization_error(c, b, student).mean() for c, b in zip(w, teacher, strict=True)])
    return np.stack(
        [
            (w**2).sum(axis=-1).mean(axis=1) / size,
            (w[:, 0] * w[:, 1]).sum(axis=-1) / size,
            (w @ teacher[..., None])[..., 0].mean(axis=1) / size,
            loss.mean(axis=1),
            errors,
        ],
        axis=-1,
    )
