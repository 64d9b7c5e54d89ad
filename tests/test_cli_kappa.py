"""The command ``kappa``, and networks from a file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import orderparams


def test_kappa_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    command = "kappa --depth 3 --activation relu --weight-variance 2 --bias-variance 0 --format json"
    assert orderparams.main(command.split()) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kappa_1"] == 1.5
    assert found["q_hat_st"][1] == pytest.approx(1 / math.pi, rel=1e-13)
    assert set(found) == {
        "kappa_1", "kappa_2", "q_hat_t", "q_hat_st", "q_t", "q_st", "q_tilde_t", "q_tilde_st",
    }  # fmt: skip
    assert orderparams.main([*command.split(), "--vary", "weight-variance=0.5:4:8"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 8
    assert orderparams.main(["kappa", "--digits", "30", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["kappa_2"]) > 30
    assert orderparams.main(["kappa", "--depth", "1"]) == 2


def test_variances_are_read_as_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    """To any number of digits: the variance of the first layer is their sum."""
    words = ["--weight-variance", "1/3", "--bias-variance", "0.64", "--digits", "30", "--format", "json"]
    assert orderparams.main(["kappa", *words]) == 0
    first = json.loads(capsys.readouterr().out)["q_t"][0]
    assert first == "0.973333333333333333333333333333"
    swept = ["--vary", "weight-variance=0.1:0.3:3", "slope=1/7:1:2", "--activation", "leaky-relu"]
    assert orderparams.main(["kappa", *swept, "--digits", "30", "--format", "json"]) == 0
    third = json.loads(capsys.readouterr().out)[2]
    assert (third["weight-variance"], third["q_t"][0]) == (0.2, "0.200000000000000000000000000000")
    for text in ("x", "1/0", "nan", "inf"):
        with pytest.raises(SystemExit):
            orderparams.main(["kappa", "--bias-variance", text])
        assert "finite number" in capsys.readouterr().err


LISTED = """
from derive.wide import Layer, Network
layers = [Layer.of("tanh", 3, "0.64", "1/2"), Layer.of("relu", 2, 0, 1.5), Layer.of("identity", 1, "1/10", 2)]
whole = Network(layers, "1.5", "mean")
alike = [Layer.of("relu", 2, "0.3")] * 2 + [Layer.of("identity", 2, "0.3")]
wrong = [1, 2]
"""


def test_a_network_written_as_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(LISTED)
    monkeypatch.chdir(tmp_path)

    def row(*words: str) -> dict[str, Any]:
        assert orderparams.main([*words, "--format", "json"]) == 0
        return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]

    assert row("kappa", "--network", "net.py:alike") == row("kappa", "--bias-variance", "0.3")
    found = row("kappa", "--network", "net.py:layers")
    assert found["q_t"][:2] == pytest.approx([3.64, 2 * found["q_hat_t"][1]], rel=1e-14)
    for name, T in (("layers", 30), ("whole", 60)):
        sizes = ("--width", "60", "--samples", str(T), "--simulate", "--replicas", "20")
        found = row("fim", "--network", f"net.py:{name}", *sizes)
        for column in ("m_lambda", "lambda_max"):
            value, error = found[f"measured_{column}"], found[f"measured_{column}_error"]
            assert value == pytest.approx(found[column], abs=4 * error + 0.1 * value)
    for words, says in (
        (("net.py:layers", "--depth", "3"), "leave out --depth"),
        (("net.py:layers", "--vary", "depth=2:3"), "leave out --vary"),
        (("net.py:layers", "--fixed-point"), "differ"),
        (("net.py:wrong",), "list of"),
        (("net.py",), "FILE.py:NAME"),
        (("net.py:layer",), "layers"),
    ):
        assert orderparams.main(["kappa", "--network", *words]) == 2
        assert says in capsys.readouterr().err
