"""Experiment: a committee under real batch normalization, to first order in 1/b.

Networks whose b samples are normalized by their own statistics, at two sizes N for each b.  What an order parameter X
is more than in the flow of the population's statistics at infinite b and N is fitted by

    c1/b + c2/b^2 + c3/b^3 + (d1 + d2/b)/N.

Criterion: c1 of every order parameter and of the error, at every time, is the coefficient of 1/b in the derived flow,
by Holm's procedure at a family-wise level of 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from derive.equation import VerdictKind
from validate import statistics
from validate.experiments import Context, Curves, Experiment, Job, Theory, simulate_all, theory_of
from validate.experiments.comparison import entries
from validate.experiments.takagi2020.starts import asymmetric
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate import Setup, Trajectories
from validate.statistics import FAMILY_LEVEL, Estimate

CRITERION = f"no coefficient rejected by Holm's procedure over all entries, times and cases, level {FAMILY_LEVEL:g}"
LARGE = 1e6
"""A batch at which the second order is rounding: coefficients of 1/b are read off there."""
THEORY = {"batch": "batch-statistics", "batch-uncentred": "batch-statistics-uncentred"}
POPULATION, DECAY = "population statistics", "population and decay, zeta = 3/(4b)"
DECAYS = "population and the derived decays"


@dataclass(frozen=True)
class Case:
    students: int
    teachers: int
    statistics: str = "batch"

    @property
    def label(self) -> str:
        return f"K = {self.students}, M = {self.teachers}, {self.statistics}"


@dataclass(frozen=True)
class Settings:
    """``replicas`` for each batch size, at each of ``sizes``."""

    replicas: tuple[int, ...]
    cases: tuple[Case, ...]
    batches: tuple[int, ...] = (8, 16, 32, 64, 128)
    sizes: tuple[int, ...] = (400, 800)
    times: tuple[float, ...] = (1.0, 2.0)
    seed: int = 61


@dataclass(frozen=True)
class Fitted:
    """One case; arrays over (times, entries).  ``excess`` and ``errors`` have (sizes, batches) before: what was
    measured less the flow at infinite b.  ``decay`` is the coefficient that a decay zeta = 1/b of the gains makes."""

    case: Case
    names: tuple[str, ...]
    excess: np.ndarray
    errors: np.ndarray
    measured: Estimate
    derived: np.ndarray
    wrong: Mapping[str, np.ndarray]
    decay: np.ndarray

    @property
    def z(self) -> np.ndarray:
        return statistics.z_score(self.measured, self.derived)

    @property
    def best_decay(self) -> tuple[float, float]:
        """The decay times b of the gains that describes the coefficients best, and the largest |z| it leaves."""
        left, error = self.measured.value - self.wrong[POPULATION], self.measured.error
        strength = float((left * self.decay / error**2).sum() / (self.decay**2 / error**2).sum())
        return strength, float(np.abs((left - strength * self.decay) / error).max())


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Simulate every case at every b and N, fit, and compare the coefficients of 1/b."""
    jobs = [
        Job(_setup(case, b), settings.times, count, size, 1000 * settings.seed + 100 * c + 10 * n + k, "chain")
        for c, case in enumerate(settings.cases)
        for n, size in enumerate(settings.sizes)
        for k, (b, count) in enumerate(zip(settings.batches, settings.replicas, strict=True))
    ]
    order = sorted(range(len(jobs)), key=lambda n: -jobs[n].size * jobs[n].replicas * jobs[n].setup.batch_size)
    found = dict(zip(order, simulate_all(context, [jobs[n] for n in order], "real batches"), strict=True))
    each = len(settings.sizes) * len(settings.batches)
    fits = [
        fit(settings, case, [found[c * each + k] for k in range(each)]) for c, case in enumerate(settings.cases)
    ]
    p = np.concatenate([statistics.p_value(f.z).ravel() for f in fits])
    ends = np.cumsum([f.z.size for f in fits])[:-1]
    bad = np.split(statistics.holm(p), ends)
    level = statistics.single_level(p.size)
    checks = [_check(settings, f, not b.any(), level) for f, b in zip(fits, bad, strict=True)]
    passed = all(check.passed for check in checks)
    strength, left = fits[0].best_decay
    return context.result(
        f"{'It explains' if passed else 'It does NOT explain'} it: {p.size} coefficients of 1/b of order parameters "
        f"and errors are the derived ones (largest |z| {max(np.abs(f.z).max() for f in fits):.1f}); those of the "
        f"population's statistics are {_off(fits, POPULATION):.0f} standard errors off or more, with the decay of "
        f"the linear student {_off(fits, DECAY):.0f}, with the decays derived for each gain and moment "
        f"{_off(fits, DECAYS):.0f}, and the best constant decay of gains, {strength:.2f}/b, leaves {left:.0f}.",
        checks=checks,
        findings=[_finding(settings, fits, passed)],
        figures={"finite-batch-normalization": _figure(settings, fits[0])},
        tables=[_table(settings, fits)],
        seeds={"seed": settings.seed, "of a job": "1000 seed + 100 case + 10 size + batch"},
    )  # fmt: skip


def _setup(case: Case, b: int, **changed: Any) -> Setup:
    return Setup(
        case.students, case.teachers, activation="erf", normalization="batch", statistics=case.statistics,
        batch_size=b, input_variance=2.0, **asymmetric(case.students, case.teachers, True), **changed,
    )  # fmt: skip


def _values(source: Trajectories | Curves) -> tuple[tuple[str, ...], np.ndarray]:
    """Order parameters and the error, (..., times, entries)."""
    names, values = entries(source)
    return (*names, "eps_g"), np.concatenate([values, source.generalization_error[..., None]], axis=-1)


def curve(case: Case, theory: Theory, times: Sequence[float], b: float, **changed: float) -> np.ndarray:
    """A flow at ``times``, (times, entries)."""
    return _values(theory.solve(_setup(case, 8), times, b=b, **changed))[1]


@cache
def with_decays(statistics: str) -> Theory:
    """The population's flow, but that each gain decays as the statistics of the batch make it (first order in 1/b)."""
    plain, real = (theory_of("erf", name).flow for name in ("batch", THEORY[statistics]))
    gains = replace(real["g"], naming=plain.naming)
    state = tuple(gains if variable.name == "g" else variable for variable in plain.state)
    return Theory(replace(plain, state=state, parameters=real.parameters))


def coefficients(case: Case, times: Sequence[float]) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Of 1/b: derived; in wrong theories; and what a decay zeta = 1/b of the gains adds."""
    infinite = curve(case, theory_of("erf", "batch"), times, np.inf)

    def first(theory: Theory, zeta: float = 0.0) -> np.ndarray:
        return LARGE * (curve(case, theory, times, LARGE, zeta=zeta / LARGE) - infinite)

    plain = theory_of("erf", "batch")
    population = first(plain)
    decay = first(plain, 1.0) - population
    # zeta gamma^2 beside (t - s)^2 / 2 is a decay of 2 zeta.
    wrong = {
        POPULATION: population, DECAY: population + 1.5 * decay, DECAYS: first(with_decays(case.statistics)),
    }  # fmt: skip
    return first(theory_of("erf", THEORY[case.statistics])), wrong, decay


def fit(settings: Settings, case: Case, runs: Sequence[Trajectories]) -> Fitted:
    """The fit of one case; ``runs`` has the batch sizes fastest."""
    infinite = curve(case, theory_of("erf", "batch"), settings.times, np.inf)
    names = _values(runs[0])[0]
    found = [statistics.estimate(_values(r)[1]) for r in runs]
    excess = np.stack([f.value - infinite for f in found])
    errors = np.stack([f.error for f in found])
    sizes, batches = np.meshgrid(settings.sizes, settings.batches, indexing="ij")
    x, inverse = 1 / batches.ravel(), 1 / sizes.ravel()
    design = np.stack([x, x**2, x**3, inverse, inverse * x], axis=1)
    value, error = np.empty(infinite.shape), np.empty(infinite.shape)
    for place in np.ndindex(infinite.shape):
        weighted = design / errors[:, *place, None]
        covariance = np.linalg.inv(weighted.T @ weighted)
        value[place] = (covariance @ weighted.T @ (excess[:, *place] / errors[:, *place]))[0]
        error[place] = np.sqrt(covariance[0, 0])
    grid = (len(settings.sizes), len(settings.batches), *infinite.shape)
    derived, wrong, decay = coefficients(case, settings.times)
    return Fitted(
        case, names, excess.reshape(grid), errors.reshape(grid), Estimate(value, error), derived, wrong, decay
    )


def _off(fits: Sequence[Fitted], name: str) -> float:
    return min(float(np.abs(statistics.z_score(f.measured, f.wrong[name])).max()) for f in fits)


def _check(settings: Settings, f: Fitted, passed: bool, level: float) -> Check:
    t, e = np.unravel_index(np.abs(f.z).argmax(), f.z.shape)
    return Check(
        name=f"finite batch: {f.case.label}",
        statement="the coefficient of 1/b under real batch normalization is the derived one",
        predicted=float(f.derived[t, e]), measured=float(f.measured.value[t, e]),
        standard_error=float(f.measured.error[t, e]), criterion=CRITERION, passed=passed, z=float(f.z[t, e]),
        p_value=float(statistics.p_value(f.z[t, e])),
        power={
            name: float(statistics.power(value - f.derived, f.measured.error, level).max())
            for name, value in f.wrong.items()
        },
        details={
            "shown": f"the entry of largest |z|: {f.names[e]} at t = {settings.times[t]:g}", "entries": f.z.size,
            "z of wrong theories": {
                name: float(np.abs(statistics.z_score(f.measured, value)).max()) for name, value in f.wrong.items()
            },
        },
    )  # fmt: skip


def _finding(settings: Settings, fits: Sequence[Fitted], passed: bool) -> Finding:
    best = {f.case.label: f.best_decay for f in fits}
    least = min(left for _, left in best.values())
    verdict: VerdictKind = "refuted" if passed and least > 6 else "open"
    f = fits[0]
    gain = f.names.index("g_1")
    return Finding(
        claim="luo2019.claim-committee-decay",
        says="in networks of several units batch normalization is population normalization and a decay of gains",
        answer=(
            f"To first order in 1/b real batch normalization lowers g_1 at t = {settings.times[-1]:g} by "
            f"{-f.measured.value[-1, gain]:.3f} ({f.measured.error[-1, gain]:.3f})/b, derived "
            f"{-f.derived[-1, gain]:.3f}, but it also turns the weights: no decay of the gains describes Q, R and g "
            f"together; the best constant one leaves {least:.0f} standard errors or more, and the derived ones, of "
            f"each gain and moment, are {_off(fits, DECAYS):.0f} off or more."
        ),
        verdict=verdict,
        evidence={
            "best decay times b, largest |z| left": best, "batch sizes": settings.batches, "N": settings.sizes,
            "replicas": settings.replicas, "seed": settings.seed,
        },
    )  # fmt: skip


def exponents(settings: Settings, f: Fitted) -> tuple[float, float]:
    """The powers of b with which the distance from the population's statistics at infinite b, and that from the
    first order, fall: root mean squares over entries at the last time, the largest N."""
    order = f.derived[-1][None] / np.array(settings.batches)[:, None]
    excess = f.excess[-1, :, -1]
    return tuple(
        float(np.polyfit(np.log(settings.batches[:3]), np.log(np.sqrt((d[:3] ** 2).mean(axis=1))), 1)[0])
        for d in (excess, excess - order)
    )  # type: ignore[return-value]


def _table(settings: Settings, fits: Sequence[Fitted]) -> Table:
    return Table(
        f"Powers of b, from b = {settings.batches[0]} to {settings.batches[2]} at N = {settings.sizes[-1]}, t = "
        f"{settings.times[-1]:g}, of the distance from the flow at infinite b, and of what the first order leaves.",
        ("case", "distance", "left by the first order", "best decay of gains times b", "|z| it leaves"),
        tuple(
            (f.case.label, *(round(e, 2) for e in exponents(settings, f)), *(round(e, 2) for e in f.best_decay))
            for f in fits
        ),
    )


def _figure(settings: Settings, f: Fitted) -> Picture:
    from validate.experiments.takagi2020.trajectories_figures import mathematical
    from validate.report.figures import BLUE, COLOURS, VERMILION, panels, trend

    shown = ("Q_12", "R_11", "g_1", "eps_g")
    figure, axes = panels(len(shown), 1)
    batches = np.array(settings.batches)
    for ax, name in zip(axes, shown, strict=True):
        e = f.names.index(name)
        for k, size in enumerate(settings.sizes):
            trend(
                ax, 1 / batches, batches * f.excess[k, :, -1, e], batches * f.errors[k, :, -1, e],
                label=f"real batches, N = {size}", colour=COLOURS[k + 2],
            )  # fmt: skip
        ax.axhline(f.derived[-1, e], color=BLUE, lw=1.4, label="derived, first order")
        ax.axhline(f.wrong[POPULATION][-1, e], color=VERMILION, lw=1.4, ls="--", label=POPULATION)
        ax.axhline(f.wrong[DECAYS][-1, e], color=VERMILION, lw=1.2, ls=":", label=DECAYS)
        ax.set_title(r"$\varepsilon_g$" if name == "eps_g" else mathematical(name))
        ax.set_xlabel("$1/b$")
    axes[0].set_ylabel("$b$ times the change")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Picture(
        figure,
        f"b times what real batch normalization changes at $t = {settings.times[-1]:g}$ ({f.case.label}, erf; bars two "
        "standard errors), against the derived coefficient of 1/b, the one that the population's statistics have "
        "through the noise of the gradient alone, and that with the derived decays of the gains. Points depart "
        "from the lines by order 1/b, and by b/N to the left. Criterion: fitted coefficients agree with the full line.",
    )


EXPERIMENT = Experiment(
    title="Real batch normalization of a committee, to first order in 1/b",
    question="Does the theory of the statistics' fluctuations explain what a finite batch does to a committee?",
    run=run,
    full=Settings(
        replicas=(960, 480, 240, 240, 240), cases=(Case(2, 2), Case(3, 2), Case(2, 2, "batch-uncentred")),
        batches=(16, 24, 32, 64, 128), sizes=(400, 800),
    ),
    quick=Settings(replicas=(120, 60, 40, 40, 40), cases=(Case(2, 2),), sizes=(300, 600)),
)  # fmt: skip
