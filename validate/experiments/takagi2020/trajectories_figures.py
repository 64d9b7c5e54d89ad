"""Figures of the trajectories experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from validate import statistics
from validate.experiments.comparison import Comparison, entries
from validate.experiments.theory import Curves
from validate.report.figures import COLOURS, FAINT, VERMILION, panels, theory_with_simulation, trend
from validate.report.model import Picture
from validate.simulate import Trajectories

TITLES = {
    "none": "no normalization", "batch": "batch, exact gradient",
    "batch-without-radial": "batch, radial term dropped", "weight": "weight normalization",
}  # fmt: skip
SHOWN = ("R_11", "R_22", "Q_11", "Q_12")


def mathematical(name: str) -> str:
    """The name of an entry, such as Q_12, as a formula."""
    return f"${name[0]}_{{{name[2:]}}}$"


def curves(
    cases: Sequence[Any], measured: Sequence[Trajectories],
    theories: Sequence[tuple[Curves, Mapping[str, Curves]]],
) -> Picture:  # fmt: skip
    """Order parameters against time, one panel a gradient map."""
    figure, axes = panels(2, 2, sharex=True)
    for ax, case, run, (right, wrong) in zip(axes.flat, cases, measured, theories, strict=True):
        names, values = entries(run)
        theory, without = entries(right)[1], entries(wrong["no eta^2 term"])[1]
        found = statistics.estimate(values)
        for colour, name in zip(COLOURS, SHOWN, strict=False):
            e = names.index(name)
            theory_with_simulation(
                ax, right.time, theory[:, e], found.value[:, e], found.error[:, e],
                label=mathematical(name), colour=colour, simulated_at=run.time,
            )  # fmt: skip
            ax.plot(right.time, without[:, e], color=colour, lw=0.9, ls=":", zorder=1)
        ax.set_title(
            f"{TITLES[case.normalization]} ($K={case.students}$, $M={case.teachers}$, $b={case.batch_size}$)"
        )
    for ax in axes[-1]:
        ax.set_xlabel("time, steps / $N$")
    axes[0, 0].legend(loc="best", ncols=2)
    size, replicas = measured[0].size, len(measured[0].Q)
    return Picture(
        figure,
        f"Order parameters after an asymmetric start, $\\tau = {cases[0].input_variance:g}$, erf units. "
        f"Lines: the derived flow, nothing fitted. Points: means over {replicas} replicas of the "
        f"simulation at N = {size}, bars two standard errors. Dotted: the flow without its $\\eta^2$ "
        "term, which the data reject. Criterion and result of all cases stand in the figure of scores.",
    )


def sizes(
    case: Any, measured: Sequence[Trajectories], comparison: Comparison, tested: Sequence[int]
) -> Picture:
    """Deviations from the flow against 1/N, with the fitted lines."""
    figure, axes = panels(2, 1)
    inverse = np.array([1 / run.size for run in measured])
    last = tested[-1]
    estimates = [statistics.estimate(entries(run)[1][:, last]) for run in measured]
    for colour, name in zip(COLOURS, SHOWN, strict=False):
        e = comparison.names.index(name)
        flow = comparison.theory[-1, e]
        fit = (
            float(comparison.limit.limit.value[-1, e] - flow), float(comparison.limit.slope.value[-1, e])
        )  # fmt: skip
        trend(
            axes[0], inverse, [x.value[e] - flow for x in estimates], [x.error[e] for x in estimates],
            label=mathematical(name), colour=colour, fit=fit,
        )  # fmt: skip
        spread = [entries(run)[1][:, last, e].std(ddof=1) for run in measured]
        axes[1].loglog(1 / inverse, spread, "o", mfc="white", ms=5, color=colour)
        axes[1].loglog(1 / inverse, spread[0] * np.sqrt(inverse / inverse[0]), color=colour, lw=0.9, ls="--")
    axes[0].axhline(0.0, color=FAINT, lw=0.6)
    axes[0].set_xlabel("$1/N$")
    axes[0].set_ylabel("mean of the simulation − flow")
    axes[0].legend()
    axes[1].set_xlabel("$N$")
    axes[1].set_ylabel("spread of single runs")
    return Picture(
        figure,
        f"How infinite N is approached ({case.name}, $t = {comparison.times[-1]:g}$). Left: means over "
        "replicas deviate as 1/N; dashed, the fit whose value at 1/N = 0 is compared with the flow. Right: "
        "single runs spread as $N^{-1/2}$ (dashed).",
    )


def scores(names: Sequence[str], comparisons: Sequence[Comparison], level: float) -> Picture:
    """Every z of the derived flow, and the largest of each wrong theory."""
    figure, axes = panels(2, 1, height=1.4 + 0.2 * len(names), sharey=True)
    rows = np.arange(len(names))[::-1]
    limit = max(float(_threshold(level, c.degrees)) for c in comparisons)
    kinds = list(dict.fromkeys(kind for c in comparisons for kind in c.wrong))
    for row, comparison in zip(rows, comparisons, strict=True):
        z = comparison.z.ravel()
        axes[0].plot(z, np.full(z.size, row), "|", color=COLOURS[0], ms=7, alpha=0.7)
        for kind, score in comparison.wrong_z().items():
            axes[1].plot(score, row, "o", ms=5, mfc="white", color=COLOURS[(kinds.index(kind) + 1) % 6])
    for kind in kinds:
        axes[1].plot(
            [],
            [],
            "o",
            ms=5,
            mfc="white",
            color=COLOURS[(kinds.index(kind) + 1) % 6],
            label=kind.replace("eta^2", r"$\eta^2$"),
        )
    axes[0].axvspan(-limit, limit, color=COLOURS[0], alpha=0.08, lw=0)
    axes[0].set_yticks(rows, [name.replace("tau", r"$\tau$") for name in names], fontsize=9)
    axes[0].set_xlabel("z of the derived flow")
    axes[1].axvline(limit, color=VERMILION, lw=0.8)
    axes[1].set_xscale("log")
    axes[1].set_xlabel("largest |z| of a wrong theory")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    worst = max(float(np.abs(c.z).max()) for c in comparisons)
    return Picture(
        figure,
        f"Left: z of every tested entry and time, by case. Criterion: none beyond {limit:.1f} (shaded), "
        f"so that any false alarm among all has probability 1 %; the largest is {worst:.1f}. Right: the "
        "same data against theories that are wrong in one respect; right of the line they are rejected.",
    )


def _threshold(level: float, degrees: float) -> float:
    from scipy.stats import t

    return float(t.isf(level / 2, degrees))
