"""Figures 1(a) and 1(b) of luo2019, drawn anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from sympy import Rational

from derive.papers.luo2019.generalization import relu_interpolation
from validate.experiments.comparison import Comparison
from validate.experiments.luo2019.generalization import printed, shrunk, theory
from validate.report.model import Picture
from validate.statistics import Estimate, estimate

if TYPE_CHECKING:
    from validate.experiments.luo2019 import regression, relu_generalization


def linear_figure(
    settings: regression.Settings, comparisons: Sequence[Comparison], curves: Mapping[int, Sequence[Estimate]]
) -> Picture:
    from validate.report.figures import COLOURS, FAINT, panels, theory_with_simulation

    figure, (left, right) = panels(2, 1, height=3.8)
    fine = np.concatenate([1 - np.geomspace(0.9, 0.04, 11), 1 + np.geomspace(0.04, 2.2, 14)])
    loads = np.array(settings.loads)
    shown = {"least squares": 0.0, "1/(2M), beside the sum": settings.decay,
             f"{settings.best:g}, beside the sum": settings.best}  # fmt: skip
    for colour, (name, ridge) in zip(COLOURS, shown.items(), strict=False):
        position = comparisons[0].names.index(name)
        limits = [c.limit.limit for c in comparisons]
        theory_with_simulation(
            left, fine, theory(fine, settings.noise, ridge), [e.value[0, position] for e in limits],
            [e.error[0, position] for e in limits], simulated_at=loads, colour=colour,
            label=name if ridge == 0 else rf"$\zeta = {ridge:.3g}$",
        )  # fmt: skip
    right.plot(
        fine, shrunk(fine, settings.noise, settings.batch), color=COLOURS[0], label="shrunk least squares"
    )
    right.plot(
        fine, theory(fine, settings.noise, settings.decay), color=COLOURS[1], label=r"$\zeta = 1/(2M)$"
    )
    for marker, shade, (epochs, found) in zip(
        "sdo", (FAINT, COLOURS[4], COLOURS[3]), curves.items(), strict=False
    ):
        right.errorbar(
            settings.trained_loads, [float(e.value) for e in found], [2 * float(e.error) for e in found],
            fmt=marker, ms=4, mfc="white", color=shade, label=f"batch normalization, {epochs} epochs",
        )  # fmt: skip
    for ax, title in ((left, "direct solutions"), (right, f"batch normalization, M = {settings.batch}")):
        ax.set_ylim(0.0, 2.6)
        ax.set_xlabel(r"load $\alpha$")
        ax.set_title(title)
        ax.legend(fontsize=8)
    left.set_ylabel("generalization error")
    return Picture(
        figure,
        f"Fig. 1(a): a linear student of a noisy linear teacher, S = {settings.noise:g}. Left: the replica method, and "
        "direct solutions extrapolated to infinite N. Right: batch normalization trained at "
        f"N = {settings.sizes[-1]}. Bars two standard errors.",
    )


def relu_figure(
    settings: relu_generalization.Settings,
    comparisons: Sequence[Comparison],
    curves: relu_generalization.Curves,
    starts: Sequence[str],
) -> Picture:
    from validate.report.figures import COLOURS, FAINT, panels, theory_with_simulation

    figure, (left, right) = panels(2, 1, height=4.0)
    end = float(relu_interpolation().threshold(Rational(settings.noise), 20)["alpha"])
    below = np.linspace(0.1, 0.98 * end, 16)
    limits = [c.limit.limit for c in comparisons]
    paper = np.linspace(0.1, 1.8, 30)
    for position, (loads, curve, label) in enumerate((
        (below, theory(below, settings.noise, 0.0, "relu"), "exact minimum"),
        (paper, np.array([printed(float(a), settings.noise) for a in paper]), "(25)"),
    )):  # fmt: skip
        theory_with_simulation(
            left, loads, curve, [e.value[0, position] for e in limits], [e.error[0, position] for e in limits],
            simulated_at=settings.loads, colour=COLOURS[position], label=label,
        )  # fmt: skip
    left.axvline(end, color=FAINT, lw=0.8, ls=":")
    shown = estimate(np.moveaxis(curves.noisy[:, :, 0], 1, 0))
    for s, start in enumerate(starts):
        left.errorbar(
            settings.trained_loads, shown.value[:, s], 2 * shown.error[:, s], fmt="v^s"[s], ms=4, mfc="white",
            color=COLOURS[2 + s], label=f"descent, {start} start",
        )  # fmt: skip
    fine = np.linspace(0.2, 3.0, 15)
    for colour, position in zip(COLOURS, (1, len(settings.strengths) - 1), strict=False):
        z = settings.strengths[position]
        e = estimate(curves.noisy[:, :, position, 0].T)
        theory_with_simulation(
            right, fine, [float(theory([a], settings.noise, a * z, "relu")[0]) for a in fine], e.value, e.error,
            simulated_at=settings.trained_loads, colour=colour, label=rf"decay $\zeta = {z:.3g}$",
        )  # fmt: skip
    for k, ((batch, epochs), found) in enumerate(curves.batch.items()):
        e = estimate(found.T)
        right.errorbar(
            settings.trained_loads, e.value, 2 * e.error, fmt="sdoP"[k % 4], ms=4, mfc="white",
            color=COLOURS[2 + k % 4], label=f"M = {batch}, {epochs} epochs",
        )  # fmt: skip
    quiet = estimate(curves.clean[:, :, 0].T)
    right.plot(
        settings.trained_loads, quiet.value, color=FAINT, ls="--", lw=1.2, label="labels without noise"
    )
    for ax, title in ((left, "minimization"), (right, "gamma decay, batch normalization")):
        ax.set_xlabel(r"load $\alpha$")
        ax.set_ylim(0.4, 1.8)
        ax.set_title(title)
        ax.legend(fontsize=8)
    left.set_ylabel("generalization error")
    return Picture(
        figure,
        f"Fig. 1(b): a ReLU student of a noisy linear teacher, S = {settings.noise:g}. Left: the exact minimum (up to "
        "the end of interpolation, dotted) with the shortest interpolating weights, (25) with least squares on "
        f"positive targets, and gradient descent. Right: N = {settings.size}; lines with points are decay, replica "
        "symmetric and by descent. Bars two standard errors.",
    )
