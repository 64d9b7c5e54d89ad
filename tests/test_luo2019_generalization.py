"""The generalization part of luo2019's ledger, and the closed equations of interpolating students."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import dblquad
from sympy import Rational

from derive.errors import DerivationError
from derive.ledger import entries
from derive.papers.luo2019.generalization import relu_energetic, relu_interpolation
from derive.replica import known
from derive.replica.interpolation import interpolation
from numerics.replica.solve import solve

VERDICTS = {
    "eq18": "confirmed", "relu-error": "confirmed", "eq19": "confirmed", "eq20": "confirmed",
    "eq21": "conditional", "eq22": "conditional", "eq23": "confirmed", "eq24": "conditional",
    "eq25": "confirmed", "proposition5": "refuted", "claim-relu-diverges": "refuted",
    "curve-sgd-underloaded": "confirmed", "curve-sgd-overloaded": "confirmed",
    "curve-gamma-decay": "conditional", "claim-best-decay": "conditional",
    "claim-bn-equals-decay": "open", "claim-bn-equals-decay-relu": "open", "claim-relu-curve": "open",
    "claim-noise-free-bound": "open", "claim-gibbs": "open",
}  # fmt: skip


def test_verdicts() -> None:
    found = {e.name.partition(".")[2]: e for e in entries("luo2019")}
    assert {name: found[name].verdict.kind for name in VERDICTS} == VERDICTS
    assert found["eq22"].verdict.counterexample, "a value that tells the printed form from the derived one"


@pytest.mark.parametrize("load", [Rational(1, 2), Rational(6, 5)])
def test_closed_interpolation_is_the_numerical_saddle_point(load: Rational) -> None:
    exact = relu_interpolation().at(load, Rational(1, 4), 25)
    (numeric,) = solve(known("relu"), [float(load)], np.inf, 0.25, 0.0)
    assert numeric.phase == "interpolating"
    assert (float(exact["q"]), float(exact["R"])) == pytest.approx((numeric.q, numeric.R), abs=1e-10)


def test_interpolation_ends_where_gordons_bound_says() -> None:
    """A random subspace of codimension alpha N meets the cone of fields (t where t > 0, else at most 0): with
    fields R y + sqrt(kappa) z, as long as alpha <distance^2> <= kappa for some R, kappa."""
    noise = 0.25

    def needed(R: float, kappa: float) -> float:
        """<distance^2>/kappa by quadrature over z and t, given that the field's noise is what t leaves."""
        spread = np.sqrt(kappa + R * R * noise / (1 + noise))

        def integrand(u: float, v: float) -> float:
            target, field = np.sqrt(1 + noise) * v, R * v / np.sqrt(1 + noise) + spread * u
            gap = target - field if target > 0 else max(field, 0.0)
            return gap * gap * np.exp(-(u * u + v * v) / 2) / (2 * np.pi)

        below = dblquad(integrand, -8, 0, -8, 8, epsabs=1e-9)[0]
        return (below + dblquad(integrand, 0, 8, -8, 8, epsabs=1e-9)[0]) / kappa

    end = relu_interpolation().threshold(Rational(1, 4), 20)
    R, kappa = float(end["R"]), float(end["q"] - end["R"] ** 2)
    best = needed(R, kappa)
    assert 1 / best == pytest.approx(float(end["alpha"]), rel=1e-6)
    for away in ((1.05, 1.0), (0.95, 1.0), (1.0, 1.1), (1.0, 0.9)):
        assert needed(R * away[0], kappa * away[1]) > best, "the end is a minimum over R and kappa"
    with pytest.raises(DerivationError, match="interpolate at alpha"):
        relu_interpolation().at(Rational(8, 5), Rational(1, 4))


def test_the_linear_student_interpolates_up_to_one() -> None:
    found = interpolation(known("linear")).at(Rational(1, 2), Rational(1, 4), 25)
    error = 1 + found["q"] - 2 * found["R"]
    assert float(error) == pytest.approx(0.5 + 0.5 * 0.25 / 0.5, abs=1e-12)


def test_the_relu_energy_by_another_rule() -> None:
    from numerics.replica.problem import Problem, State

    problem = Problem(known("relu"), 2.0, 0.25, 0.1)
    state = State(0.5, 0.75, 0.5)
    assert relu_energetic(1.0, 0.5, 0.5, 2.0, 0.25) == pytest.approx(problem.moments(state, 20).log, abs=1e-9)
