"""Ensembles of random networks as pieces of work, and their limits of infinite width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from validate import statistics
from validate.experiments import Context
from validate.simulate.deep import Ensemble, architecture, measure
from validate.statistics import Extrapolation

PIECE_OPERATIONS = 5e11
"""Floating-point operations of one piece, about: some ten seconds."""


@dataclass(frozen=True)
class Case:
    """``replicas`` networks of ``widths`` M_0, ..., M_L on ``samples`` inputs; ``count`` largest eigenvalues
    (default: one an output), or the ``whole`` spectrum."""

    widths: tuple[int, ...]
    activation: str
    weight_variance: float
    bias_variance: float
    samples: int
    replicas: int
    seed: tuple[int, ...]
    normalization: str = "none"
    count: int | None = None
    whole: bool = False
    single: bool = False

    @property
    def width(self) -> int:
        """M, where M_0 = M."""
        return self.widths[0]

    def operations(self) -> float:
        """Of one replica, roughly: matrix products over pairs of samples and of outputs, or one backward and
        one forward pass for each of some hundred products."""
        T, M, C = self.samples, max(self.widths), self.widths[-1]
        if self.normalization == "batch-middle":
            return 12.0 * T * M**2 * len(self.widths) * (T * C if self.whole else 100)
        return 2.0 * (T * C) ** 2 * M * len(self.widths) + (10.0 * (T * C) ** 3 if self.whole else 0)


def measure_all(context: Context, cases: Sequence[Case], label: str) -> list[Ensemble]:
    """The ensembles of all cases, in their order; the most expensive ones are computed first."""
    jobs = []
    for number, case in enumerate(cases):
        parts = min(case.replicas, math.ceil(case.replicas * case.operations() / PIECE_OPERATIONS))
        sizes = [len(part) for part in np.array_split(np.arange(case.replicas), parts)]
        jobs += [(number, {**asdict(case), "replicas": n, "seed": [*case.seed, k], "backend": device(context)})
                 for k, n in enumerate(sizes)]  # fmt: skip
    jobs.sort(key=lambda job: -cases[job[0]].operations() * job[1]["replicas"])
    found: dict[int, list[tuple[int, Mapping[str, np.ndarray]]]] = {}
    for (number, job), arrays in zip(
        jobs, context.pieces(spectra, [job for _, job in jobs], label), strict=True
    ):
        found.setdefault(number, []).append((job["seed"][-1], arrays))
    return [_joined([arrays for _, arrays in sorted(found[n], key=lambda part: part[0])])
            for n in range(len(cases))]  # fmt: skip


def spectra(
    widths: Sequence[int], activation: str, weight_variance: float, bias_variance: float, samples: int,
    replicas: int, seed: Sequence[int], normalization: str, count: int | None, whole: bool, single: bool,
    backend: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """One ensemble as a piece: its arrays by name."""
    found = measure(
        architecture(widths, activation, weight_variance, bias_variance, normalization), samples, replicas,
        seed=tuple(seed), count=count, whole=whole, xp=array_module(backend),
        dtype=np.float32 if single else np.float64,
    )  # fmt: skip
    return asdict(found)


def array_module(backend: str) -> Any:
    """numpy, or cupy."""
    if backend == "cupy":
        import cupy

        return cupy
    return np


def device(context: Context) -> str:
    """What the pieces are computed on: these networks know numpy and cupy."""
    return "cupy" if context.backend in ("cupy", "cuda") else "numpy"


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> Ensemble:
    return Ensemble(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def limit(widths: Sequence[int], samples: Sequence[np.ndarray]) -> Extrapolation:
    """The means over networks, extrapolated in 1/M: samples (S, ...) at each width M."""
    estimates = [statistics.estimate(each) for each in samples]
    return statistics.extrapolate(
        np.array(widths), np.stack([e.value for e in estimates]), np.stack([e.error for e in estimates])
    )


@dataclass(frozen=True)
class Growth:
    """A weighted fit of value = constant * M^exponent."""

    exponent: float
    error: float
    constant: float


def growth(widths: Sequence[int], samples: Sequence[np.ndarray]) -> Growth:
    """How the mean of samples (S) grows with M, from a straight line through the logarithms."""
    estimates = [statistics.estimate(each) for each in samples]
    x = np.log(np.array(widths, dtype=float))
    y = np.log([float(e.value) for e in estimates])
    weight = np.array([float(e.value / e.error) ** 2 for e in estimates])
    centre = (weight * x).sum() / weight.sum()
    spread = (weight * (x - centre) ** 2).sum()
    exponent = float((weight * (x - centre) * y).sum() / spread)
    constant = float(np.exp((weight * y).sum() / weight.sum() - exponent * centre))
    return Growth(exponent, float(1 / np.sqrt(spread)), constant)
