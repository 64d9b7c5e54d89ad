"""Answers that a paper's report gives, put together from what was derived and what was measured.

A paper's package has a module ``answers`` with ``answers(entries, results)``: the questions that the report
is for, each answered in words that the verdicts decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from derive.equation import LedgerEntry
from derive.latex import parts
from validate.report.model import ExperimentResult, Finding

MEANINGS = (
    ("confirmed", "follows from the definitions as printed", "follow from the definitions as printed"),
    ("misprint", "is a misprint, corrected in the ledger", "are misprints, corrected in the ledger"),
    ("conditional", "holds under a condition that the ledger states", "hold under a condition that the ledger states"),
    ("refuted", "does not follow", "do not follow"),
)
"""Of a verdict, for one equation and for several."""


@dataclass(frozen=True)
class Evidence:
    """What there is on one paper: its ledger entries, the findings on its claims, what its experiments say."""

    paper: str
    entries: dict[str, LedgerEntry]
    findings: dict[str, Finding]
    said: dict[str, str]

    @classmethod
    def on(
        cls, paper: str, entries: Iterable[LedgerEntry], results: Iterable[ExperimentResult]
    ) -> Evidence:
        """Gather what belongs to ``paper``."""
        results = tuple(results)
        return cls(
            paper,
            {entry.name: entry for entry in entries if entry.paper == paper},
            {finding.claim: finding for result in results for finding in result.findings},
            {result.name: result.answer for result in results},
        )

    def answered(self, *experiments: str) -> str:
        """What these experiments answered, as far as they ran."""
        names = [f"{self.paper}.{experiment}" for experiment in experiments]
        return " ".join(self.said[name] for name in names if name in self.said)

    def printed_equations(self) -> str:
        """Counts and names of the numbered equations by verdict."""
        equations = [
            entry
            for entry in self.entries.values()
            if entry.printed is not None and ".claim-" not in entry.name
        ]
        sentences = []
        for kind, one, several in MEANINGS:
            names = [entry.name.partition(".")[2] for entry in equations if entry.verdict.kind == kind]
            if names:
                meaning = one if len(names) == 1 else several
                sentences.append(f"{len(names)} of {len(equations)} {meaning}: {', '.join(names)}.")
        return " ".join(sentences)

    def about(self, claims: Iterable[str], experiments: str) -> str:
        """What was derived and what was measured on these claims, each under its name.

        ``experiments`` names those that would measure what is still open.
        """
        sentences, unmeasured = [], False
        for claim in claims:
            name = f"{self.paper}.{claim}"
            entry = self.entries.get(name)
            verdict = None if entry is None else entry.verdict
            if verdict is not None and verdict.kind != "open":
                sentences.append(_sentence(verdict.reason, claim, verdict.kind, "derivation"))
            if name in self.findings:
                finding = self.findings[name]
                sentences.append(_sentence(finding.answer, claim, finding.verdict, "measurement"))
            elif verdict is not None and verdict.kind == "open":
                unmeasured = True
        if unmeasured or not sentences:
            sentences.append(f"Not everything was measured in this run; {experiments} would.")
        return " ".join(sentences)


def _sentence(words: str, claim: str, kind: str, means: str) -> str:
    """What was found, and what it makes of the claim."""
    begins_with_formula, _ = next(parts(words))
    first = words[0] if begins_with_formula else words[0].upper()
    return f"{first}{words[1:].rstrip('.')} [{claim.removeprefix('claim-')}: {kind} by {means}]."
