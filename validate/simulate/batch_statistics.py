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
from validate.simulate.arrays import Array
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


def normalized(t: Array, source: Array, kind: str, xp: Any = np) -> Array:
    """t (batches, samples, ...) by the statistics of ``source`` over its axis 1; a constant batch is left unscaled."""
    m = source.mean(axis=1, keepdims=True)
    if kind == "root-mean-square":
        scale = xp.sqrt((source**2).mean(axis=1, keepdims=True))
    else:
        scale = source.std(axis=1, keepdims=True)
    centred = t - m if kind in ("batch", "mean-only") else t
    return centred if kind == "mean-only" else centred / xp.where(scale > 0, scale, 1.0)


def sample(draw: Draw, batches: int, rng: Any, xp: Any = np) -> dict[str, Array]:
    """For each of ``batches``: m and q = mean square - 1; s and 1/s of the standard deviation (1 for a constant
    batch); averaged over the batch, the loss (target - output)^2 / 2 and its slope in the gain, less the same with
    the population's normalization (``excess``, ``slope_excess``); <target phi(z)> and <phi(z)^2> of the normalized z
    (``overlap``, ``square``), and what they are more than the same of t (``overlap_excess``, ``square_excess``)."""
    shape = (batches, draw.samples)
    law = _law(draw.law, xp)
    t, e = law(rng, shape), rng.standard_normal(shape)
    source = law(rng, shape) if draw.independent else t
    s = source.std(axis=1)
    s = xp.where(s > 0, s, 1.0)
    z = normalized(t, source, draw.kind, xp)
    phi = activation(draw.activation, xp)
    target = phi.value(draw.cosine * t + math.sqrt(1 - draw.cosine**2) * e)
    here, there = target - phi.value(draw.gain * z), target - phi.value(draw.gain * t)
    slope = there * phi.derivative(draw.gain * t) * t - here * phi.derivative(draw.gain * z) * z
    raised, plain = phi.value(z), phi.value(t)
    return {
        "m": source.mean(axis=1), "q": (source**2).mean(axis=1) - 1, "s": s, "inverse": 1 / s,
        "excess": (here**2 - there**2).mean(axis=1) / 2, "slope_excess": slope.mean(axis=1),
        "overlap": (target * raised).mean(axis=1), "square": (raised**2).mean(axis=1),
        "overlap_excess": (target * (raised - plain)).mean(axis=1),
        "square_excess": (raised**2 - plain**2).mean(axis=1),
    }  # fmt: skip


def _law(name: str, xp: Any) -> Any:
    if name == "exponential":
        return lambda rng, shape: -xp.log(1 - rng.random(shape)) - 1
    return input_law(name, xp, np.float64)
