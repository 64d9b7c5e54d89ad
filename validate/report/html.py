"""The report as one HTML file: no script, no network, figures and formulas inside."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from typing import get_args

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from derive.equation import VERDICTS
from validate.report import mathml, text
from validate.report.model import Outcome, Report, anchor

SYMBOLS = {
    "confirmed": "✓", "misprint": "✎", "conditional": "◐", "refuted": "✗", "definition": "≡", "open": "?",
    "passed": "✓", "failed": "✗", "not tested": "–",
}  # fmt: skip


def render(report: Report, drawings: Mapping[str, str | bytes]) -> str:
    """The page.  ``drawings`` maps the name of every figure to its SVG text or PNG bytes."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        words=mathml.words,
        equation=mathml.equation,
        meanings=mathml.meanings,
        derivation=mathml.derivation,
        number=text.number,
        probability=text.probability,
        duration=text.duration,
        listed=text.listed,
        anchor=anchor,
        badge=badge,
        breakable=breakable,
        score=text.score,
    )
    folder = resources.files("validate.report")
    template = environment.from_string((folder / "template.html").read_text(encoding="utf-8"))
    outcomes = Counter(check.outcome for check in report.checks)
    verdicts = report.verdicts()
    kinds = Counter(row.verdict for row in verdicts)
    return template.render(
        report=report,
        css=Markup((folder / "style.css").read_text(encoding="utf-8")),
        verdicts=verdicts,
        ledger=report.judged(),
        places={row.name: row.where for row in verdicts},
        kinds=[(kind, kinds[kind]) for kind in VERDICTS if kinds[kind]],
        outcomes=[(outcome, outcomes[outcome]) for outcome in get_args(Outcome) if outcomes[outcome]],
        drawings={name: _drawing(content) for name, content in drawings.items()},
    )


def badge(kind: str) -> Markup:
    """A verdict or an outcome as a word and a sign, never as a colour alone."""
    return Markup('<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>').format(
        kind.replace(" ", "-"), SYMBOLS[kind], kind
    )


def breakable(name: str) -> Markup:
    """A dotted name that may go on in the next line after a dot, a hyphen or an underscore."""
    return Markup("<wbr>").join(re.findall(r"[^._-]*[._-]|[^._-]+", name))


def _drawing(content: str | bytes) -> Markup:
    if isinstance(content, str):
        return Markup(content)
    data = base64.b64encode(content).decode()
    return Markup('<img alt="" src="data:image/png;base64,{}">').format(escape(data))
