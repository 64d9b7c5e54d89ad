"""``orderparams equations``: the ledger in every format, and evidence merged into it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sympy import Symbol

from derive import ledger
from derive.equation import Equation, LedgerEntry, Step, Verdict
from orderparams import main

a, b = Symbol("a"), Symbol("b")
EQUATION = Equation("paper1999.eq1", a, b**2, steps=(Step("square", b, b**2),))
ENTRIES = {
    "paper1999.eq1": LedgerEntry(
        "paper1999.eq1",
        "paper1999",
        "a square",
        Verdict("confirmed", "it follows"),
        printed=replace(EQUATION, name="paper1999.eq1 as printed"),
        derived=EQUATION,
    ),
    "paper1999.claim": LedgerEntry(
        "paper1999.claim", "paper1999", "learning is fast", Verdict("open", "unmeasured")
    ),
}


@pytest.fixture(autouse=True)
def small_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger of two entries: what is tested here is the command, not the papers."""
    monkeypatch.setattr(ledger, "PAPERS", ("paper1999",))
    monkeypatch.setattr(ledger, "entries", lambda paper: tuple(ENTRIES.values()))
    monkeypatch.setattr(ledger, "find", ENTRIES.__getitem__)


def _run(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["equations", *argv]) == 0
    return capsys.readouterr().out


def test_json_has_what_programs_need(capsys: pytest.CaptureFixture[str]) -> None:
    equation, claim = json.loads(_run(capsys, "--format", "json"))
    assert (equation["name"], equation["paper"], equation["verdict"]) == (
        "paper1999.eq1",
        "paper1999",
        "confirmed",
    )
    assert equation["derived"]["latex"] == "a = b^{2}" and "Pow" in equation["derived"]["srepr"]
    assert claim["printed"] is None and claim["derived"] is None and claim["verdict"] == "open"


def test_names_select_and_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    names = [
        entry["name"]
        for entry in json.loads(_run(capsys, "paper1999.claim", "paper1999", "--format", "json"))
    ]
    assert names == ["paper1999.claim", "paper1999.eq1"]


def test_steps_are_shown_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert "1. square: b -> b**2" in _run(capsys, "paper1999.eq1", "--steps")
    assert "square:" not in _run(capsys, "paper1999.eq1")


def test_mathml_is_well_formed(capsys: pytest.CaptureFixture[str]) -> None:
    tree = ElementTree.fromstring(f"<body>{_run(capsys, '--format', 'mathml', '--steps')}</body>")
    assert len(list(tree.iter("{http://www.w3.org/1998/Math/MathML}math"))) >= 3


def test_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = _run(capsys, "--out", str(tmp_path / "made"))
    assert "equations.tex" in out
    assert "\\end{document}" in (tmp_path / "made" / "equations.tex").read_text()
    assert "learning is fast" in (tmp_path / "made" / "equations.html").read_text()


def _report(tmp_path: Path) -> str:
    from validate.report import ExperimentResult, Finding, Report, write

    finding = Finding("paper1999.claim", "learning is fast", "it took 3 hours", "refuted", {"hours": 3})
    experiment = ExperimentResult("speed", "Speed", "How fast?", "Slow.", findings=(finding,))
    write(Report("A report", experiments=(experiment,)), tmp_path)
    return str(tmp_path / "report.json")


def test_evidence_decides_what_was_open(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ("paper1999.claim", "--evidence", _report(tmp_path), "--format", "json")
    (claim,) = json.loads(_run(capsys, *argv))
    assert claim["verdict"] == "refuted" and claim["reason"] == "it took 3 hours"
    assert claim["evidence"]["measured"]["evidence"] == {"hours": 3}


def test_evidence_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    assert main(["equations", "--evidence", str(tmp_path / "other.json")]) == 2
    assert "is not a report" in capsys.readouterr().err
    assert main(["equations", "--evidence", str(tmp_path / "none.json")]) == 2
    assert "cannot read" in capsys.readouterr().err
