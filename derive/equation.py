"""Equations with their derivations, and what a comparison with a printed form came to.

Plain records: nothing here derives or judges.  ``to_json()`` gives what JSON can hold; expressions become
their LaTeX and their srepr, which is exact.  Reading an srepr back means evaluating it: do so only with
text of your own making.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import mpmath
from sympy import Basic, Equality, Expr, Number, srepr

from derive.errors import DerivationError

VerdictKind = Literal["confirmed", "misprint", "conditional", "refuted", "definition", "open"]
VERDICTS: tuple[VerdictKind, ...] = get_args(VerdictKind)

DIGITS = 50
"""Of high-precision numbers as text."""


@dataclass(frozen=True)
class Step:
    """One line of a derivation: a named identity turns ``before`` into ``after``.

    ``after`` is None where the step only prepares the next one; ``note`` then says what was done.
    """

    rule: str
    before: Expr
    after: Expr | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "before": plain(self.before),
            "after": plain(self.after),
            "note": self.note,
        }


@dataclass(frozen=True)
class Equation:
    """``left`` = ``right``, with the meaning of its symbols, where it comes from and how it was derived.

    ``meaning`` maps a symbol, or its name, to words; ``source`` cites a paper or names a derivation.
    """

    name: str
    left: Expr
    right: Expr
    meaning: Mapping[Expr | str, str] = field(default_factory=dict, hash=False)
    source: str = ""
    steps: tuple[Step, ...] = field(default=(), repr=False)

    def latex(self) -> str:
        """The equation in one piece, as LaTeX mathematics without delimiters."""
        from derive.latex import latex

        return f"{latex(self.left)} = {latex(self.right)}"

    def _repr_latex_(self) -> str:
        from derive.latex import display

        return display(self)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "latex": self.latex(),
            "srepr": srepr(Equality(self.left, self.right, evaluate=False)),
            "meaning": {str(symbol): words for symbol, words in self.meaning.items()},
            "source": self.source,
            "steps": [step.to_json() for step in self.steps],
        }


@dataclass(frozen=True)
class Verdict:
    """What a comparison found.  Computed, never typed.

    confirmed    the printed form follows
    misprint     it does not, but ``corrected`` does; ``counterexample`` is a point where they differ
    conditional  it follows under the assumption that ``reason`` states
    refuted      it does not follow, and no small change repairs it
    definition   nothing to derive
    open         needs a measurement that has not been made

    ``evidence`` holds what the judgement stands on: method, numbers, settings, in what JSON can hold.
    """

    kind: VerdictKind
    reason: str
    corrected: Expr | None = None
    counterexample: Mapping[Expr | str, Any] | None = field(default=None, hash=False)
    evidence: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.kind not in VERDICTS:
            raise DerivationError(f"unknown verdict {self.kind!r}; known: {', '.join(VERDICTS)}")

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.kind,
            "reason": self.reason,
            "corrected": plain(self.corrected),
            "counterexample": plain(self.counterexample),
            "evidence": plain(self.evidence),
        }


@dataclass(frozen=True)
class LedgerEntry:
    """A numbered equation or a stated claim of a paper, and the verdict on it.

    ``statement`` is what the paper says, in words of our own; ``printed`` is the printed form, typed in once
    to be compared with ``derived``.  A claim about learning has neither.
    """

    name: str
    paper: str
    statement: str
    verdict: Verdict
    printed: Equation | None = None
    derived: Equation | None = None

    def _repr_latex_(self) -> str | None:
        equation = self.derived or self.printed
        return None if equation is None else equation._repr_latex_()

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "paper": self.paper,
            "statement": self.statement,
            "printed": None if self.printed is None else self.printed.to_json(),
            "derived": None if self.derived is None else self.derived.to_json(),
            **self.verdict.to_json(),
        }


def plain(value: Any) -> Any:
    """``value`` in what JSON can hold: expressions as LaTeX and srepr, numbers that are exact as text."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, mpmath.mpf):
        return mpmath.nstr(value, DIGITS)
    if isinstance(value, Basic):
        from derive.latex import latex

        return {"latex": latex(value), "srepr": srepr(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
