"""CUDA text without a device: compiled by NVRTC, and its body run on the processor through C."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from derive.activation import activation as activation_named
from derive.model import committee
from derive.online import derive_flow
from derive.wide.propagation import propagation
from numerics.kernel import emit_cuda
from numerics.kernel.flow import flow_program
from numerics.kernel.inputs import check_inputs, shape_of
from numerics.kernel.kernel import compile_program
from numerics.runtime.compiler import compile_shared, find_compiler
from numerics.wide.kernel import layer_kernel, network_kernel
from tests.nvrtc import compiles
from tests.test_kernel import point

# What CUDA gives a kernel, for one thread at a time.
SHIM = """#include <math.h>
static struct { long long x; } blockIdx, blockDim, threadIdx;
#define __device__
#define __global__
#define __forceinline__ inline
#define rsqrt(x) (1.0 / sqrt(x))
"""


@pytest.mark.parametrize("activation", ["erf", pytest.param("relu", marks=pytest.mark.slow)])
def test_nvrtc_accepts_the_text(activation: str) -> None:
    flow = derive_flow(committee(activation, normalization="batch"))
    compiles(emit_cuda.emit(flow_program(flow)).text, "--fmad=false")


@pytest.mark.parametrize("kernel", ["network", "layer"])
@pytest.mark.parametrize("name", ["relu", "leaky-relu", "identity", "erf", "gelu", "tanh"])
def test_nvrtc_accepts_kappas_of_wide_networks(name: str, kernel: str) -> None:
    phi = activation_named(name)
    if kernel == "network" and not propagation(phi).closed:
        pytest.skip("networks without closed forms are computed layer by layer")
    made = network_kernel(phi, (1.0, 1.0, 1.0), "numpy") if kernel == "network" else layer_kernel(phi, "numpy")
    compiles(emit_cuda.emit(made.program).text, "--fmad=false")


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize(("activation", "normalization"), [("erf", "none"), ("erf", "batch"), ("relu", "none")])
def test_the_body_computes_what_numpy_computes(activation: str, normalization: str) -> None:
    """The CUDA text through C: 5 parameter sets, one thread each, against the numpy backend."""
    program = flow_program(derive_flow(committee(activation, normalization=normalization)))
    emitted = emit_cuda.emit(program)
    sets = 5
    values = point(3, 2, sets=(sets,))
    inputs = check_inputs(program, values, None)
    buffers = {}
    for name, given in {**inputs.arrays, **inputs.scalars}.items():
        flat = given.reshape(given.shape[0], -1)
        buffers[name] = np.ascontiguousarray(np.broadcast_to(flat, (sets, flat.shape[1])).T)
    for target in program.targets:
        buffers[target.name] = np.zeros((int(np.prod(shape_of(target.sizes, inputs.sizes))), sets))
    work = np.empty(max(1, emitted.work_length(inputs.sizes)) * sets)
    step = "void one(long long lane) { blockDim.x = 1; blockIdx.x = lane; }\n"
    library = compile_shared(SHIM + emitted.text.replace('extern "C"', "") + step, "cuda_twin")
    sizes = [ctypes.c_longlong(inputs.sizes[n]) for n in program.size_names]
    pointers = [ctypes.c_void_p(buffers[n].ctypes.data) for n in emitted.pointers]
    for lane in range(sets):
        library.one(ctypes.c_longlong(lane))
        for group in program.groups:
            library[f"{group}_threads"](
                *sizes, ctypes.c_longlong(sets), *pointers, ctypes.c_void_p(work.ctypes.data)
            )
    plain = compile_program(program, "numpy")(values)
    for name, want in plain.items():
        found = buffers[name].T.reshape(want.shape)
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-13, err_msg=name)
