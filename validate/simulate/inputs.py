"""Laws of one input component, all of mean zero and variance one."""

from __future__ import annotations

import math
from typing import Any

from numerics.runtime.errors import unknown_name
from validate.simulate.streams import Sampler

HEAVY_TAIL_DEGREES = 5
"""Degrees of freedom of the heavy-tailed law, a Student t: kurtosis 9, and no sixth moment."""


def input_law(name: str, xp: Any, dtype: Any) -> Sampler:
    """The sampler of a law: ``gaussian``; ``binary`` (+1 or -1); ``uniform`` on [-sqrt 3, sqrt 3];
    ``heavy-tailed`` (Student t with 5 degrees of freedom, scaled to variance one)."""
    laws = {
        "gaussian": lambda rng, shape: rng.standard_normal(shape, dtype=dtype),
        "binary": lambda rng, shape: (2 * rng.integers(0, 2, shape) - 1).astype(dtype),
        "uniform": lambda rng, shape: (rng.random(shape, dtype=dtype) - dtype(0.5)) * dtype(math.sqrt(12)),
        "heavy-tailed": lambda rng, shape: _heavy_tailed(rng, shape, xp, dtype),
    }
    if name not in laws:
        raise unknown_name("input law", name, laws)
    return laws[name]


def _heavy_tailed(rng: Any, shape: tuple[int, ...], xp: Any, dtype: Any) -> Any:
    # Bailey (1994): sqrt(nu (U^(-2/nu) - 1)) cos(2 pi V) of uniform U, V is Student's t, of variance nu / (nu
    # - 2).
    nu = HEAVY_TAIL_DEGREES
    uniform = rng.random((*shape, 2))
    length = xp.sqrt((nu - 2) * ((1 - uniform[..., 0]) ** (-2 / nu) - 1))
    return (length * xp.cos(2 * math.pi * uniform[..., 1])).astype(dtype)
