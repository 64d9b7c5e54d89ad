"""Equations and derivations as displayed mathematics, as a LaTeX document, and as PDF."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sympy import Expr

from derive.equation import Equation, LedgerEntry, Step
from derive.latex.printer import latex
from derive.latex.rows import ROOM, Block, Layout, layout
from derive.latex.words import escape

PREAMBLE = r"""\documentclass[10pt,a4paper]{article}
\usepackage[margin=2.5cm]{geometry}
\usepackage{amsmath,amssymb,array,graphicx,longtable}
\allowdisplaybreaks
\setlength{\parindent}{0pt}
\setlength{\parskip}{0.6em}
\raggedright
\begin{document}
"""

LATEX_SECONDS = 120


def display(*equations: Equation) -> str:
    """Equations as displayed mathematics for a notebook, with what their letters stand for."""
    pieces = []
    for equation in equations:
        shown = layout(equation)
        pieces.append(align(shown.equation))
        if shown.where:
            pieces += [r"&\text{where}", *(align(block) for block in shown.where)]
    body = "\\\\\n".join(pieces)
    return rf"$$\begin{{aligned}}{body}\end{{aligned}}$$"


def align(block: Block) -> str:
    r"""A block as the rows of an ``align*`` or ``aligned`` environment."""
    if block.inline:
        first, *rest = block.right
        lines = [f"{block.left[0]} &= {first}", *(rf"&\quad {row}" for row in rest)]
    else:
        first, *rest = block.right
        lines = [f"& {row}" for row in block.left]
        lines += [f"&\\quad = {first}", *(rf"&\qquad {row}" for row in rest)]
    return "\\\\\n".join(lines)


def derivation(steps: Sequence[Step], room: float = ROOM - 3) -> str:
    """The steps of a derivation as a numbered list, one named identity an item."""
    if not steps:
        return ""
    items = []
    for step in steps:
        note = f": {escape(step.note)}" if step.note else ""
        items.append(rf"\item \textbf{{{escape(step.rule)}}}{note}" + "\n" + _shown(_step(step, room)))
    return "\\begin{enumerate}\n" + "\n".join(items) + "\n\\end{enumerate}\n"


def document(items: Iterable[Equation | LedgerEntry], title: str, before: str = "") -> str:
    """A complete LaTeX document of equations, or of a ledger, with derivations.

    ``before`` is LaTeX that stands between the title and the equations.  texlive-latex-base suffices to
    compile it, without overfull boxes.
    """
    body = [PREAMBLE, rf"\section*{{{escape(title)}}}" + "\n", before]
    for item in items:
        body.append(_entry(item) if isinstance(item, LedgerEntry) else _equation(item, heading=True))
    body.append("\\end{document}\n")
    return "\n".join(body)


def compile_pdf(text: str, target: Path) -> Path | None:
    """Compile a document to ``target`` (.pdf); None where there is no pdflatex, or with a warning it fails.

    Figures that the document includes are looked for in the folder of ``target``, which is replaced in one
    piece.
    """
    if shutil.which("pdflatex") is None:
        return None
    environment = {**os.environ, "TEXINPUTS": os.pathsep.join([".", str(target.parent.resolve()), ""])}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".latex.") as folder:
        source = Path(folder) / "document.tex"
        source.write_text(text)
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", source.name]
        try:
            subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, check=True, timeout=LATEX_SECONDS
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = (error.output or b"").decode(errors="replace").splitlines()
            first = next((line for line in said if line.startswith("!")), str(error))
            warnings.warn(f"no {target.name}: pdflatex stopped with {first!r}", RuntimeWarning, stacklevel=2)
            return None
        source.with_suffix(".pdf").replace(target)
    return target


def _equation(equation: Equation, heading: bool) -> str:
    parts = []
    if heading:
        parts.append(rf"\subsection*{{{escape(equation.name)}}}")
    if equation.source:
        parts.append(rf"\textit{{{escape(equation.source)}}}" + "\n")
    parts.append(_shown(layout(equation)))
    if equation.meaning:
        listed = (
            f"${latex(symbol) if isinstance(symbol, Expr) else latex_name(symbol)}$: {escape(words)}"
            for symbol, words in equation.meaning.items()
        )
        parts.append("{\\small " + "; ".join(listed) + ".}\n")
    if equation.steps:
        parts.append("\\textbf{Derivation}\n" + derivation(equation.steps))
    return "\n".join(parts)


def latex_name(symbol: str) -> str:
    """The name of a symbol as it prints in formulas."""
    from sympy import Symbol

    return latex(Symbol(symbol))


def _entry(entry: LedgerEntry) -> str:
    verdict = entry.verdict
    parts = [
        rf"\subsection*{{{escape(entry.name)}: {escape(verdict.kind)}}}",
        escape(entry.statement) + "\n",
        escape(verdict.reason) + "\n",
    ]
    if entry.printed is not None:
        parts += ["\\textbf{Printed}\n", _equation(entry.printed, heading=False)]
    if entry.derived is not None:
        parts += ["\\textbf{Derived}\n", _equation(entry.derived, heading=False)]
    if verdict.counterexample:
        parts.append(f"They differ at {escape(_listed(verdict.counterexample))}.\n")
    return "\n".join(parts)


def _listed(values: Mapping[Any, Any]) -> str:
    """Nested values as words: K = 2, Q = [[1, 0], [0, 1]]."""
    pieces = (
        _listed(value) if isinstance(value, Mapping) else f"{key} = {value}" for key, value in values.items()
    )
    return ", ".join(pieces)


def _step(step: Step, room: float) -> Layout:
    if step.after is not None:
        return layout(Equation(step.rule, step.before, step.after), room)
    shown = layout(Equation(step.rule, step.before, step.before), room)
    return Layout(Block((), shown.equation.right, inline=False), shown.where, shown.names)


def _shown(shown: Layout) -> str:
    text = _display(align(shown.equation)) if shown.equation.left else _display(_bare(shown.equation))
    if shown.where:
        text += "where\n" + _display("\\\\\n".join(align(block) for block in shown.where))
    return text


def _bare(block: Block) -> str:
    first, *rest = block.right
    return "\\\\\n".join([f"& {first}", *(rf"&\quad {row}" for row in rest)])


def _display(body: str) -> str:
    return f"\\begin{{align*}}\n{body}\n\\end{{align*}}\n"
