"""The replica method for two fields: students of two hidden units, with matrices as order parameters.

The loss of one example is any function of the fields x1, x2 of two weight vectors, of the fields y1, y2 of one or
two teachers (orthogonal, of norm sqrt N), and of label noise.  The general replica-symmetric ansatz is kept: no
symmetry between the two units is assumed.
"""

from derive.replica.pair.energy import PairEnergy, Targets
from derive.replica.pair.free_energy import PairFreeEnergy, free_energy
from derive.replica.pair.saddle import PairSaddlePoint, saddle_point

__all__ = ["PairEnergy", "PairFreeEnergy", "PairSaddlePoint", "Targets", "free_energy", "saddle_point"]
