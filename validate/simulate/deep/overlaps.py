"""Order parameters of networks that are built: overlaps of their signals between pairs of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from numerics.runtime.devices import to_host
from numerics.runtime.errors import InputError
from validate.simulate.arrays import Array
from validate.simulate.deep.architecture import Architecture
from validate.simulate.deep.network import PARAMETERS, Network, draw, gaussian_inputs
from validate.simulate.streams import Seed


@dataclass(frozen=True)
class Overlaps:
    """Of the first output, on S networks and L layers: means over samples t and pairs s < t, and their squares.

    ``forward`` is h^(l-1)(s).h^(l-1)(t) / M_(l-1) and ``backward`` delta^l(s).delta^l(t), for l = 1..L.
    """

    forward: np.ndarray
    """s = t, mean (S, L)."""
    forward_pairs: np.ndarray
    backward: np.ndarray
    backward_pairs: np.ndarray
    """s < t, mean (S, L)."""
    backward_squares: np.ndarray
    """The mean square over pairs (S, L)."""


def overlaps(
    shape: Architecture, samples: int, replicas: int, *, seed: Seed = 0, xp: Any = np, dtype: Any = np.float64
) -> Overlaps:
    """Measure them on ``replicas`` networks whose hidden layers keep samples apart."""
    if samples < 2:
        raise InputError(f"overlaps of pairs need at least 2 samples, not {samples}")
    if shape.mixes_samples:
        raise InputError("backward overlaps are those of networks whose hidden layers keep samples apart")
    pairs = np.triu_indices(samples, 1)
    found = []
    for replica in range(replicas):
        network = Network(shape, draw(shape, seed, replica, PARAMETERS, xp, dtype), xp)
        trace = network.forward(gaussian_inputs(shape, samples, seed, replica, xp, dtype))
        unit = xp.zeros_like(trace.outputs)
        unit[:, 0] = 1
        forward = [_gram(h) / h.shape[1] for h in trace.inputs]
        backward = [_gram(d) for d in network.deltas(trace, unit)]
        found.append([
            [np.diag(g).mean() for g in forward], [g[pairs].mean() for g in forward],
            [np.diag(g).mean() for g in backward], [g[pairs].mean() for g in backward],
            [(g[pairs] ** 2).mean() for g in backward],
        ])  # fmt: skip
    return Overlaps(*np.array(found).swapaxes(0, 1))


def _gram(signals: Array) -> np.ndarray:
    return to_host(signals @ signals.T)
