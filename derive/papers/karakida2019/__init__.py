"""Karakida, Akaho, Amari: The normalization method for alleviating pathological sharpness (NeurIPS 2019).

Fisher information of wide random networks, and what each normalization does to its largest eigenvalue.
Equations (1) to (27), theorems, definitions, and every sentence that claims something; importing the modules
enters them in the ledger, in this order.
"""

from derive.papers.karakida2019 import model, sharpness, last_layer, middle_layers, layerwise, claims  # noqa: F401, I001
from derive.papers.karakida2019.setting import LEDGER

__all__ = ["LEDGER"]
