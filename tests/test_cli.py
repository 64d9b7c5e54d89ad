"""The command line: exit statuses, one clear line for each error, and the shape of what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import orderparams
from orderparams import main

ROOT = Path(__file__).resolve().parent.parent
SMALL = """
model = "committee"
[parameters]
students = 2
teachers = 3
normalization = "batch"
batch_size = 4
[times]
list = [0.0, 0.5, 1.0]
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(SMALL)
    return path


def call(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command line."""
    try:
        status = main([str(word) for word in argv])
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def one_line(error: str) -> str:
    assert error.startswith("orderparams: ") and error.count("\n") == 1 and error.endswith("\n")
    return error


BAD_COMMAND_LINES = [
    (["simulat"], "did you mean 'simulate'"),
    (["simulate"], "required: RUN.toml"),
    (["simulate", "RUN", "--backend", "nunpy"], "did you mean 'numpy'"),
    (["simulate", "RUN", "--replicas", "0"], "'0' is not a whole number of at least 1"),
    (["simulate", "RUN", "--replicas", "many"], "'many' is not a whole number"),
    (["simulate", "RUN", "--seed", "-1"], "at least 0"),
    (["simulate", "RUN", "--replica", "3", "--nonsense"], "unrecognized arguments: --nonsense"),
    (["simulate", "nowhere.toml"], "cannot read the run file nowhere.toml"),
    (["simulate", "RUN", "--out", "x.txt"], "must end in one of .json, .npz, .nc"),
    (["simulate", "RUN", "--out", "nowhere/x.json"], "no folder nowhere"),
    (["simulate", "RUN", "--size", "3"], "at least students + teachers = 5"),
]


@pytest.mark.parametrize(("argv", "words"), BAD_COMMAND_LINES, ids=[words for _, words in BAD_COMMAND_LINES])
def test_bad_command_lines(
    capsys: pytest.CaptureFixture[str], run_file: Path, argv: list[str], words: str
) -> None:
    status, out, error = call(capsys, *(str(run_file) if word == "RUN" else word for word in argv))
    assert (status, out) == (2, "")
    assert words in one_line(error)


def test_a_backend_that_is_not_there(
    capsys: pytest.CaptureFixture[str], run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numerics.runtime import devices

    monkeypatch.setattr(devices, "cupy_status", lambda: devices.Status(False, "no GPU in this test"))
    status, _, error = call(capsys, "simulate", run_file, "--backend", "cupy")
    assert status == 2 and "no GPU in this test; working: numpy" in one_line(error)


def test_simulate_prints_every_array_with_its_axes(
    capsys: pytest.CaptureFixture[str], run_file: Path
) -> None:
    status, out, _ = call(capsys, "simulate", run_file, "--replicas", 3, "--size", 10, "--seed", 5)
    assert status == 0
    result = json.loads(out)
    shapes = {key: np.shape(result[key]["values"]) for key in ("time", "Q", "R", "g", "second_layer")}
    assert shapes == {
        "time": (3,),
        "Q": (3, 3, 2, 2),
        "R": (3, 3, 2, 3),
        "g": (3, 3, 2),
        "second_layer": (3, 3, 2),
    }
    assert result["Q"]["axes"] == ["replica", "time", "student", "student"]
    assert result["generalization_error"]["axes"] == ["replica", "time"]
    assert result["complete"] is True and result["seed"] == 5 and result["reason"]


def test_simulate_saves_and_leaves_no_checkpoint(capsys: pytest.CaptureFixture[str], run_file: Path) -> None:
    out = run_file.parent / "result.npz"
    status, printed, _ = call(capsys, "simulate", run_file, "--replicas", 2, "--size", 10, "--out", out)
    assert (status, printed) == (0, "")
    with np.load(out) as saved:
        assert saved["R"].shape == (2, 3, 2, 3)
    assert sorted(path.name for path in run_file.parent.iterdir()) == ["result.npz", "run.toml"]


def test_a_damaged_checkpoint_is_refused(capsys: pytest.CaptureFixture[str], run_file: Path) -> None:
    out = run_file.parent / "result.json"
    Path(f"{out}.checkpoint").write_bytes(b"not a checkpoint")
    status, _, error = call(capsys, "simulate", run_file, "--replicas", 2, "--size", 10, "--out", out)
    assert status == 2 and "delete it to start afresh" in one_line(error)
    assert not out.exists()


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys)
    assert status == 2 and "simulate" in out


def test_versions_name_every_backend(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "--version")
    assert status == 0
    assert all(f"backend {name}: " in out for name in ("numpy", "c", "cupy", "cuda"))


def test_another_package_of_our_name_is_named(
    capsys: pytest.CaptureFixture[str], run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import validate

    monkeypatch.setattr(validate, "__doc__", "Someone else's.")
    status, _, error = call(capsys, "simulate", run_file)
    assert status == 2 and "the package 'validate' that Python finds" in one_line(error)


def test_an_interruption_says_what_is_left(
    capsys: pytest.CaptureFixture[str], run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import validate.simulate

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(validate.simulate, "simulate", interrupted)
    status, _, error = call(capsys, "simulate", run_file)
    assert status == 130 and "nothing was kept" in one_line(error)
    out = run_file.parent / "a.json"
    status, _, error = call(capsys, "simulate", run_file, "--out", out)
    assert status == 130 and "nothing was kept" in one_line(error)
    Path(f"{out}.checkpoint").write_bytes(b"")
    status, _, error = call(capsys, "simulate", run_file, "--out", out)
    assert status == 130 and "the same command resumes it" in one_line(error)


def test_a_fault_of_ours_keeps_its_traceback(run_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import validate.simulate

    monkeypatch.setattr(validate.simulate, "simulate", None)
    with pytest.raises(TypeError):
        main(["simulate", str(run_file)])


def test_too_little_memory_says_how_much(capsys: pytest.CaptureFixture[str]) -> None:
    assert orderparams.main(["fim", "--simulate", "--samples", "400000000", "--width", "100000"]) == 2
    error = capsys.readouterr().err
    assert "too little memory" in error and "iB" in error and error.count("\n") == 1


def test_too_little_memory_without_a_size(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own MemoryError has no text."""

    def refuse(_: object) -> int:
        raise MemoryError

    monkeypatch.setattr("validate.fim.fim", refuse)
    assert orderparams.main(["fim"]) == 2
    assert "too little memory: an array was refused; take smaller sizes" in capsys.readouterr().err


def test_every_command_can_be_imported(capsys: pytest.CaptureFixture[str]) -> None:
    """The bodies are named as text, so that nothing is imported early: each name must lead somewhere."""
    import importlib

    subparsers = next(a for a in orderparams._parser()._actions if a.dest == "command")
    assert subparsers.choices
    for parser in subparsers.choices.values():
        module, _, function = parser.get_default("body").partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_process_exits_with_the_status() -> None:
    """Once through a real process: what main returns is what the shell sees."""
    script = [sys.executable, str(ROOT / "orderparams.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    bad = subprocess.run(
        [*script, "simulate", "nowhere.toml"], capture_output=True, text=True, env=environment
    )
    assert bad.returncode == 2 and bad.stdout == "" and bad.stderr.startswith("orderparams: cannot read")
