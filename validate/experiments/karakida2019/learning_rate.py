"""Fig. 2: which learning rates explode, over width, with and without mean subtraction in the last layer.

ReLU networks of L = 3 with (sigma_w^2, sigma_b^2) = (4, 1) learn a teacher of their own architecture by full-batch
gradient descent.  A run has exploded if its loss exceeds 10^3 after the last step.  The claims are judged by
the lowest rate that explodes, the median over trials, beside 2/lambda_max: that runs above it explode in wide
networks is refuted where some survive and the ratio of the two does not fall with width (by half at least).
What the limit does predict is looked for in the lowest rate at which the loss ever rises a tenth above its
start, and in lambda_max where descent ends.
"Independent of width" means that the lowest rate changes by an exponent of M below 0.15 in absolute value; it is
judged with the samples that there are, and with samples in proportion to the width.  Criterion of the checks: next to
the teacher, where residuals vanish, the growth of the loss shows a largest Hessian eigenvalue within 0.1 % of the
Fisher information's; and at the start 2/lambda_max of Theorem 2.2 is within 10 % of what the trials of the two largest
widths measure, or three standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from derive.wide import network
from numerics.wide import Prediction, predict
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.karakida2019.descents import (
    critical_rate,
    final_loss,
    growth_at_zero_residual,
    initial_sharpness,
)
from validate.report.model import Check, ExperimentResult, Finding

MODEL = ("relu", 4.0, 1.0)
DEPTH = 3
NORMALIZATIONS = ("none", "mean")
EXPLODED = 1e3
LOW = 1e-2
"""A loss that counts as low, of some ten at the start."""
NO_GROWTH = 0.15
RISE = 1.1
"""The loss over its start, from which on it counts as risen."""
EXCESS = 1.1
"""The learning rate next to the teacher over 2/lambda_max."""
HALVINGS = 7
"""Of the interval of learning rates, where the lowest one that explodes is sought at T of order M."""


@dataclass(frozen=True)
class Settings:
    """``rates`` learning rates from ``lowest`` to ``highest``, ``trials`` networks at each of ``widths``.

    ``ratio``: T / M where samples grow with the width.
    """

    widths: tuple[int, ...]
    samples: int
    steps: int
    trials: int
    rates: int
    lowest: float = 1e-4
    highest: float = 1.0
    ratio: float = 2.0
    seed: int = 33

    def learning_rates(self) -> np.ndarray:
        return np.geomspace(self.lowest, self.highest, self.rates)


@dataclass(frozen=True)
class Map:
    """``losses`` after the last step, the largest ``rise`` of the loss on the way over the first one, and lambda_max
    at the end, the ``curvature`` (widths, rates, trials); lambda_max at the start, ``sharpness`` (widths, trials)."""

    losses: np.ndarray
    rise: np.ndarray
    curvature: np.ndarray
    sharpness: np.ndarray

    def critical(self, rates: np.ndarray) -> np.ndarray:
        """The lowest rate that explodes, as the geometric mean with the one below (widths, trials)."""
        return _lowest(rates, self.losses > EXPLODED)

    def rising(self, rates: np.ndarray) -> np.ndarray:
        """The lowest rate at which the loss ever exceeds its start by a tenth, likewise."""
        return _lowest(rates, self.rise > RISE)


def _lowest(rates: np.ndarray, happens: np.ndarray) -> np.ndarray:
    index = np.where(happens.any(axis=1), happens.argmax(axis=1), len(rates))
    edges = np.concatenate([rates, [rates[-1] ** 2 / rates[-2]]])
    return edges[index] * math.sqrt(rates[0] / rates[1])


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Train everything, measure the sharpness of the starts, judge."""
    from validate.experiments.karakida2019.learning_rate_figure import figure

    maps = dict(zip(NORMALIZATIONS, _maps(settings, context), strict=True))
    near = context.pieces(growth_at_zero_residual, [
        {"shape": shape(settings.widths[-1], place), "samples": settings.samples, "seed": settings.seed,
         "excess": EXCESS, "steps": 60} for place in NORMALIZATIONS
    ], "next to the teacher")  # fmt: skip
    checks = [_hessian(place, found) for place, found in zip(NORMALIZATIONS, near, strict=True)]
    findings = [
        _predicts(settings, maps["none"]), _larger(settings, maps),
        _independent(settings, maps["mean"], _in_proportion(settings, context)),
        _trials(settings, maps), _fisher(checks),
    ]  # fmt: skip
    return context.result(
        " ".join(found.answer for found in findings[:3]), checks=[*checks, _start(settings, maps["none"])],
        findings=findings, figures={"learning-rate": figure(settings, maps)},
        seeds={"seed": settings.seed, "trial": "its replica"},
    )  # fmt: skip


def shape(width: int, place: str) -> list[object]:
    """The arguments of ``architecture``."""
    return [[*(width,) * DEPTH, 1], *MODEL, place]


def theory(settings: Settings, place: str, width: int) -> Prediction:
    return predict(network(DEPTH, *MODEL, normalization=place), width, settings.samples)


def _maps(settings: Settings, context: Context) -> list[Map]:
    widths, rates, trials = settings.widths, settings.learning_rates(), settings.trials
    common = {"samples": settings.samples, "seed": settings.seed}
    grid = [(place, M, float(rate), k) for place in NORMALIZATIONS for M in widths for rate in rates
            for k in range(trials)]  # fmt: skip
    order = sorted(range(len(grid)), key=lambda n: -grid[n][1])
    found = context.pieces(final_loss, [
        {"shape": shape(M, place), "trial": k, "learning_rate": rate, "steps": settings.steps, **common}
        for place, M, rate, k in (grid[n] for n in order)
    ], "gradient descent")  # fmt: skip
    ends = np.empty((len(grid), 3))
    ends[order] = [
        [float(run["final"]), float(run["largest"] / run["first"]), float(run["curvature"])] for run in found
    ]
    starts = context.pieces(initial_sharpness, [
        {"shape": shape(M, place), "trials": trials, **common} for place in NORMALIZATIONS for M in widths
    ], "sharpness at the start")  # fmt: skip
    sharpness = np.stack([arrays["lambda_max"] for arrays in starts])
    count = len(widths)
    parts = ends.reshape(len(NORMALIZATIONS), count, len(rates), trials, 3)
    return [
        Map(part[..., 0], part[..., 1], part[..., 2], sharpness[k * count : (k + 1) * count])
        for k, part in enumerate(parts)
    ]


def _in_proportion(settings: Settings, context: Context) -> np.ndarray:
    """The lowest rates that explode with mean subtraction at T = ratio M (widths, trials)."""
    found = context.pieces(critical_rate, [
        {"shape": shape(M, "mean"), "samples": round(settings.ratio * M), "seed": settings.seed, "trial": k,
         "steps": settings.steps, "exploded": EXPLODED, "lowest": settings.lowest, "highest": settings.highest,
         "halvings": HALVINGS}
        for M in settings.widths for k in range(settings.trials)
    ], "samples in proportion to the width")  # fmt: skip
    return np.array([float(run["rate"]) for run in found]).reshape(len(settings.widths), settings.trials)


def _hessian(place: str, found: dict[str, np.ndarray]) -> Check:
    fisher, hessian = float(found["fisher"]), float(found["hessian"])
    return Check(
        name=f"H = F at zero residual: normalization {place}",
        statement="next to the teacher descent sees the largest eigenvalue of the Fisher information",
        predicted=fisher, measured=hessian, criterion="within 0.1 %", passed=abs(hessian / fisher - 1) < 1e-3,
        details={"learning rate over 2/lambda_max": EXCESS},
    )  # fmt: skip


def _start(settings: Settings, found: Map) -> Check:
    ratios = np.concatenate([
        found.sharpness[-k] / theory(settings, "none", settings.widths[-k]).lambda_max for k in (1, 2)
    ])  # fmt: skip
    measured = statistics.estimate(ratios)
    value, error = float(measured.value), float(measured.error)
    return Check(
        name="lambda_max at the start", statement="the starts of the runs are as sharp as Theorem 2.2 says",
        predicted=1.0, measured=value, standard_error=error,
        criterion="measured over predicted: within 10 % of one, or three standard errors",
        passed=abs(value - 1) < max(0.1, 3 * error),
    )  # fmt: skip


def _over_start(rates: np.ndarray, found: Map) -> np.ndarray:
    """Learning rates over 2/lambda_max of each run's own start (widths, rates, trials)."""
    return rates[None, :, None] * found.sharpness[:, None, :] / 2


def _each(values: Sequence[float] | np.ndarray, settings: Settings) -> str:
    return ", ".join(f"{x:.2g} (M = {M})" for M, x in zip(settings.widths, values, strict=True))


def _predicts(settings: Settings, found: Map) -> Finding:
    rates = settings.learning_rates()
    over = _over_start(rates, found)
    exploded = found.losses > EXPLODED
    survivors = (over > 1) & ~exploded
    survived = float(survivors[-1].sum() / (over[-1] > 1).sum())
    below = float(exploded[over < 1].mean())
    excess, rise = (
        np.median(lowest * found.sharpness / 2, axis=1)
        for lowest in (found.critical(rates), found.rising(rates))
    )
    falls = excess[-1] < 0.5 * excess[0]
    at_end = (rates[None, :, None] * found.curvature / 2)[survivors]
    kept = "every run above it explodes" if survived == 0 else (
        f"{100 * survived:.0f} % of those above it, at M = {settings.widths[-1]}, do not: of all such runs "
        f"{100 * float((at_end < 1).mean()):.0f} % end where eta lambda_max/2 is below one (median "
        f"{float(np.median(at_end)):.2g}), descent having settled where the curvature is smaller"
    )  # fmt: skip
    return Finding(
        "karakida2019.claim-rate-predicts",
        "training above 2/lambda_max of the initial weights explodes in wide networks",
        f"Without normalization {100 * below:.0f} % of the runs below 2/lambda_max of their start explode, and {kept}. "
        f"The limit says where the loss begins to rise, at eta lambda_max/2 = {_each(rise, settings)}, not where it "
        f"explodes, at {_each(excess, settings)} (medians; the rates tried are a factor {rates[1] / rates[0]:.1f} "
        "apart).",
        "confirmed" if survived == 0 else "conditional" if falls else "refuted",
        {"eta lambda_max/2 at the lowest rate that explodes": excess.tolist(),
         "eta lambda_max/2 at the lowest rate whose loss rises": rise.tolist(),
         "share below one of eta lambda_max/2 at the end": float((at_end < 1).mean()) if survived else math.nan,
         "widths": settings.widths},
    )  # fmt: skip


def _larger(settings: Settings, maps: dict[str, Map]) -> Finding:
    rates = settings.learning_rates()
    none, mean = (np.median(maps[place].critical(rates), axis=1) for place in NORMALIZATIONS)
    ratio = mean / none
    holds = bool((ratio > 1).all())
    return Finding(
        "karakida2019.claim-larger-rate", "with mean subtraction larger learning rates converge, whatever the width",
        f"With mean subtraction the lowest rate that explodes is larger by factors of {_each(ratio, settings)}; the "
        f"rates tried are a factor {rates[1] / rates[0]:.1f} apart.",
        "confirmed" if holds else "conditional", {"ratio": ratio.tolist(), "widths": settings.widths},
    )  # fmt: skip


def _exponent(settings: Settings, medians: np.ndarray) -> float:
    return float(np.polyfit(np.log(settings.widths), np.log(medians), 1)[0])


def _independent(settings: Settings, found: Map, in_proportion: np.ndarray) -> Finding:
    """The paper's own line 2/(rho alpha (kappa_1 - kappa_2)) falls as 1/M where T is fixed."""
    fixed = _exponent(settings, np.median(found.critical(settings.learning_rates()), axis=1))
    initial = _exponent(settings, 2 / found.sharpness.mean(axis=1))
    growing = _exponent(settings, np.median(in_proportion, axis=1))
    holds, holds_growing = (abs(exponent) < NO_GROWTH for exponent in (fixed, growing))
    return Finding(
        "karakida2019.claim-rate-independent-of-width",
        "with mean subtraction the largest stable rate does not depend on width",
        f"From M = {settings.widths[0]} to {settings.widths[-1]} at T = {settings.samples} the lowest rate that "
        f"explodes changes as M^{fixed:.2f}, 2/lambda_max of the starts as M^{initial:.2f}, and the line drawn in "
        "the paper, 2/(rho alpha (kappa_1 - kappa_2)) with rho = M/T, as 1/M. With samples in proportion to the width, "
        f"T = {settings.ratio:g} M, the lowest rate that explodes changes as M^{growing:.2f}. By an exponent below "
        f"{NO_GROWTH:g} it {'is' if holds else 'is not'} independent of width at fixed T, and "
        f"{'is' if holds_growing else 'is not'} where T grows with M.",
        "confirmed" if holds and holds_growing else "conditional" if holds or holds_growing else "refuted",
        {"exponent": fixed, "exponent at the start": initial, "exponent at T of order M": growing,
         "lowest rate at T of order M": np.median(in_proportion, axis=1).tolist()},
    )  # fmt: skip


def _trials(settings: Settings, maps: dict[str, Map]) -> Finding:
    """At rates above the line of the network without normalization."""
    rates, best, single = settings.learning_rates(), [], []
    for k, M in enumerate(settings.widths):
        above = maps["mean"].losses[k][rates > theory(settings, "none", M).learning_rate]
        best.append(float(above.min()))
        single.append(float(np.median(above.min(axis=0))))
    holds = max(best) < LOW
    return Finding(
        "karakida2019.claim-trials", "the best of several trials with mean subtraction has a low loss at every width",
        f"Above 2/lambda_max of the network without normalization the lowest loss of {settings.trials} trials with "
        f"mean subtraction is {_each(best, settings)} after {settings.steps} steps: "
        f"{'' if holds else 'not '}below {LOW:g} at every width.",
        "confirmed" if holds else "refuted", {"best": best, "median over trials": single},
    )  # fmt: skip


def _fisher(checks: Sequence[Check]) -> Finding:
    holds = all(check.passed for check in checks)
    worst = max(abs(check.measured / check.predicted - 1) for check in checks)
    return Finding(
        "karakida2019.claim-hessian-is-fisher",
        "where the training error is zero the Hessian is the Fisher information",
        f"Next to the teacher the loss grows as the largest eigenvalue of F {'says' if holds else 'does not say'} "
        f"(relative difference {worst:.1g}).",
        "confirmed" if holds else "refuted",
        {check.name: [check.predicted, check.measured] for check in checks},
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="Learning rates that explode (Fig. 2)",
    question="Does 2/lambda_max of the start predict which learning rates explode, at every width?",
    run=run,
    full=Settings((25, 50, 100, 200), 1000, 1000, 3, 13),
    quick=Settings((20, 40, 80, 160), 200, 300, 3, 11, 3e-4, 1.0),
)
