"""The paper's part of the ledger."""

from __future__ import annotations

from derive.papers.paper import Paper

paper = Paper("bjorck2018")
