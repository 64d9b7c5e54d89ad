"""What every solver returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RUNNING, FINISHED, STOPPED_BY_EVENT, STEP_TOO_SMALL, TOO_MANY_STEPS = range(5)
"""How a trajectory stands; the compiled solver uses the same numbers."""


@dataclass
class Trajectories:
    """States at the requested times (nan where not reached), and how each trajectory went."""

    states: np.ndarray  # (sets, times, elements)
    event_times: np.ndarray  # (sets, events); nan: none
    reached: np.ndarray  # (sets,)
    steps: np.ndarray  # (sets, 2): accepted, rejected
    status: np.ndarray  # (sets,)

    @classmethod
    def empty(cls, sets: int, times: int, length: int, events: int) -> Trajectories:
        """Nothing reached yet."""
        return cls(
            np.full((sets, times, length), np.nan),
            np.full((sets, events), np.nan),
            np.zeros(sets),
            np.zeros((sets, 2), dtype=int),
            np.full(sets, RUNNING),
        )
