"""Figures in one house style: theory as lines, simulation as points or bands, colours that all can tell."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

# Okabe and Ito's palette, which survives every common form of colour blindness.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
INK, FAINT = "#222222", "#8a8a8a"

WIDTH = 8.0
"""Inches: a figure fills the column of the report."""

STYLE: Any = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.formatter.use_mathtext": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.direction": "out",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


def house_style(svg_salt: str = "") -> AbstractContextManager[None]:
    """The house style for everything drawn inside: ``with house_style(): ...``."""
    return matplotlib.rc_context({**STYLE, "svg.hashsalt": svg_salt})


def panels(
    columns: int = 1, rows: int = 1, height: float | None = None, **options: Any
) -> tuple[Figure, Any]:
    """A figure as wide as the report's column and its axes, as ``Figure.subplots`` returns them."""
    with house_style():
        figure = Figure(figsize=(WIDTH, height or rows * WIDTH * (0.45 if columns == 1 else 0.37)))
        figure.set_layout_engine("constrained")
        return figure, figure.subplots(rows, columns, **options)


def theory_with_simulation(
    ax: Axes,
    times: Any,
    theory: Any,
    mean: Any,
    standard_error: Any,
    *,
    label: str = "",
    colour: str | None = None,
    simulated_at: Any = None,
    band: bool = False,
    marks: int = 24,
    sigmas: float = 2.0,
) -> None:
    """Theory as a line; the simulation's mean as points with bars of ``sigmas`` standard errors, or a band.

    ``times``, ``theory``: shape (points,).  ``mean``, ``standard_error``: shape (points,) at
    ``simulated_at``, by default ``times``.  At most about ``marks`` points are drawn, evenly spaced along the
    axis as it is scaled; a band shows all.
    """
    with house_style():
        (line,) = ax.plot(times, theory, color=colour, label=label or None, zorder=2)
        at = np.asarray(times if simulated_at is None else simulated_at, dtype=float)
        mean, error = np.asarray(mean, dtype=float), sigmas * np.asarray(standard_error, dtype=float)
        if band:
            ax.fill_between(
                at, mean - error, mean + error, color=line.get_color(), alpha=0.25, lw=0, zorder=1
            )
            return
        chosen = _spread(at, marks, log=ax.get_xscale() == "log")
        ax.errorbar(
            at[chosen], mean[chosen], error[chosen],
            fmt="o", ms=4, mfc="white", mec=line.get_color(), ecolor=line.get_color(), elinewidth=1, zorder=3,
        )  # fmt: skip


def trend(
    ax: Axes,
    x: Any,
    mean: Any,
    standard_error: Any,
    *,
    label: str = "",
    colour: str | None = None,
    fit: tuple[float, float] | None = None,
    sigmas: float = 2.0,
) -> None:
    """Measured points against a small parameter such as 1/N or 1/b; ``fit``: a line (intercept, slope)."""
    with house_style():
        bars = ax.errorbar(
            x, mean, sigmas * np.asarray(standard_error, dtype=float),
            fmt="o", ms=5, mfc="white", color=colour, elinewidth=1, capsize=2, label=label or None, zorder=3,
        )  # fmt: skip
        if fit is not None:
            ends = np.array([0.0, float(np.max(x))])
            ax.plot(ends, fit[0] + fit[1] * ends, color=bars.lines[0].get_color(), lw=1.1, ls="--", zorder=2)
        ax.axvline(0.0, color=FAINT, lw=0.6, zorder=0)


def spectrum_plot(
    ax: Axes,
    parameter: Any,
    eigenvalues: Any,
    *,
    labels: Sequence[str] = (),
    colours: Sequence[str] = COLOURS,
    whole: bool = False,
    dashes: str = "-",
) -> None:
    """Branches of eigenvalues against a parameter: ``eigenvalues`` of shape (points, branches).

    ``whole`` marks every point, for parameters that are whole numbers.  Labels may carry multiplicities.
    """
    values = np.asarray(eigenvalues, dtype=float)
    with house_style():
        for branch in range(values.shape[1]):
            ax.plot(
                parameter, values[:, branch],
                dashes, marker="o" if whole else None, ms=4, mfc="white", lw=1.0 if whole else 1.6,
                color=colours[branch % len(colours)], label=labels[branch] if branch < len(labels) else None,
            )  # fmt: skip
        low, high = ax.get_ylim()
        if ax.get_yscale() == "linear" and low < 0 < high:
            ax.axhline(0.0, color=FAINT, lw=0.6, zorder=0)


def z_scores(ax: Axes, names: Sequence[str], z: Any, limit: float) -> None:
    """One dot a check, between the limits at which the criterion rejects."""
    with house_style():
        values = np.asarray(z, dtype=float)
        rows = np.arange(len(values))[::-1]
        ax.axvspan(-limit, limit, color=BLUE, alpha=0.08, lw=0)
        ax.axvline(0.0, color=FAINT, lw=0.6)
        inside = np.abs(values) <= limit
        ax.plot(values[inside], rows[inside], "o", color=BLUE, ms=5)
        ax.plot(values[~inside], rows[~inside], "X", color=VERMILION, ms=7)
        ax.set_yticks(rows, names)
        ax.set_xlabel("z")


def _dress(figure: Figure) -> None:
    """House style for what was drawn outside of the helpers here: legends and words in another font."""
    for text in figure.findobj(Text):
        if text.get_fontfamily() == ["sans-serif"]:
            text.set_fontfamily(STYLE["font.family"])
            text.set_math_fontfamily(STYLE["mathtext.fontset"])
    for legend in figure.findobj(Legend):
        legend.set_frame_on(False)


def svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element that fills its column; the same bytes for the same figure."""
    _dress(figure)
    buffer = io.StringIO()
    with house_style(svg_salt=name):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # Identifiers are shared by all figures of one page.
    for attribute in ('id="', 'xlink:href="#', "url(#"):
        text = text.replace(attribute, f"{attribute}{name}-")
    head, end, body = text.partition(">")
    return re.sub(r' (width|height)="[^"]*"', "", head) + end + body


def png(figure: Figure) -> bytes:
    _dress(figure)
    buffer = io.BytesIO()
    with house_style():
        figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()


def pdf(figure: Figure) -> bytes:
    _dress(figure)
    buffer = io.BytesIO()
    with house_style():
        figure.savefig(
            buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None}
        )
    return buffer.getvalue()


def _spread(at: np.ndarray, marks: int, log: bool) -> np.ndarray:
    """Indices of about ``marks`` points evenly spaced along a linear or logarithmic axis."""
    usable = np.flatnonzero(at > 0) if log else np.arange(len(at))
    if len(usable) <= marks:
        return usable
    place = np.log(at[usable]) if log else at[usable]
    grid = np.linspace(place[0], place[-1], marks)
    return usable[np.unique(np.searchsorted(place, grid).clip(0, len(usable) - 1))]
