"""The figure of the experiment on stability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numerics.perceptron import solve_perceptron
from validate.report.model import Picture
from validate.statistics import Estimate

if TYPE_CHECKING:
    from validate.experiments.luo2019.stability import Part, Settings


def figure(
    settings: Settings, growth: Part, late: Part, coefficients: tuple[float, float], boundary: Estimate
) -> Picture:
    """Growth by effective rate, and the approach of sqrt(t) (1 - R) to its limit."""
    from validate.report.figures import COLOURS, FAINT, VERMILION, panels, theory_with_simulation

    picture, (left, right) = panels(2, 1, height=3.6)
    limit = growth.comparison.limit.limit
    log = np.log(limit.value[:, 0]) / settings.short
    theory_with_simulation(
        left, growth.rates, np.log(growth.comparison.theory[:, 0]) / settings.short, log,
        limit.error[:, 0] / limit.value[:, 0], label="derived flow",
    )  # fmt: skip
    printed = np.log(growth.comparison.wrong["printed (15)"][:, 0]) / settings.short
    left.plot(growth.rates, printed, color=VERMILION, ls="--", lw=1.2, label="with (15) as printed")
    left.axhline(0.0, color=FAINT, lw=0.6)
    left.set_xlabel(r"effective rate $\eta\gamma/L^2$")
    left.set_ylabel("growth rate of $1 - R$")
    left.legend()
    fine = np.geomspace(1.0, 1e3, 60)
    count = len(settings.late)
    for k, rate in enumerate(late.rates):
        y = solve_perceptron("relu", (0.7, 0.5, 1.0), fine, rate, settings.gain_decay)
        rows = slice(k * count, (k + 1) * count)
        right.set_xscale("log")
        theory_with_simulation(
            right, fine, np.sqrt(fine) * (1 - y[:, 1]), late.comparison.limit.limit.value[rows, 0],
            late.comparison.limit.limit.error[rows, 0], simulated_at=settings.late, colour=COLOURS[k],
            label=rf"$\eta = {rate:g}$",
        )  # fmt: skip
    right.axhline(coefficients[0], color=FAINT, lw=1.0, ls=":", label="derived limit")
    right.set_ylim(0.0, 4 * coefficients[0])
    right.set_xlabel("time (steps / N)")
    right.set_ylabel(r"$\sqrt{t}\,(1 - R)$")
    right.legend()
    return Picture(
        picture,
        f"Left: growth rate of 1 - R next to the fixed point, without decay; it changes sign at the effective "
        f"rate {float(boundary.value):.3f} ({float(boundary.error):.3f}). Right: with decay zeta = "
        f"{settings.gain_decay:g}, sqrt(t) (1 - R) at three learning rates. Points are simulations extrapolated "
        "to infinite N, bars two standard errors.",
    )
