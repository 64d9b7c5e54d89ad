"""Luo, Wang, Shao, Peng: Towards understanding regularization in batch normalization (ICLR 2019).

A perceptron under batch normalization: what the noise of the batch statistics does to the loss, the dynamics
under weight normalization with gamma decay, and generalization by the replica method.  Importing the modules
enters their equations, propositions and claims in the ledger, in this order.
"""

from derive.papers.luo2019 import (  # noqa: F401, I001
    definitions,
    dynamics,
    propositions,
    table1,
    regularization,
    curves,
    generalization,
)
from derive.papers.luo2019.setting import paper

LEDGER = paper.ledger

__all__ = ["LEDGER"]
