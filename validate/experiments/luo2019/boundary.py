"""Experiment: the effective learning rate at which a small angle stops being learned, by method.

Units are prepared at the gain at rest and L = 1, at R = 1 and on two opposite sides of it at R = 1 - d, and make one
step on the same inputs.  What N times the change of R differs by, over d, is lambda_R for small d: of first and second
order in the rate, so that over the rate it is a line, whose zero is the boundary.  Weight normalization, the same with
gamma decay, and real batch normalization of M samples, whose rate is M times larger and which is continued to infinite
M.  Criterion: no boundary is rejected against that of the derived flow, at the same d, by Holm's procedure at a
family-wise level of 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sympy import Expr, Rational, Symbol

from derive.papers.luo2019.propositions import maximal_rate
from derive.perceptron import angle, gamma, norm, perceptron
from derive.symbols import batch, eta, gain_decay, label_noise
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.luo2019.dynamics import Case, wrong_rates
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate.perceptron import PerceptronSetup, simulate_perceptron
from validate.statistics import FAMILY_LEVEL, Estimate

CRITERION = f"not rejected by Holm's procedure over all boundaries, level {FAMILY_LEVEL:g}"
Rates = Mapping[Symbol, Expr]


@dataclass(frozen=True)
class Method:
    """``samples``: 1 for weight normalization, else the M of real batch normalization."""

    gain_decay: float = 0.0
    samples: int = 1

    @property
    def label(self) -> str:
        if self.samples > 1:
            return f"batch normalization, M = {self.samples}"
        return "weight normalization" + (f", zeta = {self.gain_decay:g}" if self.gain_decay else "")

    @property
    def gain(self) -> float:
        return float(perceptron("relu").gain.subs(gain_decay, self.gain_decay))

    def setup(self, rate: float) -> PerceptronSetup:
        """``rate`` is the effective one, eta gamma / (M L^2)."""
        return PerceptronSetup(
            "relu", "batch" if self.samples > 1 else "population", learning_rate=self.samples * rate / self.gain,
            gain_decay=self.gain_decay, batch_size=self.samples, gain=self.gain,
        )  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """``replicas`` of M samples each times M, for each size; ``sizes`` are N/M for batches, N / 4 else."""

    replicas: int
    methods: tuple[Method, ...]
    sizes: tuple[int, ...] = (16, 32)
    rates: tuple[float, ...] = (1.0, 2.0, 3.0)
    apart: float = 0.01
    seed: int = 83


def one_step(
    setup: Mapping[str, Any], apart: float, replicas: int, size: int, seed: int
) -> dict[str, np.ndarray]:
    """What N times the change of R in one step is more at R = 1 than at R = 1 - ``apart``, where it is the mean of two
    opposite sides, over ``apart``; all three on the same inputs."""

    def change(cosine: float, mirrored: bool = False) -> np.ndarray:
        start = PerceptronSetup(**{**setup, "cosine": cosine})
        run = simulate_perceptron(start, [0.0, 1 / size], replicas, size, seed, mirrored=mirrored)
        return size * (run.cosine[:, 1] - run.cosine[:, 0])

    sides = [change(1 - apart, mirrored) for mirrored in (False, True)]
    return {"growth": (change(1.0) - np.mean(sides, axis=0)) / apart}


@dataclass(frozen=True)
class Measured:
    """``slopes``: lambda_R over the rate, by rate, at infinite N; and the rate at which it vanishes."""

    slopes: Estimate
    boundary: Estimate


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Make the steps, find where learning of the angle turns, and compare."""
    jobs = [_job(settings, m, n, k) for m, _ in enumerate(settings.methods) for k, _ in enumerate(settings.rates)
            for n, _ in enumerate(settings.sizes)]  # fmt: skip
    pieces = context.pieces(one_step, jobs, "single steps")
    each = len(settings.rates) * len(settings.sizes)
    found = {
        method: measure(settings, method, pieces[m * each : (m + 1) * each])
        for m, method in enumerate(settings.methods)
    }
    compared = {m.label: (found[m].boundary, m.gain_decay) for m in settings.methods if m.samples == 1}
    compared["batch normalization, infinite M"] = (_infinite(found), 0.0)
    z = np.array([
        float(statistics.z_score(e, derived_boundary(settings, zeta))) for e, zeta in compared.values()
    ])  # fmt: skip
    bad = statistics.holm(statistics.p_value(z))
    checks = [
        _check(settings, label, *values, float(score), not wrong, len(compared))
        for (label, values), score, wrong in zip(compared.items(), z, bad, strict=True)
    ]
    listed = ", ".join(f"{e.value:.3f} ({e.error:.3f}) with {label}" for label, (e, _) in compared.items())
    return context.result(
        f"1 - R = {settings.apart:g} is unlearned above the effective rate {listed}; derived "
        f"{', '.join(f'{derived_boundary(settings, zeta):.3f}' for _, zeta in compared.values())}, and for small "
        f"angles {', '.join(f'{_limit(zeta):.3f}' for _, zeta in compared.values())}.",
        checks=checks,
        findings=[_finding(settings, found)],
        figures={"boundary-of-learning": _figure(settings, found)},
        tables=[_table(settings, found)],
        seeds={"seed": settings.seed, "of a job": "1000 seed + 100 method + 10 rate + size"},
    )  # fmt: skip


def _job(settings: Settings, m: int, n: int, k: int) -> dict[str, Any]:
    method = settings.methods[m]
    size = settings.sizes[n] * (4 if method.samples == 1 else method.samples)
    return {
        "setup": asdict(method.setup(settings.rates[k])), "apart": settings.apart,
        "replicas": settings.replicas // method.samples, "size": size,
        "seed": 1000 * settings.seed + 100 * m + 10 * k + n,
    }  # fmt: skip


def measure(settings: Settings, method: Method, pieces: Sequence[Mapping[str, np.ndarray]]) -> Measured:
    """Extrapolate to infinite N at each rate, and find the zero of the line through the rates."""
    count = len(settings.sizes)
    limits = []
    for k, rate in enumerate(settings.rates):
        estimates = [
            statistics.estimate(p["growth"] / (method.samples * rate)) for p in pieces[k * count : (k + 1) * count]
        ]
        limits.append(statistics.extrapolate(
            np.array(settings.sizes), np.array([e.value for e in estimates]), np.array([e.error for e in estimates])
        ).limit)  # fmt: skip
    slopes = Estimate(np.array([e.value for e in limits]), np.array([e.error for e in limits]))
    rates = np.array(settings.rates)
    (slope, constant), covariance = np.polyfit(rates, slopes.value, 1, w=1 / slopes.error, cov="unscaled")
    gradient = np.array([constant / slope**2, -1 / slope])
    return Measured(
        slopes, Estimate(np.array(-constant / slope), np.sqrt(gradient @ covariance @ gradient))
    )


def _infinite(found: Mapping[Method, Measured]) -> Estimate:
    """The boundary of batch normalization, continued to infinite M by a line in 1/M."""
    batches = [(m.samples, f.boundary) for m, f in found.items() if m.samples > 1]
    return statistics.extrapolate(
        np.array([M for M, _ in batches]), np.array([b.value for _, b in batches]),
        np.array([b.error for _, b in batches]),
    ).limit  # fmt: skip


def derived_boundary(settings: Settings, zeta: float, rates: Rates | None = None) -> float:
    """Where dR/dt at R = 1 and at 1 - apart differ by nothing, at the gain at rest and L = 1."""
    p = perceptron("relu")
    at = {gain_decay: zeta, norm: 1, batch: 1, label_noise: 0, gamma: Method(zeta).gain}
    turn = (p.rates if rates is None else rates)[angle].xreplace(at).expand()
    first, second = (
        turn.coeff(eta, order).subs(angle, 1) - turn.coeff(eta, order).subs(angle, 1 - settings.apart)
        for order in (1, 2)
    )
    return float(-first / second * at[gamma])


def _limit(zeta: float) -> float:
    return float(maximal_rate().subs(gain_decay, Rational(zeta)))


def _check(
    settings: Settings, label: str, found: Estimate, zeta: float, z: float, passed: bool, count: int
) -> Check:
    derived = derived_boundary(settings, zeta)
    printed = wrong_rates(Case("relu", 1.0, zeta))["printed (15)"]
    wrong = {"printed (15)": derived_boundary(settings, zeta, printed)}
    if zeta:
        wrong["Table 1, 2 + 4 zeta"] = (2 + 4 * zeta) * derived / _limit(zeta)
        wrong["that without decay"] = derived_boundary(settings, 0.0)
    level = statistics.single_level(count)
    return Check(
        name=f"boundary: {label}", statement="the angle stops being learned at the derived rate", predicted=derived,
        measured=float(found.value), standard_error=float(found.error), criterion=CRITERION, passed=passed, z=z,
        p_value=float(statistics.p_value(z)),
        power={name: float(statistics.power(w - derived, found.error, level)) for name, w in wrong.items()},
        details={"z of wrong theories": {n: float(statistics.z_score(found, w)) for n, w in wrong.items()}},
    )  # fmt: skip


def _finding(settings: Settings, found: Mapping[Method, Measured]) -> Finding:
    free, decaying = (found[m].boundary for m in settings.methods if m.samples == 1)
    batches = {m.samples: found[m].boundary for m in settings.methods if m.samples > 1}
    rise = batches[min(batches)] - free
    score = float(rise.value / rise.error)
    listed = ", ".join(f"{e.value:.3f} ({e.error:.3f}) at M = {M}" for M, e in batches.items())
    return Finding(
        claim="luo2019.claim-bn-maximal-rate",
        says="batch normalization learns with a larger maximal rate than weight normalization",
        answer=(
            f"An angle 1 - R = {settings.apart:g} grows in the next step above the effective rate {free.value:.3f} "
            f"({free.error:.3f}) of weight normalization; with the decay that should stand for batch normalization "
            f"above {decaying.value:.3f} ({decaying.error:.3f}), but with batch normalization itself above {listed}. "
            "The noise of the statistics lowers it. That is the next step alone: L grows, and with it the rate falls."
        ),
        verdict="refuted" if score < -4 else "confirmed" if score > 4 else "open",
        evidence={
            "boundaries": {m.label: (float(f.boundary.value), float(f.boundary.error)) for m, f in found.items()},
            "(batch - weight normalization) over error": score,
        },
    )


def _table(settings: Settings, found: Mapping[Method, Measured]) -> Table:
    return Table(
        f"The effective rate eta gamma / (M L^2) above which 1 - R = {settings.apart:g} grows, at infinite N.",
        ("method", "measured", "error", "derived (infinite M)", "derived, small angles"),
        tuple(
            (m.label, round(float(f.boundary.value), 4), float(f"{float(f.boundary.error):.2g}"),
             round(derived_boundary(settings, m.gain_decay), 4), round(_limit(m.gain_decay), 4))
            for m, f in found.items()
        ),
    )  # fmt: skip


def _figure(settings: Settings, found: Mapping[Method, Measured]) -> Picture:
    from validate.report.figures import COLOURS, panels, trend

    figure, ax = panels(1, 1)
    rates = np.array(settings.rates)
    fine = np.array([0.9 * rates.min(), 1.05 * rates.max()])
    for colour, (method, f) in zip(COLOURS, found.items(), strict=False):
        trend(ax, rates, f.slopes.value, f.slopes.error, label=method.label.replace("zeta", r"$\zeta$"), colour=colour)
        if method.samples == 1:
            ax.plot(fine, _line(settings, method, fine), color=colour, lw=1.2)
    ax.axhline(0.0, color="black", lw=0.8)
    ax.set_xlim(*fine)
    ax.set_xlabel(r"effective rate $\eta \gamma / (M L^2)$")
    ax.set_ylabel(r"$\lambda_R$ over the rate")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Picture(
        figure,
        f"The growth of 1 - R = {settings.apart:g} in one step per unit of time and rate (bars two standard errors), "
        "at infinite N; lines: the derived flow. Above zero the angle is unlearned. Criterion: the points cross zero "
        "where the lines do, those of batch normalization as M grows.",
    )


def _line(settings: Settings, method: Method, rates: np.ndarray) -> np.ndarray:
    """lambda_R over the rate by the derived flow."""
    p = perceptron("relu")
    at = {gain_decay: method.gain_decay, norm: 1, batch: 1, label_noise: 0, gamma: method.gain}
    turn = p.rates[angle].xreplace(at).expand()
    apart = (turn.subs(angle, 1) - turn.subs(angle, 1 - settings.apart)) / settings.apart
    return np.array([float(apart.subs(eta, rate / method.gain)) / rate for rate in rates])


EXPERIMENT = Experiment(
    title="The boundary of learning the angle",
    question="At which effective rate does a small angle grow, with gamma decay and under real batch normalization?",
    run=run,
    full=Settings(
        replicas=64_000, methods=(Method(), Method(0.25), *(Method(samples=M) for M in (16, 32, 64, 128)))
    ),
    quick=Settings(replicas=16_000, methods=(Method(), Method(0.25), *(Method(samples=M) for M in (16, 32, 64)))),
)  # fmt: skip
