"""``orderparams fim --simulate``: the measured columns beside the predicted ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import orderparams

SIZES = ["--width", "80", "--samples", "40", "--simulate", "--format", "json"]


def row(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, float]:
    assert orderparams.main(["fim", *SIZES, *words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("place", ["none", "batch-middle"])
def test_measured_beside_predicted(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = row(capsys, "--normalization", place, "--replicas", "40", "--bias-variance", "0.5")
    for name in ("m_lambda", "lambda_max"):
        gap = abs(found[f"measured_{name}"] - found[name])
        assert gap < 4 * found[f"measured_{name}_error"] + 0.05 * found[name]
        assert found[f"measured_{name}_error"] < 0.1 * found[name]


def test_mean_subtraction_stays_above_its_bound(capsys: pytest.CaptureFixture[str]) -> None:
    found = row(capsys, "--normalization", "mean", "--replicas", "10")
    assert found["lower"] < found["measured_lambda_max"] < found["upper"]


def test_widths_outputs_and_leaky_units_reach_the_networks(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--widths", "1,0.5,1.5", "--outputs", "4", "--activation", "leaky-relu", "--slope", "0.3")
    found = row(capsys, *words, "--replicas", "40")
    assert abs(found["measured_m_lambda"] / found["m_lambda"] - 1) < 0.1
    assert found["measured_top"] < found["measured_lambda_max"]


def test_an_activation_of_ones_own_and_the_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("import sympy\nx = sympy.Symbol('x')\nphi = sympy.tanh(x)\n")
    same = [
        row(capsys, "--activation", name, "--replicas", "3", "--seed", seed)["measured_lambda_max"]
        for name, seed in ((f"{tmp_path}/mine.py:phi", "5"), ("tanh", "5"), ("tanh", "6"))
    ]
    assert same[0] == pytest.approx(same[1], rel=1e-9)
    assert abs(same[2] / same[1] - 1) > 1e-3


def test_one_network_has_no_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        orderparams.main(["fim", "--simulate", "--replicas", "1"])
    assert caught.value.code == 2
    assert "at least 2" in capsys.readouterr().err


@pytest.mark.parametrize("outputs", ["1", "3"])
def test_batch_normalization_in_the_last_layer_ends_where_its_bulk_does(
    outputs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bulk of mean subtraction over the variance of an output.

    The variances of several outputs differ at finite width, and the top eigenvalue belongs to the smallest: there
    the prediction is below.
    """
    words = ("--width", "200", "--samples", "200", "--normalization", "batch-last", "--replicas", "16")
    found = row(capsys, *words, "--outputs", outputs)
    gap = found["measured_top"] - found["lambda_max"]
    if outputs == "1":
        assert abs(gap) < 3 * found["measured_top_error"] < 0.15 * found["lambda_max"]
    else:
        assert 0 < gap < 0.25 * found["lambda_max"]
    assert found["lower"] < found["bulk_lower"] < found["measured_lambda_max"] < found["bulk_upper"]
    assert found["lambda_max"] == found["bulk_edge"] > 1.2 * found["lower"]
