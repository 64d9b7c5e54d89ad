"""The experiment on products of matrices at sizes of a test: it passes, and wrong theories make it fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from derive import ledger
from numerics import tracy_widom
from validate.experiments import Context
from validate.experiments.bjorck2018 import products, products_checks
from validate.report.model import ExperimentResult

SMALL = products.Settings(
    factors=(1, 3), sizes=(16, 32, 64), draws=(1000, 500, 150), large_factors=(1, 2), large_size=120, large_draws=6,
    deep_sizes=(2, 4), depths=(60, 80), deep_draws=(200, 200), depth=4, depth_size=20, depth_draws=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("products")


@pytest.fixture(scope="module")
def result(folder: Path) -> ExperimentResult:
    return products.run(SMALL, Context(folder, workers=1))


def test_it_passes_with_power(result: ExperimentResult) -> None:
    assert result.checks and all(check.passed for check in result.checks)
    powers = [power for check in result.checks for power in check.power.values()]
    assert np.median(powers) > 0.9
    assert set(result.figures) == {
        "product-densities", "product-histograms", "product-extremes", "product-conditioning",
    }  # fmt: skip


def test_findings(result: ExperimentResult) -> None:
    known = {entry.name for entry in ledger.entries("bjorck2018")}
    verdicts = {finding.claim.partition(".")[2]: finding.verdict for finding in result.findings}
    assert {f"bjorck2018.{name}" for name in verdicts} <= known
    assert verdicts["theorem1-variable"] == "misprint"
    assert verdicts["claim-largest"] == "conditional"
    assert verdicts["claim-condition-measured"] == "confirmed"


def failed(folder: Path) -> set[str]:
    checks = products.run(SMALL, Context(folder, workers=1)).checks
    return {check.name.partition(": ")[2] for check in checks if not check.passed}


def test_one_factor_too_many_is_noticed_everywhere(
    result: ExperimentResult, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = products_checks.ProductLaw
    monkeypatch.setattr(products_checks, "ProductLaw", lambda factors: right(factors + 1))
    names = failed(folder)
    assert all(any(word in name for name in names) for word in ("distribution of x", "distribution function"))


@pytest.mark.parametrize(
    ("name", "wrong", "noticed"),
    [
        ("finite_moment", lambda order, factors, size: products_checks.moment(order, factors), "moment 3, M = 3"),
        ("mean_log_determinant", lambda factors, size: -factors, "mean logarithm"),
        ("condition_exponent", lambda factors: factors, "condition number against N, M = 3"),
        ("lyapunov_exponent", lambda place, size: 0.0, "largest value with depth"),
        ("mean_and_deviation", lambda symmetry: (0.0, 1.0), "largest value, M"),
    ],
)
def test_wrong_theories_are_noticed(
    result: ExperimentResult, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, wrong: object, noticed: str
) -> None:
    monkeypatch.setattr(products_checks, name, wrong)
    assert any(noticed in each for each in failed(folder))


def test_extremes_of_the_tracy_widom_laws() -> None:
    """Means and variances as published (Bornemann 2010)."""
    for symmetry, mean, variance in ((1, -1.2065335745820, 1.6077810345810), (2, -1.7710868074116, 0.8131947928329)):
        found, deviation = tracy_widom.mean_and_deviation(symmetry)
        assert found == pytest.approx(mean, abs=1e-11) and deviation**2 == pytest.approx(variance, abs=1e-10)
    assert tracy_widom.distribution(np.array([[-30.0], [10.0]]), 1).shape == (2, 1)


def test_bound_for_independent_values_holds_and_is_tight() -> None:
    rng = np.random.default_rng(0)
    values = np.sort(rng.random((2000, 400)), axis=1)
    steps = np.arange(401) / 400
    distance = np.maximum((steps[1:] - values).max(axis=1), (values - steps[:-1]).max(axis=1))
    beyond = (distance > products_checks.dkw_bound(400, 0.05)).mean()
    assert 0.02 < beyond < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
