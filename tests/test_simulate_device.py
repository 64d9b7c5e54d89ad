"""The CUDA simulators without a device: compiled by NVRTC, and run on the processor, one thread a block."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from numerics.runtime.compiler import compile_shared, find_compiler
from tests.nvrtc import compiles
from tests.test_simulate_compiled import CASES, REPLICAS, N, make
from validate.simulate import device
from validate.simulate.compiled import CompiledChain, CompiledDirect
from validate.simulate.device import DeviceChain, DeviceDirect, device_text

# What CUDA gives a kernel, for blocks of one thread, which is a warp by itself.
SHIM = """static struct { long long x; } blockIdx, blockDim = { 1 }, gridDim, threadIdx;
#define KERNEL
#define LANES 1
#define __shfl_down_sync(mask, value, offset) 0
#define __syncthreads()
void choose_block(long long block, long long blocks) { blockIdx.x = block; gridDim.x = blocks; }
"""


@pytest.mark.parametrize(("method", "real"), [("direct", "double"), ("direct", "float"), ("chain", "double")])
def test_nvrtc_accepts_the_text(method: str, real: str) -> None:
    compiles(device_text(method, real), "--std=c++17", "--device-as-default-execution-space")


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device's kernels through C."""

    def kernel(method: str, real: str) -> Any:
        library = compile_shared(SHIM + device_text(method, real), f"device_{method}_{real}")

        def launch(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
            converted = [
                ctypes.c_void_p(value.ctypes.data) if isinstance(value, np.ndarray) else ctypes.c_int64(value)
                for value in arguments
            ]
            for number in range(grid[0]):
                library.choose_block(ctypes.c_int64(number), ctypes.c_int64(grid[0]))
                getattr(library, f"{method}_blocks")(*converted)

        return launch

    monkeypatch.setattr(device, "_kernel", kernel)


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("bytes_kept", [1, 1 << 30])
@pytest.mark.parametrize("case", CASES)
def test_the_direct_kernel_follows_its_twin_in_c(
    case: str, bytes_kept: int, processor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 steps on the same random numbers, all replicas in one block or each in its own."""
    monkeypatch.setattr(device, "SCRATCH_BYTES", bytes_kept)
    on_device, twin = (cls(make(case), REPLICAS, N, seed=4) for cls in (DeviceDirect, CompiledDirect))
    for learner in (on_device, twin):
        learner.advance(0, 25)
        learner.advance(25, 40)
    for name in ("weights", "g", "w", "shift"):
        np.testing.assert_allclose(getattr(on_device, name), getattr(twin, name), rtol=0, atol=1e-12)


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("batch", [1, 2, 6])
@pytest.mark.parametrize("case", CASES)
def test_the_chain_kernel_follows_its_twin_in_c(case: str, batch: int, processor: None) -> None:
    """A batch below, at and above K = 2; 70 steps from step 30, across a group of 64."""
    batch = max(batch, {"centred": 3, "uncentred": 3}.get(case, 1))
    setup = make(case, batch_size=batch, learning_rate=0.4)
    on_device, twin = (cls(setup, REPLICAS, 500, seed=4) for cls in (DeviceChain, CompiledChain))
    for learner in (on_device, twin):
        learner.advance(30, 70)
        learner.advance(70, 100)
    for name in ("aligned", "apart", "g", "w", "shift"):
        np.testing.assert_allclose(getattr(on_device, name), getattr(twin, name), rtol=1e-9, atol=1e-9)
