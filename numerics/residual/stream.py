"""Moments of the residual stream after every block, without and with batch normalization."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from derive.residual import branch, walk, weight_gain
from derive.residual.symbols import chi, first_gain, second_gain
from numerics.residual.law import Law
from numerics.runtime.errors import InputError

STAGES = 3


@dataclass(frozen=True)
class Moments:
    """Mean and mean square of the stream over channels, after the first layer and after every block."""

    mean: np.ndarray
    square: np.ndarray


@dataclass(frozen=True)
class NormalizedMoments(Moments):
    """With the mean product for two inputs, whose steps are independent in a large batch."""

    overlap: np.ndarray


def branch_variance(square: float, scheme: str, widening: int = 1) -> float:
    """The variance of what a block adds to a stream of this mean square."""
    gains = {first_gain: weight_gain(scheme, widening), second_gain: weight_gain(scheme)}
    return float(branch().variance.right.xreplace(gains).subs(chi, square))


def unnormalized_stream(blocks: int, scheme: str) -> Moments:
    """Three stages of ``blocks`` blocks, zero-padding shortcuts, no normalization.

    In units where the first layer's preactivation has variance 1: the stream is proportional to it.
    """
    check_blocks(blocks)
    law = Law.zero().step(1.0)
    found = [law]
    for block in range(STAGES * blocks):
        widens = block > 0 and block % blocks == 0
        variance = branch_variance(law.moment(2), scheme, 2 if widens else 1)
        law = (law.padded(0.5) if widens else law).step(variance)
        found.append(law)
    return Moments(np.array([law.moment(1) for law in found]), np.array([law.moment(2) for law in found]))


def normalized_stream(blocks: int) -> NormalizedMoments:
    """The same with batch normalization after every convolution, gains 1 and shifts 0: closed sums.

    A channel that padding added has walked since then only; channels of different ages are a mixture.
    Normalization centres the steps over the batch, so that those of two inputs that are alike in law are
    uncorrelated but for one part in the size of the batch: given its age, a channel's streams are independent.
    """
    check_blocks(blocks)
    ages, shares = np.array([1]), np.array([1.0])
    mean, square, overlap = [], [], []
    for block in range(STAGES * blocks + 1):
        if block:
            if block > 1 and (block - 1) % blocks == 0:
                ages, shares = np.append(ages, 0), np.append(shares / 2, 0.5)
            ages = ages + 1
        moments = np.array([_walk(int(age)) for age in ages])
        mean.append(shares @ moments[:, 0])
        square.append(shares @ moments[:, 1])
        overlap.append(shares @ moments[:, 0] ** 2)
    return NormalizedMoments(np.array(mean), np.array(square), np.array(overlap))


@cache
def _walk(steps: int) -> tuple[float, float]:
    first, second = walk(steps)
    return float(first), float(second)


def check_blocks(blocks: int) -> None:
    """Raise InputError unless a stage has blocks."""
    if blocks < 1:
        raise InputError(f"a stage needs at least 1 block, not {blocks}")
