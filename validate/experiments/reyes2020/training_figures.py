"""The pictures of the experiment on training: convergence, and the last layer's spectrum over epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from validate.report.figures import BLUE, VERMILION, panels
from validate.report.model import Picture

if TYPE_CHECKING:
    from validate.experiments.reyes2020.training import Case, Settings

LOOKS = {"none": (VERMILION, "without normalization"), "batch": (BLUE, "with normalization")}


def convergence_figure(settings: Settings, cases: list[Case]) -> Picture:
    """Figures 1, 2, 4-7 of the paper: validation accuracy and training loss against the epoch."""
    shown = [case for case in cases if case.decay == settings.decays[0]]
    figure, axes = panels(len(shown), 2, height=5.6, sharex=True, sharey="row")
    axes = np.reshape(axes, (2, len(shown)))
    for column, case in enumerate(shown):
        for network, (colour, label) in LOOKS.items():
            record = case.runs[network]
            for ax, values in (
                (axes[0, column], record["accuracy"][:, :, 1]),
                (axes[1, column], record["loss"][:, :, 0]),
            ):
                ax.plot(values.mean(axis=0), color=colour, label=label)
                ax.fill_between(
                    np.arange(values.shape[1]),
                    values.min(axis=0),
                    values.max(axis=0),
                    color=colour,
                    alpha=0.2,
                    lw=0,
                )
        axes[0, column].set_title(f"learning rate {case.rate:g}")
        axes[1, column].set_yscale("log")
        axes[1, column].set_xlabel("epoch")
    axes[0, 0].set_ylabel("validation accuracy")
    axes[1, 0].set_ylabel("training loss")
    axes[0, -1].legend(loc="lower right")
    return Picture(
        figure,
        f"Convergence at L2 {settings.decays[0]:g}: mean over {len(settings.seeds)} seeds and the range of all "
        "of them, predictions with the statistics of the training set.",
    )


def spectrum_figure(settings: Settings, cases: list[Case]) -> Picture:
    """Figures 3 and 8 of the paper: lambda_1 and lambda_1 / lambda_10 over epochs."""
    shown = [case for case in cases if case.decay == settings.decays[0]]
    figure, axes = panels(len(shown), 2, height=5.6, sharex=True, sharey="row")
    axes = np.reshape(axes, (2, len(shown)))
    for column, case in enumerate(shown):
        for network, (colour, label) in LOOKS.items():
            for ax, values in (
                (axes[0, column], case.largest(network)),
                (axes[1, column], case.pseudo_condition(network)),
            ):
                ax.plot(settings.recorded, np.exp(np.log(values).mean(axis=0)), "o-", mfc="white", ms=4,
                        color=colour, label=label)  # fmt: skip
                ax.fill_between(
                    settings.recorded, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, lw=0
                )
        axes[0, column].set_title(f"learning rate {case.rate:g}")
        for ax in axes[:, column]:
            ax.set_yscale("log")
        axes[1, column].set_xlabel("epoch")
    axes[0, 0].set_ylabel("$\\lambda_1$")
    axes[1, 0].set_ylabel("$\\lambda_1/\\lambda_{10}$")
    axes[0, -1].legend()
    return Picture(
        figure,
        "The exact Hessian of the training loss in the last layer's weights: its largest eigenvalue, and the "
        f"pseudo-condition number. Geometric mean over {len(settings.seeds)} seeds and the range of all of them.",
    )
