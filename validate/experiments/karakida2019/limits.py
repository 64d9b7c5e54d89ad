"""Limits of infinite width beside what the theory predicts for them, judged together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from validate import statistics
from validate.experiments.karakida2019 import EXPERIMENTS
from validate.report.model import Check
from validate.statistics import FAMILY_LEVEL, Estimate, Extrapolation

LEVEL = FAMILY_LEVEL / len(EXPERIMENTS)
"""Of one experiment's limits, so that a report on all of them keeps FAMILY_LEVEL."""
CRITERION = f"not rejected by Holm's procedure over this experiment's limits, level {FAMILY_LEVEL:g}/{len(EXPERIMENTS)}"


@dataclass(frozen=True)
class Limit:
    """One number: its extrapolation to infinite width, the prediction, and named wrong predictions."""

    case: str
    quantity: str
    predicted: float
    measured: Extrapolation
    degrees: float
    """Of the standard errors: the smallest number of networks less one."""
    wrong: Mapping[str, float] = field(default_factory=dict)

    @property
    def estimate(self) -> Estimate:
        return self.measured.limit

    @property
    def z(self) -> float:
        return float(statistics.z_score(self.estimate, self.predicted))


def checks(limits: Sequence[Limit]) -> list[Check]:
    """One check a limit; any false alarm among all of them has probability LEVEL at most."""
    p_values = np.array([float(statistics.p_value(limit.z, limit.degrees)) for limit in limits])
    rejected = statistics.holm(p_values, LEVEL)
    level = statistics.single_level(len(limits), LEVEL)
    return [
        Check(
            name=f"{limit.quantity}: {limit.case}",
            statement=f"{limit.quantity} in the limit of infinite width",
            predicted=limit.predicted, measured=float(limit.estimate.value),
            standard_error=float(limit.estimate.error), criterion=CRITERION, passed=not bad,
            z=limit.z, p_value=float(p),
            power={
                name: float(statistics.power(value - limit.predicted, limit.estimate.error, level, limit.degrees))
                for name, value in limit.wrong.items()
            },
            details={"goodness of the fit in 1/M": float(limit.measured.goodness)},
        )
        for limit, p, bad in zip(limits, p_values, rejected, strict=True)
    ]  # fmt: skip


def largest_score(limits: Sequence[Limit]) -> float:
    """The largest |z|."""
    return max(abs(limit.z) for limit in limits)
