"""Takagi, Yoshida, Okada: The effect of batch normalization in the symmetric phase (ICANN 2020).

A soft committee machine of erf units learns from a teacher; preactivations are normalized by their
population variance, and the gradient's component along J_i is dropped.  Equations (1) to (13), and every
sentence that claims something; importing the modules enters them in the ledger, in this order.
"""

from derive.papers.takagi2020 import equations, claims, hessian  # noqa: F401, I001
from derive.papers.takagi2020.setting import LEDGER

__all__ = ["LEDGER"]
