"""The JSON twin of a report: everything it says, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from derive.equation import plain
from numerics.runtime.results import to_plain
from validate.report.model import Check, ExperimentResult, Finding, Report

FORMAT = 1


def twin(report: Report) -> dict[str, Any]:
    """The report in what JSON can hold.

    ``evidence`` maps the name of every measured claim to its finding: what ``equations --evidence`` merges.
    Figures are named, not embedded.
    """
    return {
        "orderparams_report": FORMAT,
        "title": report.title,
        "subtitle": report.subtitle,
        "complete": report.complete,
        "passed": report.passed,
        "answers": dict(report.answers),
        "verdicts": [asdict(row) for row in report.verdicts()],
        "evidence": values(report.evidence()),
        "ledger": [entry.to_json() for entry in report.judged()],
        "experiments": [_experiment(experiment) for experiment in report.experiments],
        "environment": values(report.environment),
    }


def values(mapping: Any) -> Any:
    """Any mix of numbers, arrays, expressions and containers in what JSON can hold."""
    return to_plain(plain(mapping))


def _experiment(experiment: ExperimentResult) -> dict[str, Any]:
    plain_fields = ("name", "title", "question", "answer", "settings", "seeds", "seconds", "complete")
    return {
        **{key: values(getattr(experiment, key)) for key in plain_fields},
        "checks": [_check(check) for check in experiment.checks],
        "findings": [_finding(finding) for finding in experiment.findings],
        "equations": [equation.to_json() for equation in experiment.equations],
        "figures": [{"name": name, "caption": p.caption} for name, p in experiment.figures.items()],
        "tables": [
            {"caption": table.caption, "header": list(table.header), "rows": values(table.rows)}
            for table in experiment.tables
        ],
    }


def _check(check: Check) -> dict[str, Any]:
    record: Mapping[str, Any] = {f.name: getattr(check, f.name) for f in fields(check)}
    return {"outcome": check.outcome, **{key: values(value) for key, value in record.items()}}


def _finding(finding: Finding) -> dict[str, Any]:
    return {f.name: values(getattr(finding, f.name)) for f in fields(finding)}
