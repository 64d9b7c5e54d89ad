"""The figure of the experiment on sampling and the end of interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from numerics.replica.solve import Solution
from validate.experiments.comparison import Comparison
from validate.experiments.luo2019.generalization import replaced
from validate.report.model import Check, Picture

if TYPE_CHECKING:
    from validate.experiments.luo2019.replica import Settings


def figure(
    settings: Settings, exact: Sequence[Solution], comparisons: Sequence[Comparison], shares: np.ndarray,
    end: Check,
) -> Picture:  # fmt: skip
    """Errors and the overlap of replicas by temperature, and the share of sets that can be interpolated."""
    from validate.report.figures import BLUE, COLOURS, FAINT, VERMILION, panels

    picture, axes = panels(3, 1, height=3.4)
    finite = [s for s in exact if np.isfinite(s.beta)]
    betas = [s.beta for s in finite]
    papers = [replaced(s) for s in finite]
    for ax, entry, title, ours, theirs in (
        (axes[0], 4, "generalization error", [s.generalization_error for s in finite], [p["error"] for p in papers]),
        (axes[1], 1, "overlap of replicas $q$", [s.q for s in finite], [p["q"] for p in papers]),
    ):  # fmt: skip
        ax.plot(betas, ours, color=BLUE, label="exact")
        ax.plot(betas, theirs, color=VERMILION, ls="--", label="the paper's replacement")
        limits = [c.limit.limit for c in comparisons]
        ax.errorbar(
            settings.betas, [e.value[0, entry] for e in limits], [2 * e.error[0, entry] for e in limits],
            fmt="o", ms=4, mfc="white", color=BLUE, label="sampled", zorder=3,
        )  # fmt: skip
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel(r"inverse temperature $\beta$")
        ax.set_title(title)
    axes[0].legend(fontsize=8)
    spread = np.sqrt(shares * (1 - shares) / settings.end_sets)
    axes[2].errorbar(settings.ends, shares, 2 * spread, fmt="o-", ms=4, mfc="white", color=COLOURS[2])
    axes[2].axvline(end.predicted, color=BLUE, label="derived end")
    axes[2].axhline(0.5, color=FAINT, lw=0.6)
    axes[2].set_xlabel(r"load $\alpha$")
    axes[2].set_title("share of sets interpolated")
    axes[2].legend(fontsize=8)
    return Picture(
        picture,
        f"A ReLU student at alpha = {settings.load:g}, ridge {settings.ridge:g}, S = {settings.noise:g}: the exact "
        "replica-symmetric theory, the paper's replacement with the same prior, and Hamiltonian Monte Carlo "
        f"extrapolated to infinite N. Right: the share of {settings.end_sets} sets that can be interpolated at N = "
        f"{settings.end_size}, one half at {end.measured:.3f}. Bars two standard errors.",
    )
