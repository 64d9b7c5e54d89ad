"""The verdict table as CSV and LaTeX, and the whole report as a LaTeX document."""

from __future__ import annotations

import csv
import io

from derive.latex import document, escape
from validate.report.model import ExperimentResult, Report, anchor
from validate.report.text import number


def verdicts_csv(report: Report) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "claim", "verdict", "reason"))
    writer.writerows((row.name, row.says, row.verdict, row.reason) for row in report.verdicts())
    return text.getvalue()


def verdicts_tex(report: Report) -> str:
    """The verdict table as a ``longtable``, to be included in a paper; it needs array and longtable."""
    lines = [
        _columns(0.2, 0.3, 0.12, 0.27),
        r"\textbf{Name} & \textbf{Claim} & \textbf{Verdict} & \textbf{Reason} \\ \hline"
        r" \noalign{\vskip 4pt} \endhead",
    ]
    lines += [
        rf"{escape(row.name)} & {escape(row.says)} & {row.verdict} & {escape(row.reason)} \\[0.4em]"
        for row in report.verdicts()
    ]
    return "\n".join([*lines, r"\end{longtable}", ""])


def _columns(*widths: float) -> str:
    columns = (rf">{{\raggedright\arraybackslash}}p{{{width}\textwidth}}" for width in widths)
    return rf"\begin{{longtable}}{{@{{}}{''.join(columns)}@{{}}}}"


def report_tex(report: Report) -> str:
    """The report as a LaTeX document; its figures lie in the folder figures/ beside it."""
    before = [rf"\textit{{{escape(report.subtitle)}}}" + "\n"] if report.subtitle else []
    for question, answer in report.answers.items():
        before.append(rf"\textbf{{{escape(question)}}} {escape(answer)}" + "\n")
    if report.verdicts():
        before += [r"\subsection*{Verdicts}", "{\\small\n" + verdicts_tex(report) + "}\n"]
    for experiment in report.experiments:
        before.append(_experiment(experiment))
    if report.ledger:
        before.append(r"\section*{Equations}")
    return document(report.judged(), report.title, before="\n".join(before))


def _experiment(experiment: ExperimentResult) -> str:
    parts = [
        rf"\section*{{{escape(experiment.title)}}}",
        rf"\textit{{{escape(experiment.question)}}}" + "\n",
        escape(experiment.answer) + "\n",
    ]
    for name, picture in experiment.figures.items():
        parts.append(
            rf"\includegraphics[width=\textwidth]{{figures/{anchor(name)}}}" + "\n\n"
            r"{\small " + escape(picture.caption) + "}\n"
        )
    if experiment.checks:
        parts.append("{\\small" + _columns(0.3, 0.18, 0.2, 0.2))
        parts.append(
            r"\textbf{Check} & \textbf{Predicted} & \textbf{Measured} & \textbf{Outcome} \\ \hline"
            r" \noalign{\vskip 4pt} \endhead"
        )
        parts += [
            " & ".join(
                escape(cell)
                for cell in (
                    check.statement,
                    number(check.predicted),
                    number(check.measured, check.standard_error),
                    f"{check.outcome} ({check.criterion})",
                )
            )
            + r" \\[0.4em]"
            for check in experiment.checks
        ]
        parts.append(r"\end{longtable}}")
    return "\n".join(parts)
