"""Experiment (e): the time to escape against the learning rate, each normalization at its best.

The paper's Discussion suspects that its result is due to an infinitesimal learning rate.  At finite eta and b
the flow holds the term eta^2 tau/b; beyond a largest rate training no longer reaches the teacher.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from numerics.plateau import plateau
from validate.experiments import Context, Experiment
from validate.experiments.takagi2020.plateau_runs import Escape, Procedure, measure, predict, random_overlaps
from validate.report.figures import panels
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table

AGREEMENT = 0.25
CRITERION = f"median escape time of the chain within {AGREEMENT:.0%} of the flow's, from the same starts"
LEARNED = 0.05
"""A rate learns when training ends, at ``stop``, with an error below this share of the plateau's."""


@dataclass(frozen=True)
class Settings:
    """``rates`` are scanned with the flow up to the time ``stop``."""

    students: int = 2
    input_variance: float = 1.0
    batch_size: int = 1
    norms: tuple[float, ...] = (1.0, 0.58)
    rates: tuple[float, ...] = tuple(float(r) for r in np.geomspace(0.1, 12.0, 33))
    starts: int = 32
    stop: float = 3000.0
    points: int = 3001
    size: int = 1000
    replicas: int = 32
    seed: int = 71


def run(settings: Settings, context: Context) -> ExperimentResult:
    procedures = (
        Procedure("no normalization", "none"),
        Procedure("batch, radial term dropped", "batch-without-radial", gain=1.0),
        Procedure("batch, exact gradient", "batch", gain=1.0),
        Procedure("weight normalization", "weight", gain=1.0),
    )
    scans = {
        (p.label, norm): [_scanned(settings, p, norm, rate) for rate in settings.rates]
        for norm in settings.norms
        for p in procedures
    }
    best = {key: _best(settings, scan) for key, scan in scans.items()}
    checks = _checks(settings, context, {p.label: p for p in procedures}, best)
    return context.result(
        _answer(settings, best),
        checks=checks,
        findings=(_finding(settings, best),),
        figures={"escape-rate": _figure(settings, scans)},
        tables=(_table(settings, scans, best),),
        seeds={"starts": settings.seed, "chains": settings.seed},
        settings={"left for good when the last error <": f"{LEARNED:g} x plateau"},
    )


def _scanned(settings: Settings, procedure: Procedure, norm: float, rate: float) -> tuple[float, bool]:
    """The median escape time of the flow, and whether training reaches the teacher."""
    setup = procedure.setup(
        settings.students, settings.input_variance, batch_size=settings.batch_size, learning_rate=rate,
        draw={"seed": settings.seed, "norm": norm},
    )  # fmt: skip
    Q, R = random_overlaps(settings.students, settings.size, norm, settings.starts, settings.seed)
    found = predict(setup, np.linspace(0.0, settings.stop, settings.points), Q, R)
    reference = plateau("none", settings.students, settings.input_variance).error
    learned = np.nan_to_num(found.error[:, -1], nan=np.inf) < LEARNED * reference
    return found.median, bool(np.mean(learned) > 0.5)


def _best(settings: Settings, scan: list[tuple[float, bool]]) -> dict[str, float]:
    """The rate that escapes first among those that learn, its time, and the largest rate that learns."""
    learning = [(time, rate) for (time, learned), rate in zip(scan, settings.rates, strict=True) if learned]
    if not learning:
        return {"rate": float("nan"), "time": float("inf"), "largest": float("nan")}
    time, rate = min(learning)
    return {"rate": rate, "time": time, "largest": max(r for _, r in learning)}


def _checks(
    settings: Settings, context: Context, procedures: dict[str, Procedure],
    best: dict[tuple[str, float], dict[str, float]],
) -> list[Check]:  # fmt: skip
    """At half of the best rate the chain escapes when the flow says."""
    norm = settings.norms[0]
    checks = []
    for number, (label, procedure) in enumerate(procedures.items()):
        rate = best[label, norm]["rate"] / 2
        if not np.isfinite(rate):
            continue
        setup = procedure.setup(
            settings.students, settings.input_variance, batch_size=settings.batch_size, learning_rate=rate,
            draw={"seed": settings.seed, "norm": norm},
        )  # fmt: skip
        times = np.linspace(0.0, 3.0 * _time_at(settings, procedure, norm, rate), 401)
        (measured,) = measure(
            context,
            [setup],
            times,
            settings.replicas,
            settings.size,
            settings.seed + number,
            f"rate, {label}",
        )
        theory: Escape = predict(setup, times, measured.Q[:, 0], measured.R[:, 0])
        ratio = measured.median / theory.median
        checks.append(
            Check(
                name=f"takagi2020.learning_rate: {label}, eta = {rate:.3g}, b = {settings.batch_size}",
                statement="the flow with its eta^2 term predicts the escape time of the chain",
                predicted=theory.median,
                measured=measured.median,
                criterion=CRITERION,
                passed=bool(abs(ratio - 1) < AGREEMENT),
                details={"N": settings.size},
            )
        )
    return checks


def _time_at(settings: Settings, procedure: Procedure, norm: float, rate: float) -> float:
    time, _ = _scanned(settings, procedure, norm, rate)
    return time if np.isfinite(time) else settings.stop


def _answer(settings: Settings, best: dict[tuple[str, float], dict[str, float]]) -> str:
    norm = settings.norms[0]
    parts = [
        f"{label}: {b['time']:.3g} at eta = {b['rate']:.3g} (learns in time up to {b['largest']:.3g})"
        for (label, n), b in best.items()
        if n == norm
    ]
    return (
        f"Shortest median escape times from |J(0)| = {norm:g} at b = {settings.batch_size}: "
        + "; ".join(parts)
        + "."
    )


def _finding(settings: Settings, best: dict[tuple[str, float], dict[str, float]]) -> Finding:
    evidence = {f"{label}, |J(0)| = {norm:g}": b for (label, norm), b in best.items()}
    vanilla, exact = (
        best["no normalization", settings.norms[0]],
        best["batch, exact gradient", settings.norms[0]],
    )
    changes = exact["time"] <= vanilla["time"]
    words = (
        "With each at its best learning rate batch normalization leaves the plateau no later than no "
        "normalization: the ranking at a common rate is an effect of the common rate."
        if changes
        else "With each at its best learning rate batch normalization still leaves the plateau later "
        f"({exact['time']:.3g} against {vanilla['time']:.3g})."
    )
    return Finding(
        "takagi2020.claim-infinitesimal-rate",
        "the analysis relies on an infinitesimal learning rate; finite rates may change the ranking",
        words,
        "confirmed" if changes else "refuted",
        evidence,
    )


def _figure(settings: Settings, scans: dict[tuple[str, float], list[tuple[float, bool]]]) -> Picture:
    figure, axes = panels(columns=len(settings.norms), sharey=True)
    for ax, norm in zip(np.ravel(axes), settings.norms, strict=True):
        for (label, n), scan in scans.items():
            if n != norm:
                continue
            times = np.array([t if learned else np.nan for t, learned in scan])
            ax.plot(settings.rates, times, label=label)
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="learning rate",
            ylabel="escape time",
            title=f"|J(0)| = {norm:g}",
        )
    np.ravel(axes)[0].legend()
    return Picture(
        figure,
        f"Median escape time of the flow against the learning rate, b = {settings.batch_size}; a curve ends "
        f"where training no longer reaches the teacher by t = {settings.stop:g}.",
    )


def _table(
    settings: Settings, scans: dict[tuple[str, float], list[tuple[float, bool]]],
    best: dict[tuple[str, float], dict[str, float]],
) -> Table:  # fmt: skip
    rows = tuple(
        (label, f"{norm:g}", f"{b['rate']:.3g}", f"{b['time']:.3g}", f"{b['largest']:.3g}")
        for (label, norm), b in best.items()
    )
    return Table(
        "Each normalization at its best learning rate",
        ("training", "|J(0)|", "best rate", "escape time there", "largest rate that learns in time"),
        rows,
    )


EXPERIMENT = Experiment(
    title="The learning rate",
    question="Does a finite learning rate change which normalization leaves the plateau first?",
    run=run,
    full=Settings(),
    quick=Settings(
        rates=tuple(float(r) for r in np.geomspace(0.2, 10.0, 12)), norms=(1.0,), starts=12,
        stop=900.0, points=901, size=300, replicas=16,
    ),
)  # fmt: skip
