"""Fixed points of flows against ones that are known: perfect learning, and the symmetric plateau."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from derive.model import committee
from derive.online import Flow, derive_flow
from numerics.integrate import solve
from numerics.roots import fixed_point
from numerics.runtime.errors import IncompleteResult, InputError

# Batch size infinity: without the eta^2 term the plateau is where gradient flow pauses.
PARAMETERS = {
    "T": np.eye(2),
    "v": np.ones(2),
    "eta": 1.0,
    "tau": 1.0,
    "b": np.inf,
    "eta_w": 0.0,
    "sigma_0": 0.0,
    "lambda": 0.0,
}


@pytest.fixture(scope="module")
def flow() -> Flow:
    return derive_flow(committee("erf"))


def test_the_symmetric_plateau(flow: Flow) -> None:
    """Saad and Solla (1995), K = M = 2, small eta: Q = C = 1/(2K - 1), R = S = 1/sqrt(K(2K - 1)).

    Differences between the students are marginal there: two zero modes, one unstable mode.
    """
    found = fixed_point(
        flow, {"Q": np.full((2, 2), 0.3), "R": np.full((2, 2), 0.38), "w": np.ones(2)}, PARAMETERS, ("Q", "R")
    )
    np.testing.assert_allclose(found.state["Q"], 1 / 3, atol=1e-9)
    np.testing.assert_allclose(found.state["R"], 1 / np.sqrt(6), atol=1e-9)
    assert found.residual < 1e-13
    assert found.zero_modes == 2
    assert (found.eigenvalues.real > 1e-3).sum() == 1


def test_any_number_of_digits(flow: Flow) -> None:
    """Perfect learning, from a guess a few per cent off, to 40 digits."""
    near = np.array([[1.03, 0.02], [0.02, 0.98]])
    found = fixed_point(flow, {"Q": near, "R": near, "w": np.ones(2)}, PARAMETERS, ("Q", "R"), digits=40)
    assert found.residual < 1e-39
    assert found.zero_modes == 0 and found.condition < 1e3
    with mpmath.workdps(50):
        for name, value in found.exact.items():
            row, column = name[2:-1].split(",")
            assert abs(value - (row == column)) < mpmath.mpf(10) ** -37


def test_the_unstable_mode_is_the_rate_of_escape(flow: Flow) -> None:
    """The largest eigenvalue against the growth of R_11 - R_12 along an integrated trajectory."""
    point = fixed_point(
        flow, {"Q": np.full((2, 2), 0.3), "R": np.full((2, 2), 0.38), "w": np.ones(2)}, PARAMETERS, ("Q", "R")
    )
    nudge = 1e-6 * np.array([[1, -1], [-1, 1]])
    run = solve(flow, {**point.state, "R": point.state["R"] + nudge}, [0, 30, 60], PARAMETERS, 1e-12, 1e-15)
    gap = run["R"][:, 0, 0] - run["R"][:, 0, 1]
    assert np.log(gap[2] / gap[1]) / 30 == pytest.approx(point.eigenvalues[0].real, rel=1e-4)


def test_too_few_steps_are_an_incomplete_result(flow: Flow) -> None:
    guess = {"Q": 0.5 * np.eye(2), "R": np.array([[0.3, 0.1], [0.0, 0.2]]), "w": np.ones(2)}
    with pytest.raises(IncompleteResult, match="within 1 Newton steps") as caught:
        fixed_point(flow, guess, PARAMETERS, ("Q", "R"), max_iterations=1)
    assert caught.value.result.residual > 1e-6


def test_bad_input_says_what_is_wrong(flow: Flow) -> None:
    with pytest.raises(InputError, match="lacks R"):
        fixed_point(flow, {"Q": np.eye(2), "w": np.ones(2)}, PARAMETERS)
    with pytest.raises(InputError, match="not finite at the guess"):
        fixed_point(flow, {"Q": -np.eye(2), "R": 40 * np.eye(2), "w": np.ones(2)}, PARAMETERS, ("Q",))
    with pytest.raises(InputError, match="called S"):
        fixed_point(flow, {"Q": np.eye(2), "R": np.eye(2), "w": np.ones(2)}, PARAMETERS, ("S",))
