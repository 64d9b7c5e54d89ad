"""The experiments of luo2019 at sizes of a test: they pass, and a wrong theory makes them fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sympy import asin

from derive.perceptron import angle, gamma, perceptron
from numerics.perceptron import solve_perceptron
from numerics.runtime.errors import InputError
from validate.experiments import Context
from validate.experiments.luo2019 import boundary, claims, dynamics, finite_batch, stability
from validate.experiments.luo2019 import statistics as batches
from validate.experiments.luo2019.batch_cases import Case
from validate.report.model import ExperimentResult
from validate.simulate.perceptron import PerceptronRun, PerceptronSetup, simulate_perceptron


def outcomes(result: ExperimentResult) -> list[bool | None]:
    return [check.passed for check in result.checks]


DYNAMICS = dynamics.Settings(
    replicas=(600, 300, 150), sizes=(40, 80, 160), cases=dynamics.CASES[1:2], times=(1.0, 2.0), seed=9
)


def test_dynamics_pass_and_reject_wrong_theories(tmp_path: Path) -> None:
    result = dynamics.run(DYNAMICS, Context(tmp_path, workers=1))
    assert outcomes(result) == [True, True, True]
    wrong = result.checks[0].details["z of wrong theories"]
    assert min(wrong.values()) > 6
    assert min(result.checks[0].power.values()) > 0.9


def test_a_wrong_theory_makes_dynamics_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gain's rate with half its arcsine."""
    right = dynamics._solve

    def wrong(case: dynamics.Case, rates: object, times: object) -> object:
        if rates == "relu":
            p = perceptron("relu")
            rates = {**p.rates, gamma: p.rates[gamma].subs(asin(angle), asin(angle) / 2)}
        return right(case, rates, times)

    monkeypatch.setattr(dynamics, "_solve", wrong)
    assert outcomes(dynamics.run(DYNAMICS, Context(tmp_path, workers=1)))[0] is False


def test_a_spread_that_does_not_shrink_fails() -> None:
    assert dynamics._spread([(-0.5, -0.48, -0.52)]).passed is True
    assert dynamics._spread([(-0.3, -0.5, -0.5)]).passed is False


def test_approach_tells_powers_apart() -> None:
    """Made-up runs whose means are off by 3/N, and by 1/sqrt(N)."""
    settings = replace(DYNAMICS, sizes=(40, 80, 160))
    (case,) = settings.cases
    flow = dynamics._solve(case, case.activation, settings.times)
    noise = np.random.default_rng(1).standard_normal((400, 2, 3)) / 100
    for law, power in ((lambda n: 3 / n, -1.0), (lambda n: 1 / np.sqrt(n), -0.5)):
        times = np.array(settings.times)
        runs = [PerceptronRun(times, *np.moveaxis(flow + law(n) + noise, -1, 0)) for n in settings.sizes]
        found = dynamics.approach(settings, [runs])
        assert abs(found.value - power) < 0.1
        assert dynamics._approach(found).passed is (power == -1.0)


STABILITY = stability.Settings(
    replicas=(200, 100, 50), sizes=(50, 100, 200), late_replicas=(16, 8, 8), late_sizes=(40, 60, 80),
    late_rates=(1.0, 3.0), late=(2.0, 10.0), batch=4, seed=3,
)  # fmt: skip


def test_stability(tmp_path: Path) -> None:
    """The boundary of the derived flow, not that of the printed (15), and no divergence under normalization."""
    result = stability.run(STABILITY, Context(tmp_path, workers=1))
    assert outcomes(result) == [True, True]
    assert result.checks[0].details["z of wrong theories"]["printed (15)"] > 6
    maximal, effective = result.findings
    assert abs(maximal.evidence["boundary"] - 2) < 0.1
    assert [share for share, *_ in list(maximal.evidence["methods"].values())[1:]] == [0.0, 0.0, 0.0]
    assert (maximal.verdict, effective.verdict) == ("conditional", "refuted")


def test_flow_refuses_an_impossible_angle() -> None:
    with pytest.raises(InputError, match="in \\[-1, 1\\]"):
        solve_perceptron("relu", (1.0, 1.5, 1.0), [1.0], 0.5)


BATCHES = batches.Settings(
    numbers=200_000, sizes=(8, 32, 64, 128, 256), fitted=32, seed=8, layers=batches.LAYER_CASES[2:],
    cases=(Case("identity"), Case("identity", "exponential"), Case("relu"), Case("softplus", "uniform", other=True)),
)  # fmt: skip


def test_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear, ReLU and softplus units, three laws, and a layer; half the derived corrections are rejected."""
    result = batches.run(BATCHES, Context(tmp_path, workers=1))
    assert outcomes(result) == [True] * 6
    assert result.checks[1].details["z of wrong theories"]["zeta = 3/(4M)"] > 6
    assert result.checks[5].details["z of wrong theories"]["appendix C.4"] > 6
    assert [f.verdict for f in result.findings] == ["refuted", "conditional"]
    right = batches.derived_change
    monkeypatch.setattr(batches, "derived_change", lambda case: right(case) / 2)
    wrong = outcomes(batches.run(BATCHES, Context(tmp_path, workers=1)))
    assert (wrong[2], wrong[5]) == (False, False)


FINITE = finite_batch.Settings(
    replicas=(120, 60, 40, 40), cases=(finite_batch.Case(2, 2),), batches=(8, 16, 32, 64), sizes=(200, 400),
    times=(1.0,), seed=4,
)  # fmt: skip


def test_finite_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real batches have the derived coefficients of 1/b, and neither the population's nor any decay's."""
    result = finite_batch.run(FINITE, Context(tmp_path, workers=1))
    assert outcomes(result) == [True]
    assert min(result.checks[0].details["z of wrong theories"].values()) > 6
    assert result.findings[0].verdict == "refuted"
    monkeypatch.setattr(finite_batch, "THEORY", {"batch": "batch"})
    assert outcomes(finite_batch.run(FINITE, Context(tmp_path, workers=1))) == [False]


CLAIMS = claims.Settings(
    replicas=200, samples=(8, 16, 32), times=(12.0, 24.0, 9), trained=8, inputs=64, batch=8, epochs=150, seed=6
)


def test_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coefficients as derived; with those of mean and of deviation swapped, simulations disagree."""
    result = claims.run(CLAIMS, Context(tmp_path, workers=1))
    assert outcomes(result) == [True] * 3
    assert [f.verdict for f in result.findings] == ["conditional", "confirmed", "confirmed"]
    swapped = {"batch": "batch", "mean-only": "variance-only", "variance-only": "mean-only"}
    right = claims.shift
    monkeypatch.setattr(claims, "shift", lambda settings, kind: right(settings, swapped[kind]))
    assert outcomes(claims.run(CLAIMS, Context(tmp_path, workers=1))) == [True, False, False]


BOUNDARY = boundary.Settings(
    replicas=3000, seed=5,
    methods=(boundary.Method(), boundary.Method(0.25), *(boundary.Method(samples=M) for M in (16, 32))),
)  # fmt: skip


def test_boundary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The angle turns where the derived eigenvalue does, not where Table 1 or the printed (15) have it."""
    result = boundary.run(BOUNDARY, Context(tmp_path, workers=1))
    assert outcomes(result) == [True] * 3
    decaying = result.checks[1].details["z of wrong theories"]
    assert decaying["Table 1, 2 + 4 zeta"] > 4
    right = boundary.derived_boundary
    monkeypatch.setattr(boundary, "derived_boundary", lambda settings, zeta, rates=None: right(settings, zeta) * 1.2)
    assert outcomes(boundary.run(BOUNDARY, Context(tmp_path, workers=1)))[:2] == [False, False]


def test_mirrored_starts() -> None:
    """On the other side of the teacher, with the same inputs: the same angle, another unit."""
    setup = PerceptronSetup(cosine=0.8)
    a, b = (simulate_perceptron(setup, [0.0, 0.5], 3, 20, 1, mirrored=m) for m in (False, True))
    assert a.entries[:, 0] == pytest.approx(b.entries[:, 0], abs=1e-14)
    assert np.abs(a.cosine[:, 1] - b.cosine[:, 1]).max() > 1e-3
