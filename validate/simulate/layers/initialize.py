"""Random initial weights by the schemes in use."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numerics.runtime.errors import unknown_name
from validate.simulate.arrays import Array

INITIALIZATIONS: dict[str, Callable[[int, int], tuple[str, float]]] = {
    "xavier": lambda fan_in, fan_out: ("normal", math.sqrt(2 / (fan_in + fan_out))),
    "xavier-uniform": lambda fan_in, fan_out: ("uniform", math.sqrt(6 / (fan_in + fan_out))),
    "he": lambda fan_in, fan_out: ("normal", math.sqrt(2 / fan_in)),
    "torch": lambda fan_in, fan_out: ("uniform", 1 / math.sqrt(fan_in)),
}
"""The law of a weight by name, from the numbers of inputs and outputs of its layer: a normal law with this
standard deviation, or a uniform one on both sides of zero up to this bound."""


def draw_weights(
    shape: tuple[int, ...], scheme: str, generator: np.random.Generator, dtype: Any = np.float64, xp: Any = np
) -> Array:
    """Weights (out, in) or kernels (out, in, k, k) drawn by a scheme of ``INITIALIZATIONS``.

    Drawn by numpy's generator whatever ``xp`` is, so that a seed means the same network everywhere.
    """
    if scheme not in INITIALIZATIONS:
        raise unknown_name("initialization", scheme, INITIALIZATIONS)
    field = math.prod(shape[2:])
    law, width = INITIALIZATIONS[scheme](shape[1] * field, shape[0] * field)
    draw = generator.standard_normal(shape) if law == "normal" else generator.uniform(-1, 1, shape)
    return xp.asarray((width * draw).astype(dtype))
