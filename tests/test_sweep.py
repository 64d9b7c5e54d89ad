"""Sweeps: a chunked sweep is the one solve it stands for, and its memory does not grow with the sets."""

from __future__ import annotations

import numpy as np
import pytest
from sympy import symbols

import numerics.sweep
from derive.model import committee
from derive.online import derive_flow
from numerics.integrate import Event, solve
from numerics.runtime.errors import InputError
from numerics.sweep import grid, sweep
from numerics.system import System, system


@pytest.fixture
def decay() -> System:
    x, rate = symbols("x rate")
    return system({"x": -rate * x}, {"left": x})


def test_chunks_do_not_show(decay: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 sets in chunks of 8 (the smallest), shared and varied inputs together: x = x0 exp(-rate t)."""
    monkeypatch.setattr(numerics.sweep, "CHUNK_BYTES", 1)
    axes = grid({"x": [1.0, 2.0], "rate": np.linspace(0.1, 2.0, 50)})
    times = np.linspace(0, 3, 4)
    events = [Event("half", "left", 0.5, -1)]
    found = sweep(decay, {"x": axes["x"]}, times, {"rate": axes["rate"]}, ["x", "rate"], events=events)
    assert found["left"].shape == (100, 4)
    want = axes["x"][:, None] * np.exp(-axes["rate"][:, None] * times)
    np.testing.assert_allclose(found["left"], want, atol=1e-7)
    crossing = np.log(2 * axes["x"]) / axes["rate"]
    reached = crossing < 3
    np.testing.assert_allclose(found["half"][reached], crossing[reached], atol=1e-6)
    assert np.isnan(found["half"][~reached]).all()


def test_what_is_kept_is_chosen(decay: System) -> None:
    found = sweep(decay, {"x": 1.0}, [0.0, 1.0], {"rate": [0.5, 1.5]}, ["rate"],
                  keep=lambda solution: {"last": solution["x"][:, -1]})  # fmt: skip
    assert list(found) == ["last"]
    np.testing.assert_allclose(found["last"], np.exp([-0.5, -1.5]), rtol=1e-7)


def test_bad_input_says_what_is_wrong(decay: System) -> None:
    with pytest.raises(InputError, match="different numbers of sets"):
        sweep(decay, {"x": [1.0, 2.0]}, [0.0, 1.0], {"rate": [1.0]}, ["x", "rate"])
    with pytest.raises(InputError, match="not among them: speed"):
        sweep(decay, {"x": 1.0}, [0.0, 1.0], {"rate": [1.0]}, ["speed"])


@pytest.mark.slow
def test_memory_of_a_large_sweep() -> None:
    """10^5 parameter sets at K = M = 4 stay under 2 GiB."""
    import resource

    sets, units = 100_000, 4
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((sets, units, 12)) / 4
    initial = {
        "Q": vectors @ np.swapaxes(vectors, 1, 2),
        "R": vectors[..., :units].copy(),
        "w": np.ones(units),
    }
    scalars = {"tau": 1.0, "b": 1.0, "eta_w": 0.0, "sigma_0": 0.0, "lambda": 0.0}
    parameters = {"T": np.eye(units), "v": np.ones(units), "eta": rng.uniform(0.1, 1, sets), **scalars}
    flow = derive_flow(committee("erf"))
    times = np.linspace(0, 2, 5)
    found = sweep(flow, initial, times, parameters, ["Q", "R", "eta"], rtol=1e-6)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2 * 2**20  # KiB
    last = {**parameters, "eta": parameters["eta"][-1]}
    start = {"Q": initial["Q"][-1], "R": initial["R"][-1], "w": initial["w"]}
    alone = solve(flow, start, times, last, rtol=1e-6)
    np.testing.assert_allclose(found["generalization_error"][-1], alone["generalization_error"], rtol=1e-9)
