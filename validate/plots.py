"""Plots of what the command line solves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from numerics.integrate import Solution
from numerics.runtime.results import Labelled, write_atomically
from validate.report import figures
from validate.simulate import Trajectories
from validate.statistics import estimate


def trajectories(results: dict[str, Any], varied: Sequence[str]) -> Figure:
    """The generalization error against time; of a single run also its overlaps, of a sweep all points."""
    if not varied:
        return _single(results)
    figure, ax = figures.panels()
    points = results.get("points") or _points(results, varied)
    for number, point in enumerate(points):
        label = ", ".join(f"{key.replace('_', ' ')} {point[key]:.4g}" for key in varied)
        colour = figures.COLOURS[number] if len(points) <= len(figures.COLOURS) else None
        ax.plot(
            point["time"].values, point["generalization_error"].values, label=label,
            color=colour or _shade(number / max(1, len(points) - 1)),
        )  # fmt: skip
    _error_axis(ax)
    if len(points) <= 12:
        ax.legend()
    return figure


def theory_and_simulation(solution: Solution, measured: Trajectories) -> Figure:
    """The error and the overlaps with the teacher: theory as lines, simulation as bands.

    A band is the mean over replicas and two standard errors about it.  In a notebook the figure shows itself.
    """
    figure, (left, right) = figures.panels(columns=2)
    error = estimate(measured.generalization_error)
    figures.theory_with_simulation(
        left, solution.times, solution["generalization_error"], error.value, error.error,
        simulated_at=measured.time, band=True,
    )  # fmt: skip
    _error_axis(left)
    overlaps = estimate(measured.R)
    for number, (i, n) in enumerate(np.ndindex(solution["R"].shape[1:])):
        figures.theory_with_simulation(
            right, solution.times, solution["R"][:, i, n], overlaps.value[:, i, n], overlaps.error[:, i, n],
            simulated_at=measured.time, band=True, label=f"$R_{{{i + 1}{n + 1}}}$",
            colour=figures.COLOURS[number % len(figures.COLOURS)],
        )  # fmt: skip
    right.set_xlabel("time (steps / N)")
    right.set_ylabel("overlaps with the teacher")
    right.legend(ncols=2)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the name of the file says."""
    if path.suffix == ".svg":
        write_atomically(path, figures.svg(figure, path.stem))
    else:
        write_atomically(path, figures.pdf(figure) if path.suffix == ".pdf" else figures.png(figure))


def _single(results: dict[str, Any]) -> Figure:
    figure, (left, right) = figures.panels(columns=2)
    time = results["time"].values
    left.plot(time, results["generalization_error"].values)
    _error_axis(left)
    for name, colour in (("Q", figures.BLUE), ("R", figures.VERMILION)):
        curves = results[name].values.reshape(len(time), -1)
        right.plot(time, curves, color=colour, lw=1.0)
        right.plot([], [], color=colour, label=f"${name}$")
    right.set_xlabel("time (steps / N)")
    right.set_ylabel("overlaps")
    right.legend()
    return figure


def _points(results: dict[str, Any], varied: Sequence[str]) -> list[dict[str, Any]]:
    """A rectangular sweep as a list of its points, the last key fastest."""
    axes = [results[key].values for key in varied]
    error: Labelled = results["generalization_error"]
    return [
        {
            **{key: axis[place] for key, axis, place in zip(varied, axes, index, strict=True)},
            "time": results["time"],
            "generalization_error": Labelled(("time",), error.values[index]),
        }
        for index in np.ndindex(*(len(axis) for axis in axes))
    ]


def _shade(fraction: float) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](0.9 * fraction)


def _error_axis(ax: Any) -> None:
    ax.set_yscale("log")
    ax.set_xlabel("time (steps / N)")
    ax.set_ylabel("generalization error")
