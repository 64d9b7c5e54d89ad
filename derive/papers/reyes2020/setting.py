"""The paper's part of the ledger, and its network."""

from __future__ import annotations

from derive.papers.paper import Paper

paper = Paper("reyes2020")

INPUTS, HIDDEN, CLASSES = 784, 100, 10
