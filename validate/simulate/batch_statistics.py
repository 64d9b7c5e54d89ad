"""Batches of normalized preactivations, drawn: moments of their statistics, and losses under them.

Preactivations t of mean zero and variance one, from several laws; the teacher's field is c t + sqrt(1 - c^2) e
with Gaussian e.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError, unknown_name
from validate.simulate.activations import activation
from validate.simulate.inputs import input_law

LAWS = ("gaussian", "uniform", "binary", "exponential")
"""Excess kurtosis 0, -6/5, -2 and 6; the last is skewed, with skewness 2."""
KINDS = ("batch", "mean-only", "variance-only", "root-mean-square")


@dataclass(frozen=True)
class Draw:
    """What is drawn: batches of ``samples`` preactivations of a law, normalized in one way."""

    law: str = "gaussian"
    samples: int = 32
    kind: str = "batch"
    independent: bool = False
    activation: str = "identity"
    gain: float = 1.0
    cosine: float = 0.5

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise unknown_name("law", self.law, LAWS)
        if self.kind not in KINDS:
            raise unknown_name("statistics", self.kind, KINDS)
        if self.samples < 2:
            raise InputError(f"a batch needs at least 2 samples for a deviation, not {self.samples}")


def sample(draw: Draw, batches: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """For each of ``batches``: m and q = mean square - 1; s and 1/s of the standard deviation; the loss
    (target - output)^2 / 2 averaged over the batch less the same with the population's normalization
    (``excess``); <target phi(z)> and <phi(z)^2> of the normalized z (``overlap``, ``square``), and what they are
    more than the same of t (``overlap_excess``, ``square_excess``)."""
    shape = (batches, draw.samples)
    law = _law(draw.law)
    t, e = law(rng, shape), rng.standard_normal(shape)
    source = law(rng, shape) if draw.independent else t
    m = source.mean(axis=1)
    q = (source**2).mean(axis=1) - 1
    s = source.std(axis=1)
    s = np.where(s > 0, s, 1.0)  # a constant batch is left unscaled
    centre = m[:, None] if draw.kind in ("batch", "mean-only") else 0.0
    scale = {"mean-only": np.ones(batches), "root-mean-square": np.sqrt(1 + q)}.get(draw.kind, s)
    z = (t - centre) / scale[:, None]
    phi = activation(draw.activation, np).value
    target = phi(draw.cosine * t + math.sqrt(1 - draw.cosine**2) * e)
    excess = (target - phi(draw.gain * z)) ** 2 - (target - phi(draw.gain * t)) ** 2
    return {
        "m": m, "q": q, "s": s, "inverse": 1 / s, "excess": excess.mean(axis=1) / 2,
        "overlap": (target * phi(z)).mean(axis=1), "square": (phi(z) ** 2).mean(axis=1),
        "overlap_excess": (target * (phi(z) - phi(t))).mean(axis=1),
        "square_excess": (phi(z) ** 2 - phi(t) ** 2).mean(axis=1),
    }  # fmt: skip


def _law(name: str) -> Any:
    if name == "exponential":
        return lambda rng, shape: rng.standard_exponential(shape) - 1
    return input_law(name, np, np.float64)
