"""Statistics of a comparison between theory and simulation.

Replicas give a mean with a standard error, several sizes N the limit of infinite N; the criterion is stated
before the run, and the power says which wrong theory it would have caught. Arrays broadcast; the replica axis
comes first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from numerics.runtime.errors import InputError

FAMILY_LEVEL = 0.01
"""The probability that a whole report holds a false alarm."""


@dataclass(frozen=True)
class Estimate:
    """A value, its standard error, and the degrees of freedom of that error (infinite where it is known)."""

    value: np.ndarray
    error: np.ndarray
    degrees: float = math.inf

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference of independent estimates, with Welch's degrees of freedom (the smallest of an
        array)."""
        variance = self.error**2 + other.error**2
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = self.error**4 / self.degrees + other.error**4 / other.degrees
            degrees = variance**2 / shares
        return Estimate(
            self.value - other.value, np.sqrt(variance), float(np.nanmin(degrees, initial=math.inf))
        )


def estimate(samples: np.ndarray) -> Estimate:
    """Mean and standard error over replicas: samples (S, ...), S at least 2."""
    samples = np.asarray(samples, dtype=float)
    if len(samples) < 2:
        raise InputError(f"a standard error needs at least 2 replicas, not {len(samples)}")
    return Estimate(
        samples.mean(axis=0), samples.std(axis=0, ddof=1) / math.sqrt(len(samples)), float(len(samples) - 1)
    )


def z_score(measured: Estimate, expected: np.ndarray | float) -> np.ndarray:
    """(measured - expected) / error. Zero error: 0 where they agree to 1e-12 of their size, else infinite."""
    difference = np.asarray(measured.value - expected, dtype=float)
    error = np.broadcast_to(measured.error, difference.shape)
    rounding = 1e-12 * np.maximum(np.abs(measured.value), np.abs(expected))
    exact = error <= rounding
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = difference / error
    return np.where(
        exact, np.where(np.abs(difference) <= 10 * rounding, 0.0, np.copysign(np.inf, difference)), scores
    )


def p_value(z: np.ndarray | float, degrees: float = math.inf) -> np.ndarray:
    """Two-sided probability of a score at least this large: normal, or Student's t with ``degrees``."""
    from scipy.stats import norm, t

    return 2 * (norm.sf(np.abs(z)) if math.isinf(degrees) else t.sf(np.abs(z), degrees))


@dataclass(frozen=True)
class Extrapolation:
    """A weighted fit m(N) = limit + slope / N: estimates, and how well the line describes the means."""

    limit: Estimate
    slope: Estimate
    chi_squared: np.ndarray
    goodness: np.ndarray
    """Probability of a chi-squared at least this large if the line is right; NaN for two sizes."""


def extrapolate(sizes: np.ndarray, means: np.ndarray, errors: np.ndarray) -> Extrapolation:
    """Extrapolate means (n, ...) with standard errors (n, ...) at ``sizes`` (n) to N = infinity.

    The standard errors are taken as known: they are not rescaled by the goodness of the fit.
    """
    from scipy.stats import chi2

    sizes, means, errors = (np.asarray(array, dtype=float) for array in (sizes, means, errors))
    if len(np.unique(sizes)) < 2:
        raise InputError("an extrapolation to infinite N needs at least two different sizes")
    if (errors <= 0).any():
        raise InputError("an extrapolation to infinite N needs positive standard errors")
    inverse = (1 / sizes).reshape(-1, *[1] * (means.ndim - 1))
    weight = 1 / errors**2
    total = weight.sum(axis=0)
    centre = (weight * inverse).sum(axis=0) / total
    spread = (weight * (inverse - centre) ** 2).sum(axis=0)
    slope = (weight * (inverse - centre) * means).sum(axis=0) / spread
    limit = (weight * means).sum(axis=0) / total - slope * centre
    chi_squared = (weight * (means - limit - slope * inverse) ** 2).sum(axis=0)
    degrees = len(sizes) - 2
    goodness = chi2.sf(chi_squared, degrees) if degrees else np.full_like(chi_squared, np.nan)
    return Extrapolation(
        Estimate(limit, np.sqrt(1 / total + centre**2 / spread)),
        Estimate(slope, np.sqrt(1 / spread)),
        chi_squared,
        goodness,
    )


def holm(p_values: np.ndarray, level: float = FAMILY_LEVEL) -> np.ndarray:
    """Which of the hypotheses to reject so that any false rejection has probability ``level`` at most
    (Holm)."""
    p = np.asarray(p_values, dtype=float).ravel()
    order = np.argsort(p)
    passed = p[order] <= level / (len(p) - np.arange(len(p)))
    rejected = np.zeros(len(p), bool)
    rejected[order] = np.cumprod(passed).astype(bool)  # stops at the first that is not rejected
    return rejected.reshape(np.shape(p_values))


def single_level(count: int, level: float = FAMILY_LEVEL) -> float:
    """The level of each of ``count`` tests at which the family keeps ``level`` (Bonferroni)."""
    return level / count


def power(
    difference: np.ndarray | float, error: np.ndarray | float, level: float, degrees: float = math.inf
) -> np.ndarray:
    """Probability that a two-sided test at ``level`` rejects a theory that is wrong by ``difference``."""
    from scipy.stats import nct, norm, t

    shift = np.abs(np.asarray(difference, dtype=float) / np.asarray(error, dtype=float))
    if math.isinf(degrees):
        threshold = norm.isf(level / 2)
        return norm.sf(threshold - shift) + norm.cdf(-threshold - shift)
    threshold = t.isf(level / 2, degrees)
    # scipy's lower tail underflows to NaN where it is below 1e-20.
    return nct.sf(threshold, degrees, shift) + np.nan_to_num(nct.cdf(-threshold, degrees, shift))


def kolmogorov_smirnov(first: np.ndarray, second: np.ndarray) -> float:
    """p-value of the hypothesis that two independent samples come from one distribution."""
    from scipy.stats import ks_2samp

    return float(ks_2samp(np.ravel(first), np.ravel(second)).pvalue)


def longer(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Whether waiting times of ``second`` tend to be longer than those of ``first``: (share, p-value).

    The share is the probability that a time of ``second`` exceeds one of ``first``, ties counted half; the
    two-sided p-value is that of the rank test of Mann and Whitney.  NaN is a wait that outlasted the
    observation, of the same length for all: it ranks above every time that was seen, and ties with its like.
    """
    from scipy.stats import mannwhitneyu

    a, b = (np.nan_to_num(np.ravel(times), nan=np.inf) for times in (first, second))
    found = mannwhitneyu(b, a, alternative="two-sided", method="asymptotic")
    tied = np.isnan(found.pvalue)  # every wait the same
    return float(found.statistic) / (len(a) * len(b)), 1.0 if tied else float(found.pvalue)


@dataclass(frozen=True)
class Consistency:
    """Hotelling's test of a mean trajectory against a curve."""

    t_squared: float
    p_value: float
    points: int
    """How many points of the curve were compared."""


def curve_consistency(samples: np.ndarray, curve: np.ndarray) -> Consistency:
    """Test whether the mean of trajectories (S, P) is the ``curve`` (P), with their correlation in time.

    Hotelling's T^2, exact for Gaussian trajectories. It needs many more replicas than points: at most a fifth
    of the replicas' number are taken, evenly spaced. A point without spread (a fixed initial condition) must
    agree to 1e-12 and is then left out; directions of a correlation below 1e-10 are rounding and left out
    too.
    """
    from scipy.stats import f

    samples, curve = np.asarray(samples, dtype=float), np.asarray(curve, dtype=float)
    measured = estimate(samples)
    scores = z_score(measured, curve)
    if np.isinf(scores).any():
        return Consistency(math.inf, 0.0, len(curve))
    moving = np.flatnonzero(measured.error > 1e-12 * np.abs(measured.value))
    replicas = len(samples)
    count = min(len(moving), replicas // 5)
    if len(moving) == 0:
        return Consistency(0.0, 1.0, 0)
    if count == 0:
        raise InputError(f"comparing with a curve needs at least 5 replicas, not {replicas}")
    chosen = moving[np.linspace(0, len(moving) - 1, count).round().astype(int)]
    correlation = np.atleast_2d(np.corrcoef(samples[:, chosen], rowvar=False))
    values, vectors = np.linalg.eigh(correlation)
    kept = values > 1e-10 * values[-1]
    projected = vectors[:, kept].T @ scores[chosen]
    t_squared = float((projected**2 / values[kept]).sum())
    q = int(kept.sum())
    scaled = t_squared * (replicas - q) / (q * (replicas - 1))
    return Consistency(t_squared, float(f.sf(scaled, q, replicas - q)), count)
