"""Experiment (c): how long training stays on the plateau, with and without batch normalization (Fig. 3).

The paper trains with N = 100, b = 100, eta = 1 for 20,000 steps from weights N(0, 1/N), and does not say
which large K and tau it shows, nor g(0); both are declared here.  Measured: escape times over seeds, by the
exact chain.  Predicted: the flow from each replica's own start, and the positive eigenvalue of its Jacobian.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from derive.equation import VerdictKind
from numerics.plateau import ESCAPE, plateau
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.takagi2020.plateau_runs import (
    EXACT,
    PRINTED,
    PROCEDURES,
    VANILLA,
    Escape,
    measure,
    predict,
)
from validate.report.figures import panels
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate import Setup

Order = Literal["later", "earlier", "undecided"]

GROWTH_BATCH = 20
GROWTH_TILT = 0.05
GROWTH_TIME = 2.0
"""The growth check starts at the fixed point, tilted by this share of R*, and lasts this over the rate."""

GROWTH_CRITERION = (
    "log growth of R_ii - R_in over the window, mean of replicas: "
    "no rejection by Holm's procedure over all cases, level 0.01"
)


@dataclass(frozen=True)
class Settings:
    """``cases`` are (K, tau); times in steps / N."""

    cases: tuple[tuple[int, float], ...] = (
        (2, 0.5), (2, 1.0), (2, 2.0), (2, 4.0), (3, 1.0), (3, 4.0), (4, 1.0), (6, 1.0),
    )  # fmt: skip
    replicas: int = 32
    size: int = 100
    batch_size: int = 100
    stop: float = 200.0
    points: int = 401
    growth_cases: tuple[tuple[int, float], ...] = ((2, 0.5), (2, 1.0), (2, 2.0), (3, 1.0), (4, 1.0))
    growth_replicas: int = 64
    growth_size: int = 8000
    seed: int = 31


def run(settings: Settings, context: Context) -> ExperimentResult:
    times = np.linspace(0.0, settings.stop, settings.points)
    setups = [
        procedure.setup(
            students, variance, batch_size=settings.batch_size, draw={"seed": settings.seed, "norm": 1.0}
        )
        for students, variance in settings.cases
        for procedure in PROCEDURES
    ]
    escapes = measure(
        context, setups, times, settings.replicas, settings.size, settings.seed, "escape from the plateau"
    )
    table = {case: escapes[4 * k : 4 * k + 4] for k, case in enumerate(settings.cases)}
    predicted = {case: [_from_own_start(e) for e in row] for case, row in table.items()}
    checks = _growth_checks(settings, context)
    order = _order(table)
    return context.result(
        _answer(table, order),
        checks=checks,
        findings=(_slower(table, order), *_radial(table)),
        figures={
            "generalization-error": _curves(settings, table),
            "escape-times": _scatter(table, predicted),
        },
        tables=(_table(settings, table, predicted),),
        seeds={"chains": settings.seed},
        settings={
            "initial gains": 1.0,
            "initial weights": "N(0, 1/N)",
            "left when error <": f"{ESCAPE:g} x plateau",
        },
    )


def _from_own_start(measured: Escape) -> Escape | None:
    """The flow's prediction from where each replica started; none for real statistics, which have no flow."""
    if measured.setup.statistics != "population":
        return None
    return predict(measured.setup, measured.times, measured.Q[:, 0], measured.R[:, 0])


def _growth_checks(settings: Settings, context: Context) -> list[Check]:
    """Near the fixed point a tilt towards specialization grows at the Jacobian's rate, as the flow says."""
    setups, windows, rates, names = [], [], [], []
    for students, variance in settings.growth_cases:
        vanilla = plateau("none", students, variance)
        for procedure in (VANILLA, PRINTED, EXACT):
            norm = None if procedure.normalization == "none" else vanilla.values["Q"]
            point = plateau(procedure.normalization, students, variance, norm)
            setups.append(_tilted(procedure.normalization, students, variance, point.values))
            rates.append(point.escape_rate)
            windows.append(GROWTH_TIME / point.escape_rate)
            names.append(f"{procedure.label}, K={students}, tau={variance:g}")
    growths = []
    for number, (setup, window) in enumerate(zip(setups, windows, strict=True)):
        (measured,) = measure(
            context, [setup], np.linspace(0.0, window, 5), settings.growth_replicas, settings.growth_size,
            settings.seed + 1000 + number, f"growth, {names[number]}",
        )  # fmt: skip
        growths.append(measured)
    estimates = [statistics.estimate(np.log(_tilt(m.R)[:, -1] / _tilt(m.R)[:, 0])) for m in growths]
    expected = [_flow_growth(m) for m in growths]
    z = [float(statistics.z_score(e, x)) for e, x in zip(estimates, expected, strict=True)]
    p = [float(statistics.p_value(score, e.degrees)) for score, e in zip(z, estimates, strict=True)]
    rejected = statistics.holm(np.array(p))
    return [
        Check(
            name=f"takagi2020.escape: growth, {names[k]}",
            statement=f"a tilt towards specialization grows as the flow says ({names[k]})",
            predicted=expected[k],
            measured=float(estimates[k].value),
            standard_error=float(estimates[k].error),
            criterion=GROWTH_CRITERION,
            passed=not bool(rejected[k]),
            z=z[k],
            p_value=p[k],
            power={
                "twice the rate": _power(estimates[k], expected[k], 2.0, len(z)),
                "90 % of the rate": _power(estimates[k], expected[k], 0.9, len(z)),
            },
            details={
                "Jacobian rate x window": rates[k] * windows[k],
                "N": settings.growth_size,
                "b": GROWTH_BATCH,
            },
        )
        for k in range(len(z))
    ]


def _power(estimate: statistics.Estimate, expected: float, factor: float, count: int) -> float:
    shift = abs(expected) * abs(factor - 1)
    return float(statistics.power(shift, estimate.error, statistics.single_level(count), estimate.degrees))


def _tilted(normalization: str, students: int, variance: float, values: Mapping[str, float]) -> Setup:
    """The fixed point with each student tilted to a teacher of its own, inside the teachers' span."""
    R = np.full((students, students), values["R"]) - GROWTH_TILT * values["R"] / max(students - 1, 1)
    np.fill_diagonal(R, values["R"] * (1 + GROWTH_TILT))
    gains = None if normalization == "none" else [values["g"]] * students
    return Setup(
        students, students, normalization=normalization, input_variance=variance, batch_size=GROWTH_BATCH,
        Q=R @ R.T, R=R, g=gains,
    )  # fmt: skip


def _tilt(R: np.ndarray) -> np.ndarray:
    """The mean of R_ii less the mean of R_in, n != i: (S, P, K, K) -> (S, P)."""
    students = R.shape[-1]
    own = np.trace(R, axis1=-2, axis2=-1) / students
    return own - (R.sum(axis=(-2, -1)) - students * own) / (students * (students - 1))


def _flow_growth(measured: Escape) -> float:
    curve = predict(measured.setup, measured.times, measured.setup.Q[None], measured.setup.R[None])
    tilt = _tilt(curve.R)
    return float(np.log(tilt[0, -1] / tilt[0, 0]))


def _order(table: Mapping[tuple[int, float], Sequence[Escape]]) -> dict[tuple[int, float], Order]:
    """Case by case, whether real batch statistics leave the plateau later or earlier than no normalization.

    Decided by the rank test of ``statistics.longer`` and Holm's procedure over the cases; replicas that are
    still there at the end tie as the longest.
    """
    found = [statistics.longer(row[0].escape, row[3].escape) for row in table.values()]
    decided = statistics.holm(np.array([p for _, p in found]))
    return {
        case: "undecided" if not sure else "later" if share > 0.5 else "earlier"
        for case, (share, _), sure in zip(table, found, decided, strict=True)
    }


def _cases(order: Mapping[tuple[int, float], Order], which: Order) -> list[str]:
    return [f"K={students}, tau={variance:g}" for (students, variance), o in order.items() if o == which]


def _compared(table: Mapping[tuple[int, float], Sequence[Escape]], order: Mapping[Any, Order]) -> str:
    """How the cases came out, in words."""
    ratios = [row[3].median / row[0].median for row in table.values() if np.isfinite(row[3].median)]
    spread = f", by a factor of {min(ratios):.2g} to {max(ratios):.2g} where both escape" if ratios else ""
    words = f"later in {len(_cases(order, 'later'))} of {len(order)} cases{spread}"
    for which, saying in (("earlier", "earlier for"), ("undecided", "not told apart within the run for")):
        cases = _cases(order, which)  # type: ignore[arg-type]
        words += f"; {saying} {' and '.join(cases)}" if cases else ""
    return words


def _answer(table: Mapping[tuple[int, float], Sequence[Escape]], order: Mapping[Any, Order]) -> str:
    return (
        "From weights N(0, 1/N) with gains of one, training with real batch statistics leaves the plateau "
        f"{_compared(table, order)} (rank test over seeds, family-wise level {statistics.FAMILY_LEVEL:g}). The "
        "rate of escape is the positive eigenvalue of the flow's Jacobian; under normalization it is inversely "
        "proportional to |J|^2, so the initial norm decides (experiment takagi2020.weight_norm)."
    )


def _slower(table: Mapping[tuple[int, float], Sequence[Escape]], order: Mapping[Any, Order]) -> Finding:
    """Slower at weights of norm one; equal rates at the norm that training without normalization selects."""
    evidence, ratios = {}, []
    for (students, variance), row in table.items():
        vanilla = plateau("none", students, variance)
        normalized = plateau("batch", students, variance, vanilla.values["Q"])
        ratios.append(normalized.escape_rate / vanilla.escape_rate)
        evidence[f"K={students}, tau={variance:g}"] = {
            **{p.label: _text(e.median) for p, e in zip(PROCEDURES, row, strict=True)},
            "real statistics against none": order[students, variance],
            "rate ratio at |J|^2 = Q* of no normalization": ratios[-1],
            "Q* of no normalization": vanilla.values["Q"],
        }
    verdict: VerdictKind
    if _cases(order, "earlier"):
        verdict, words = "refuted", ""
    elif not _cases(order, "later"):
        verdict, words = "open", ""
    elif all(abs(ratio - 1) < 1e-9 for ratio in ratios):
        verdict = "conditional"
        words = (
            ". This holds for weights that start at norm one: at |J|^2 equal to the norm that training without "
            "normalization selects the two rates are equal, and below it normalization is faster"
        )
    else:
        verdict, words = "confirmed", ""
    return Finding(
        "takagi2020.claim-escape-slower",
        "with batch normalization training stays longer on the plateau, for large K and for large tau",
        f"Normalization leaves the plateau {_compared(table, order)}{words}.",
        verdict,
        evidence,
    )


def _radial(table: dict[tuple[int, float], list[Escape]]) -> tuple[Finding, ...]:
    """Which gradient map real batch normalization follows."""
    rows = [row for row in table.values() if all(np.isfinite(e.median) for e in row)]
    if not rows:
        return ()
    exact = max(abs(float(np.log(row[3].median / row[2].median))) for row in rows)
    printed = max(abs(float(np.log(row[3].median / row[1].median))) for row in rows)
    matters = printed > 3 * exact
    return (
        Finding(
            "takagi2020.claim-radial-negligible",
            "the component of the gradient along J_i may be dropped",
            f"Escape times under real batch statistics are within {np.expm1(exact):.0%} of the exact gradient "
            f"map's and up to {np.expm1(printed):.0%} away from those with the radial term dropped."
            if matters
            else "Escape times do not tell the two gradient maps apart.",
            "refuted" if matters else "open",
            {
                "largest |log ratio| to the exact map": exact,
                "largest |log ratio| to the printed map": printed,
            },
        ),
    )


def _text(time: float) -> float | str:
    return round(time, 2) if np.isfinite(time) else "not within the run"


def _table(
    settings: Settings, table: dict[tuple[int, float], list[Escape]],
    predicted: dict[tuple[int, float], list[Escape | None]],
) -> Table:  # fmt: skip
    rows = []
    for (students, variance), row in table.items():
        for procedure, measured, theory in zip(PROCEDURES, row, predicted[students, variance], strict=True):
            # A replica still on the plateau has the longest time of all: a quartile may lie beyond the run.
            low, high = np.percentile(np.nan_to_num(measured.escape, nan=np.inf), (25, 75), method="lower")
            rows.append(
                (
                    students, f"{variance:g}", procedure.label, _text(float(np.nanmedian(measured.entry))),
                    _text(measured.median),
                    f"{low:.1f} to {f'{high:.1f}' if np.isfinite(high) else 'beyond'}" if np.isfinite(low) else "",
                    _text(theory.median) if theory is not None else "",
                    f"{np.isnan(measured.escape).sum()} of {len(measured.escape)}",
                )
            )  # fmt: skip
    return Table(
        f"Entry into and escape from the plateau, in steps / N, over {settings.replicas} seeds "
        f"(N = {settings.size}, b = {settings.batch_size}, eta = 1, 'still there' at {settings.stop:g})",
        ("K", "tau", "training", "entry", "escape", "quartiles", "flow, own starts", "still there"),
        tuple(rows),
    )


def _curves(settings: Settings, table: dict[tuple[int, float], list[Escape]]) -> Picture:
    shown = list(table.items())[:4]
    figure, axes = panels(columns=2, rows=(len(shown) + 1) // 2, sharex=True)
    for ax, ((students, variance), row) in zip(np.ravel(axes), shown, strict=False):
        for procedure, measured in zip(PROCEDURES, row, strict=True):
            middle = np.median(measured.error, axis=0)
            low, high = np.percentile(measured.error, (25, 75), axis=0)
            (line,) = ax.plot(measured.times, middle, label=procedure.label)
            ax.fill_between(measured.times, low, high, color=line.get_color(), alpha=0.2, lw=0)
        ax.set_yscale("log")
        ax.set_title(rf"$K = M = {students}$, $\tau = {variance:g}$")
        ax.set_ylabel("generalization error")
        ax.set_xlabel("steps / N")
    np.ravel(axes)[0].legend()
    for spare in np.ravel(axes)[len(shown) :]:
        spare.remove()
    return Picture(
        figure,
        f"As in the paper's Fig. 3: N = {settings.size}, b = {settings.batch_size}, eta = 1; medians and "
        f"quartiles over {settings.replicas} seeds. Real batch statistics follow the exact gradient; dropping "
        "the radial term shortens the plateau to that of no normalization when g(0) = |J(0)| = 1.",
    )


def _scatter(
    table: dict[tuple[int, float], list[Escape]], predicted: dict[tuple[int, float], list[Escape | None]]
) -> Picture:
    figure, ax = panels()
    for number, procedure in enumerate((VANILLA, PRINTED, EXACT)):
        theories = [row[number] for row in predicted.values()]
        x = np.concatenate([t.escape for t in theories if t is not None])
        y = np.concatenate([row[number].escape for row in table.values()])
        ax.plot(x, y, "o", ms=3, alpha=0.5, label=procedure.label)
    ends = np.array(ax.get_xlim())
    ax.plot(ends, ends, color="0.6", lw=0.8, zorder=0)
    ax.set(xscale="log", yscale="log", xlabel="escape time of the flow, from the replica's own start",
           ylabel="measured escape time")  # fmt: skip
    ax.legend()
    return Picture(
        figure,
        "Escape of every replica against the flow (N = infinity) started where the replica started. Scatter "
        "is the noise of finite N; on the line the flow predicts each run.",
    )


EXPERIMENT = Experiment(
    title="Escape from the plateau",
    question="Does batch normalization stay longer on the symmetric plateau, and what sets the time?",
    run=run,
    full=Settings(),
    quick=Settings(
        cases=((2, 1.0), (2, 4.0), (4, 1.0)), replicas=8, points=201,
        growth_cases=((2, 1.0), (3, 2.0)), growth_replicas=16, growth_size=2000,
    ),
)  # fmt: skip
