"""The comparison that trajectory experiments share: means at several sizes, their limit, and a flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from validate import statistics
from validate.experiments.theory import Curves
from validate.simulate import Trajectories
from validate.statistics import FAMILY_LEVEL, Extrapolation


def entries(source: Trajectories | Curves) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the independent order parameters Q_ij (i <= j), R_in, g_i; their values (..., P, entries)."""
    K, M = source.R.shape[-2:]
    first, second = np.triu_indices(K)
    names = [f"Q_{i + 1}{j + 1}" for i, j in zip(first, second, strict=True)]
    names += [f"R_{i + 1}{n + 1}" for i in range(K) for n in range(M)]
    values = [source.Q[..., first, second], source.R.reshape(*source.R.shape[:-2], K * M)]
    if source.g is not None:
        names += [f"g_{i + 1}" for i in range(K)]
        values.append(source.g)
    return tuple(names), np.concatenate(values, axis=-1)


@dataclass(frozen=True)
class Comparison:
    """Simulations of one case at several sizes, their limit of infinite N, and the theory.

    ``limit``, ``theory`` and the values of ``wrong`` are over (times, entries); ``degrees`` are those of the
    standard errors, the smallest number of replicas less one.
    """

    names: tuple[str, ...]
    times: np.ndarray
    limit: Extrapolation
    theory: np.ndarray
    wrong: Mapping[str, np.ndarray]
    degrees: float

    @property
    def z(self) -> np.ndarray:
        """(limit - theory) / error."""
        return statistics.z_score(self.limit.limit, self.theory)

    @property
    def p_values(self) -> np.ndarray:
        return statistics.p_value(self.z, self.degrees)

    def wrong_z(self) -> dict[str, float]:
        """How far each wrong theory is from what was measured: the largest |z|."""
        return {
            name: float(np.abs(statistics.z_score(self.limit.limit, curve)).max())
            for name, curve in self.wrong.items()
        }

    def power(self, level: float) -> dict[str, float]:
        """The probability that a test of one entry at ``level`` rejects each wrong theory, for the entry that
        tells most; the power of the whole comparison is at least that."""
        return {
            name: float(
                statistics.power(curve - self.theory, self.limit.limit.error, level, self.degrees).max()
            )
            for name, curve in self.wrong.items()
        }

    def worst(self) -> dict[str, Any]:
        """The entry with the largest |z|: its name and time, the theory, the measured limit and its error."""
        t, e = np.unravel_index(np.abs(self.z).argmax(), self.z.shape)
        return {
            "entry": self.names[e], "time": float(self.times[t]), "predicted": float(self.theory[t, e]),
            "measured": float(self.limit.limit.value[t, e]), "error": float(self.limit.limit.error[t, e]),
            "z": float(self.z[t, e]), "p_value": float(self.p_values[t, e]),
        }  # fmt: skip


def compare(
    measured: Sequence[Trajectories], theory: Curves, wrong: Mapping[str, Curves], tested: Sequence[int]
) -> Comparison:
    """Extrapolate the means of ``measured`` in 1/N and set them beside the curves, at the times ``tested``
    (positions)."""
    names, curve = entries(theory)
    chosen = list(tested)
    estimates = [statistics.estimate(entries(run)[1][:, chosen]) for run in measured]
    limit = statistics.extrapolate(
        np.array([run.size for run in measured]),
        np.stack([e.value for e in estimates]),
        np.stack([e.error for e in estimates]),
    )
    return Comparison(
        names, theory.time[chosen], limit, curve[chosen],
        {name: entries(c)[1][chosen] for name, c in wrong.items()}, min(e.degrees for e in estimates),
    )  # fmt: skip


def rejected(comparisons: Sequence[Comparison], level: float = FAMILY_LEVEL) -> list[bool]:
    """Whether any entry of each comparison is rejected, so that any false alarm among all of them has
    probability ``level`` at most (Holm)."""
    flat = np.concatenate([c.p_values.ravel() for c in comparisons])
    verdicts = statistics.holm(flat, level)
    ends = np.cumsum([c.p_values.size for c in comparisons])
    return [bool(part.any()) for part in np.split(verdicts, ends[:-1])]


def level_of_one(comparisons: Sequence[Comparison], level: float = FAMILY_LEVEL) -> float:
    """The level of each single test that keeps the family's (Bonferroni), for stating power."""
    return statistics.single_level(sum(c.p_values.size for c in comparisons), level)
