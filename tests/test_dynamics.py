"""A run as one vector equation: against another solver, and the rates at hand-made states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from numerics.dynamics import dynamics
from numerics.runtime.errors import InputError
from numerics.system import System
from validate import plots
from validate.runs import setup_of
from validate.simulate import simulate

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = ("committee.toml", "batchnorm.toml", "unrealizable.toml", "phase_retrieval.toml")


@pytest.mark.parametrize("name", NAMES)
def test_scipy_integrates_it_to_the_same_curve(name: str) -> None:
    model = dynamics(EXAMPLES / name, backend="numpy")
    stop = 5.0
    found = solve_ivp(model.ode, (0.0, stop), model.start, rtol=1e-9, atol=1e-12, t_eval=[stop])
    ours = model.solve()
    at = int(np.flatnonzero(ours.times == stop)[0])
    expected = model.pack({key: values[at] for key, values in ours.state.items()})
    np.testing.assert_allclose(found.y[:, -1], expected, rtol=1e-6, atol=1e-8)
    error = model.generalization_error(found.y[:, -1])
    assert error == pytest.approx(ours["generalization_error"][at], rel=1e-6)


class OnDevice:
    """An array that must be asked for, as cupy's are."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def get(self) -> np.ndarray:
        return self.array

    def __array__(self, *_: object) -> np.ndarray:
        raise TypeError("implicit conversion to a numpy array is not allowed")


def test_results_come_back_from_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The observables, the solver and the vector form ask for what a kernel left on a device."""
    plain = dynamics(EXAMPLES / "committee.toml", backend="numpy")
    want = plain.solve()["generalization_error"]
    rates = plain.ode(0.0, plain.start)
    kernel = System.kernel

    def on_device(self: System, backend: str):
        run = kernel(self, backend)
        return lambda *given, **named: {n: OnDevice(a) for n, a in run(*given, **named).items()}

    monkeypatch.setattr(System, "kernel", on_device)
    model = dynamics(EXAMPLES / "committee.toml", backend="numpy")
    np.testing.assert_array_equal(model.solve()["generalization_error"], want)
    np.testing.assert_array_equal(model.ode(0.0, model.start), rates)
    assert model.generalization_error(model.start) == want[0]


def test_at_perfect_learning_nothing_moves() -> None:
    model = dynamics(EXAMPLES / "committee.toml", backend="numpy")
    one = np.eye(2)
    y = model.pack({"Q": one, "R": one, "w": np.ones(2)})
    assert len(y) == len(model.start)
    np.testing.assert_allclose(model.ode(0.0, y), 0.0, atol=1e-12)
    assert model.generalization_error(y) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_array_equal(model.pack(model.unpack(model.start)), model.start)


def test_a_vector_of_the_wrong_length_is_refused() -> None:
    model = dynamics(EXAMPLES / "committee.toml", backend="numpy")
    with pytest.raises(InputError, match=f"{len(model.start)} numbers"):
        model.ode(0.0, model.start[:-1])


def test_it_prints_its_equations() -> None:
    text = dynamics(EXAMPLES / "batchnorm.toml")._repr_latex_()
    assert text.startswith("$$") and r"\eta" in text


def test_theory_and_simulation_in_one_plot() -> None:
    model = dynamics(EXAMPLES / "batchnorm.toml", backend="numpy")
    measured = simulate(setup_of(model.run), model.run.times[:5], replicas=4, size=50)
    figure = plots.theory_and_simulation(model.solve(), measured)
    errors, overlaps = figure.axes
    assert len(errors.lines) == 1 and len(errors.collections) == 1
    assert len(overlaps.lines) == len(overlaps.collections) == 4
    (band,) = errors.collections
    mean = measured.generalization_error.mean(axis=0)
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() < mean.min() and mean.max() < heights.max()
