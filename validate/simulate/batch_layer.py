"""Two units of a hidden layer under batch normalization, drawn, and the loss of the network above them.

Preactivations t are Gaussian, of variance one and a given correlation.  Above them stand a layer of two tanh units
(the normalized ones), one of two softplus units and a logistic output o; a label is 1 with probability
expit(SLOPES . t).  The loss, log(1 + e^o) - label o, is averaged over the label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError, unknown_name
from validate.simulate.activations import activation
from validate.simulate.arrays import Array, special_functions
from validate.simulate.batch_statistics import KINDS, normalized

GAINS, SHIFTS = (1.1, 0.8), (0.3, -0.2)
UPPER = ((0.9, -0.7), (0.6, 1.2))
OUTPUT = (1.3, -0.9)
SLOPES = (1.5, -0.5)


@dataclass(frozen=True)
class LayerDraw:
    """Batches of ``samples`` pairs of preactivations, normalized in one way."""

    samples: int = 32
    kind: str = "batch"
    independent: bool = False
    correlation: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("statistics", self.kind, KINDS)
        if self.samples < 2:
            raise InputError(f"a batch needs at least 2 samples for a deviation, not {self.samples}")
        if not -1 <= self.correlation <= 1:
            raise InputError(f"a correlation is in [-1, 1], not {self.correlation!r}")


def sample_layer(draw: LayerDraw, batches: int, rng: Any, xp: Any = np) -> dict[str, Array]:
    """For each of ``batches``: the loss less that under the population's statistics, averaged over the batch
    (``excess``), and m and q of the two units, (batches, 2)."""

    def pairs() -> Array:
        independent = rng.standard_normal((batches, draw.samples, 2))
        second = draw.correlation * independent[..., 0] + math.sqrt(1 - draw.correlation**2) * independent[..., 1]
        return xp.stack([independent[..., 0], second], axis=-1)

    t = pairs()
    source = pairs() if draw.independent else t
    z = normalized(t, source, draw.kind, xp)
    label = special_functions(xp).expit(SLOPES[0] * t[..., 0] + SLOPES[1] * t[..., 1])
    excess = _loss(z, label, xp) - _loss(t, label, xp)
    return {"excess": excess.mean(axis=1), "m": source.mean(axis=1), "q": (source**2).mean(axis=1) - 1}


def _loss(z: Array, label: Array, xp: Any) -> Array:
    softplus = activation("softplus", xp).value
    hidden = [xp.tanh(GAINS[k] * z[..., k] + SHIFTS[k]) for k in range(2)]
    upper = [softplus(row[0] * hidden[0] + row[1] * hidden[1]) for row in UPPER]
    output = OUTPUT[0] * upper[0] + OUTPUT[1] * upper[1]
    return softplus(output) - label * output
