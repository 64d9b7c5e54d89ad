"""Simulation of online learning from the microscopic definition, and the exact chain of its overlaps.

Nothing here knows the theory that it tests: only ``numerics.runtime`` is imported.
"""

from validate.simulate.compiled import compilable
from validate.simulate.run import Trajectories, simulate
from validate.simulate.setup import Setup

__all__ = ["Setup", "Trajectories", "compilable", "simulate"]
