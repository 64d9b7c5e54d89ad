"""Bjorck, Gomes, Selman, Weinberger: Understanding batch normalization (NeurIPS 2018).

Importing the modules enters their claims in the ledger, in this order.
"""

from derive.papers.bjorck2018 import initialization  # noqa: F401
from derive.papers.bjorck2018.setting import paper

LEDGER = paper.ledger

__all__ = ["LEDGER"]
