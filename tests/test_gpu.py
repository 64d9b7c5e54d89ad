"""On a CUDA device: what numpy computes, cupy and the generated CUDA compute too.

    python -m pytest -m gpu tests/test_gpu.py
"""

from __future__ import annotations

import importlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import orderparams
from derive.activation import activation
from derive.model import committee
from derive.online import derive_flow
from numerics.dynamics import dynamics
from numerics.kernel.flow import flow_program
from numerics.kernel.kernel import compile_program
from numerics.models import parameter_values
from numerics.products import ProductLaw
from numerics.runs import flow_of
from numerics.runtime.devices import cupy_status, to_host
from numerics.runtime.runfile import load
from numerics.system import system_of
from numerics.wide.kernel import kappa_sweep
from tests.test_cli_generate import RUN
from tests.test_kernel import point
from tests.test_simulate_array_module import CASES
from tests.test_simulate_compiled import CASES as COMPILED_CASES
from tests.test_simulate_compiled import make
from validate.products import kolmogorov_distance
from validate.simulate import Setup, simulate
from validate.simulate.deep import architecture, measure
from validate.simulate.deep.architecture import PLACES
from validate.simulate.perceptron import PerceptronSetup, simulate_perceptron
from validate.simulate.products import squared_singular_values
from validate.simulate.residual import Architecture, ResNet

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not cupy_status().available, reason=cupy_status().reason),
]


@pytest.fixture
def cupy() -> Any:
    return pytest.importorskip("cupy")


@pytest.mark.parametrize("backend", ["cuda", "cupy"])
@pytest.mark.parametrize("normalization", ["none", "batch", "batch-without-radial", "weight"])
@pytest.mark.parametrize("function", ["erf", "relu"])
def test_kernels_agree_with_numpy(function: str, normalization: str, backend: str) -> None:
    """257 parameter sets (a block and one thread more), K = 3, M = 2, to 1e-12 of the largest rate."""
    if backend == "cuda" and function == "relu" and normalization != "batch":
        pytest.skip("the compilation takes long, and one kinked flow has all their special functions")
    program = flow_program(derive_flow(committee(function, normalization=normalization)))
    values = point(3, 2, sets=(257,))
    want = compile_program(program, "numpy")(values)
    found = compile_program(program, backend)(values)
    for name, expected in want.items():
        atol = 1e-12 * np.abs(expected).max()
        np.testing.assert_allclose(to_host(found[name]), expected, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("backend", ["cuda", "cupy"])
def test_trajectories_agree_with_numpy(backend: str) -> None:
    """Both integrate to a relative tolerance of 1e-8: to 1e-6 after the escape from the plateau."""
    file = Path(__file__).parents[1] / "examples" / "committee.toml"
    ours, theirs = (dynamics(file, name).solve() for name in ("numpy", backend))
    assert theirs.backend == backend
    for name, values in ours.state.items():
        np.testing.assert_allclose(theirs.state[name], values, atol=1e-6, err_msg=name)


def test_a_standalone_file_computes_on_the_device(
    cupy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = tmp_path / "run.toml", tmp_path / "rates_on_the_device.py"
    file.write_text(RUN)
    assert orderparams.main(["generate", str(file), "--target", "cupy", "--out", str(out)]) == 0
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("rates_on_the_device")
    run = load(file)
    inputs = {name: np.asarray(value, dtype=float) for name, value in parameter_values(run).items()}
    inputs |= {name: np.asarray(getattr(run.initial, name)) for name in ("Q", "R", "T", "g", "w", "v")}
    found = module.rates(**{name: cupy.asarray(value) for name, value in inputs.items()}, K=2, M=3)
    want = system_of(flow_of(run)).kernel("numpy")(inputs)
    for name in ("dQ", "dR", "dg"):
        np.testing.assert_allclose(to_host(found[name]), want[name], rtol=0, atol=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_simulations_have_the_same_law(case: str, cupy: Any) -> None:
    """300 replicas, five standard errors on the means of Q, R and w."""
    setup = Setup(
        students=2, teachers=2, batch_size=4, label_noise=0.3, second_layer_learning_rate=0.2,
        Q=[[0.5, 0.1], [0.1, 0.4]], R=[[0.3, 0.1], [0.05, 0.2]], **CASES[case],
    )  # fmt: skip
    a, b = (simulate(setup, [1.0], 300, 30, seed=seed, xp=xp) for seed, xp in ((1, np), (2, cupy)))
    for name in ("Q", "R", "second_layer"):
        first, second = getattr(a, name)[:, 0], getattr(b, name)[:, 0]
        error = np.sqrt((first.var(0) + second.var(0)) / 300)
        assert (np.abs(first.mean(0) - second.mean(0)) <= 5 * error).all(), name


@pytest.mark.parametrize("activation", ["erf", "relu"])
@pytest.mark.parametrize("method", ["direct", "chain"])
@pytest.mark.parametrize("case", COMPILED_CASES)
def test_compiled_simulations_follow_their_twins_in_c(
    case: str, method: str, activation: str, cupy: Any
) -> None:
    """The same random numbers; a batch of 9 and N = 301 leave parts of tiles and warps."""
    run = partial(
        simulate, make(case, activation, batch_size=9, learning_rate=0.4), [0.0, 0.5], 7, 301,
        method=method, compiled=True,
    )  # fmt: skip
    on_device, twin = run(xp=cupy), run()
    for name in ("Q", "R", "second_layer"):
        np.testing.assert_allclose(getattr(on_device, name), getattr(twin, name), rtol=0, atol=1e-9)


def test_single_precision_follows_double(cupy: Any) -> None:
    run = partial(simulate, make("batch"), [0.5], 5, 301, compiled=True, xp=cupy)
    np.testing.assert_allclose(run(dtype=np.float32).Q, run().Q, rtol=0, atol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("method", ["direct", "chain"])
def test_a_resumed_simulation_has_the_same_bits(
    method: str, compiled: bool, cupy: Any, tmp_path: Path
) -> None:
    setup = Setup(students=2, teachers=2, Q=np.eye(2) / 2, R=np.eye(2) / 10)
    file = tmp_path / "checkpoint"
    run = partial(simulate, setup, [0.0, 5.0, 30.0], 4, 40, method=method, xp=cupy, compiled=compiled)
    whole, again = run(), run(checkpoint=file)
    np.testing.assert_array_equal(whole.Q, again.Q)
    np.testing.assert_array_equal(run(checkpoint=file).Q, whole.Q)


@pytest.mark.parametrize("statistics", ["population", "batch", "mean-only", "variance-only"])
def test_perceptrons_have_the_same_law(statistics: str, cupy: Any) -> None:
    setup = PerceptronSetup("relu", statistics, batch_size=6, learning_rate=0.5, cosine=0.2)
    a, b = (simulate_perceptron(setup, [1.0], 400, 40, seed=s, xp=xp) for s, xp in ((1, np), (2, cupy)))
    first, second = a.entries[:, 0], b.entries[:, 0]
    error = np.sqrt((first.var(0) + second.var(0)) / 400)
    assert (np.abs(first.mean(0) - second.mean(0)) <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("place", PLACES)
def test_deep_networks_have_the_same_eigenvalues(place: str, cupy: Any) -> None:
    """Weights and inputs come from one stream on the host: the numbers agree, not only their law."""
    shape = architecture((60, 60, 60, 3), "gelu", 2.0, 0.1, place)
    ours, theirs = (measure(shape, 200, 2, seed=6, xp=xp) for xp in (np, cupy))
    np.testing.assert_allclose(theirs.eigenvalues, ours.eigenvalues, rtol=1e-8)


@pytest.mark.parametrize("normalization", ["batch", "none"])
@pytest.mark.parametrize("shortcut", ["zero-padding", "projection"])
def test_residual_networks_have_the_same_gradients(normalization: str, shortcut: str, cupy: Any) -> None:
    shape = Architecture(20, normalization=normalization, shortcut=shortcut)
    images = np.random.default_rng(0).standard_normal((3, 4, 32, 32))
    results = []
    for xp in (np, cupy):
        logits, pullback = ResNet(shape, 1, np.float64, xp).forward(xp.asarray(images))
        gradients = pullback(xp.ones_like(logits))
        results.append({"logits": logits, **gradients})
    ours, theirs = results
    for name, array in ours.items():
        np.testing.assert_allclose(
            to_host(theirs[name]), array, rtol=0, atol=1e-9 * np.abs(array).max(), err_msg=name
        )


@pytest.mark.parametrize("backend", ["cuda", "cupy"])
@pytest.mark.parametrize("name", ["relu", "erf", "tanh"])
def test_sweeps_of_wide_networks_agree(name: str, backend: str) -> None:
    """Sixty points at one depth, and at several."""
    weights = np.linspace(0.5, 4, 60)
    for depth in (3, np.resize([2, 3, 7], 60)):
        ours, theirs = (kappa_sweep(activation(name), weights, 0.3, depth, backend=b) for b in ("numpy", backend))
        for kappa, values in ours.items():
            np.testing.assert_allclose(theirs[kappa], values, rtol=1e-12, err_msg=kappa)


def test_products_have_the_same_law(cupy: Any) -> None:
    drawn = squared_singular_values(2, 200, 4, seed=5, xp=cupy)
    assert kolmogorov_distance(ProductLaw(2), drawn) < 1.63 / np.sqrt(drawn.size)


def test_command_line_takes_the_device(tmp_path: Path) -> None:
    run, out = tmp_path / "run.toml", tmp_path / "simulation.json"
    run.write_text("[times]\nstop = 2\npoints = 3\n")
    words = ["simulate", str(run), "--backend", "cupy", "--replicas", "8", "--size", "50", "--out", str(out)]
    assert orderparams.main(words) == 0
    assert json.loads(out.read_text())["backend"] == "cupy"
