"""The examples are what the README says they are: run files that load, derive and simulate."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import orderparams
from derive.online import derive_flow
from numerics.models import model_of, parameter_values
from numerics.runtime.runfile import load
from orderparams import main

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_derives(path: Path) -> None:
    run = load(path)
    flow = derive_flow(model_of(run))
    assert [variable.name for variable in flow.state][:2] == ["Q", "R"]
    values = parameter_values(run)
    assert {symbol.name for symbol in flow.parameters} <= values.keys()
    assert values["eta"] == run.parameters.learning_rate


SIMULATED = [path for path in EXAMPLES if path.stem != "landscape"]  # that one has an infinite batch


@pytest.mark.parametrize("path", SIMULATED, ids=lambda path: path.stem)
def test_an_example_is_simulated(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    argv = ["simulate", str(path), "--method", "chain", "--size", "20", "--replicas", "2"]
    assert main(argv) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["generalization_error"]["values"][0][0] > 0
    assert result["diverged_replicas"] == 0


def test_the_model_in_the_readme_is_the_example() -> None:
    """A reader who copies the ten lines gets the file that the run file names."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    block = next(block for block in blocks if "loss =" in block)
    assert block.strip() in (ROOT / "examples" / "phase_retrieval.py").read_text()
    assert len(block.strip().splitlines()) <= 10


def test_the_readme_names_options_that_exist() -> None:
    """Every command line in the README is one that the parser takes."""
    text = (ROOT / "README.md").read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("orderparams ")]
    assert len(commands) >= 10
    for line in commands:
        words = shlex.split(line)[1:]
        arguments = orderparams._parser().parse_args(words)
        if getattr(arguments, "run", None):
            assert (ROOT / arguments.run).is_file(), line
