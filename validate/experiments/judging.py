"""What pairs of networks, with and without normalization and of the same seed, say about a claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from derive.equation import VerdictKind
from validate import statistics

LEVEL = 0.01
CRITERION = (
    f"t-tests of the mean over seeds of paired differences, family-wise level {LEVEL:g} over the cases (Holm): "
    "confirmed if the claimed sign is significant in every case, conditional in some, refuted if only the "
    "opposite is significant, open if nothing is"
)


@dataclass(frozen=True)
class Pairs:
    """Paired differences by case, in the sense of the claim: means, standard errors, and which are
    significant."""

    cases: tuple[str, ...]
    mean: np.ndarray
    error: np.ndarray
    significant: np.ndarray
    opposite: np.ndarray

    @property
    def verdict(self) -> VerdictKind:
        if self.significant.any():
            return "confirmed" if self.significant.all() else "conditional"
        return "refuted" if self.opposite.any() else "open"

    def named(self, which: np.ndarray) -> str:
        """The cases chosen, in words."""
        return ", ".join(case for case, chosen in zip(self.cases, which, strict=True) if chosen) or "none"

    def where(self) -> str:
        """In which cases the claim holds, and in which the opposite does."""
        if self.significant.all():
            return "in every case"
        if not (self.significant | self.opposite).any():
            return "in no case beyond what so few seeds can tell"
        words = f"at {self.named(self.significant)}" if self.significant.any() else "in no case"
        return words + (f"; the opposite at {self.named(self.opposite)}" if self.opposite.any() else "")


def judge(differences: Mapping[str, np.ndarray]) -> Pairs:
    """Test the differences (seed) of every case against zero; positive ones speak for the claim."""
    samples = np.stack([np.asarray(d, dtype=float) for d in differences.values()], axis=1)
    found = statistics.estimate(samples)
    p = statistics.p_value(statistics.z_score(found, 0.0), found.degrees)
    rejected = statistics.holm(p, LEVEL)
    positive = found.value > 0
    return Pairs(tuple(differences), found.value, found.error, rejected & positive, rejected & ~positive)
