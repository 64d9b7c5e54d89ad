"""Symmetric fixed points with noise, against Newton's method on the full flow and against the closed ones."""

from __future__ import annotations

import numpy as np
import pytest
from sympy import Integer, Rational

from derive.errors import DerivationError
from derive.landscape.ratios import ratio_rates
from derive.model import committee
from derive.online import derive_flow
from derive.sites import C_, Q_, R_, S_, g_, reduce_flow
from derive.symbols import K, batch, eta, eta_g, gain_decay, label_noise, tau, weight_decay
from numerics.roots import fixed_point
from numerics.runtime.errors import InputError
from numerics.runtime.runfile import Parameters, build
from numerics.symmetric import symmetric_point


def parameters(**table: object) -> Parameters:
    return build({"parameters": table}).parameters


@pytest.mark.parametrize(("students", "teachers"), [(2, 2), (3, 2)])
def test_against_newton_on_the_full_flow(students: int, teachers: int) -> None:
    """The full flow, K(K+1)/2 + KM unknowns, from a guess one per cent away, by another solver."""
    found = symmetric_point(parameters(students=students, teachers=teachers, learning_rate=0.8, batch_size=2))
    assert found.residual < 1e-25
    values = {name: float(x) for name, x in found.values.items()}
    same, unit = np.eye(students), np.ones(students)
    guess = {
        "Q": 1.01 * (values["Q"] * same + values["C"] * (1 - same)),
        "R": np.full((students, teachers), 0.99 * values["R"]),
        "w": unit,
    }
    constants = {"T": np.eye(teachers), "v": np.ones(teachers)}
    scalars = {"eta": 0.8, "eta_w": 0.0, "tau": 1.0, "b": 2.0, "sigma_0": 0.0, "lambda": 0.0}
    flow = derive_flow(committee("erf", "none"))
    full = fixed_point(flow, guess, {**constants, **scalars}, moving=("Q", "R"), backend="numpy")
    assert full.state["Q"][0, 0] == pytest.approx(values["Q"], abs=1e-9)
    assert full.state["Q"][0, 1] == pytest.approx(values["C"], abs=1e-9)
    assert full.state["R"] == pytest.approx(values["R"], abs=1e-9)
    if students == teachers:
        assert full.eigenvalues[0].real == pytest.approx(float(found.escape_rate), rel=1e-6)
    else:
        assert found.escape_rate is None


def test_without_noise_it_is_the_closed_one() -> None:
    """At a small learning rate the point and the rate approach the closed ones, linearly in eta."""
    from numerics.landscape import landscape

    run = build({"parameters": {"students": 2, "batch_size": "inf", "learning_rate": 1.0}})
    closed = landscape(run)
    gaps = []
    for rate in (1e-2, 1e-3):
        found = symmetric_point(parameters(students=2, learning_rate=rate))
        gaps.append(abs(float(found.escape_rate) / rate - closed["jacobian"]["eigenvalues"][-1]))
    assert gaps[1] == pytest.approx(gaps[0] / 10, rel=0.05)


def test_ratios_are_free_of_the_norm() -> None:
    """The ratios' rates taken at Q, from the chain rule, are those at Q = 1 and the learning rate eta / Q."""
    site = reduce_flow(derive_flow(committee("erf", "batch")))
    ratios = {R_: Rational(3, 10), S_: Rational(1, 5), C_: Rational(1, 3), g_: Rational(4, 5)}
    settings = {
        K: Integer(3), tau: Rational(6, 5), eta_g: Rational(1, 4), batch: Integer(2),
        label_noise: Rational(1, 5), weight_decay: Integer(0), gain_decay: Integer(0),
    }  # fmt: skip
    norm = Rational(7, 3)
    root = norm ** Rational(1, 2)
    at = {R_: ratios[R_] * root, S_: ratios[S_] * root, C_: ratios[C_] * norm, g_: ratios[g_], Q_: norm}
    full = {s: r.xreplace({**at, **settings, eta: Rational(1, 2)}).evalf(30) for s, r in site.rates.items()}
    expected = {
        R_: full[R_] / root - ratios[R_] * full[Q_] / norm / 2,
        S_: full[S_] / root - ratios[S_] * full[Q_] / norm / 2,
        C_: full[C_] / norm - ratios[C_] * full[Q_] / norm,
        g_: full[g_],
    }
    for symbol, rate in ratio_rates(site).items():
        here = rate.xreplace({**ratios, **settings, eta: Rational(1, 2) / norm}).evalf(30)
        assert abs(here - expected[symbol].evalf(30)) < 1e-25, symbol


def test_the_norm_of_a_normalized_student_drifts_but_its_ratios_stand() -> None:
    found = symmetric_point(parameters(students=2, learning_rate=0.5, normalization="batch"))
    assert found.residual < 1e-25 and found.stable
    assert found.values["Q"] == 1
    assert found.values["C"] == pytest.approx(1.0), "identical students stay identical"
    assert float(found.escape_rate) > 0


def test_refusals() -> None:
    with pytest.raises(InputError, match="closed one of erf"):
        symmetric_point(parameters(activation="relu"))
    with pytest.raises(InputError, match="no symmetric fixed point"):
        symmetric_point(parameters(students=2, learning_rate=40.0))
    with pytest.raises(DerivationError, match="nothing to divide out"):
        ratio_rates(reduce_flow(derive_flow(committee("erf", "none"))))
