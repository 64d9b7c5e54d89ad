"""Deep networks with random weights: built, differentiated by hand, and their Fisher information measured.

    u^l = W^l h^(l-1) + b^l,   v^l = normalized u^l,   h^l = phi(v^l),   f = v^L

Nothing here knows the theory that it tests.  The Fisher information matrix F = (1/T) J^T J of P parameters is
never formed: its nonzero eigenvalues are those of the dual Gram matrix (1/T) J J^T of T C outputs.
"""

from validate.simulate.deep.architecture import Architecture, Layer, architecture
from validate.simulate.deep.descent import Descent, descend
from validate.simulate.deep.ensemble import Ensemble, measure
from validate.simulate.deep.network import Network, Parameters
from validate.simulate.deep.overlaps import Overlaps, overlaps

__all__ = [
    "Architecture", "Descent", "Ensemble", "Layer", "Network", "Overlaps",
    "Parameters", "architecture", "descend", "measure", "overlaps",
]  # fmt: skip
