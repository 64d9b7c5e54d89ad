"""The experiments of karakida2019 at sizes of a test: they pass, and a wrong theory makes them fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from validate.experiments import Context
from validate.experiments.karakida2019 import (
    backward_overlaps,
    batch_middle,
    bulk,
    descents,
    finite_width,
    largest_eigenvalue,
    layer_normalization,
    learning_rate,
    proportional,
    sharpness,
)
from validate.experiments.karakida2019.ensembles import Case, growth, measure_all

LARGEST = largest_eigenvalue.Settings(
    (100, 200, 300),
    (100, 80, 60),
    models=(largest_eigenvalue.MODELS[2], largest_eigenvalue.MODELS[5]),
    seed=5,
)


def test_largest_eigenvalue(tmp_path: Path) -> None:
    result = largest_eigenvalue.run(LARGEST, Context(tmp_path, workers=1))
    assert [check.passed for check in result.checks] == [True] * 6
    assert min(min(check.power.values()) for check in result.checks if check.power) > 0.7
    assert [finding.verdict for finding in result.findings] == ["confirmed", "confirmed"]


def test_a_wrong_theory_makes_the_largest_eigenvalue_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal widths, and no finite number of samples."""
    right = largest_eigenvalue._prediction
    context = Context(tmp_path, workers=1)
    largest_eigenvalue.run(LARGEST, context)
    for wrong in (
        lambda model, alphas, samples: right(model, (1.0,) * len(alphas), samples),
        lambda model, alphas, samples: right(model, alphas, 10**6),
    ):
        monkeypatch.setattr(largest_eigenvalue, "_prediction", wrong)
        result = largest_eigenvalue.run(LARGEST, context)
        assert not all(check.passed for check in result.checks)
        assert result.findings[0].verdict == "refuted"


def test_a_case_in_parts_keeps_its_order_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap and expensive cases come back where they were asked for, every replica once."""
    import validate.experiments.karakida2019.ensembles as ensembles

    cases = [Case((m, m, 1), "relu", 2.0, 0.0, 4, 5, (9, m)) for m in (6, 40, 12)]
    monkeypatch.setattr(ensembles, "PIECE_OPERATIONS", cases[1].operations() * 2)
    found = measure_all(Context(tmp_path, workers=1), cases, "test")
    assert [len(e.largest) for e in found] == [5, 5, 5]
    assert len(np.unique(found[1].largest)) == 5
    assert 2 < found[1].largest.mean() / found[0].largest.mean() < 20


def test_growth_recovers_an_exponent() -> None:
    draw = np.random.default_rng(0)
    widths = (100, 200, 400, 800)
    samples = [3 * m**-0.5 * (1 + 0.01 * draw.standard_normal(400)) for m in widths]
    found = growth(widths, samples)
    assert abs(found.exponent + 0.5) < 4 * found.error < 0.01
    assert found.constant == pytest.approx(3, rel=0.02)


SHARPNESS = sharpness.Settings((40, 80, 160), (100, 60, 30), seed=6)


def test_sharpness(tmp_path: Path) -> None:
    """Mean subtraction lowers lambda_max; what is left neither grows nor undercuts the bound."""
    result = sharpness.run(SHARPNESS, Context(tmp_path, workers=1))
    assert [check.passed for check in result.checks] == [True] * 8
    figure, order = result.findings
    assert figure.verdict == "confirmed"
    assert all(abs(exponent) < 0.15 for exponent, _ in order.evidence["exponents"].values())
    assert order.verdict in ("conditional", "refuted")  # the derived edge grows
    assert order.evidence["the same at depth 2"] < 1e-6
    assert order.evidence["rise of the derived edge to M = 1e+06"]["relu"] > 0.01


def test_a_wrong_theory_makes_sharpness_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kappa_1 and kappa_2 exchanged."""
    right = sharpness.theory

    def wrong(*arguments: object) -> object:
        p = right(*arguments)
        return replace(p, kappa_1=p.kappa_2, kappa_2=p.kappa_1)

    monkeypatch.setattr(sharpness, "theory", wrong)
    result = sharpness.run(SHARPNESS, Context(tmp_path, workers=1))
    assert not any(check.passed for check in result.checks[:2])
    assert result.findings[0].verdict == "refuted"


RATES = learning_rate.Settings((20, 80), 160, 60, 3, 9, 1e-3, 1.0, seed=7)


def test_learning_rate(tmp_path: Path) -> None:
    result = learning_rate.run(RATES, Context(tmp_path, workers=1))
    assert [check.passed for check in result.checks] == [True] * 3
    larger = next(finding for finding in result.findings if finding.claim.endswith("larger-rate"))
    assert larger.evidence["ratio"][-1] > 1


def test_the_lowest_rate_that_explodes() -> None:
    """Between the last rate that survives and the first that does not; beyond the grid where all survive."""
    losses = np.array([[[1.0], [1e4], [1.0], [np.inf]], [[1.0], [1.0], [1.0], [1.0]]])
    rise = np.array([[[1.0], [1e4], [2.0], [np.inf]], [[1.0], [1.0], [1.0], [1.2]]])
    found = learning_rate.Map(losses, rise, np.ones((2, 4, 1)), np.ones((2, 1)))
    rates = np.geomspace(1e-3, 1.0, 4)
    np.testing.assert_allclose(found.critical(rates).ravel(), [10**-2.5, 10**0.5])
    np.testing.assert_allclose(found.rising(rates).ravel(), [10**-2.5, 10**-0.5])


def test_growth_sees_a_wrong_sharpness(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Gram matrix twice too large is noticed by the growth of the loss."""
    case = {"shape": learning_rate.shape(12, "none"), "samples": 20, "seed": 1, "excess": 2.2, "steps": 60}
    right = descents.gram_matrix
    monkeypatch.setattr(descents, "gram_matrix", lambda *given: 2 * right(*given))
    found = descents.growth_at_zero_residual(**case)
    assert found["hessian"] / found["fisher"] == pytest.approx(0.5, rel=1e-3)


OVERLAPS = backward_overlaps.Settings((60, 120, 240), (200, 100, 50), depth=3, samples=8, seed=8)


def test_backward_overlaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They follow the recursions at a rate of one half, and not those with backward signals a layer off."""
    context = Context(tmp_path, workers=1)
    result = backward_overlaps.run(OVERLAPS, context)
    assert all(check.passed for check in result.checks)
    assumption, rate = result.findings
    assert assumption.verdict == "confirmed"
    assert all(abs(q - 0.5) < max(0.1, 4 * error) for q, error in rate.evidence.values())
    right = backward_overlaps._theory

    def wrong(*arguments: object) -> object:
        found = right(*arguments)
        return replace(found, tilde_st=(*found.tilde_st[1:], found.tilde_st[-1]))

    monkeypatch.setattr(backward_overlaps, "_theory", wrong)
    assert backward_overlaps.run(OVERLAPS, context).findings[0].verdict == "refuted"


MIDDLE = batch_middle.Settings(
    (40, 80, 160), (60, 40, 20), (30, 60), (2, 3), 40, (60, 120), (30, 20), (50, 100), (8, 4), seed=9
)  # fmt: skip


def test_batch_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The derived blocks hold, the bound is not the value, and the last layer alone removes the growth."""
    context = Context(tmp_path, workers=1)
    result = batch_middle.run(MIDDLE, context)
    assert all(check.passed for check in result.checks)
    vital = result.findings[1].evidence
    assert vital["batch-middle"][0] > 0.8 > 0.4 > abs(vital["batch-last"][0])
    right = batch_middle.theory

    def wrong(*arguments: int) -> object:
        found = right(*arguments)
        return replace(found, lambda_max=found.lower, lower=1.2 * found.lower)

    monkeypatch.setattr(batch_middle, "theory", wrong)
    failed = [check.name for check in batch_middle.run(MIDDLE, context).checks if not check.passed]
    assert {"lambda_max / M: T = 30", "lambda_max / M: L = 3, T = 40", "bound (22): L = 2"} <= set(failed)


RATIOS = proportional.Settings(
    60, (0.05, 1.0, 4.0), (60, 30, 10), (60, 120, 240), (300, 150, 80), (40, 80, 160), (60, 40, 30), seed=11
)  # fmt: skip


def test_proportional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(17) at two samples, the bounds in between; with kappa_1 for kappa_1 - kappa_2 both are noticed."""
    context = Context(tmp_path, workers=1)
    result = proportional.run(RATIOS, context)
    assert all(check.passed for check in result.checks)
    loose, centered = result.findings
    assert loose.verdict == "confirmed"
    assert max(abs(exponent) for exponent, _ in centered.evidence.values()) < 0.2
    right = proportional.theory

    def wrong(*arguments: object) -> object:
        found = right(*arguments)
        return replace(found, lambda_max=2 * found.lambda_max, lower=5 * found.lower, upper=9 * found.upper)

    monkeypatch.setattr(proportional, "theory", wrong)
    assert not any(check.passed for check in proportional.run(RATIOS, context).checks[:4])


UNITS = layer_normalization.Settings((40, 80, 160), (200, 150, 100), (8,), 30, (40, 80), (60, 40), seed=12)


def test_layer_normalization(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(26) given the outputs; kappas a tenth too large are noticed, and a lower bound six times as high."""
    context = Context(tmp_path, workers=1)
    result = layer_normalization.run(UNITS, context)
    assert all(check.passed for check in result.checks)
    theorem, order, two = result.findings
    assert (theorem.verdict, two.verdict) == ("conditional", "confirmed")
    value, error = order.evidence["lambda_max / M"]
    assert value > 3 * error
    right = layer_normalization.theory

    def wrong(outputs: int, *arguments: int) -> object:
        p = right(outputs, *arguments)
        return replace(p, kappa_1=1.1 * p.kappa_1, kappa_2=1.1 * p.kappa_2, lower=6 * p.lower)

    monkeypatch.setattr(layer_normalization, "theory", wrong)
    assert not any(check.passed for check in layer_normalization.run(UNITS, context).checks[:-1])


SPECTRA = bulk.Settings((1.0,), (60, 120, 240), (160, 100, 60), seed=13)


def test_bulk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variance and edge are the derived ones; each an eighth larger is noticed."""
    context = Context(tmp_path, workers=1)
    assert all(check.passed for check in bulk.run(SPECTRA, context).checks)
    right = bulk.theory

    def wrong(*arguments: object) -> object:
        p = right(*arguments)
        return replace(p, variance=9 * p.variance / 8, edge=9 * p.edge / 8)

    monkeypatch.setattr(bulk, "theory", wrong)
    assert not any(check.passed for check in bulk.run(SPECTRA, context).checks)


NARROW = finite_width.Settings((16, 32, 64), (6000, 6000, 6000), seed=3)


def test_finite_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Biases and correction are the derived ones; the opposite sign of the correction is noticed."""
    monkeypatch.setattr(finite_width, "MODELS", finite_width.MODELS[:2])
    context = Context(tmp_path, workers=1)
    assert all(check.passed for check in finite_width.run(NARROW, context).checks)
    right = finite_width.theory
    monkeypatch.setattr(
        finite_width, "theory", lambda model: replace(right(model), correction=-right(model).correction)
    )
    assert not all(check.passed for check in finite_width.run(NARROW, context).checks)
