"""Experiment: the flow of gain, angle and norm against stochastic gradient descent of a single unit.

Weight normalization with gamma decay, one sample a step, at several N; the means over replicas are extrapolated
in 1/N.  Criterion: no entry of (gamma, R, L), at any time, of any activation is rejected by Holm's procedure at
a family-wise level of 1 %; single runs spread as N^(-1/2); and the means approach the flow as 1/N, the power fitted at
the last time to the entry of each activation that tells most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from sympy import Expr, Symbol

from derive.papers.luo2019.dynamics import printed_I2
from derive.perceptron import angle, gamma, norm, perceptron
from derive.symbols import batch, eta
from numerics.perceptron import solve_perceptron
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.comparison import Comparison, level_of_one, rejected
from validate.report.model import Check, ExperimentResult, Picture, Table
from validate.simulate.perceptron import PerceptronRun, PerceptronSetup, simulate_perceptron
from validate.statistics import FAMILY_LEVEL, Estimate

NAMES = ("gamma", "R", "L")
CRITERION = f"no entry rejected by Holm's procedure over all entries and activations, level {FAMILY_LEVEL:g}"
EXPONENT_ERROR = 0.1
SPREAD_CRITERION = f"the exponent of the spread in N is -1/2 within {EXPONENT_ERROR:g}, for every entry"
APPROACH_LEVEL = 0.001
APPROACH_CRITERION = f"the power of N in means less the flow is -1, not rejected at {APPROACH_LEVEL:g}"


@dataclass(frozen=True)
class Case:
    """One activation with its learning rate and decay."""

    activation: str
    learning_rate: float
    gain_decay: float

    @property
    def setup(self) -> PerceptronSetup:
        return PerceptronSetup(
            self.activation, learning_rate=self.learning_rate, gain_decay=self.gain_decay,
            gain=0.6, cosine=0.2, norm=1.0,
        )  # fmt: skip


CASES = (
    Case("relu", 1.2, 0.0),
    Case("relu", 1.2, 0.25),
    Case("identity", 0.6, 0.25),
    Case("erf", 1.5, 0.1),
)


@dataclass(frozen=True)
class Settings:
    replicas: tuple[int, ...]
    sizes: tuple[int, ...] = (50, 100, 200, 400)
    cases: tuple[Case, ...] = CASES
    times: tuple[float, ...] = (1.0, 2.0, 4.0)
    seed: int = 31


def simulated(
    setup: Mapping[str, Any], times: Sequence[float], replicas: int, size: int, seed: int
) -> dict[str, np.ndarray]:
    """One simulation as a piece."""
    run = simulate_perceptron(PerceptronSetup(**setup), times, replicas, size, seed)
    return {"time": run.time, "gain": run.gain, "cosine": run.cosine, "norm": run.norm}


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Simulate every case at every size, extrapolate, and compare with the derived flow."""
    jobs = [
        {"setup": asdict(case.setup), "times": list(settings.times), "replicas": count, "size": size,
         "seed": 1000 * settings.seed + number}
        for number, case in enumerate(settings.cases)
        for size, count in zip(settings.sizes, settings.replicas, strict=True)
    ]  # fmt: skip
    runs = [PerceptronRun(**arrays) for arrays in context.pieces(simulated, jobs, "perceptron dynamics")]
    count = len(settings.sizes)
    measured = [runs[k * count : (k + 1) * count] for k in range(len(settings.cases))]
    comparisons = [
        _compare(settings, case, found) for case, found in zip(settings.cases, measured, strict=True)
    ]
    bad = rejected(comparisons)
    level = level_of_one(comparisons)
    checks = [
        _check(case, comparison, not wrong, level)
        for case, comparison, wrong in zip(settings.cases, comparisons, bad, strict=True)
    ]
    exponents = [_exponents(settings, found) for found in measured]
    power = approach(settings, measured)
    checks += [_spread(exponents), _approach(power)]
    z = max(float(np.abs(c.z).max()) for c in comparisons)
    off = min(max(c.wrong_z().values()) for c in comparisons)
    passed = all(check.passed for check in checks)
    return context.result(
        f"{'It follows' if passed else 'It does NOT follow'} the derived flow: largest |z| {z:.1f} over "
        f"{sum(c.z.size for c in comparisons)} extrapolated means; in every case a wrong theory is off by "
        f"{off:.0f} standard errors or more. Single runs spread as N to the power "
        f"{min(map(min, exponents)):.2f} to {max(map(max, exponents)):.2f}, means approach the flow as N to the power "
        f"{power.value:.2f} ({power.error:.2f}).",
        checks=checks,
        equations=tuple(perceptron("relu").equations),
        figures={"perceptron-dynamics": _figure(settings, measured)},
        tables=[_table(settings, exponents)],
        seeds={"seed": settings.seed, "of a case": "1000 seed + its number"},
    )


def wrong_rates(case: Case) -> dict[str, dict[Symbol, Expr]]:
    """Theories that are wrong by one mistake each."""
    p = perceptron(case.activation)
    wrong = {"without the eta^2 terms": dict(p.drift)}
    if case.activation == "relu":
        # (6) with the second average as the paper prints it.
        correction = (printed_I2() - p.I2) * eta**2 * gamma**2 / batch
        wrong["printed (15)"] = {
            gamma: p.rates[gamma],
            angle: p.rates[angle] - correction * angle / (2 * norm**4),
            norm: p.rates[norm] + correction / (2 * norm**3),
        }
    return wrong


def _solve(case: Case, rates: Any, times: Sequence[float] | np.ndarray) -> np.ndarray:
    s = case.setup
    return solve_perceptron(rates, (s.gain, s.cosine, s.norm), times, s.learning_rate, s.gain_decay)


def _compare(settings: Settings, case: Case, found: Sequence[PerceptronRun]) -> Comparison:
    estimates = [statistics.estimate(run.entries) for run in found]
    limit = statistics.extrapolate(
        np.array(settings.sizes), np.stack([e.value for e in estimates]),
        np.stack([e.error for e in estimates]),
    )  # fmt: skip
    wrong = {name: _solve(case, rates, settings.times) for name, rates in wrong_rates(case).items()}
    wrong["rates of the paper's loss, 2 zeta"] = _solve(
        replace(case, gain_decay=2 * case.gain_decay), case.activation, settings.times
    )
    if not case.gain_decay:
        del wrong["rates of the paper's loss, 2 zeta"]
    return Comparison(
        NAMES, np.array(settings.times), limit, _solve(case, case.activation, settings.times), wrong,
        min(settings.replicas) - 1,
    )  # fmt: skip


def _check(case: Case, comparison: Comparison, passed: bool, level: float) -> Check:
    worst = comparison.worst()
    return Check(
        name=f"dynamics: {case.activation}, zeta = {case.gain_decay:g}",
        statement="means of gamma, R, L, extrapolated to infinite N, are those of the derived flow",
        predicted=worst["predicted"], measured=worst["measured"], standard_error=worst["error"],
        criterion=CRITERION, passed=passed, z=worst["z"], p_value=worst["p_value"],
        power=comparison.power(level),
        details={
            "shown": f"the entry of largest |z|: {worst['entry']} at t = {worst['time']:g}",
            "z of wrong theories": comparison.wrong_z(),
            "goodness of the line in 1/N, smallest": float(comparison.limit.goodness.min()),
        },
    )  # fmt: skip


def _exponents(settings: Settings, found: Sequence[PerceptronRun]) -> tuple[float, ...]:
    """The power of N with which the standard deviation of gamma, R, L falls, at the last time."""
    spread = np.log([run.entries[:, -1].std(axis=0, ddof=1) for run in found])
    return tuple(float(s) for s in np.polyfit(np.log(settings.sizes), spread, 1)[0])


def _spread(exponents: Sequence[tuple[float, ...]]) -> Check:
    worst = max((e for case in exponents for e in case), key=lambda e: abs(e + 0.5))
    return Check(
        name="dynamics: spread of single runs", statement="single runs deviate as N^(-1/2)", predicted=-0.5,
        measured=worst, criterion=SPREAD_CRITERION, passed=abs(worst + 0.5) <= EXPONENT_ERROR,
        details={"shown": "the exponent farthest from -1/2"},
    )  # fmt: skip


def approach(settings: Settings, measured: Sequence[Sequence[PerceptronRun]]) -> Estimate:
    """The power p of N in mean - flow = a N^p at the last time, a free for each case, by least squares.  Of every case
    the entry whose distance from the flow is known best: entries of one run fluctuate together."""
    from scipy.optimize import minimize_scalar

    sizes = np.array(settings.sizes, dtype=float)
    chosen = []
    for case, found in zip(settings.cases, measured, strict=True):
        flow = _solve(case, case.activation, settings.times)[-1]
        estimates = [statistics.estimate(run.entries[:, -1]) for run in found]
        distance = np.array([e.value - flow for e in estimates])
        errors = np.array([e.error for e in estimates])
        best = np.abs(_overlap(distance, 1 / sizes[:, None], errors)).argmax()
        chosen.append((distance[:, best], errors[:, best]))

    def misfit(power: float) -> float:
        return sum(
            float(((d / e) ** 2).sum() - _overlap(d[:, None], sizes[:, None] ** power, e[:, None])[0] ** 2)
            for d, e in chosen
        )

    power = minimize_scalar(misfit, bounds=(-3.0, -0.1), method="bounded").x
    step = 1e-3
    curvature = (misfit(power + step) - 2 * misfit(power) + misfit(power - step)) / step**2
    return Estimate(np.array(power), np.array(np.sqrt(2 / curvature)))


def _overlap(distance: np.ndarray, law: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """How much of a distance from the flow a law in N explains, over its error."""
    return (distance * law / errors**2).sum(axis=0) / np.sqrt((law**2 / errors**2).sum(axis=0))


def _approach(power: Estimate) -> Check:
    z = float(statistics.z_score(power, -1.0))
    return Check(
        name="dynamics: approach of the means", statement="means deviate as 1/N", predicted=-1.0,
        measured=float(power.value), standard_error=float(power.error), criterion=APPROACH_CRITERION,
        passed=bool(statistics.p_value(z) > APPROACH_LEVEL), z=z, p_value=float(statistics.p_value(z)),
        power={"as single runs, N^(-1/2)": float(statistics.power(0.5, power.error, APPROACH_LEVEL))},
        details={"z of N^(-1/2)": float(statistics.z_score(power, -0.5))},
    )  # fmt: skip


def _table(settings: Settings, exponents: Sequence[tuple[float, ...]]) -> Table:
    return Table(
        "The exponent of N in the standard deviation over runs, at the last time.",
        ("activation", "zeta", *NAMES),
        tuple(
            (c.activation, c.gain_decay, *(round(e, 3) for e in found))
            for c, found in zip(settings.cases, exponents, strict=True)
        ),
    )


def _figure(settings: Settings, measured: Sequence[Sequence[PerceptronRun]]) -> Picture:
    from validate.report.figures import COLOURS, panels, theory_with_simulation

    figure, axes = panels(3, 1, height=3.4)
    fine = np.linspace(0.0, settings.times[-1], 80)
    for k, (case, found) in enumerate(zip(settings.cases, measured, strict=True)):
        curve = _solve(case, case.activation, fine)
        estimate = statistics.estimate(found[-1].entries)
        for e, ax in enumerate(axes):
            theory_with_simulation(
                ax, fine, curve[:, e], estimate.value[:, e], estimate.error[:, e], colour=COLOURS[k],
                label=f"{case.activation}, $\\zeta = {case.gain_decay:g}$", simulated_at=settings.times,
            )  # fmt: skip
    for ax, name in zip(axes, (r"$\gamma$", "$R$", "$L$"), strict=True):
        ax.set_title(name)
        ax.set_xlabel("time (steps / N)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return Picture(
        figure,
        f"Gain, angle and norm of a single unit under weight normalization with gamma decay: the derived flow, "
        f"and the mean of {settings.replicas[-1]} runs at N = {settings.sizes[-1]} (bars two standard errors, "
        "mostly inside the points). The criterion is on the means extrapolated to infinite N.",
    )


EXPERIMENT = Experiment(
    title="The flow of the perceptron against stochastic gradient descent",
    question="Does a single unit under weight normalization with gamma decay follow the derived equations?",
    run=run,
    full=Settings(replicas=(10_000, 5_000, 2_500, 1_250), sizes=(100, 200, 400, 800)),
    quick=Settings(replicas=(1_600, 800, 400, 200)),
)
