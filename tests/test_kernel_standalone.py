"""Generated files stand alone: run in a bare interpreter or as plain C, they give the kernels' numbers."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from derive.model import committee
from derive.online import Flow, derive_flow
from numerics.kernel.flow import flow_kernel
from numerics.kernel.standalone import generate
from numerics.runtime.compiler import compile_shared, find_compiler
from numerics.runtime.errors import InputError
from tests.test_kernel import point


@pytest.fixture(scope="module")
def flow() -> Flow:
    return derive_flow(committee("erf", normalization="batch"))


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh"])
def test_the_numpy_file_runs_alone(activation: str, tmp_path: Path) -> None:
    """A closed flow, one with the four-sign function, and one with quadrature."""
    flow = derive_flow(committee(activation, normalization="batch"))
    values = point(3, 2)
    text = generate(flow, "numpy")
    assert "dQ/dt [i, j] = " in text
    (tmp_path / "flow.py").write_text(text)
    np.savez(tmp_path / "point.npz", **values)
    script = (
        "import numpy as np, flow\n"
        "values = dict(np.load('point.npz'))\n"
        "np.savez('found.npz', **flow.rates(K=3, M=2, **values), **flow.observables(K=3, M=2, **values))\n"
    )
    # -I: neither this project nor the user's packages can be imported by accident.
    command = [sys.executable, "-I", "-c", "import sys; sys.path.insert(0, '.')\n" + script]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = np.load(tmp_path / "found.npz")
    for name, want in flow_kernel(flow, "numpy")(values).items():
        np.testing.assert_allclose(found[name], want, rtol=0, atol=1e-14, err_msg=name)


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("students", [1, 3])
def test_the_c_file_is_a_plain_function(flow: Flow, students: int) -> None:
    kernel = flow_kernel(flow, "numpy")
    program = kernel.program
    library = compile_shared(generate(flow, "c"), "standalone")
    values = point(students, 2)
    want = kernel(values)
    for group in program.groups:
        names = [o.name for o in program.outputs if o.group == group]
        results = {n: np.zeros(np.shape(want[n])) for n in names}
        arrays = [np.ascontiguousarray(values[n]) for n in program.arrays]
        sizes = {"K": students, "M": 2}
        status = library[f"flow_{group}"](
            *(ctypes.c_long(sizes[n]) for n in program.size_names),
            *(ctypes.c_void_p(a.ctypes.data) for a in arrays),
            *(ctypes.c_double(values[n]) for n in program.scalars),
            *(ctypes.c_void_p(a.ctypes.data) for a in results.values()),
        )
        assert status == 0
        for name, found in results.items():
            np.testing.assert_allclose(found, want[name], rtol=0, atol=1e-13, err_msg=name)


def test_bad_targets_are_refused(flow: Flow) -> None:
    with pytest.raises(InputError, match="did you mean 'cuda'"):
        generate(flow, "cudda")
