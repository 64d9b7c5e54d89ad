"""Bjorck, Gomes, Selman, Weinberger: Understanding batch normalization (NeurIPS 2018).

Equations (1) to (5), Theorem 1, what Table 1 says by itself, and every sentence that claims something;
importing the modules enters them in the ledger, in this order.
"""

from derive.papers.bjorck2018 import convolution, noise, training, first_steps, initialization, theorem, conditioning  # noqa: F401, I001
from derive.papers.bjorck2018.setting import paper

LEDGER = paper.ledger

__all__ = ["LEDGER"]
