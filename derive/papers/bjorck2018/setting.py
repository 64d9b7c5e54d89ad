"""The paper's part of the ledger."""

from __future__ import annotations

from derive.papers.paper import Paper

PAPER = "bjorck2018"
paper = Paper(PAPER)
