"""Growth per block without normalization: the fixed point of a self-similar recursion.

The branch has a^2 times the mean square of the stream.  Far from its start the stream, in units of its root
mean square, has a law that does not change: s and relu(s + a g) / sqrt(G) have the same one, with <s^2> = 1 and

    G = <relu(s + a g)^2>,      1 + a^2/2 <= G <= 1 + a^2

(what reflection removes is at most the square of the negative steps).  Logarithms of the mean square then grow
by ln G a block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from numerics.residual.law import Law
from numerics.residual.stream import branch_variance
from numerics.runtime.errors import InputError

TOLERANCE = 1e-13


@dataclass(frozen=True)
class Growth:
    """Factor of the mean square per block, the mean in units of the root mean square, the share of zeros."""

    factor: float
    mean: float
    zeros: float
    blocks: int
    """Blocks until the law no longer changed."""


def growth(scheme: str) -> Growth:
    """The growth between blocks of equal width, by iterating the law to its fixed point."""
    variance = branch_variance(1.0, scheme)
    law = Law.zero().step(1.0)
    law = law.rescaled(1 / math.sqrt(law.moment(2)))
    before = math.inf
    for blocks in range(1, 10_000):
        law = law.step(variance)
        factor = law.moment(2)
        law = law.rescaled(1 / math.sqrt(factor))
        if abs(factor - before) < TOLERANCE * factor:
            return Growth(factor, law.moment(1), law.atom, blocks)
        before = factor
    raise InputError(f"the growth under {scheme!r} did not settle")
