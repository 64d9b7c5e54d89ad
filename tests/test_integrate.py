"""Integration: the requested tolerance is honoured, events are found, failures keep what they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from sympy import Symbol, symbols

from derive.model import committee
from derive.online import Flow, derive_flow
from derive.symbols import R
from numerics.integrate import Event, solve
from numerics.runtime.compiler import find_compiler
from numerics.runtime.errors import InputError
from numerics.system import System, system, system_of

BACKENDS = [
    "numpy",
    pytest.param("c", marks=pytest.mark.skipif(find_compiler() is None, reason="no C compiler")),
]
PARAMETERS = {
    "T": np.eye(2),
    "v": np.ones(2),
    "eta": 0.5,
    "tau": 1.0,
    "b": 1.0,
    "eta_w": 0.0,
    "sigma_0": 0.0,
    "lambda": 0.0,
}
INITIAL = {
    "Q": np.array([[0.3, 0.02], [0.02, 0.2]]),
    "R": np.array([[0.02, 0.01], [0.0, 0.03]]),
    "w": np.ones(2),
}


@pytest.fixture(scope="module")
def flow() -> Flow:
    return derive_flow(committee("erf"))


@pytest.fixture(scope="module")
def oscillator() -> System:
    """x'' = -omega^2 x."""
    x, p, omega = symbols("x p omega")
    return system({"x": p, "p": -(omega**2) * x}, {"position": x, "energy": (p**2 + omega**2 * x**2) / 2})


def reference(
    flow: Flow, initial: dict[str, Any], parameters: dict[str, Any], times: np.ndarray
) -> np.ndarray:
    """scipy's eighth-order method at 1e-12."""
    own = system_of(flow)
    kernel = own.kernel("numpy")
    shapes = {n: np.shape(initial[n]) for n in own.state}

    def rates(_: float, y: np.ndarray) -> np.ndarray:
        values, at = dict(parameters), 0
        for name, shape in shapes.items():
            count = int(np.prod(shape))
            values[name] = y[at : at + count].reshape(shape)
            at += count
        found = kernel(values, groups=("rates",))
        return np.concatenate([found[rate].ravel() for rate in own.state.values()])

    start = np.concatenate([np.ravel(initial[n]) for n in own.state])
    found = solve_ivp(rates, (times[0], times[-1]), start, "DOP853", times, rtol=1e-12, atol=1e-14)
    return found.y.T


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_tolerance_is_honoured(flow: Flow, backend: str) -> None:
    """Onto the plateau and along it.  The criterion is 100 times the local tolerance: errors of steps add
    up along the trajectory, and the plateau's unstable mode multiplies them."""
    times = np.linspace(0, 60, 31)
    want = reference(flow, INITIAL, PARAMETERS, times)
    previous = np.inf
    for rtol in (1e-5, 1e-8):
        found = solve(flow, INITIAL, times, PARAMETERS, rtol=rtol, atol=rtol / 100, backend=backend)
        assert found.complete and found.backend == backend
        flat = np.concatenate([found[n].reshape(len(times), -1) for n in ("Q", "R", "w")], axis=1)
        error = np.abs(flat - want).max()
        assert error < 100 * rtol
        assert error < previous / 10
        previous = error


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_trajectory_has_its_own_steps(flow: Flow, backend: str) -> None:
    """Ten learning rates at once are ten single runs, digit by digit up to rounding."""
    times = np.linspace(0, 10, 6)
    rates = np.linspace(0.05, 1.4, 10)
    together = solve(flow, INITIAL, times, {**PARAMETERS, "eta": rates}, backend=backend)
    assert together["Q"].shape == (10, 6, 2, 2) and together["generalization_error"].shape == (10, 6)
    assert len({tuple(s) for s in together.steps.tolist()}) > 1
    for number in (0, 9):
        alone = solve(flow, INITIAL, times, {**PARAMETERS, "eta": rates[number]}, backend=backend)
        np.testing.assert_allclose(together["Q"][number], alone["Q"], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(together.steps[number], alone.steps)


@pytest.mark.parametrize("backend", BACKENDS)
def test_events_are_where_they_must_be(oscillator: System, backend: str) -> None:
    """x = cos(omega t): first zero at pi/(2 omega), downwards; the first upward one at 3 pi/(2 omega)."""
    omega = np.array([0.5, 1.0, 2.0])
    events = [
        Event("zero", "position", 0.0),
        Event("upward", "position", 0.0, direction=1),
        Event("below", "position", -0.5, terminal=False),
        Event("never", "energy", 100.0),
    ]
    found = solve(
        oscillator,
        {"x": 1.0, "p": 0.0},
        np.linspace(0, 15, 4),
        {"omega": omega},
        1e-10,
        1e-12,
        events,
        backend,
    )
    np.testing.assert_allclose(found.event_times["zero"], np.pi / 2 / omega, atol=1e-8)
    np.testing.assert_allclose(found.event_times["upward"], 3 * np.pi / 2 / omega, atol=1e-8)
    np.testing.assert_allclose(found.event_times["below"], 2 * np.pi / 3 / omega, atol=1e-8)
    assert np.isnan(found.event_times["never"]).all()
    np.testing.assert_allclose(found["x"][:, -1], np.cos(omega * 15), atol=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_terminal_event_stops_its_trajectory_alone(oscillator: System, backend: str) -> None:
    found = solve(
        oscillator,
        {"x": [1.0, 0.1], "p": 0.0},
        np.linspace(0, 10, 11),
        {"omega": 1.0},
        events=[Event("far", "position", -0.5, terminal=True)],
        backend=backend,
    )
    assert found.complete
    assert found.reached == pytest.approx([2 * np.pi / 3, 10.0], abs=1e-7)
    assert np.isfinite(found["x"][0, :3]).all() and np.isnan(found["x"][0, 3:]).all()
    assert np.isfinite(found["x"][1]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_cannot_go_on_keeps_what_it_has(backend: str) -> None:
    """x' = x^2 leaves every bound at t = 1/x(0) = 1."""
    x = Symbol("x")
    found = solve(system({"x": x**2}), {"x": [1.0, 0.1]}, [0.0, 0.5, 0.9, 2.0], {}, backend=backend)
    assert not found.complete
    assert "1 of 2 trajectories stopped early; the first at t = 1" in found.message
    assert found.reached[0] == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(found["x"][0, :3], [1.0, 2.0, 10.0], rtol=1e-6)
    assert np.isnan(found["x"][0, 3])
    np.testing.assert_allclose(found["x"][1], 1 / (10 - found.times), rtol=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_may_watch_any_number_of_the_state(flow: Flow, backend: str) -> None:
    found = solve(
        flow,
        INITIAL,
        [0.0, 200.0],
        PARAMETERS,
        backend=backend,
        events=[Event("aligned", (R[1, 1] - R[1, 2]) ** 2, 0.04, 1)],
    )
    moment = found.event_times["aligned"]
    at = solve(flow, INITIAL, [0.0, moment], PARAMETERS, backend=backend)
    difference = abs(at["R"][-1, 0, 0] - at["R"][-1, 0, 1])
    assert 60 < moment < 120
    assert difference == pytest.approx(0.2, abs=1e-6)


def test_bad_input_says_what_is_wrong(flow: Flow) -> None:
    for change, message in (
        ({"times": [1.0, 0.5]}, "increasing"),
        ({"initial": {"Q": INITIAL["Q"], "w": INITIAL["w"]}}, "missing: R"),
        ({"initial": {**INITIAL, "Q": np.full((2, 2), np.nan)}}, "not finite"),
        ({"rtol": 0.0}, "tolerances"),
        ({"events": [Event("e", "generalisation_error")]}, "did you mean 'generalization_error'"),
    ):
        arguments: dict[str, Any] = {
            "initial": INITIAL,
            "times": [0.0, 1.0],
            "parameters": PARAMETERS,
            **change,
        }
        with pytest.raises(InputError, match=message):
            solve(flow, **arguments)
