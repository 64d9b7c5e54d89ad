"""Table and figure of the experiment on batch statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sympy import Integer

from derive.batch_statistics import deviation_moment
from validate.experiments.luo2019.batch_cases import GAIN, OVERLAP, Case, LayerCase
from validate.report.model import Picture, Table
from validate.statistics import Estimate


def table(cases: Sequence[Case | LayerCase], measured: Sequence[Estimate]) -> Table:
    """The change of the expected loss, its two orders, and what was measured."""
    rows = []
    for case, found in zip(cases, measured, strict=True):
        printed = case.printed if isinstance(case, LayerCase) else case.theorem
        rows.append((
            case.label, round(case.derived.first, 4), round(case.derived.second, 4), round(case.derived.total, 4),
            round(float(found.value), 4), float(f"{float(found.error):.2g}"),
            "" if printed is None else round(printed, 4),
        ))  # fmt: skip
    return Table(
        f"M times the change of the expected loss, continued to infinite M (single units at gamma = {GAIN:g}, R = "
        f"{OVERLAP:g}; two units of a layer inside a network). Its parts: of first and of second order in what the "
        "statistics do to a preactivation.",
        ("activation, law, normalized by, statistics of", "first order", "second order", "derived", "measured",
         "error", "Theorem 1, C.4"),
        tuple(rows),
    )  # fmt: skip


def figure(
    sizes: Sequence[int], best: Sequence[Estimate], changes: Mapping[Case | LayerCase, Sequence[Estimate]]
) -> Picture:
    """The best gain of a linear unit at every M, and M times the change of the loss of some cases."""
    from validate.report.figures import BLUE, COLOURS, VERMILION, panels, trend

    picture, (left, right) = panels(2, 1, height=4.2)
    inverse = 1 / np.array(sizes)
    fine = np.arange(8, 1025)
    exact = [float(deviation_moment(1, Integer(int(m))).evalf()) for m in sizes]
    left.plot(inverse, exact, color=BLUE, label=r"derived, $\langle s \rangle$")
    left.plot(1 / fine, 1 / (1 + 3 / (2 * fine)), color=VERMILION, ls="--", label=r"$\zeta = 3/(4M)$")
    trend(
        left, inverse, [float(e.value) / OVERLAP for e in best], [float(e.error) / OVERLAP for e in best],
        label="drawn", colour=BLUE,
    )  # fmt: skip
    left.set_xlabel("$1/M$")
    left.set_ylabel(r"best gain of a linear unit $/\,R$")
    left.legend()
    for k, (case, found) in enumerate(changes.items()):
        colour = COLOURS[k % len(COLOURS)]
        label = "a layer of two" if isinstance(case, LayerCase) else f"{case.phi}, {case.law}"
        trend(
            right, inverse, [float(e.value) for e in found], [float(e.error) for e in found], label=label,
            colour=colour,
        )  # fmt: skip
        right.plot([0], [case.derived.total], "D", color=colour, ms=6, zorder=4)
    right.set_xlabel("$1/M$")
    right.set_ylabel("$M$ times the change of the loss")
    right.set_xlim(-0.008, 0.26)  # room for the legend
    right.legend(loc="center right", fontsize="small")
    return Picture(
        picture,
        "Left: the best gain of a linear unit under the statistics of its own batch. Right: M times the change "
        "of the expected loss; the diamonds at 1/M = 0 are derived. Bars are two standard errors.",
    )
