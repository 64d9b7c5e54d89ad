"""The landscape at one setting, as the experiment on spectra reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerics.landscape import landscape
from numerics.runtime import runfile

VANILLA = "no normalization"
PRINTED = "batch, Q* = 1/g*^2"
EQUAL = "batch, Q* of no normalization"
CHOICES = (VANILLA, PRINTED, EQUAL)
"""Batch normalization leaves Q* free: the paper's choice, and the norm that training without it selects."""


@dataclass(frozen=True)
class Point:
    """Hessian of eps_g in (R, S, Q[, g]) and Jacobian of the flow at one symmetric fixed point."""

    choice: str
    students: int
    input_variance: float
    landscape: Mapping[str, Any]

    @property
    def eigenvalues(self) -> np.ndarray:
        """Of the Hessian, ascending."""
        return np.array(self.landscape["hessian"]["eigenvalues"])

    @property
    def most_negative(self) -> float:
        """What the paper reads: the lowest eigenvalue of the Hessian, whatever its direction."""
        return float(self.eigenvalues[0])

    @property
    def flattest(self) -> float:
        """The smallest |eigenvalue| of the Hessian."""
        return float(np.abs(self.eigenvalues).min())

    @property
    def lowest_sector(self) -> str:
        """Whether the lowest eigenvalue's direction breaks the symmetry R = S."""
        return str(self.landscape["hessian"]["sectors"][0])

    @property
    def breaking(self) -> float:
        """The Hessian's eigenvalue in the direction that breaks the symmetry R = S."""
        return float(self.eigenvalues[self.landscape["hessian"]["sectors"].index("breaking")])

    @property
    def rate(self) -> float:
        """The escape rate: the Jacobian's eigenvalue of specialization, at learning rates of one."""
        jacobian = self.landscape["jacobian"]
        return float(jacobian["eigenvalues"][jacobian["sectors"].index("specialization")])

    @property
    def curvature_in_weights(self) -> float:
        """The Hessian along specialization, per unit of squared change of all overlaps R_in.

        R stands for K of them and S for K (K - 1).
        """
        K = self.students
        direction = np.array([K - 1.0, -1.0])
        block = np.array(self.landscape["hessian"]["matrix"])[:2, :2]
        return float(direction @ block @ direction / (direction**2 @ np.array([K, K * (K - 1.0)])))

    @property
    def drift_of_gap(self) -> float:
        """The largest derivative of d(Q - C)/dt, relative to the Jacobian's largest entry."""
        jacobian = self.landscape["jacobian"]
        matrix, names = np.array(jacobian["matrix"]), jacobian["variables"]
        rows = matrix[names.index("Q")] - matrix[names.index("C")]
        return float(np.abs(rows).max() / np.abs(matrix).max())


def point(choice: str, students: int, input_variance: float, norm: float | None = None) -> Point:
    """One point; ``norm`` sets Q* under batch normalization and overrides what the choice stands for."""
    if choice == EQUAL and norm is None:
        norm = point(VANILLA, students, input_variance).landscape["fixed_point"]["Q"]
    run = runfile.build({
        "parameters": {
            "students": students, "teachers": students, "input_variance": input_variance,
            "normalization": "none" if choice == VANILLA else "batch", "batch_size": "inf",
        }
    })  # fmt: skip
    return Point(choice, students, input_variance, landscape(run, norm))
