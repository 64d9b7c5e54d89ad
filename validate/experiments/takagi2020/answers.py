"""What the report on takagi2020 is for: four questions, answered in words that the results decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from derive.equation import LedgerEntry
from validate.report.model import ExperimentResult, Finding

PAPER = "takagi2020"


def answers(entries: Iterable[LedgerEntry], results: Iterable[ExperimentResult]) -> dict[str, str]:
    """The four questions and what ledger and experiments say to them."""
    entries = [entry for entry in entries if entry.paper == PAPER]
    findings = {finding.claim: finding for result in results for finding in result.findings}
    return {
        "Which printed equations are right?": _printed(entries),
        "Does the dropped radial term matter?": _on(
            ("claim-radial-negligible",), entries, findings, "takagi2020.trajectories"
        ),
        "What sets the escape from the plateau, with and without batch normalization?": _on(
            ("claim-escape-slower", "claim-q-inverse-g2", "claim-infinitesimal-rate"),
            entries, findings, "takagi2020.escape, takagi2020.weight_norm, takagi2020.learning_rate",
        ),
        "Where does the paper's Hessian argument stand?": _on(
            ("claim-hessian-sets-escape", "claim-critical-point", "claim-negative-eigenvalue-k",
             "claim-negative-eigenvalue-tau", "claim-flat-direction", "claim-flat-direction-tau"),
            entries, findings, "takagi2020.spectra, takagi2020.escape",
        ),
    }  # fmt: skip


def _printed(entries: Sequence[LedgerEntry]) -> str:
    """Counts and names of the numbered equations by verdict."""
    equations = [entry for entry in entries if entry.printed is not None and ".claim-" not in entry.name]
    sentences = []
    for kind, meaning in (
        ("confirmed", "follow from the sample loss as printed"),
        ("misprint", "are misprints, corrected in the ledger"),
        ("conditional", "hold under a condition that the ledger states"),
        ("refuted", "do not follow"),
    ):
        names = [entry.name.partition(".")[2] for entry in equations if entry.verdict.kind == kind]
        if names:
            sentences.append(f"{len(names)} of {len(equations)} {meaning}: {', '.join(names)}.")
    return " ".join(sentences)


def _on(
    claims: Iterable[str], entries: Sequence[LedgerEntry], findings: dict[str, Finding], experiments: str
) -> str:
    """What was derived and what was measured on these claims, each under its name."""
    judged = {entry.name: entry.verdict for entry in entries}
    sentences, unmeasured = [], False
    for claim in claims:
        name = f"{PAPER}.{claim}"
        verdict = judged.get(name)
        if verdict is not None and verdict.kind != "open":
            sentences.append(_sentence(verdict.reason, claim, verdict.kind, "derivation"))
        if name in findings:
            sentences.append(_sentence(findings[name].answer, claim, findings[name].verdict, "measurement"))
        elif verdict is not None and verdict.kind == "open":
            unmeasured = True
    if unmeasured or not sentences:
        sentences.append(f"Not everything was measured in this run; {experiments} would.")
    return " ".join(sentences)


def _sentence(words: str, claim: str, kind: str, means: str) -> str:
    """What was found, and what it makes of the claim."""
    return f"{words[0].upper()}{words[1:].rstrip('.')} [{claim.removeprefix('claim-')}: {kind} by {means}]."
