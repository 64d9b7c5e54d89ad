"""The figure of mini-batch noise: without normalization, with it, and at first order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from validate import statistics
from validate.experiments.bjorck2018 import minibatch_checks as checks
from validate.report.figures import BLUE, COLOURS, FAINT, VERMILION, panels, trend
from validate.report.model import Picture
from validate.simulate.minibatch import SAMPLINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from validate.experiments.bjorck2018.minibatch_noise import Settings

Record = Mapping[str, np.ndarray]


def figure(
    settings: Settings, free: Mapping[tuple[str, int], Record], tied: Mapping[int, Record],
    errors: Mapping[int, np.ndarray],
) -> Picture:  # fmt: skip
    """Three panels: noise by sampling, noise and bias with normalization, first order."""
    fig, (left, middle, right) = panels(3, height=3.2)
    _samplings(left, settings, free)
    _normalized(middle, free, tied)
    _first_order(right, settings, errors)
    return Picture(
        fig,
        "Left: noise without normalization, lines derived, points drawn. Middle: B times the noise over its value at "
        "the largest batch, with replacement; and the mean batch gradient along the full one, over it. Right: "
        "regression after batch normalization, B times bias and variance over what is derived for large B. Bars: two "
        "standard errors.",
    )


def _samplings(ax: Axes, settings: Settings, free: Mapping[tuple[str, int], Record]) -> None:
    line = np.unique(np.geomspace(2, settings.samples, 40).astype(int))
    share = np.mean([(r["full"] / r["variance"]).mean() for r in free.values()])
    for colour, sampling in zip(COLOURS, SAMPLINGS, strict=False):
        derived = [b * float(checks.predicted_noise(sampling, settings.samples, int(b), 1, share)) for b in line]
        ax.plot(line, derived, color=colour, lw=1.2, label=sampling)
        for batch in settings.batches:
            record = free[sampling, batch]
            found = statistics.estimate(batch * record["squares"].mean(axis=1) / record["variance"])
            ax.errorbar(batch, found.value, 2 * found.error, fmt="o", ms=4, mfc="white", color=colour)
    ax.set_xscale("log")
    ax.set_ylim(0, None)
    ax.set_xlabel("batch $B$")
    ax.set_ylabel("$B$ noise$/C$")
    ax.legend(loc="lower left", fontsize=8)


def _normalized(ax: Axes, free: Mapping[tuple[str, int], Record], tied: Mapping[int, Record]) -> None:
    for colour, records, label in (
        (VERMILION, {b: r for (s, b), r in free.items() if s == "with replacement"}, "without normalization"),
        (BLUE, tied, "with"),
    ):
        sizes = np.array(sorted(records))
        logs = np.array([np.log(b * records[b]["squares"].mean(axis=1)) for b in sizes])
        ratio = statistics.estimate(np.exp(logs - logs[-1]).T)
        ax.errorbar(sizes, ratio.value, 2 * ratio.error, fmt="o-", ms=4, mfc="white", lw=1.0, color=colour,
                    label=f"noise, {label}")  # fmt: skip
        kept = statistics.estimate(1 + np.array([records[b]["along"].mean(axis=1) for b in sizes]).T)
        ax.errorbar(sizes, kept.value, 2 * kept.error, fmt="s:", ms=3, mfc="white", lw=1.0, color=colour,
                    label=f"along $g$, {label}")  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("batch $B$")
    ax.legend(fontsize=8)


def _first_order(ax: Axes, settings: Settings, errors: Mapping[int, np.ndarray]) -> None:
    inverse = 1 / np.array(list(errors))
    for colour, name, derived, found in zip(
        (BLUE, VERMILION), ("bias", "variance"), checks.coefficients(settings), checks.scaled(errors), strict=True
    ):
        value, error = (np.array([float(getattr(e, part)) for e in found]) / derived for part in ("value", "error"))
        trend(ax, inverse, value, np.abs(error), label=name, colour=colour)
    ax.axhline(1.0, color=FAINT, lw=1.0)
    ax.set_xlabel("$1/B$")
    ax.legend(fontsize=8)
