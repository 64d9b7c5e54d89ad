"""The simulators on a CUDA device: a block of threads a replica, the random numbers of the C kernels."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from validate.simulate.chain import Chain
from validate.simulate.compiled import Compiled, kernel_text
from validate.simulate.direct import Direct
from validate.simulate.streams import COMPILED_CHAIN, COMPILED_DIRECT

THREADS = {"direct": 256, "chain": 128}

SCRATCH_BYTES = 1 << 30
"""Random numbers that all blocks together may hold; with fewer blocks than replicas, a block does several."""

GROUP = 64
"""Steps whose normals the chain draws together, as in ``kernel/chain.c``."""


def device_text(method: str, real: str) -> str:
    """The CUDA text of ``direct`` or ``chain``."""
    chi = ("chain_parts.c",) if method == "chain" else ()
    return kernel_text(real, ("random.c", "committee.c", *chi, "block.cu", f"{method}.cu"))


@cache
def _kernel(method: str, real: str) -> Any:
    import cupy

    options = ("--std=c++17", "--device-as-default-execution-space")
    return cupy.RawModule(code=device_text(method, real), options=options).get_function(f"{method}_blocks")


class Device(Compiled):
    """Every replica by a block of threads."""

    method: str

    def numbers(self) -> int:
        """The random numbers that one block keeps."""
        raise NotImplementedError

    def advance(self, first: int, last: int) -> None:
        xp, setup, replicas = self.xp, self.setup, len(self.g)
        K, b = setup.students, setup.batch_size
        numbers, memory = self.numbers(), b * (4 * K + setup.teachers) + 6 * K + 4 * K * K
        real = np.dtype(self.dtype)
        blocks = max(1, min(replicas, SCRATCH_BYTES // (numbers * real.itemsize)))
        problem = xp.asarray(np.frombuffer(bytes(self.problem), np.uint8))
        bounds = (np.int64(bound) for bound in (replicas, first, last))
        scratch = (
            xp.empty(blocks * numbers, real), np.int64(numbers),
            xp.empty(blocks * memory), np.int64(memory),
        )  # fmt: skip
        kernel = _kernel(self.method, "double" if real == np.float64 else "float")
        kernel((blocks,), (THREADS[self.method],), (problem, *self.arrays(), *bounds, *scratch))


class DeviceDirect(Device, Direct):
    """``Direct`` by its CUDA kernel, in double or single precision."""

    method, purpose, kernel_arrays = "direct", COMPILED_DIRECT, ("weights",)

    def numbers(self) -> int:
        return self.setup.batch_size * _fours(self.size) + _fours(self.setup.batch_size)


class DeviceChain(Device, Chain):
    """``Chain`` by its CUDA kernel."""

    method, purpose, kernel_arrays = "chain", COMPILED_CHAIN, ("aligned", "apart", "teachers")

    def numbers(self) -> int:
        b, units, rank = self.setup.batch_size, self.setup.students + self.setup.teachers, self.rank
        drawn = (b * units, b, rank * (rank - 1) // 2)
        return sum(_fours(GROUP * count) for count in drawn)


def _fours(count: int) -> int:
    """Normals come in blocks of four."""
    return 4 * -(-count // 4)
