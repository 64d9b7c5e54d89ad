"""The figure of the experiment on learning rates: loss over width and learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from validate.report.model import Picture

if TYPE_CHECKING:
    from validate.experiments.karakida2019.learning_rate import Map, Settings

FLOOR = 1e-6
"""Losses below are drawn alike."""


def figure(settings: Settings, maps: Mapping[str, Map]) -> Picture:
    """A colour map of the first trial's and of the best trial's loss, for both networks."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import NullFormatter

    from validate.experiments.karakida2019.learning_rate import EXPLODED, theory
    from validate.report.figures import INK, VERMILION, panels

    picture, axes = panels(2, 2, height=6.4, sharex=True, sharey=True)
    rates, widths = settings.learning_rates(), np.array(settings.widths)
    titles = {"none": "no normalization", "mean": "mean subtracted in the last layer"}
    for column, (place, found) in enumerate(maps.items()):
        bounds = [theory(settings, place, M) for M in settings.widths]
        line = [2 / p.lambda_max if place == "none" else 2 / float(p.lower or np.nan) for p in bounds]
        for row, losses in enumerate((found.losses[:, :, 0], found.losses.min(axis=2))):
            ax = axes[row, column]
            ax.set_facecolor("#9a9a9a")
            shown = np.ma.masked_where(losses > EXPLODED, np.maximum(losses, FLOOR))
            image = ax.pcolormesh(
                _edges(widths), _edges(rates), shown.T, norm=LogNorm(FLOOR, EXPLODED), cmap="viridis"
            )
            ax.plot(widths, line, color=VERMILION, label="theory" if place == "none" else "lower bound (18)")
            ax.plot(
                widths, 2 / found.sharpness.mean(axis=1), "o", color="white", mec=INK, ms=5, label="measured"
            )
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_ylim(_edges(rates)[[0, -1]])
            ax.set_xticks(widths, [str(M) for M in widths])
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.set_title(f"{titles[place]}, {'one trial' if row == 0 else f'best of {settings.trials}'}")
            if row == 1:
                ax.set_xlabel("width $M$")
    for ax in axes[:, 0]:
        ax.set_ylabel(r"learning rate $\eta$")
    for ax in axes[0]:
        ax.legend(title=r"$2/\lambda_{\max}$", loc="lower left", labelcolor="white").get_title().set_color(
            "white"
        )
    picture.colorbar(image, ax=axes, label=f"loss after {settings.steps} steps", extend="min")
    return Picture(
        picture,
        f"Training loss over width and learning rate (Fig. 2 of the paper), T = {settings.samples}; grey has exploded "
        "(loss above 1000). Lines: 2/lambda_max of Theorem 2.2 (left), 2 over the lower bound (18) (right); white "
        "points: 2/lambda_max measured at the starts. If the claim holds, grey begins at the line.",
        raster=True,
    )  # fmt: skip


def _edges(centres: np.ndarray) -> np.ndarray:
    """Edges of cells around points that are evenly spaced on a logarithmic axis."""
    inner = np.sqrt(centres[1:] * centres[:-1])
    return np.concatenate([[centres[0] ** 2 / inner[0]], inner, [centres[-1] ** 2 / inner[-1]]])
