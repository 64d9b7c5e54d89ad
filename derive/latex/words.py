"""Words with formulas in them, as meanings, statements and notes are written.

In such text ``$...$`` is LaTeX mathematics and a single letter with an index, Q_ij, is a formula too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

FORMULA = re.compile(r"\$([^$]+)\$|(?<![\w-])([A-Za-z])_([A-Za-z0-9]{1,3})(?![\w-])")

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_\allowbreak{}",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
    "|": "$|$", "/": r"/\allowbreak{}", "²": "$^2$", "³": "$^3$", "±": r"$\pm$", "×": r"$\times$",
    "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$", "→": r"$\to$",
    "∞": r"$\infty$", "√": r"$\surd$", "∝": r"$\propto$", "⟨": r"$\langle$", "⟩": r"$\rangle$", "−": "$-$",
    "–": "--", "—": "---", "…": r"\dots{}", "‘": "`", "’": "'", "“": "``", "”": "''", "∂": r"$\partial$",
    "∈": r"$\in$",
}  # fmt: skip


def parts(text: str) -> Iterator[tuple[bool, str]]:
    """The pieces of ``text`` in order: whether it is a formula, and its LaTeX or its words."""
    end = 0
    for match in FORMULA.finditer(text):
        if match.start() > end:
            yield False, text[end : match.start()]
        yield True, match[1] if match[1] is not None else f"{match[2]}_{{{match[3]}}}"
        end = match.end()
    if end < len(text):
        yield False, text[end:]


def escape(text: str) -> str:
    """Words as LaTeX text; characters outside the fonts become their nearest letters."""
    return "".join(f"${part}$" if formula else _escape(part) for formula, part in parts(text))


def _escape(text: str) -> str:
    out = []
    for character in text:
        if character in SPECIAL:
            out.append(SPECIAL[character])
        elif character.isascii():
            out.append(character)
        elif (name := unicodedata.name(character, "")).startswith("GREEK"):
            out.append(_greek(name))
        else:
            out.append(unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?")
    return re.sub(r"(?<=\w)([.-])(?=\w)", r"\1\\allowbreak{}", "".join(out))


def _greek(name: str) -> str:
    *_, size, _, letter = f"GREEK {name.removeprefix('GREEK ')}".split()[-3:]
    letter = {"lamda": "lambda", "omicron": "o"}.get(letter.lower(), letter.lower())
    return rf"$\{letter if size == 'SMALL' else letter.capitalize()}$"
