"""``orderparams solve``: results, sweeps, plots, and what cannot be solved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from numerics.integrate import Solution
from numerics.runs import flow_of, solve_run, solve_sweep
from numerics.runtime.results import labelled
from numerics.runtime.runfile import build
from orderparams import main

RUN = """
[parameters]
students = 2
teachers = 3
learning_rate = 0.5
[times]
list = [0.5, 1.0, 4.0]
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(RUN)
    return path


def _solve(capsys: pytest.CaptureFixture[str], *argv: object) -> dict:
    assert main(["solve", *map(str, argv), "--backend", "numpy"]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_linear_unit_is_solved_by_hand() -> None:
    """One linear student of a linear teacher: dR = eta (1 - R), dQ = 2 eta (R - Q) + eta^2 (1 - 2 R + Q)."""
    run = build({
        "parameters": {"students": 1, "activation": "identity", "learning_rate": 0.5},
        "initial": {"Q": [[0.25]], "R": [[0.1]]},
        "times": {"stop": 3.0, "points": 7},
    })  # fmt: skip
    solution = solve_run(run, "numpy")

    def rates(_: float, state: np.ndarray) -> list[float]:
        Q, R = state
        return [2 * 0.5 * (R - Q) + 0.25 * (1 - 2 * R + Q), 0.5 * (1 - R)]

    expected = solve_ivp(
        rates, (0, 3), [0.25, 0.1], t_eval=run.times, method="DOP853", rtol=1e-12, atol=1e-14
    ).y
    assert solution["Q"].ravel() == pytest.approx(expected[0], abs=1e-7)
    assert solution["R"].ravel() == pytest.approx(expected[1], abs=1e-7)
    error = (1 - 2 * expected[1] + expected[0]) / 2
    assert solution["generalization_error"] == pytest.approx(error, abs=1e-7)


def test_results_carry_every_array_with_its_axes(capsys: pytest.CaptureFixture[str], run_file: Path) -> None:
    result = _solve(capsys, run_file)
    shapes = {key: np.shape(result[key]["values"]) for key in ("time", "Q", "R", "second_layer")}
    assert shapes == {"time": (3,), "Q": (3, 2, 2), "R": (3, 2, 3), "second_layer": (3, 2)}
    assert result["R"]["axes"] == ["time", "student", "teacher"]
    assert result["g"] is None and result["complete"] is True and result["backend"] == "numpy"
    assert result["time"]["values"] == [0.5, 1.0, 4.0], "times need not begin at 0, though the state does"


def test_a_sweep_is_its_points(capsys: pytest.CaptureFixture[str], run_file: Path) -> None:
    vary = ("--vary", "learning_rate=0.2:0.6:3", "input_variance=0.5:1:2")
    result = _solve(capsys, run_file, *vary)
    error = np.array(result["generalization_error"]["values"])
    assert result["generalization_error"]["axes"] == ["learning_rate", "input_variance", "time"]
    assert error.shape == (3, 2, 3) and result["learning_rate"]["values"] == pytest.approx([0.2, 0.4, 0.6])
    single = build({
        "parameters": {"students": 2, "teachers": 3, "learning_rate": 0.4, "input_variance": 1.0},
        "times": {"list": [0.5, 1.0, 4.0]},
    })  # fmt: skip
    assert error[1, 1] == pytest.approx(solve_run(single, "numpy")["generalization_error"][1:], rel=1e-6)


def test_a_sweep_over_sizes_is_a_list() -> None:
    run = build({"times": {"list": [0.0, 1.0]}})
    sweep = solve_sweep(run, {"students": [1, 2], "learning_rate": [0.5, 1.0]}, "numpy")
    points = sweep.results["points"]
    assert [(p["students"], p["learning_rate"]) for p in points] == [(1, 0.5), (1, 1.0), (2, 0.5), (2, 1.0)]
    assert [p["R"].values.shape for p in points] == [(2, 1, 1)] * 2 + [(2, 2, 2)] * 2
    alone = solve_run(build({"parameters": {"students": 1}, "times": {"list": [0.0, 1.0]}}), "numpy")
    assert points[1]["Q"].values == pytest.approx(alone["Q"], rel=1e-7)


def test_a_flow_is_derived_once_for_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    import numerics.runs

    derived = []
    monkeypatch.setattr(numerics.runs, "flow_of", lambda run: derived.append(run) or flow_of(run))
    solve_sweep(build({"times": {"list": [0.0, 1.0]}}), {"learning_rate": [0.5, 1.0, 1.5]}, "numpy")
    assert len(derived) == 1


def test_a_plot_is_made(run_file: Path) -> None:
    target = run_file.with_suffix(".svg")
    assert main(["solve", str(run_file), "--backend", "numpy", "--plot", str(target)]) == 0
    assert target.read_bytes().startswith(b"<svg")


@pytest.mark.parametrize(("suffix", "magic"), [(".svg", b"<svg"), (".pdf", b"%PDF"), (".png", b"\x89PNG")])
def test_plots_of_sweeps(tmp_path: Path, suffix: str, magic: bytes) -> None:
    from validate import plots

    time = labelled([0.0, 1.0], "time")
    error = labelled([[1.0, 0.5], [1.0, 0.25]], "learning_rate", "time")
    results = {
        "learning_rate": labelled([0.1, 0.2], "learning_rate"),
        "time": time,
        "generalization_error": error,
    }
    target = tmp_path / f"plot{suffix}"
    figure = plots.trajectories(results, ["learning_rate"])
    plots.save(figure, target)
    assert target.read_bytes().startswith(magic)
    drawn = [line.get_ydata().tolist() for line in figure.axes[0].get_lines()]
    assert drawn == [[1.0, 0.5], [1.0, 0.25]]


def test_an_integration_that_stops_keeps_what_it_has(
    capsys: pytest.CaptureFixture[str], run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numerics.runs

    integrate = numerics.runs.integrate

    def few_steps(*arguments: object, **options: object) -> Solution:
        return integrate(*arguments, **options, max_steps=12)  # type: ignore[arg-type]

    monkeypatch.setattr(numerics.runs, "integrate", few_steps)
    out = run_file.parent / "partial.json"
    assert main(["solve", str(run_file), "--backend", "numpy", "--out", str(out)]) == 3
    error = capsys.readouterr().err
    assert "stopped early" in error and error.count("\n") == 1
    result = json.loads(out.read_text())
    assert result["complete"] is False
    assert result["generalization_error"]["values"][0] is not None
    assert result["generalization_error"]["values"][-1] is None


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--vary", "learning_rat=0:1:3"], "did you mean 'learning_rate'"),
        (["--vary", "students=2:3", "--out", "x.npz"], "save it as .json"),
        (["--plot", "x.gif"], "must end in one of .svg, .pdf, .png"),
        (["--out", "x.txt"], "must end in one of .json, .npz, .nc"),
    ],
)
def test_bad_command_lines(
    capsys: pytest.CaptureFixture[str], run_file: Path, argv: list[str], words: str
) -> None:
    assert main(["solve", str(run_file), *argv]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("loss = 3", "it must be a sympy expression"),
        ("from sympy import Symbol\nloss = Symbol('a') ** 2", "not declared"),
    ],
)
def test_a_model_that_is_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, lines: str, words: str
) -> None:
    (tmp_path / "mine.py").write_text(lines)
    (tmp_path / "run.toml").write_text('model = "mine.py:loss"')
    assert main(["solve", str(tmp_path / "run.toml")]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("activation", "words"), [("erff", "did you mean 'erf'"), ("step", "no gradient")])
def test_an_activation_that_cannot_learn(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, activation: str, words: str
) -> None:
    (tmp_path / "run.toml").write_text(f'[parameters]\nactivation = "{activation}"')
    assert main(["solve", str(tmp_path / "run.toml")]) == 2
    assert words in capsys.readouterr().err
