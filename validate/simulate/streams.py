"""Random numbers of many replicas.

Each (seed, N, replica, purpose, segment of 1024 steps) has its own stream, spawned from numpy's SeedSequence.
So a replica's numbers depend neither on how many replicas run beside it nor on the times recorded, and a run
resumed at the start of a segment needs no generator state. On cupy one stream serves all replicas of a
purpose and segment, since a launch per replica would cost more than the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from validate.simulate.arrays import Array

SEGMENT = 1024
"""Steps after which the streams are keyed anew."""

BLOCK_NUMBERS = 1 << 12
"""Numbers drawn at a time for one replica: enough to amortize the call, few enough to stay in cache."""

BUFFER_NUMBERS = 1 << 22
"""Numbers drawn at a time for all replicas, at most: 32 MiB."""

FRAME, INPUTS, NOISE = range(3)
CHAIN_INPUTS, CHAIN_NOISE, CHAIN_LENGTH, CHAIN_MIXING = range(3, 7)
COMPILED_DIRECT, COMPILED_CHAIN = range(7, 9)
"""The purposes a replica draws for. Runs of one seed by different methods, or at different N, share
nothing but the draw of their initial weights, so they may be compared and combined as independent."""

Seed = int | tuple[int, ...]
"""A seed, or a tuple of what else the streams depend on."""

Sampler = Callable[[Any, tuple[int, ...]], Array]
"""Takes a generator and a shape, returns that many random numbers."""


def replica_generator(seed: Seed, replica: int, purpose: int, segment: int = 0) -> np.random.Generator:
    """The generator of one replica, purpose and segment."""
    sequence = np.random.SeedSequence(seed, spawn_key=(replica, purpose, segment))
    return np.random.Generator(np.random.SFC64(sequence))


class Draws:
    """The random numbers ``sampler`` makes for one purpose: an array of ``shape`` a replica and step."""

    def __init__(
        self, seed: Seed, replicas: int, purpose: int, shape: tuple[int, ...], sampler: Sampler, xp: Any
    ) -> None:
        self.seed, self.replicas, self.purpose, self.shape = seed, replicas, purpose, shape
        self.sampler, self.xp = sampler, xp
        numbers = max(1, math.prod(shape))
        fitting = max(1, min(SEGMENT, BLOCK_NUMBERS // numbers, BUFFER_NUMBERS // (numbers * replicas)))
        self.block = 1 << (fitting.bit_length() - 1)  # a power of two divides the segment
        self.buffer: Array = None

    def at(self, step: int) -> Array:
        """The numbers of a step, (replicas, *shape). Steps must come in order, from the start of a
        segment."""
        place = step % self.block
        if step % SEGMENT == 0:
            self.generators = self._open(step // SEGMENT)
        if place == 0:
            self._fill()
        return self.buffer[:, place]

    def _open(self, segment: int) -> list[Any]:
        if self.xp is np:
            return [replica_generator(self.seed, r, self.purpose, segment) for r in range(self.replicas)]
        sequence = np.random.SeedSequence(self.seed, spawn_key=(self.purpose, segment))
        return [
            self.xp.random.Generator(
                self.xp.random.Philox4x3210(int(sequence.generate_state(1, np.uint64)[0]))
            )
        ]

    def _fill(self) -> None:
        if self.xp is not np:
            self.buffer = self.sampler(self.generators[0], (self.replicas, self.block, *self.shape))
            return
        for r, generator in enumerate(self.generators):
            numbers = self.sampler(generator, (self.block, *self.shape))
            if self.buffer is None:
                self.buffer = np.empty((self.replicas, *numbers.shape), numbers.dtype)
            self.buffer[r] = numbers
