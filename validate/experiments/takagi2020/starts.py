"""Asymmetric starts: every unit different, so that no run waits on a plateau."""

from __future__ import annotations

from typing import Any

import numpy as np


def asymmetric(students: int, teachers: int, gains: bool = False) -> dict[str, Any]:
    """Initial Q, R and g: each student leans to a teacher of its own, by different amounts."""
    unit, teacher = np.arange(students), np.arange(teachers)
    R = 0.08 / (1 + unit[:, None] + 2 * teacher[None, :])
    R[unit, unit % teachers] += 0.3 / (1 + 0.5 * unit)
    own = np.diag(0.3 + 0.1 * unit) + 0.05
    start: dict[str, Any] = {"Q": R @ R.T + own, "R": R}
    if gains:
        start["g"] = 1.2 - 0.3 * unit
    return start
