"""The replica method: typical properties of a student trained on P = alpha N random examples.

An energy (the loss of one example, as a function of the student's field x, the teacher's field y and label
noise) and a prior on the weights become the replica-symmetric free energy, its saddle point and the stability
of it.  Inputs are Gaussian of variance 1/N; the teacher's weights have norm sqrt N, so <y^2> = 1.  This package
is about one field; ``pair`` is about two.
"""

from derive.replica.energy import Energy, known
from derive.replica.free_energy import FreeEnergy, free_energy
from derive.replica.reading import read_loss
from derive.replica.saddle import SaddlePoint, saddle_point

__all__ = ["Energy", "FreeEnergy", "SaddlePoint", "free_energy", "known", "read_loss", "saddle_point"]
