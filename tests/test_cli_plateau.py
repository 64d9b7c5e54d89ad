"""``orderparams plateau``: entry and escape, theory and simulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from numerics.plateau import plateau as symmetric_plateau
from numerics.runs import solve_run
from numerics.runtime.runfile import build
from orderparams import main
from validate import plateau

RUN = """
[parameters]
learning_rate = 1.0
[initial]
Q = [[0.25, 0.0], [0.0, 0.16]]
R = [[0.1, 0.0], [0.0, 0.02]]
[times]
stop = 120
points = 241
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(RUN)
    return path


def test_the_level_is_the_symmetric_fixed_point_at_small_learning_rates() -> None:
    """As eta tends to 0 the level tends to the error that derive finds in closed form, linearly.

    The students start almost parallel: the splitting Q - C is a marginal mode, which keeps for long what it
    starts with.
    """
    known = symmetric_plateau("none", 2, 1.0).error
    distances = []
    for rate in (0.02, 0.01):
        run = build({
            "parameters": {"learning_rate": rate},
            "initial": {"Q": [[0.25, 0.248], [0.248, 0.249]], "R": [[0.1, 0.09], [0.09, 0.1]]},
            "times": {"stop": 30 / rate, "points": 301},
        })  # fmt: skip
        (theory,) = plateau.theory_of([run])
        distances.append(theory.level - known)
    assert 0 < distances[1] < distances[0] < 0.05 * known
    assert distances[0] / distances[1] == pytest.approx(2, rel=0.1)


def test_entry_and_escape_are_where_the_error_crosses() -> None:
    run = build({
        "parameters": {"learning_rate": 1.0},
        "initial": {"Q": [[0.25, 0.0], [0.0, 0.16]], "R": [[0.1, 0.0], [0.0, 0.02]]},
        "times": {"stop": 120.0, "points": 481},
    })  # fmt: skip
    (theory,) = plateau.theory_of([run])
    assert 0 < theory.entry < theory.escape < 120
    error = solve_run(run, "numpy")["generalization_error"]
    at = np.interp([theory.entry, theory.escape], run.times, error)
    assert at == pytest.approx([1.1 * theory.level, 0.5 * theory.level], rel=0.01)


def test_simulation_and_theory_agree(capsys: pytest.CaptureFixture[str], run_file: Path) -> None:
    """Criterion: the mean entry of 32 replicas is within 4 standard errors plus 5 % (finite N) of the theory.

    Escape scatters with N more than entry; it is only required to happen and to lie within a factor of 2.
    """
    assert main(["plateau", str(run_file), "--replicas", "32", "--format", "json"]) == 0
    (point,) = json.loads(capsys.readouterr().out)["points"]
    entry, escape = point["simulation"]["entry"], point["simulation"]["escape"]
    assert entry["happened"] == escape["happened"] == 32
    assert abs(entry["mean"] - point["entry"]) < 4 * entry["standard_error"] + 0.05 * point["entry"]
    assert 0.5 < escape["mean"] / point["escape"] < 2


def test_normalizations_at_their_best(
    capsys: pytest.CaptureFixture[str], run_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(plateau, "NORMALIZATIONS", ("none", "batch"))
    argv = ["plateau", str(run_file), "--vary", "learning_rate=0.5:1:2", "--replicas", "2"]
    assert main([*argv, "--plot", str(tmp_path / "p.svg")]) == 0
    out = capsys.readouterr().out
    assert "best, normalization none: learning rate 1" in out and "best, normalization batch: " in out
    assert (tmp_path / "p.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("text", "argv", "words"),
    [
        ("", ["--vary", "label_noise=0:1:3"], "plateau varies learning_rate, students, input_variance"),
        ("", ["--vary", "students=2:3", "input_variance=1:2:2"], "one parameter at a time"),
        ("[parameters]\nstudents = 1", [], "at least 2 students"),
        ("[initial]\nw = [1.0, 2.0]", [], "never alike"),
        ("", ["--plot", "x.gif"], "must end in"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, argv: list[str], words: str
) -> None:
    (tmp_path / "run.toml").write_text(text)
    assert main(["plateau", str(tmp_path / "run.toml"), *argv]) == 2
    assert words in capsys.readouterr().err
