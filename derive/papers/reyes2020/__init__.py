"""Reyes and Levy: Investigating the effect of batch normalization on the Hessian of a two-layer neural network (2020).

The Hessian of a classifier's last layer with and without batch normalization.  Importing the modules enters
their equations and claims in the ledger, in this order.
"""

from derive.papers.reyes2020 import (  # noqa: F401, I001
    equations,
    curvature,
    claims,
)
from derive.papers.reyes2020.setting import paper

LEDGER = paper.ledger

__all__ = ["LEDGER"]
