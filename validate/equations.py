"""``orderparams equations``: the ledger, printed."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from derive import latex, ledger
from derive.equation import Equation, LedgerEntry
from numerics.runtime.results import check_folder, write_atomically


def equations(arguments: Namespace) -> int:
    """Print the ledger's entries, or write them as LaTeX, PDF and HTML into a folder."""
    folder = None if arguments.out is None else check_folder(arguments.out)
    entries = _select(arguments.names)
    if arguments.evidence is not None:
        entries = _merge(entries, arguments.evidence)
    if not arguments.steps:
        entries = [_without_steps(entry) for entry in entries]
    if folder is not None:
        _write(entries, folder)
    else:
        print(FORMATS[arguments.format](entries))
    return 0


def _select(names: Sequence[str]) -> list[LedgerEntry]:
    """The entries of papers and single entries by name; all papers where none is given."""
    chosen: list[LedgerEntry] = []
    for name in names or ledger.PAPERS:
        found = ledger.entries(name) if name in ledger.PAPERS else (ledger.find(name),)
        chosen += [entry for entry in found if entry not in chosen]
    return chosen


def _merge(entries: Sequence[LedgerEntry], path: str) -> list[LedgerEntry]:
    from validate.report import load_json

    findings = {
        claim: {"reason": found["answer"], **found} for claim, found in load_json(path)["evidence"].items()
    }
    return [ledger.with_evidence(entry, findings) for entry in entries]


def _without_steps(entry: LedgerEntry) -> LedgerEntry:
    def bare(equation: Equation | None) -> Equation | None:
        return None if equation is None else replace(equation, steps=())

    return replace(entry, printed=bare(entry.printed), derived=bare(entry.derived))


def _write(entries: Sequence[LedgerEntry], folder: Path) -> None:
    from validate.report import Report, html

    source = latex.document(entries, "Equations")
    write_atomically(folder / "equations.tex", source)
    write_atomically(
        folder / "equations.html", html.render(Report(title="Equations", ledger=tuple(entries)), {})
    )
    made = ["equations.tex", "equations.html"]
    if latex.compile_pdf(source, folder / "equations.pdf") is not None:
        made.append("equations.pdf")
    print(f"wrote {', '.join(made)} in {folder}")


def _text(entries: Iterable[LedgerEntry]) -> str:
    lines = []
    for entry in entries:
        lines += [f"{entry.name}: {entry.verdict.kind}", f"  {entry.statement}", f"  {entry.verdict.reason}"]
        for kind, equation in (("printed", entry.printed), ("derived", entry.derived)):
            if equation is not None:
                lines.append(f"  {kind}: {equation.left} = {equation.right}")
                lines += [
                    f"    {number}. {step.rule}: {step.before}"
                    + ("" if step.after is None else f" -> {step.after}")
                    for number, step in enumerate(equation.steps, 1)
                ]
        for name, value in (entry.verdict.counterexample or {}).items():
            lines.append(f"  counterexample, {name}: {value}")
        lines.append("")
    return "\n".join(lines).rstrip()


def _latex(entries: Iterable[LedgerEntry]) -> str:
    return latex.document(entries, "Equations").rstrip()


def _mathml(entries: Iterable[LedgerEntry]) -> str:
    from validate.report import mathml

    parts = []
    for entry in entries:
        for equation in (entry.printed, entry.derived):
            if equation is not None:
                parts.append(f"<!-- {equation.name}: {entry.verdict.kind} -->\n{mathml.equation(equation)}")
                if equation.steps:
                    parts.append(str(mathml.derivation(equation.steps)))
    return "\n".join(parts)


def _json(entries: Iterable[LedgerEntry]) -> str:
    return json.dumps([entry.to_json() for entry in entries], allow_nan=False)


FORMATS = {"text": _text, "latex": _latex, "mathml": _mathml, "json": _json}
