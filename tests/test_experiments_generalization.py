"""The experiments on generalization in luo2019 at sizes of a test: they pass, and wrong theories fail them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from derive.replica import known
from numerics.replica.solve import solve
from validate.experiments import Context
from validate.experiments.luo2019 import generalization, regression, relu_generalization
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
    peak = finding.evidence["loads"][1]
    assert finding.verdict == "refuted" and peak["batch"] > peak["decay"] + 4 * peak["error"]


def test_a_wrong_theory_makes_regression_fail(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = regression.theory

    def wrong(loads: list[float], noise: float, ridge: float, name: str = "linear") -> np.ndarray:
        return right(loads, 2 * noise, ridge, name)

    monkeypatch.setattr(regression, "theory", wrong)
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
    assert outcomes(relu_generalization.run(RELU, Context(folder, workers=1))) == [False]


def test_the_papers_saddle_point_leads_to_its_closed_form() -> None:
    """At large beta and a small ridge, (22) and (23) with a = 1."""
    (exact,) = solve(known("relu"), [1.0], 1e4, 0.25, 1e-4)
    found = generalization.replaced(exact)
    assert (found["q"], found["R"]) == pytest.approx((0.75, 0.5), abs=2e-3)
    assert 1 + found["q"] / 2 - found["R"] == pytest.approx(generalization.printed(1.0, 0.25), abs=2e-3)
