"""A paper's part of the ledger: its entries register here, in the order in which they are written."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from sympy import Expr

from derive.equation import Equation, LedgerEntry, Verdict

Make = Callable[[], LedgerEntry]


class Paper:
    """The entries of one paper, by name.  A package ``derive.papers.NAME`` exposes ``LEDGER = paper.ledger``.

    Entries are functions without arguments, derived and judged when somebody asks for them, once.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ledger: dict[str, Make] = {}

    def entry(self, make: Make) -> Make:
        """Register an entry under its function's name: takagi2020.eq4 for ``eq4``."""
        cached = cache(make)
        self.ledger[f"{self.name}.{make.__name__.replace('_', '-')}"] = cached
        return cached

    def claim(self, name: str, statement: str, verdict: Verdict) -> LedgerEntry:
        """A claim without an equation: ``statement`` is what the paper says, in words of our own."""
        return LedgerEntry(f"{self.name}.{name}", self.name, statement, verdict)

    def definition(self, name: str, statement: str, left: Expr, right: Expr, source: str) -> LedgerEntry:
        """An equation that defines something: there is nothing to derive."""
        printed = Equation(f"{self.name}.{name} as printed", left, right, source=source)
        verdict = Verdict("definition", "the microscopic model")
        return LedgerEntry(f"{self.name}.{name}", self.name, statement, verdict, printed=printed)

    def needs(self, experiment: str) -> Verdict:
        """An open verdict that names the experiment which measures it."""
        return Verdict(
            "open", f"measured by the experiment {self.name}.{experiment}", evidence={"experiment": experiment}
        )

    def lacking(self, what: str) -> Verdict:
        """An open verdict on a claim that nothing here can test, with what a test would need."""
        return Verdict("open", f"not tested here; it needs {what}", evidence={"needs": what})
