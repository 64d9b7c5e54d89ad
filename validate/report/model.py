"""What a report holds.  Experiments fill these records; nothing here computes or prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from derive.equation import VERDICTS, Equation, LedgerEntry, VerdictKind
from derive.ledger import with_evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Outcome = Literal["passed", "failed", "not tested"]


@dataclass(frozen=True)
class Check:
    """One comparison of our theory with a measurement, under a criterion stated before the run.

    ``predicted`` and ``measured`` are numbers or short sequences of them, ``standard_error`` that of the
    measurement.  ``passed`` is None where the check could not be made; ``details`` then says why.  ``power``
    maps a wrong theory to the probability that this check would have caught it.
    """

    name: str
    statement: str
    predicted: Any
    measured: Any
    criterion: str
    passed: bool | None
    standard_error: Any = None
    z: float | None = None
    p_value: float | None = None
    power: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        return "not tested" if self.passed is None else "passed" if self.passed else "failed"


@dataclass(frozen=True)
class Finding:
    """The verdict on a claim of a paper, from what an experiment measured.

    ``claim`` is its name in the ledger, ``says`` the claim in words of our own, ``answer`` what was found.
    """

    claim: str
    says: str
    answer: str
    verdict: VerdictKind
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"unknown verdict {self.verdict!r}; known: {', '.join(VERDICTS)}")


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure, or the bytes of a PNG, and a caption that states criterion and result.

    Curves are drawn as SVG; ``raster`` asks for PNG, for clouds of points and heat maps.
    """

    content: Figure | bytes
    caption: str
    raster: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of numbers or words under a header."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"the rows of {self.caption!r} must have {len(self.header)} entries each")


@dataclass(frozen=True)
class ExperimentResult:
    """What one experiment asked, did and found.  ``complete`` is False when it stopped early."""

    name: str
    title: str
    question: str
    answer: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeds: Mapping[str, Any] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    findings: tuple[Finding, ...] = ()
    equations: tuple[Equation, ...] = ()
    figures: Mapping[str, Picture] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    seconds: float | None = None
    complete: bool = True

    def case(self, check: Check) -> str:
        """What tells a check from others with its statement: its name, after a colon; "" for one of a kind."""
        alike = sum(other.statement == check.statement for other in self.checks)
        return "" if alike == 1 else check.name.partition(": ")[2] or check.name


@dataclass(frozen=True)
class Row:
    """One line of the verdict table: a claim or an equation of a paper, and what became of it."""

    name: str
    says: str
    verdict: VerdictKind
    reason: str
    where: str
    """The anchor of the section that holds the evidence."""


@dataclass(frozen=True)
class Report:
    """Everything that a report shows.

    ``answers`` maps the questions the report is for to their answers; ``environment`` says what computed it
    (versions, platform, backend and why it was taken).
    """

    title: str
    answers: Mapping[str, str] = field(default_factory=dict)
    ledger: tuple[LedgerEntry, ...] = ()
    experiments: tuple[ExperimentResult, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    subtitle: str = ""

    @property
    def complete(self) -> bool:
        return all(experiment.complete for experiment in self.experiments)

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(check for experiment in self.experiments for check in experiment.checks)

    @property
    def passed(self) -> bool:
        """Whether no check of ours failed."""
        return all(check.passed is not False for check in self.checks)

    def evidence(self) -> dict[str, dict[str, Any]]:
        """What was measured on every claim: its finding, and the experiment it comes from."""
        return {
            finding.claim: {
                "says": finding.says,
                "verdict": finding.verdict,
                "answer": finding.answer,
                "evidence": finding.evidence,
                "experiment": experiment.name,
            }
            for experiment in self.experiments
            for finding in experiment.findings
        }

    def judged(self) -> tuple[LedgerEntry, ...]:
        """The ledger, with what the experiments measured merged into it."""
        measured = {claim: {"reason": found["answer"], **found} for claim, found in self.evidence().items()}
        return tuple(with_evidence(entry, measured) for entry in self.ledger)

    def verdicts(self) -> tuple[Row, ...]:
        """The verdict table: the ledger in its order, then findings on claims that it does not hold."""
        measured = self.evidence()
        table = []
        for before, entry in zip(self.ledger, self.judged(), strict=True):
            found = measured.pop(entry.name, None)
            open_before = found is not None and before.verdict.kind == "open"
            where = found["experiment"] if found is not None and open_before else entry.name
            table.append(
                Row(entry.name, entry.statement, entry.verdict.kind, entry.verdict.reason, anchor(where))
            )
        rest = measured.items()
        return (
            *table,
            *(Row(name, f["says"], f["verdict"], f["answer"], anchor(f["experiment"])) for name, f in rest),
        )


def anchor(name: str) -> str:
    """The name of a section as an HTML id."""
    return "".join(c if c.isalnum() else "-" for c in name)
