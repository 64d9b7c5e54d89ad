"""The experiment on mini-batch noise at sizes of a test: it passes, and wrong theories make it fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import Integer

from derive import ledger, minibatch
from validate.experiments import Context
from validate.experiments.bjorck2018 import minibatch_checks, minibatch_draws, minibatch_noise
from validate.report.model import ExperimentResult

SMALL = minibatch_noise.Settings(
    networks=8, samples=60, inputs=6, hidden=8, classes=3, batches=(4, 30), normalized_batches=(2, 30), draws=100,
    regression_batches=(12, 24, 48), regression_draws=40_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("minibatch")


@pytest.fixture(scope="module")
def result(folder: Path) -> ExperimentResult:
    return minibatch_noise.run(SMALL, Context(folder, workers=1))


def test_it_passes(result: ExperimentResult) -> None:
    assert result.checks and all(check.passed for check in result.checks)
    verdicts = {finding.claim: finding.verdict for finding in result.findings}
    assert verdicts.keys() <= {entry.name for entry in ledger.entries("bjorck2018")}
    assert verdicts["bjorck2018.claim-bound-networks"] in ("conditional", "refuted")
    assert set(result.figures) == {"minibatch-noise"} and result.tables


@pytest.mark.parametrize(
    ("owner", "name", "wrong", "noticed"),
    [
        (minibatch_checks, "predicted_noise", lambda right: lambda _, *rest: right("with replacement", *rest),
         "noise, without replacement, B = 30"),
        (minibatch_checks, "predicted_noise", lambda right: lambda *all_: 2 * right(*all_),
         "noise, with replacement, enumerated"),
        (minibatch, "epoch_covariance", lambda right: lambda: Integer(0), "batches of one epoch"),
        (minibatch, "response", lambda right: lambda f: tuple(2 * each for each in right(f)),
         "batch normalization, bias"),
        (minibatch, "centred_bias", lambda right: lambda name: Integer(1), "own mean"),
    ],
)  # fmt: skip
def test_wrong_theories_are_noticed(
    result: ExperimentResult, folder: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str,
    wrong: Callable[[Any], Any], noticed: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(owner, name, wrong(getattr(owner, name)))
    checks = minibatch_noise.run(SMALL, Context(folder, workers=1)).checks
    assert any(noticed in check.name for check in checks if not check.passed)


def test_squared_bias_is_estimated_without_bias() -> None:
    """Groups of pure noise have none; a common vector is found."""
    rng = np.random.default_rng(0)
    groups = rng.standard_normal((400, minibatch_draws.GROUPS, 5))
    record = {"groups": groups, "full": np.ones(400)}
    pure = minibatch_noise.bias(record)
    assert abs(pure.value) < 4 * pure.error < 0.1
    found = minibatch_noise.bias({"groups": groups + 1.0, "full": np.ones(400)})
    assert abs(found.value - 5) < 4 * found.error


def test_the_gradient_of_a_problem_is_the_mean_over_its_samples() -> None:
    problem = minibatch_draws.Problem("none", 12, 4, 5, 3, 0)
    singles = np.array([problem.gradient(np.array([i])) for i in range(12)])
    assert problem.gradient(problem.everything) == pytest.approx(singles.mean(axis=0), abs=1e-14)
    tied = minibatch_draws.Problem("batch", 12, 4, 5, 3, 0)
    halves = [tied.gradient(np.arange(6)), tied.gradient(np.arange(6, 12))]
    assert np.abs(np.mean(halves, axis=0) - tied.gradient(tied.everything)).max() > 1e-3
