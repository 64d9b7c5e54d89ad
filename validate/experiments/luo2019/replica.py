"""Experiment: which theory describes which procedure, for a ReLU student of a noisy linear teacher.

Sampling at several temperatures against the exact replica-symmetric saddle point and against the paper's
replacement with the same prior; minimization; the load at which interpolation ends.  Criteria: no mean of the
sampled overlaps and errors, extrapolated to infinite N, is rejected against the exact theory by Holm's procedure
at a family-wise level of 1 %; and half of the sets of examples can be interpolated at the derived load, within
0.05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Rational

from derive.papers.luo2019.generalization import relu_interpolation
from derive.replica import known
from numerics.replica.solve import Solution, solve
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.comparison import Comparison, level_of_one, rejected
from validate.experiments.luo2019.generalization import replaced
from validate.experiments.luo2019.relu_generalization import descended
from validate.experiments.luo2019.replica_figure import figure
from validate.report.model import Check, ExperimentResult, Finding, Table
from validate.simulate.posterior import sample_posterior
from validate.simulate.regression import draw_examples, shortest_interpolation
from validate.statistics import FAMILY_LEVEL, Estimate, estimate

CRITERION = f"no entry rejected by Holm's procedure over temperatures and averages, level {FAMILY_LEVEL:g}"
HALF_ERROR = 0.05
HALF_CRITERION = f"within {HALF_ERROR:g} of the derived load"
NAMES = ("Q", "q", "R", "training loss", "generalization error")
STUDENT = "relu"


@dataclass(frozen=True)
class Settings:
    """``sizes`` and ``sets`` of examples are those that are sampled, at ``load``; ``burn`` and ``sweeps`` of
    the sampler; ``ends`` are loads next to the end of interpolation, at ``end_size`` with ``end_sets``.

    ``colder`` temperatures are not sampled: from beta = 64 on, chains of N = 256 still approach the theory
    after 800 sweeps.
    """

    sizes: tuple[int, ...]
    sets: tuple[int, ...]
    burn: int
    sweeps: int
    end_size: int
    end_sets: int
    betas: tuple[float, ...] = (1.0, 4.0, 16.0)
    colder: tuple[float, ...] = (64.0, 256.0, 1024.0)
    load: float = 1.0
    ridge: float = 0.1
    noise: float = 0.25
    descents: int = 16
    steps: int = 2000
    ends: tuple[float, ...] = (1.25, 1.35, 1.45, 1.55, 1.65)
    seed: int = 53


def sampled(
    size: int,
    load: float,
    noise: float,
    beta: float,
    ridge: float,
    sets: int,
    burn: int,
    sweeps: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Averages of the sampled posterior, (sets, 5), the share accepted, and the drift (sets, 5)."""
    examples = [draw_examples(size, load, noise, (seed, size, k)) for k in range(sets)]
    found = sample_posterior(examples, beta, ridge, STUDENT, sweeps, burn, seed)
    values = np.stack([found.Q, found.q, found.R, found.training_loss, found.error], axis=-1)
    return {"values": values, "accepted": np.array(found.accepted), "drift": found.drift}


def interpolated(size: int, load: float, noise: float, sets: int, seed: int) -> dict[str, np.ndarray]:
    """Whether each set of examples can be interpolated."""
    examples = (draw_examples(size, load, noise, (seed, size, k)) for k in range(sets))
    return {"can": np.array([shortest_interpolation(e) is not None for e in examples])}


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Sample, minimize, look for the end of interpolation, and compare with both theories."""
    exact = [_exact(settings, beta) for beta in (*settings.betas, *settings.colder, np.inf)]
    comparisons, drift = _sampled(settings, context, exact)
    bad, level = rejected(comparisons), level_of_one(comparisons)
    checks = [
        _check(beta, c, not wrong, level, drift[k])
        for k, (beta, c, wrong) in enumerate(zip(settings.betas, comparisons, bad, strict=True))
    ]
    shares, end = _end(settings, context)
    checks.append(end)
    descent = _descent(settings, context)
    z = max(float(np.abs(c.z).max()) for c in comparisons)
    off = max(c.wrong_z()["the paper's replacement"] for c in comparisons)
    unstable = [s.beta for s in exact if not s.stable]
    return context.result(
        f"Sampling follows the exact replica-symmetric theory (largest |z| {z:.1f}); the paper's replacement is off "
        f"by up to {off:.0f} standard errors. Replica symmetry is unstable from beta = {min(unstable):g} on. Half of "
        f"all sets can be interpolated at alpha = {float(end.measured):.3f} ({float(end.standard_error):.3f}), derived "
        f"{end.predicted:.3f}; the paper has 2. Descent with the ridge ends at {float(descent.value):.3f} "
        f"({float(descent.error):.3f}), the unstable minimum of the theory is {exact[-1].generalization_error:.3f}.",
        checks=checks,
        findings=[_finding(settings, exact, comparisons, end)],
        figures={"relu-temperature": figure(settings, exact, comparisons, shares, end)},
        tables=[_table(settings, exact, comparisons, descent)],
        seeds={"seed": settings.seed},
    )


def _exact(settings: Settings, beta: float) -> Solution:
    return solve(known(STUDENT), [settings.load], beta, settings.noise, settings.ridge)[0]


def _sampled(
    settings: Settings, context: Context, exact: Sequence[Solution]
) -> tuple[list[Comparison], list[float]]:
    jobs = [
        {"size": size, "load": settings.load, "noise": settings.noise, "beta": beta, "ridge": settings.ridge,
         "sets": sets, "burn": settings.burn, "sweeps": settings.sweeps, "seed": settings.seed + 100 * k}
        for k, beta in enumerate(settings.betas)
        for size, sets in zip(settings.sizes, settings.sets, strict=True)
    ]  # fmt: skip
    pieces = context.pieces(sampled, jobs, "sampling")
    count = len(settings.sizes)
    comparisons, drifts = [], []
    for k in range(len(settings.betas)):
        part = pieces[k * count : (k + 1) * count]
        found = [estimate(p["values"]) for p in part]
        limit = statistics.extrapolate(
            np.array(settings.sizes), np.stack([e.value for e in found])[:, None],
            np.stack([e.error for e in found])[:, None],
        )  # fmt: skip
        s = exact[k]
        curve = np.array([[s.Q, s.q, s.R, s.training_loss, s.generalization_error]])
        paper = replaced(s)
        # The replacement says nothing of the training loss on its own.
        other = np.array([[paper["Q"], paper["q"], paper["R"], s.training_loss, paper["error"]]])
        quiet = solve(known(STUDENT), [settings.load], s.beta, settings.noise / 2, settings.ridge)[0]
        half = np.array([[quiet.Q, quiet.q, quiet.R, quiet.training_loss, quiet.generalization_error]])
        wrong = {"the paper's replacement": other, "half the noise": half}
        comparisons.append(Comparison(NAMES, np.array([s.beta]), limit, curve, wrong, min(settings.sets) - 1))
        drifts.append(max(float(np.abs(_drift(p["drift"])).max()) for p in part))
    return comparisons, drifts


def _drift(drift: np.ndarray) -> np.ndarray:
    """Of the second half of the sweeps against the first, in standard errors."""
    return statistics.z_score(estimate(drift), 0.0)


def _check(beta: float, comparison: Comparison, passed: bool, level: float, drift: float) -> Check:
    worst = comparison.worst()
    return Check(
        name=f"replica: sampling at beta = {beta:g}",
        statement="overlaps, training loss and generalization error of sampled weights, extrapolated to infinite N, "
        "are those of the exact replica-symmetric saddle point",
        predicted=worst["predicted"], measured=worst["measured"], standard_error=worst["error"],
        criterion=CRITERION, passed=passed, z=worst["z"], p_value=worst["p_value"], power=comparison.power(level),
        details={
            "shown": f"the average of largest |z|: {worst['entry']}", "z of wrong theories": comparison.wrong_z(),
            "largest |z| of a drift between halves": drift,
        },
    )  # fmt: skip


def _end(settings: Settings, context: Context) -> tuple[np.ndarray, Check]:
    """The share of sets that can be interpolated by load, and where it is one half by a probit fit."""
    jobs = [
        {"size": settings.end_size, "load": load, "noise": settings.noise, "sets": settings.end_sets,
         "seed": settings.seed + 5000 + k}
        for k, load in enumerate(settings.ends)
    ]  # fmt: skip
    shares = np.array([p["can"].mean() for p in context.pieces(interpolated, jobs, "end of interpolation")])
    half = half_load(np.array(settings.ends), shares, settings.end_sets)
    derived = float(relu_interpolation().threshold(Rational(settings.noise), 20)["alpha"])
    spread = float(half.error)
    from scipy.stats import norm

    wrong = {"2, where (25) diverges": 2.0, "4/3, as for S to infinity": 4 / 3}
    return shares, Check(
        name="replica: end of interpolation",
        statement="half of the sets of examples can be interpolated at the derived load",
        predicted=derived, measured=float(half.value), standard_error=spread, criterion=HALF_CRITERION,
        passed=abs(float(half.value) - derived) <= HALF_ERROR,
        power={
            name: float(norm.cdf((abs(value - derived) - HALF_ERROR) / spread)) for name, value in wrong.items()
        },
        details={"loads": settings.ends, "shares": shares.tolist(), "N": settings.end_size},
    )  # fmt: skip


def half_load(loads: np.ndarray, shares: np.ndarray, sets: int) -> Estimate:
    """Where a probit curve of falling shares is one half, by maximum likelihood, with its standard error."""
    from scipy.optimize import minimize
    from scipy.special import log_ndtr

    def cost(v: np.ndarray) -> float:
        score = np.exp(v[1]) * (v[0] - loads)
        return float(-sets * (shares * log_ndtr(score) + (1 - shares) * log_ndtr(-score)).sum())

    start = np.array([np.interp(0.5, shares[::-1], loads[::-1]), np.log(8.0)])
    found = minimize(cost, start, method="BFGS")
    return Estimate(found.x[0], np.sqrt(found.hess_inv[0, 0]))


def _descent(settings: Settings, context: Context) -> Estimate:
    job = {
        "size": settings.sizes[-1], "load": settings.load, "noise": settings.noise,
        "strengths": [settings.ridge / settings.load], "steps": settings.steps, "replicas": settings.descents,
        "seed": settings.seed + 7000,
    }  # fmt: skip
    (piece,) = context.pieces(descended, [job], "descent with a ridge")
    return estimate(piece["noisy"][:, 0, 0])


def _finding(
    settings: Settings, exact: Sequence[Solution], comparisons: Sequence[Comparison], end: Check
) -> Finding:
    error = NAMES.index("generalization error")
    rows = [_row(s, c, error) for s, c in zip(exact, comparisons, strict=False)]
    last = rows[-1]
    cold = comparisons[-1]
    off = cold.wrong_z()["the paper's replacement"]
    level = statistics.single_level(len(NAMES))
    return Finding(
        claim="luo2019.claim-gibbs",
        says="in equilibrium the weights of a ReLU student follow a Gibbs distribution with the free energy (21)",
        answer=(
            f"At beta = {last['beta']:g} sampled weights have the error {last['sampled']:.4f} "
            f"({last['error']:.4f}); the exact theory says {last['exact']:.4f}, the replacement behind (21) "
            f"{last['replaced']:.4f}, off by up to {off:.1f} standard errors of an average. Sampling follows the "
            "exact free energy; the shortest interpolating weights follow its limit without ridge; (25) follows "
            "least squares on the positive targets; descent without a ridge follows none of them, since it stops "
            "where its start lets it."
        ),
        verdict="refuted" if statistics.p_value(off, cold.degrees) < level else "confirmed",
        evidence={"temperatures": rows, "end of interpolation": end.measured},
    )


def _row(s: Solution, comparison: Comparison, entry: int) -> dict[str, Any]:
    limit = comparison.limit.limit
    return {
        "beta": s.beta, "exact": s.generalization_error, "replaced": replaced(s)["error"],
        "sampled": float(limit.value[0, entry]), "error": float(limit.error[0, entry]),
    }  # fmt: skip


def _table(
    settings: Settings, exact: Sequence[Solution], comparisons: Sequence[Comparison], descent: Estimate
) -> Table:
    measured: Mapping[float, Estimate] = {
        beta: Estimate(c.limit.limit.value[0, -1], c.limit.limit.error[0, -1])
        for beta, c in zip(settings.betas, comparisons, strict=True)
    } | {float("inf"): descent}  # fmt: skip
    rows = []
    for s in exact:
        e = measured.get(s.beta)
        rows.append(
            (
                f"{s.beta:g}",
                f"{s.free_energy:.5f}",
                f"{s.generalization_error:.4f}",
                f"{replaced(s)['error']:.4f}" if np.isfinite(s.beta) else "",
                "" if e is None else f"{float(e.value):.4f} ({float(e.error):.4f})",
                f"{s.stability:.3f}",
            )
        )
    return Table(
        f"Generalization errors at alpha = {settings.load:g}, ridge {settings.ridge:g}: by sampling extrapolated to "
        f"infinite N, at beta = inf by descent at N = {settings.sizes[-1]}; stability of de Almeida and Thouless.",
        ("beta", "free energy", "exact", "the paper's replacement", "measured (standard error)", "stability"),
        tuple(rows),
    )


EXPERIMENT = Experiment(
    title="Sampling, minimization and the end of interpolation",
    question="Does the paper's free energy of a ReLU student describe sampling, or minimization?",
    run=run,
    full=Settings(
        sizes=(64, 128, 256),
        sets=(256, 128, 64),
        burn=200,
        sweeps=300,
        end_size=300,
        end_sets=200,
        descents=32,
    ),
    quick=Settings(sizes=(32, 64, 128), sets=(96, 48, 24), burn=150, sweeps=80, end_size=120, end_sets=60),
)
