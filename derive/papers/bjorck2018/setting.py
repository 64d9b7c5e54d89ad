"""The paper's part of the ledger."""

from __future__ import annotations

from typing import Any

from derive.papers.paper import Paper

PAPER = "bjorck2018"
paper = Paper(PAPER)


def words(expression: Any) -> str:
    """An expression within a sentence."""
    return str(expression).replace("**", "^").replace("*", " ").replace("E", "e")
