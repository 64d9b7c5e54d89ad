"""Experiment: where learning the angle is stable, and what happens where it is not.

Without gamma decay, runs start next to R = 1 and the growth of 1 - R is measured over a short time: at
effective rates below the derived maximal one it falls, above it grows.  With gamma decay there is no fixed
point: L^4 grows in proportion to time and 1 - R falls as t^(-1/2), with derived coefficients, at any learning
rate.  Criterion: no extrapolated mean is rejected against the derived flow by Holm's procedure at a family-wise
level of 1 %, over both parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sympy import S

from derive.papers.luo2019.propositions import maximal_rate
from derive.perceptron import gamma, long_time, perceptron
from derive.symbols import eta, gain_decay
from numerics.perceptron import solve_perceptron
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.comparison import Comparison, level_of_one, rejected
from validate.experiments.luo2019.dynamics import Case, simulated, wrong_rates
from validate.experiments.luo2019.stability_figure import figure
from validate.report.model import Check, ExperimentResult, Finding, Table
from validate.simulate import Setup, simulate
from validate.simulate.perceptron import PerceptronRun, PerceptronSetup
from validate.statistics import FAMILY_LEVEL, Estimate

CRITERION = f"no entry rejected by Holm's procedure over both parts, level {FAMILY_LEVEL:g}"
ZERO = 1e-6
"""1 - R at the start of the first part: so small that the kink's term (1 - R)^(3/2) does not count."""


@dataclass(frozen=True)
class Settings:
    """``rates``: effective learning rates eta gamma/L^2 of the first part; ``late_rates``: learning rates of
    the second, recorded at ``late``.  The largest turns the weights by so much in a step that a line in 1/N describes
    it from N = 200 on only (from 50 on its L^4 / t is 2 % off)."""

    replicas: tuple[int, ...]
    sizes: tuple[int, ...] = (100, 200, 400)
    rates: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    short: float = 1.0
    late_replicas: tuple[int, ...] = (24, 16, 12)
    late_sizes: tuple[int, ...] = (100, 200, 400)
    late_rates: tuple[float, ...] = (1.0, 3.0, 9.0)
    late: tuple[float, ...] = (5.0, 20.0, 80.0)
    gain_decay: float = 0.25
    batch: int = 16
    seed: int = 37


@dataclass(frozen=True)
class Part:
    """One part's measurement: the values on its axis, times, and measured limits with flow and wrong flows."""

    rates: tuple[float, ...]
    comparison: Comparison


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Measure growth next to R = 1, late times with decay, and what large rates do to other methods."""
    growth, late = _growth(settings, context), _late(settings, context)
    bad = rejected([growth.comparison, late.comparison])
    level = level_of_one([growth.comparison, late.comparison])
    boundary = _boundary(settings, growth)
    derived = float(maximal_rate().subs(gain_decay, 0))
    checks = [
        _check("growth of 1 - R next to the fixed point", growth, not bad[0], level),
        _check("late times with gamma decay: sqrt(t) (1 - R), L^4 / t, gamma", late, not bad[1], level),
    ]
    methods = _methods(settings, context)
    asymptotic = _coefficients(settings)
    return context.result(
        f"Without decay R = 1 is stable below the effective rate {boundary.value:.3f} ({boundary.error:.3f}), "
        f"derived {derived:g}. Above it 1 - R grows only until L has grown: no run with a normalization "
        f"diverges. With decay there is no fixed point: sqrt(t) (1 - R) tends to {asymptotic[0]:.4f} at every "
        f"learning rate, and L^4 grows in proportion to time (largest |z| "
        f"{max(float(np.abs(p.comparison.z).max()) for p in (growth, late)):.1f}).",
        checks=checks,
        findings=_findings(settings, boundary, derived, late, methods),
        figures={"perceptron-stability": figure(settings, growth, late, asymptotic, boundary)},
        tables=[_methods_table(settings, methods)],
        seeds={"seed": settings.seed},
    )


def _runs(
    context: Context, setups: Sequence[PerceptronSetup], times: Sequence[float], sizes: Sequence[int],
    replicas: Sequence[int], seed: int, label: str,
) -> list[list[PerceptronRun]]:  # fmt: skip
    jobs = [
        {"setup": asdict(setup), "times": list(times), "replicas": count, "size": size, "seed": seed + k}
        for k, setup in enumerate(setups)
        for size, count in zip(sizes, replicas, strict=True)
    ]
    found = [PerceptronRun(**arrays) for arrays in context.pieces(simulated, jobs, label)]
    return [found[k * len(sizes) : (k + 1) * len(sizes)] for k in range(len(setups))]


def _limits(measured: Sequence[Sequence[np.ndarray]], sizes: Sequence[int]) -> statistics.Extrapolation:
    """Extrapolated means of samples (S, entries), a row for each first index."""
    estimates = [[statistics.estimate(samples) for samples in row] for row in measured]
    means = np.stack([[e.value for e in row] for row in estimates], axis=1)
    errors = np.stack([[e.error for e in row] for row in estimates], axis=1)
    return statistics.extrapolate(np.array(sizes), means, errors)


def _growth(settings: Settings, context: Context) -> Part:
    """(1 - R)(t) / (1 - R)(0) by effective rate, at gamma = L = 1: (rates, 1)."""
    setups = [PerceptronSetup(learning_rate=rate, cosine=1 - ZERO) for rate in settings.rates]
    runs = _runs(
        context, setups, [settings.short], settings.sizes, settings.replicas, 1000 * settings.seed, "growth"
    )
    measured = [[(1 - run.cosine) / ZERO for run in row] for row in runs]

    def flow(rates: Any) -> np.ndarray:
        solved = [
            solve_perceptron(rates, (1.0, 1 - ZERO, 1.0), [settings.short], rate)[0, 1]
            for rate in settings.rates
        ]
        return (1 - np.array(solved)[:, None]) / ZERO

    wrong = {name: flow(rates) for name, rates in wrong_rates(Case("relu", 1.0, 0.0)).items()}
    return Part(
        settings.rates,
        Comparison(
            ("(1 - R)(t) / (1 - R)(0)",), np.array(settings.rates), _limits(measured, settings.sizes),
            flow("relu"), wrong, min(settings.replicas) - 1,
        ),
    )  # fmt: skip


LATE = ("sqrt(t) (1 - R)", "L^4 / t", "gamma")


def scaled(time: np.ndarray, gain: np.ndarray, cosine: np.ndarray, length: np.ndarray) -> np.ndarray:
    """sqrt(t) (1 - R), L^4 / t and gamma, the times last on the way in and last but one on the way out."""
    return np.stack([np.sqrt(time) * (1 - cosine), length**4 / time, gain], axis=-1)


def _late(settings: Settings, context: Context) -> Part:
    """The scaled order parameters by learning rate and time: (rates times, 3)."""
    setups = [
        PerceptronSetup(learning_rate=rate, gain_decay=settings.gain_decay, gain=0.7, cosine=0.5)
        for rate in settings.late_rates
    ]
    runs = _runs(
        context, setups, settings.late, settings.late_sizes, settings.late_replicas,
        1000 * settings.seed + 500, "late times",
    )  # fmt: skip
    times = np.array(settings.late)
    # Each time of each rate is a row.
    measured = [
        [scaled(run.time, run.gain, run.cosine, run.norm)[:, t] for run in row]
        for row in runs
        for t in range(len(times))
    ]

    def flow(chosen: Any) -> np.ndarray:
        rows = []
        for setup in setups:
            y = solve_perceptron(
                chosen, (setup.gain, setup.cosine, setup.norm), times, setup.learning_rate, setup.gain_decay
            )
            rows.append(scaled(times, *y.T))
        return np.concatenate(rows)

    wrong = wrong_rates(Case("relu", 1.0, settings.gain_decay))
    return Part(
        settings.late_rates,
        Comparison(
            LATE, np.tile(times, len(setups)), _limits(measured, settings.late_sizes), flow("relu"),
            {"without the eta^2 terms": flow(wrong["without the eta^2 terms"])},
            min(settings.late_replicas) - 1,
        ),
    )  # fmt: skip


def _coefficients(settings: Settings) -> tuple[float, float]:
    """The derived limits of sqrt(t) (1 - R) and of L^4 / (eta^2 t)."""
    p, late = perceptron("relu"), long_time(perceptron("relu"))
    at = {gamma: p.gain.subs(gain_decay, S(settings.gain_decay)), eta: S.One}
    return float(late.misalignment.subs(at)), float(late.norm4.subs(at))


def _boundary(settings: Settings, growth: Part) -> Estimate:
    """The effective rate at which 1 - R neither grows nor falls: the zero of a line through
    ln((1 - R)(t)/(1 - R)(0)) / eta_eff, which the flow makes linear in eta_eff."""
    rates = np.array(growth.rates)
    limit = growth.comparison.limit.limit
    values = np.log(limit.value[:, 0]) / rates
    errors = limit.error[:, 0] / limit.value[:, 0] / rates
    (slope, constant), covariance = np.polyfit(rates, values, 1, w=1 / errors, cov="unscaled")
    gradient = np.array([constant / slope**2, -1 / slope])
    error = np.sqrt(gradient @ covariance @ gradient)
    return Estimate(np.array(-constant / slope), np.array(error))


def _check(name: str, part: Part, passed: bool, level: float) -> Check:
    worst = part.comparison.worst()
    return Check(
        name=f"stability: {name}", statement="the extrapolated means are those of the derived flow",
        predicted=worst["predicted"], measured=worst["measured"], standard_error=worst["error"],
        criterion=CRITERION, passed=passed, z=worst["z"], p_value=worst["p_value"],
        power=part.comparison.power(level),
        details={"shown": f"the entry of largest |z|: {worst['entry']} at {worst['time']:g}",
                 "z of wrong theories": part.comparison.wrong_z()},
    )  # fmt: skip


Methods = Mapping[str, tuple[float, float, float]]


def unnormalized(
    learning_rate: float, stop: float, replicas: int, size: int, seed: int
) -> dict[str, np.ndarray]:
    """Gradient descent without normalization, as a piece: 1 - R and J.J at the end."""
    setup = Setup(1, 1, activation="relu", learning_rate=learning_rate, Q=[[1.0]], R=[[0.5]])
    run = simulate(setup, [0.0, stop], replicas, size, seed=seed)
    square = run.Q[:, -1, 0, 0]
    with np.errstate(invalid="ignore"):
        return {"apart": 1 - run.R[:, -1, 0, 0] / np.sqrt(square), "square": square}


def _methods(settings: Settings, context: Context) -> Methods:
    """By method, at twice its boundary: the share of runs that diverged, the median of 1 - R at the last
    time, and that of eta gamma/L^2."""
    replicas, size, stop = settings.late_replicas[0], settings.late_sizes[0], settings.late[-1]
    rate = 2 * float(maximal_rate().subs(gain_decay, 0))
    seed = 1000 * settings.seed + 900
    kinds = {
        "weight normalization": PerceptronSetup(learning_rate=rate, cosine=0.5),
        f"weight normalization, zeta = {settings.gain_decay:g}": PerceptronSetup(
            learning_rate=rate, cosine=0.5, gain_decay=settings.gain_decay
        ),
        f"batch normalization, M = {settings.batch}": PerceptronSetup(
            learning_rate=rate * settings.batch, cosine=0.5, statistics="batch", batch_size=settings.batch
        ),
    }
    (plain,) = context.pieces(
        unnormalized,
        [{"learning_rate": rate, "stop": stop, "replicas": replicas, "size": size, "seed": seed}],
        "no normalization",
    )
    found = {"none": (float((~(plain["square"] < 1e6)).mean()), float(np.nanmedian(plain["apart"])), rate)}
    for name, setup in kinds.items():
        ((run,),) = _runs(context, [setup], [stop], [size], [replicas], seed + 1, name)
        apart, length = 1 - run.cosine[:, 0], run.norm[:, 0]
        effective = setup.learning_rate / setup.batch_size * run.gain[:, 0] / length**2
        found[name] = (
            float((~np.isfinite(apart)).mean()), float(np.median(apart)), float(np.median(effective)),
        )  # fmt: skip
    return found


def _methods_table(settings: Settings, methods: Methods) -> Table:
    return Table(
        f"At twice the learning rate at which R = 1 becomes unstable, after t = {settings.late[-1]:g} (with M "
        "samples a step the rate is M times larger): share of runs that diverged, medians of 1 - R and of the "
        "effective rate eta gamma / (M L^2).",
        ("normalization", "diverged", "1 - R", "effective rate"),
        tuple((name, share, float(f"{a:.3g}"), round(rate, 3)) for name, (share, a, rate) in methods.items()),
    )


def _findings(
    settings: Settings, boundary: Estimate, derived: float, late: Part, methods: Methods
) -> list[Finding]:
    names = list(methods)
    plain, free, decaying = (methods[name] for name in names[:3])
    larger = decaying[2] > free[2]
    last = len(settings.late) - 1
    scale = late.comparison.limit.limit.value[last :: len(settings.late), 0]
    return [
        Finding(
            claim="luo2019.claim-maximal-rate", says="gamma decay enlarges the maximal learning rate",
            answer=(
                f"Without decay 1 - R next to R = 1 grows above the effective rate {boundary.value:.3f} "
                f"({boundary.error:.3f}), derived {derived:g}; but L grows as well, and no normalized run "
                f"diverges at twice that rate, with decay or without, where {100 * plain[0]:.0f} % of the runs "
                "without normalization do. A maximal rate exists for none of the normalized methods, and "
                f"decay is not what removes it. With decay sqrt(t) (1 - R) is the same at rates "
                f"{', '.join(f'{r:g}' for r in settings.late_rates)}: "
                f"{', '.join(f'{v:.3f}' for v in scale)} at t = {settings.late[-1]:g}."
            ),
            verdict="conditional",
            evidence={"boundary": float(boundary.value), "error": float(boundary.error), "methods": methods},
        ),
        Finding(
            claim="luo2019.claim-effective-rate", says="gamma decay enlarges the effective learning rate",
            answer=(
                f"At the same learning rate, at t = {settings.late[-1]:g}, eta gamma/L^2 is {decaying[2]:.3f} "
                f"with decay and {free[2]:.3f} without; 1 - R is {decaying[1]:.2g} and {free[1]:.2g}."
            ),
            verdict="confirmed" if larger else "refuted",
            evidence={"with decay": decaying, "without": free},
        ),
    ]  # fmt: skip


EXPERIMENT = Experiment(
    title="Stability and learning rates of the perceptron",
    question="Is there a maximal learning rate, and does gamma decay make it or the effective rate larger?",
    run=run,
    full=Settings(replicas=(4000, 2000, 1000), late_replicas=(160, 80, 48), late_sizes=(200, 400, 800)),
    quick=Settings(replicas=(800, 400, 200)),
)
