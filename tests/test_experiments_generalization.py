"""The experiments on generalization in luo2019 at sizes of a test: they pass, and wrong theories fail them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from derive.replica import known
from numerics.replica.solve import Solution, solve
from validate.experiments import Context
from validate.experiments.luo2019 import generalization, regression, relu_generalization, replica
from validate.report.model import ExperimentResult


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that simulations are made once."""
    return tmp_path_factory.mktemp("generalization")


def outcomes(result: ExperimentResult) -> list[bool | None]:
    return [check.passed for check in result.checks]


REGRESSION = regression.Settings(
    sizes=(40, 80, 160), replicas=(160, 80, 40), trained=8, epochs=(10, 120), loads=(0.5, 2.0),
    trained_loads=(0.5, 1.0), gain_batches=(8,), gain_epochs=60, seed=3,
)  # fmt: skip


def test_regression(folder: Path) -> None:
    result = regression.run(REGRESSION, Context(folder, workers=1))
    assert outcomes(result) == [True, True, True]
    assert all(c.power["half the noise"] > 0.9 for c in result.checks[:2])
    assert min(result.checks[2].power.values()) > 0.9
    (finding,) = result.findings
    json.dumps([finding.evidence, *(dict(c.details) for c in result.checks)], allow_nan=False)
    peak = finding.evidence["loads"][1]
    assert finding.verdict == "refuted" and peak["batch"] > peak["decay"] + 4 * peak["error"]


def test_a_wrong_theory_makes_regression_fail(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = regression.theory

    def wrong(loads: list[float], noise: float, ridge: float, name: str = "linear") -> np.ndarray:
        return right(loads, 2 * noise, ridge, name)

    monkeypatch.setattr(regression, "theory", wrong)
    monkeypatch.setattr(regression, "linear_figure", lambda *arguments: None)
    monkeypatch.setattr(regression, "expected_scale", lambda batch: 1.0)
    assert outcomes(regression.run(REGRESSION, Context(folder, workers=1))) == [False, False, False]


RELU = relu_generalization.Settings(
    sizes=(40, 80, 120), replicas=(300, 150, 100), size=80, runs=8, steps=600, epochs=(5, 120),
    loads=(0.8,), trained_loads=(0.5, 1.5), batches=(16,), seed=5,
)  # fmt: skip


def test_relu_generalization(folder: Path) -> None:
    result = relu_generalization.run(RELU, Context(folder, workers=1))
    assert outcomes(result) == [True]
    assert result.checks[0].details["z of wrong theories"]["half the noise"] > 4
    assert [f.claim.partition(".")[2] for f in result.findings] == [
        "claim-bn-equals-decay-relu", "claim-relu-curve", "claim-noise-free-bound",
    ]  # fmt: skip
    descents = result.findings[1].evidence["descents"]
    assert {d["start"] for d in descents} == set(relu_generalization.STARTS)


def test_a_wrong_theory_makes_relu_generalization_fail(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relu_generalization, "printed", lambda load, noise: 1 - load / 4)
    monkeypatch.setattr(relu_generalization, "relu_figure", lambda *arguments: None)
    assert outcomes(relu_generalization.run(RELU, Context(folder, workers=1))) == [False]


def test_the_papers_saddle_point_leads_to_its_closed_form() -> None:
    """At large beta and a small ridge, (22) and (23) with a = 1."""
    (exact,) = solve(known("relu"), [1.0], 1e4, 0.25, 1e-4)
    found = generalization.replaced(exact)
    assert (found["q"], found["R"]) == pytest.approx((0.75, 0.5), abs=2e-3)
    assert 1 + found["q"] / 2 - found["R"] == pytest.approx(generalization.printed(1.0, 0.25), abs=2e-3)


REPLICA = replica.Settings(
    sizes=(24, 48, 96), sets=(64, 32, 16), burn=60, sweeps=50, end_size=60, end_sets=40, betas=(1.0, 4.0),
    colder=(64.0,), descents=8, steps=300, seed=7,
)  # fmt: skip


def test_sampling_follows_the_exact_theory(folder: Path) -> None:
    result = replica.run(REPLICA, Context(folder, workers=1))
    assert outcomes(result) == [True, True, True]
    assert result.checks[0].details["z of wrong theories"]["the paper's replacement"] > 6
    assert result.findings[0].verdict == "refuted"
    assert min(result.checks[2].power.values()) > 0.9


def test_the_papers_theory_makes_sampling_fail(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its overlaps put in the place of the exact ones."""

    def wrong(settings: replica.Settings, beta: float) -> Solution:
        (exact,) = solve(known("relu"), [settings.load], beta, settings.noise, settings.ridge)
        if not np.isfinite(beta):
            return exact
        paper = generalization.replaced(exact)
        return replace(
            exact, Q=paper["Q"], q=paper["q"], R=paper["R"], generalization_error=paper["error"],
            Delta=paper["Q"] - paper["q"],
        )  # fmt: skip

    monkeypatch.setattr(replica, "_exact", wrong)
    assert outcomes(replica.run(REPLICA, Context(folder, workers=1)))[:2] == [False, False]


def test_a_probit_curve() -> None:
    loads = np.array([1.0, 1.2, 1.4, 1.6, 1.8])
    half = replica.half_load(loads, ndtr(7.0 * (1.43 - loads)), 50)
    assert half.value == pytest.approx(1.43, abs=1e-3) and 0.005 < half.error < 0.05
