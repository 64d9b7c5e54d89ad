"""Figs. 1 and 2 of the paper, made anew, and the Hessian beside the rate of escape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from validate.experiments.takagi2020.spectra_points import CHOICES, PRINTED, VANILLA, Point
from validate.report.figures import panels, spectrum_plot
from validate.report.model import Picture

Rows = Mapping[str, Sequence[Point]]


def eigenvalue_figure(values: Sequence[float], rows: Rows, along: str) -> Picture:
    """All eigenvalues of the Hessian against K or tau, without and with batch normalization."""
    figure, axes = panels(columns=2)
    for ax, choice in zip(np.ravel(axes), (VANILLA, PRINTED), strict=True):
        eigenvalues = np.array([p.eigenvalues for p in rows[choice]])
        ax.set_yscale("symlog", linthresh=1e-3)
        labels = [f"$\\lambda_{k + 1}$" for k in range(eigenvalues.shape[1])]
        spectrum_plot(ax, values, eigenvalues, labels=labels, whole=along == "K")
        ax.axhline(0.0, color="0.5", lw=0.6, zorder=0)
        if along == "tau":
            ax.set_xscale("log")
        ax.set(title=choice, xlabel=_label(along), ylabel="eigenvalue of the Hessian")
        ax.legend(ncols=2)
    number, other = ("1", "tau = 1") if along == "K" else ("2", "K = 2")
    return Picture(
        figure,
        f"The paper's Fig. {number}, made anew at {other}: eigenvalues of the Hessian of the generalization "
        "error in (R, S, Q) and (R, S, Q, g), ascending; linear below 0.001. The gradient does not vanish "
        "there, and the lowest eigenvalue keeps R = S.",
    )


def rate_figure(
    students: Sequence[int], along_k: Rows, variances: Sequence[float], along_tau: Rows
) -> Picture:
    """The lowest eigenvalue's size and the rate of escape, for all choices of the norm."""
    figure, axes = panels(columns=2, rows=2, sharex="col")
    for column, (values, rows, along) in enumerate(((students, along_k, "K"), (variances, along_tau, "tau"))):
        for choice, dashes in zip(CHOICES, ("-", "-", "--"), strict=True):
            axes[0, column].plot(values, [-p.most_negative for p in rows[choice]], dashes, label=choice)
            axes[1, column].plot(values, [p.rate for p in rows[choice]], dashes, label=choice)
        for ax in axes[:, column]:
            ax.set(xscale="log", yscale="log")
            if along == "K":
                ax.set_xticks([k for k in (2, 5, 10, 20, 50, 100) if values[0] <= k <= values[-1]])
                ax.xaxis.set_major_formatter("{x:g}")
                ax.xaxis.set_minor_formatter("")
        axes[1, column].set_xlabel(_label(along))
    axes[0, 0].set_ylabel("|lowest eigenvalue|")
    axes[1, 0].set_ylabel("rate of escape")
    axes[0, 0].legend()
    return Picture(
        figure,
        "Above, the size of the Hessian's lowest eigenvalue; below, the rate at which the flow leaves the "
        "plateau, at a learning rate of one. The Hessian steepens with K where escape slows down, and it tells apart "
        "trainings at equal norm that escape at one rate (below, the dashed line covers the first).",
    )


def _label(along: str) -> str:
    return "K" if along == "K" else r"$\tau$"
