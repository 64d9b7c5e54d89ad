"""Experiment (d): the initial norm of the weights and g(0) decide how long normalized training stays.

A normalized preactivation does not see |J|, so the plateau is a family with |J|^2 = Q* free, and the rate of
escape falls as 1/Q*.  What the flow conserves selects Q*: Q_ii itself with the exact gradient, Q_ii - g_i^2
with the radial term dropped.  The paper assumes Q = 1/g^2 instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from numerics.plateau import plateau
from validate.experiments import Context, Experiment
from validate.experiments.takagi2020.plateau_runs import (
    EXACT,
    PRINTED,
    REAL,
    VANILLA,
    Escape,
    Procedure,
    measure,
    predict,
    random_overlaps,
)
from validate.report.figures import panels
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate import Setup

RATE_TOLERANCE = 1e-9
AGREEMENT = 0.15
CRITERION = f"median escape time of the chain within {AGREEMENT:.0%} of the flow's, from the same starts"


@dataclass(frozen=True)
class Settings:
    """``norms`` are |J(0)|; ``measured`` those that are simulated as well; ``gains`` are g(0)."""

    students: int = 2
    input_variance: float = 1.0
    norms: tuple[float, ...] = (0.35, 0.5, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2)
    gains: tuple[float, ...] = (0.3, 1.0)
    measured: tuple[float, ...] = (0.5, 1.0, 1.7)
    starts: int = 64
    size: int = 100
    batch_size: int = 100
    replicas: int = 32
    stop: float = 600.0
    points: int = 601
    seed: int = 57


def run(settings: Settings, context: Context) -> ExperimentResult:
    times = np.linspace(0.0, settings.stop, settings.points)
    procedures = [VANILLA, *(_with_gain(p, g) for g in settings.gains for p in (PRINTED, EXACT))]
    scan = {p.label: [_scanned(settings, p, norm, times) for norm in settings.norms] for p in procedures}
    chosen = [VANILLA, *(_with_gain(p, 1.0) for p in (PRINTED, EXACT, REAL))]
    pairs = [(p, norm) for p in chosen for norm in settings.measured]
    setups = [_setup(settings, p, norm) for p, norm in pairs]
    runs = measure(
        context, setups, times, settings.replicas, settings.size, settings.seed, "escape against the norm"
    )
    measured = dict(zip([(p.label, norm) for p, norm in pairs], runs, strict=True))
    checks = [
        _agreement(p, norm, measured[p.label, norm]) for p, norm in pairs if p.statistics == "population"
    ]
    products = {p.label: _product(measured[p.label, 1.0]) for p in chosen[1:] if 1.0 in settings.measured}
    return context.result(
        _answer(settings, scan),
        checks=(_law(settings), *checks),
        findings=(_inverse(products),),
        figures={
            "escape-norm": _norm_figure(settings, scan, measured),
            "product": _product_figure(measured, chosen[1:]),
        },
        tables=(_table(settings, scan),),
        seeds={"starts": settings.seed, "chains": settings.seed},
    )


def _with_gain(procedure: Procedure, gain: float) -> Procedure:
    return Procedure(
        f"{procedure.label}, g(0) = {gain:g}", procedure.normalization, procedure.statistics, gain
    )


def _setup(settings: Settings, procedure: Procedure, norm: float) -> Setup:
    return procedure.setup(
        settings.students, settings.input_variance, batch_size=settings.batch_size,
        draw={"seed": settings.seed, "norm": norm},
    )  # fmt: skip


def _scanned(settings: Settings, procedure: Procedure, norm: float, times: np.ndarray) -> float:
    """The median escape time of the flow over random starts of weights N(0, norm^2 / N)."""
    Q, R = random_overlaps(settings.students, settings.size, norm, settings.starts, settings.seed)
    return predict(_setup(settings, procedure, norm), times, Q, R).median


def _law(settings: Settings) -> Check:
    """Derived: escape rate times Q* does not depend on Q*, and equals that of no normalization."""
    vanilla = plateau("none", settings.students, settings.input_variance)
    reference = vanilla.escape_rate * vanilla.values["Q"]
    products = [
        q * plateau(name, settings.students, settings.input_variance, q).escape_rate
        for name in ("batch", "batch-without-radial")
        for q in (0.1, 0.5, 1.0, 3.0)
    ]
    worst = max(abs(p / reference - 1) for p in products)
    return Check(
        name="takagi2020.weight_norm: rate times norm",
        statement="escape rate x Q* is the same for every member of the family and without normalization",
        predicted=reference,
        measured=[min(products), max(products)],
        criterion=f"relative deviation below {RATE_TOLERANCE:g}",
        passed=worst < RATE_TOLERANCE,
        details={"largest relative deviation": worst},
    )


def _agreement(procedure: Procedure, norm: float, measured: Escape) -> Check:
    theory = predict(measured.setup, measured.times, measured.Q[:, 0], measured.R[:, 0])
    both = np.isfinite(theory.median) and np.isfinite(measured.median)
    ratio = measured.median / theory.median if both else float("nan")
    neither = not np.isfinite(theory.median) and not np.isfinite(measured.median)
    return Check(
        name=f"takagi2020.weight_norm: {procedure.label}, |J(0)| = {norm:g}",
        statement="the flow predicts the escape time of the chain",
        predicted=theory.median,
        measured=measured.median,
        criterion=CRITERION,
        passed=bool(neither or abs(ratio - 1) < AGREEMENT),
    )


def _product(measured: Escape) -> dict[str, float]:
    """Q g^2 on the way, median over replicas: its start, and its extremes."""
    value = np.median(_q_g2(measured), axis=0)
    return {
        "start": float(value[0]),
        "least": float(value.min()),
        "most": float(value.max()),
        "end": float(value[-1]),
    }


def _q_g2(measured: Escape) -> np.ndarray:
    assert measured.g is not None
    return measured.Q[:, :, 0, 0] * measured.g[:, :, 0] ** 2


def _inverse(products: dict[str, dict[str, float]]) -> Finding:
    moving = [v["most"] / v["least"] for v in products.values()]
    holds = bool(moving) and max(moving) < 1.1
    return Finding(
        "takagi2020.claim-q-inverse-g2",
        "Q = 1/g^2 holds, empirically through training",
        "Q g^2 stays within 10 % of a constant." if holds
        else f"Q g^2 moves by factors of {min(moving):.2g} to {max(moving):.2g} along training.",
        "confirmed" if holds else "refuted",
        products,
    )  # fmt: skip


def _answer(settings: Settings, scan: dict[str, list[float]]) -> str:
    vanilla = plateau("none", settings.students, settings.input_variance).values["Q"]
    label = f"{EXACT.label}, g(0) = 1"
    times = [t for t in scan.get(label, []) if np.isfinite(t)]
    span = f"from {min(times):.3g} to {max(times):.3g}" if times else "beyond the horizon"
    return (
        f"The rate of escape under normalization is {vanilla:.3g}/|J|^2 times that of no normalization: at "
        f"|J|^2 = {vanilla:.3g} the two are equal. Over the norms scanned the escape time of the exact "
        f"gradient goes {span}, while without normalization the norm relaxes and is forgotten. With the radial "
        "term dropped the norm follows Q - g^2 = constant, so that g(0) matters as much as |J(0)|."
    )


def _norm_figure(
    settings: Settings, scan: dict[str, list[float]], measured: dict[tuple[str, float], Escape]
) -> Picture:
    figure, ax = panels()
    for label, medians in scan.items():
        (line,) = ax.plot(settings.norms, medians, label=label)
        marks = [(norm, run.median) for (name, norm), run in measured.items() if name == label]
        if marks:
            ax.plot(*zip(*marks, strict=True), "o", mfc="white", color=line.get_color())
    real = [(norm, run.median) for (name, norm), run in measured.items() if name.startswith(REAL.label)]
    ax.plot(*zip(*real, strict=True), "kx", label=f"{REAL.label}, g(0) = 1")
    ax.set(xscale="log", yscale="log", xlabel="|J(0)|", ylabel="escape time")
    ax.legend()
    return Picture(
        figure,
        f"Median escape time against the initial norm, K = {settings.students}, "
        f"tau = {settings.input_variance:g}, b = N = {settings.size}, eta = 1: the flow (lines), "
        "the chain (circles) and real batch statistics "
        "(crosses). Normalization makes the norm decide.",
    )


def _product_figure(measured: dict[tuple[str, float], Escape], procedures: list[Procedure]) -> Picture:
    figure, ax = panels()
    for procedure in procedures:
        run = measured.get((procedure.label, 1.0))
        if run is not None:
            ax.plot(run.times, np.median(_q_g2(run), axis=0), label=procedure.label)
    ax.axhline(1.0, color="0.5", lw=0.8, ls="--", label="the paper's assumption")
    ax.set(xlabel="steps / N", ylabel="Q g^2")
    ax.legend()
    return Picture(figure, "Q g^2 through training, median over replicas: the paper assumes that it is one.")


def _table(settings: Settings, scan: dict[str, list[float]]) -> Table:
    rows = tuple(
        (label, *(f"{t:.1f}" if np.isfinite(t) else f"> {settings.stop:g}" for t in medians))
        for label, medians in scan.items()
    )
    return Table(
        "Median escape time of the flow against |J(0)|",
        ("training", *(f"{n:g}" for n in settings.norms)),
        rows,
    )


EXPERIMENT = Experiment(
    title="The norm of the weights",
    question="Which member of the family of plateaus does training reach, and does that set the escape time?",
    run=run,
    full=Settings(),
    quick=Settings(
        norms=(0.35, 0.6, 1.0, 1.7), measured=(0.6, 1.0), starts=24, replicas=16, stop=250.0, points=251
    ),
)
