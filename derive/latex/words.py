"""Words with formulas in them, as meanings, statements and notes are written.

In such text ``$...$`` is LaTeX mathematics; so are letters with an index or a power and the names of Greek
letters (Q_ij, g_i^2, tau, M^-0.15, N^(-1/2)), numbers like 1.2e-05 are powers of ten, and sqrt( and << become signs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

GREEK = "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|chi|omega"
POWER = r"\^(?:\([\w+/.-]+(?: ± [\d.]+)?\)|-?(?:\d+(?:\.\d+)?|[A-Za-z]))"
FORMULA = re.compile(
    r"\$(?P<formula>[^$]+)\$"
    r"|(?<![\w.])(?:(?P<mantissa>\d+(?:\.\d+)?)e(?P<exponent>[+-]\d+)|10\^(?P<ten>-?\d+(?:\.\d+)?))(?!\w)"
    rf"|(?<![\w-])(?:(?P<greek>{GREEK})|(?P<latin>[A-Za-z])(?=_|{POWER}(?![\w-])))"
    rf"(?:_(?P<index>{GREEK}|[A-Za-z0-9]{{1,3}}))?(?P<power>{POWER})?(?![\w-])"
)
GREEK_INDEX = re.compile(GREEK)
ROOT = re.compile(rf"(?<!\w)sqrt\(({GREEK}|[A-Za-z](?:_[A-Za-z0-9]{{1,3}})?)\)")
SIGNS = {"sqrt(": "√(", " << ": " ≪ ", " >> ": " ≫ ", " <= ": " ≤ ", " >= ": " ≥ "}

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_\allowbreak{}",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
    "|": "$|$", "/": r"/\allowbreak{}", "²": "$^2$", "³": "$^3$", "±": r"$\pm$", "×": r"$\times$",
    "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$", "→": r"$\to$",
    "∞": r"$\infty$", "√": r"$\surd$", "∝": r"$\propto$", "⟨": r"$\langle$", "⟩": r"$\rangle$", "−": "$-$",
    "–": "--", "—": "---", "…": r"\dots{}", "‘": "`", "’": "'", "“": "``", "”": "''", "∂": r"$\partial$",
    "∈": r"$\in$", "≪": r"$\ll$", "≫": r"$\gg$",
}  # fmt: skip


def parts(text: str) -> Iterator[tuple[bool, str]]:
    """The pieces of ``text`` in order: whether it is a formula, and its LaTeX or its words."""
    text = ROOT.sub(_root, text)
    end = 0
    for match in FORMULA.finditer(text):
        if match.start() > end:
            yield False, _signs(text[end : match.start()])
        yield True, _formula(match)
        end = match.end()
    if end < len(text):
        yield False, _signs(text[end:])


def _formula(match: re.Match[str]) -> str:
    """The LaTeX of what FORMULA found."""
    if match["formula"]:
        return match["formula"]
    if match["ten"]:
        return f"10^{{{match['ten']}}}"
    if match["mantissa"]:
        times = "" if match["mantissa"] == "1" else rf"{match['mantissa']} \times "
        return f"{times}10^{{{int(match['exponent'])}}}"
    index, power = match["index"], match["power"]
    letter = rf"\{match['greek']}" if match["greek"] else match["latin"]
    if index and GREEK_INDEX.fullmatch(index):
        index = rf"\{index}"
    raised = power.strip("^()").replace("±", r"\pm") if power else ""
    return letter + (f"_{{{index}}}" if index else "") + (f"^{{{raised}}}" if raised else "")


def _root(match: re.Match[str]) -> str:
    letter, _, index = match[1].partition("_")
    return rf"$\sqrt{{{letter if len(letter) == 1 else chr(92) + letter}{f'_{{{index}}}' if index else ''}}}$"


def _signs(text: str) -> str:
    for written, sign in SIGNS.items():
        text = text.replace(written, sign)
    return text


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
    broken = re.sub(r"(?<=\w)([.-])(?=[A-Za-z])", r"\1\\allowbreak{}", "".join(out))
    return re.sub(r"\d{10}(?=\d{5})", r"\g<0>\\allowbreak{}", broken)


def _greek(name: str) -> str:
    *_, size, _, letter = f"GREEK {name.removeprefix('GREEK ')}".split()[-3:]
    letter = {"lamda": "lambda", "omicron": "o"}.get(letter.lower(), letter.lower())
    return rf"$\{letter if size == 'SMALL' else letter.capitalize()}$"
