"""The framework of experiments: names, pieces that survive, reports that tell the truth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from argparse import Namespace
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from numerics.runtime.errors import IncompleteResult, InputError
from validate import validation
from validate.experiments import Context, Experiment, Job, registry, simulate_all, theory_of
from validate.experiments.context import processes
from validate.report import Check, load_json
from validate.simulate import Setup


@dataclass(frozen=True)
class Settings:
    seeds: tuple[int, ...] = (1, 2, 3)
    outcome: str = "passed"


def noise(seed: int, where: str) -> dict[str, np.ndarray]:
    """A piece of work that counts how often it is done."""
    with open(where, "a") as stream:
        stream.write(f"{seed}\n")
    return {"numbers": np.random.default_rng(seed).standard_normal(4)}


def run(settings: Settings, context: Context):
    if settings.outcome == "stopped":
        raise IncompleteResult("no time", None)
    found = context.pieces(noise, [{"seed": s, "where": str(context.folder / "log")} for s in settings.seeds])
    check = Check("mean", "the mean is small", 0.0, float(found[0]["numbers"].mean()), "below 9",
                  settings.outcome == "passed")  # fmt: skip
    return context.result("It is.", checks=[check], seeds={"seeds": settings.seeds})


EXPERIMENT = Experiment("A title", "A question?", run, full=Settings(), quick=Settings(seeds=(1, 2)))


@pytest.fixture
def one_experiment(monkeypatch):
    """The command line knows one experiment only, and how to load it."""
    outcome = {"full": Settings()}
    monkeypatch.setattr(registry, "available", lambda: ("takagi2020.noise",))
    monkeypatch.setattr(registry, "load", lambda name: replace(EXPERIMENT, **outcome))
    monkeypatch.setattr(validation.ledger, "entries", lambda paper: ())
    return outcome


def arguments(folder: Path, *experiments: str, **changed) -> Namespace:
    given = {"sizes": None, "replicas": None, "seed": None, "quick": False, "backend": "auto", "data": None}
    return Namespace(experiments=list(experiments), out=str(folder), **{**given, **changed})


def test_pieces_are_done_once_and_the_same(tmp_path):
    log = tmp_path / "log"
    settings = [{"seed": s, "where": str(log)} for s in (5, 6, 7)]
    with Context(tmp_path, workers=2) as context:
        first = context.pieces(noise, settings[:2])
        assert sorted(log.read_text().split()) == ["5", "6"]
        again = context.pieces(noise, settings)
        assert log.read_text().split().count("7") == 1 and len(log.read_text().split()) == 3
    with Context(tmp_path / "other", workers=1) as context:
        alone = context.pieces(noise, settings)
    for a, b, c in zip(first, again, alone, strict=False):
        assert (a["numbers"] == b["numbers"]).all() and (a["numbers"] == c["numbers"]).all()
    assert (alone[2]["numbers"] == np.random.default_rng(7).standard_normal(4)).all()


def test_a_damaged_piece_is_computed_again(tmp_path, capsys):
    settings = [{"seed": 5, "where": str(tmp_path / "log")}]
    context = Context(tmp_path, workers=1)
    first = context.pieces(noise, settings)
    (piece,) = (tmp_path / "pieces").iterdir()
    piece.write_bytes(piece.read_bytes()[:-3])
    assert (context.pieces(noise, settings)[0]["numbers"] == first[0]["numbers"]).all()
    assert "damaged" in capsys.readouterr().err


ENDLESS = """
import sys, time
from pathlib import Path
from validate.experiments import Context

def endless(number):
    print("at work", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    with Context(Path(sys.argv[1]), workers=2) as context:
        context.pieces(endless, [{"number": 1}, {"number": 2}])
"""


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    """Of a run that is killed nothing computes on: the last process that holds its output closes it."""
    (tmp_path / "endless.py").write_text(ENDLESS)
    command = [sys.executable, "endless.py", str(tmp_path)]
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    run = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )  # fmt: skip
    assert run.stdout is not None
    try:
        assert run.stdout.readline() == b"at work\n"
        run.kill()
        run.communicate(timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)


def test_a_run_writes_a_report_and_says_how_it_ended(tmp_path, one_experiment, capsys):
    assert validation.validate(arguments(tmp_path)) == 0
    assert "takagi2020.noise: 1 of 1 checks passed" in capsys.readouterr().out
    written = load_json(tmp_path / "report.json")
    assert written["passed"] and written["complete"]
    assert written["experiments"][0]["settings"]["seeds"] == [1, 2, 3]
    assert validation.validate(arguments(tmp_path, quick=True)) == 0
    assert load_json(tmp_path / "report.json")["experiments"][0]["settings"]["seeds"] == [1, 2]
    assert len((tmp_path / "log").read_text().split()) == 3, "the quick run found its pieces"


@pytest.mark.parametrize(("outcome", "status"), [("failed", 1), ("stopped", 3)])
def test_exit_status(tmp_path, one_experiment, outcome, status):
    one_experiment["full"] = Settings(outcome=outcome)
    assert validation.validate(arguments(tmp_path)) == status


def test_names_and_globs():
    assert registry.select([]) == registry.available()
    assert registry.select(["takagi2020"]) == registry.select(["takagi2020.*"])
    assert registry.select(["takagi2020.traj*"]) == ("takagi2020.trajectories",)
    with pytest.raises(InputError, match=r"did you mean 'takagi2020.trajectories'"):
        registry.select(["takagi2020.trajectory"])


def test_every_experiment_loads():
    for name in registry.available():
        experiment = registry.load(name)
        assert experiment.question.endswith("?")
        assert type(experiment.full) is type(experiment.quick)


def test_options_of_a_run_file_are_refused_without_one(tmp_path):
    with pytest.raises(InputError, match="--sizes goes with a run file"):
        validation.validate(arguments(tmp_path, "takagi2020", sizes=[100, 200]))


def test_theory_meets_simulation(tmp_path):
    """A large chain follows the flow: criterion 6 standard errors and a bias of at most 5 / N."""
    setup = Setup(
        2, 3, normalization="batch", Q=[[0.5, 0.1], [0.1, 0.4]], R=[[0.3, 0.1, 0], [0.05, 0.2, 0.1]]
    )
    (measured,) = simulate_all(
        Context(tmp_path, workers=1), [Job(setup, (0.0, 0.5, 1.0), 16, 3000, 1, "chain")]
    )
    curves = theory_of("erf", "batch").solve(setup, measured.time)
    for name in ("Q", "R", "g", "generalization_error"):
        samples = getattr(measured, name)[:, -1]
        error = samples.std(axis=0, ddof=1) / 4
        assert (np.abs(samples.mean(axis=0) - getattr(curves, name)[-1]) < 6 * error + 5 / 3000).all(), name


def test_a_small_machine_is_used_whole_and_a_large_one_by_half() -> None:
    assert [processes(cores) for cores in (1, 2, 3, 8)] == [1, 2, 2, 4]
