"""``orderparams generate``: the file stands alone and computes the flow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numerics.models import parameter_values
from numerics.runs import flow_of
from numerics.runtime.runfile import build
from numerics.system import system_of
from orderparams import main

RUN = '[parameters]\nstudents = 2\nteachers = 3\nnormalization = "batch"\n'
CALL = """
import json, sys
import numpy as np
import generated
inputs = {key: np.array(value) for key, value in json.load(sys.stdin).items()}
rates = generated.rates(**inputs)
print(json.dumps({key: np.asarray(value).tolist() for key, value in rates.items()}))
assert not {"sympy", "derive", "numerics", "validate"} & set(sys.modules)
"""


def test_the_numpy_file_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RUN)
    out = tmp_path / "generated.py"
    assert main(["generate", str(tmp_path / "run.toml"), "--target", "numpy", "--out", str(out)]) == 0
    assert "dQ/dt" in out.read_text()
    run = build({"parameters": {"students": 2, "teachers": 3, "normalization": "batch"}})
    inputs = {**parameter_values(run), "K": 2, "M": 3}
    inputs |= {name: getattr(run.initial, name).tolist() for name in ("Q", "R", "T", "g", "w", "v")}
    answer = subprocess.run(
        [sys.executable, "-c", CALL], input=json.dumps(inputs), capture_output=True, text=True, cwd=tmp_path
    )
    assert answer.returncode == 0, answer.stderr
    rates = json.loads(answer.stdout)
    expected = system_of(flow_of(run)).kernel("numpy")({k: np.array(v) for k, v in inputs.items()})
    for name in ("dQ", "dR", "dg"):
        assert np.array(rates[name]) == pytest.approx(expected[name], abs=1e-14)


@pytest.mark.parametrize("target", ["c", "cuda", "cupy"])
def test_other_targets_are_written(tmp_path: Path, target: str) -> None:
    (tmp_path / "run.toml").write_text("")
    assert (
        main(["generate", str(tmp_path / "run.toml"), "--target", target, "--out", str(tmp_path / "out")])
        == 0
    )
    assert "dQ/dt" in (tmp_path / "out").read_text()


def test_bad_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("")
    argv = ["generate", str(tmp_path / "run.toml"), "--target", "c", "--out", str(tmp_path / "no" / "out.c")]
    assert main(argv) == 2
    assert "there is no folder" in capsys.readouterr().err
