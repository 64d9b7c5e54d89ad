"""Figures of products of Gaussian matrices: Figs 8, 9 and 20 of the paper, and what they do not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from derive.products.density import condition_exponent, edge_width
from derive.products.exponents import log_condition_rate
from numerics.products import ProductLaw
from numerics.tracy_widom import mean_and_deviation
from validate import statistics
from validate.experiments.bjorck2018.products_checks import log_condition, scaled_end
from validate.experiments.bjorck2018.products_draws import Spectra
from validate.report.figures import COLOURS, FAINT, panels, trend
from validate.report.model import Picture

if TYPE_CHECKING:
    from validate.experiments.bjorck2018.products import Settings

SHOWN = (1, 2, 3, 5, 8)
"""Numbers of factors in Figure 8."""


def figures(
    settings: Settings, spectra: Spectra, large: Mapping[int, np.ndarray], log_kappa: np.ndarray
) -> dict[str, Picture]:
    """Density curves, histograms, and the growth of the extremes."""
    return {
        "product-densities": _densities(),
        "product-histograms": _histograms(large),
        "product-extremes": _extremes(settings, spectra),
        "product-conditioning": _conditioning(settings, spectra, log_kappa),
    }


def _densities() -> Picture:
    figure, (left, right) = panels(2)
    for colour, factors in zip(COLOURS, SHOWN, strict=False):
        law = ProductLaw(factors)
        x = law.quantile(np.linspace(0, 1, 4001)[1:])
        sigma = np.sqrt(x)
        left.plot(sigma, 2 * sigma * law.density(x), color=colour, label=f"$M = {factors}$")
        tail = law.quantile(1 - np.geomspace(1e-9, 1, 2000)[:-1])
        right.plot(tail, 1 - law.distribution(tail), color=colour)
    left.set_xlabel(r"singular value $\sigma$")
    left.set_ylabel(r"density $2\sigma\rho_M(\sigma^2)$")
    left.set_ylim(0, 1.5)
    left.legend()
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlim(1e-3, 30)
    right.set_ylim(1e-5, 1.2)
    right.set_xlabel(r"$x = \sigma^2$")
    right.set_ylabel("probability above $x$")
    return Picture(
        figure,
        "Figure 8. Left: derived densities of the singular value; all have the mean square 1. Right: the tail of its "
        "square. Heavier with every factor, and bounded at every M.",
    )


def _histograms(large: Mapping[int, np.ndarray]) -> Picture:
    figure, axes = panels(len(large), height=2.8)
    for ax, colour, (factors, x) in zip(axes, COLOURS, large.items(), strict=False):
        law = ProductLaw(factors)
        sigma = np.sqrt(x).ravel()
        ax.hist(sigma, bins=60, range=(0, law.support_end**0.5), density=True, color=colour, alpha=0.3)
        grid = law.quantile(np.linspace(0, 1, 2001)[1:])
        ax.plot(np.sqrt(grid), 2 * np.sqrt(grid) * law.density(grid), color=colour)
        printed = grid[grid < law.support_end]
        ax.plot(printed, law.density(printed), color=FAINT, lw=1.0, ls=":")
        ax.set_xlim(0, 1.05 * law.support_end**0.5)
        ax.set_ylim(0, min(1.3, 1.3 * float((2 * np.sqrt(grid) * law.density(grid)).max())))
        ax.set_title(f"$M = {factors}$")
        ax.set_xlabel(r"singular value $\sigma$")
    axes[0].set_ylabel("density")
    size, draws = next(iter(large.values())).shape[1], len(next(iter(large.values())))
    return Picture(
        figure,
        f"Figure 9. Singular values of {draws} products of size {size}, all runs together. Lines: the derived density "
        "of singular values. Dotted: the printed density, read as one of singular values as the theorem says.",
    )


def _extremes(settings: Settings, spectra: Spectra) -> Picture:
    figure, (left, right) = panels(2)
    size = settings.sizes[-1]
    many = np.arange(1, max(settings.factors) + 1)
    ends = np.array([ProductLaw(int(m)).support_end for m in many])
    widths = np.array([float(edge_width(size, int(m))) for m in many])
    left.plot(many, ends, color=FAINT, lw=1.2, label=r"$N = \infty$")
    left.plot(many, ends + mean_and_deviation(1)[0] * widths, color=FAINT, lw=1.2, ls="--",
              label=f"with the fluctuations at $N = {size}$")  # fmt: skip
    found = [statistics.estimate(spectra[m, size][:, 0]) for m in settings.factors]
    left.errorbar(
        settings.factors, [float(e.value) for e in found], [2 * float(e.error) for e in found], fmt="o", ms=5,
        mfc="white", label="drawn",
    )  # fmt: skip
    left.set_xticks(many)
    left.legend()
    left.set_xlabel("number of factors $M$")
    left.set_ylabel(rf"largest $x = \sigma^2$, $N = {size}$")
    inverse = np.array([n ** (-1 / 3) for n in settings.sizes])
    for shift, (colour, m) in enumerate(zip(COLOURS, settings.factors, strict=False)):
        scaled = [scaled_end(spectra, m, n) for n in settings.sizes]
        trend(
            right, inverse + 0.002 * shift, [float(e.value) for e in scaled], [float(e.error) for e in scaled],
            label=f"$M = {m}$", colour=colour,
        )  # fmt: skip
    right.axhline(mean_and_deviation(1)[0], color=FAINT, lw=1.2)
    right.set_xlim(-0.01, 1.1 * float(inverse.max()))
    right.set_xlabel(r"$N^{-1/3}$")
    right.set_ylabel(r"mean of $\ln(x_{\max}/x_{\mathrm{end}})$/width")
    right.legend()
    return Picture(
        figure,
        "Left: mean largest squared singular value, beside what is derived. Right: its logarithm beside that of the "
        "end, in units of the derived width, with two standard errors; the line is the mean of the Tracy-Widom law.",
    )


def _conditioning(settings: Settings, spectra: Spectra, log_kappa: np.ndarray) -> Picture:
    figure, (left, right) = panels(2)
    for colour, m in zip(COLOURS, settings.factors, strict=False):
        kappa = [statistics.estimate(log_condition(spectra[m, n])) for n in settings.sizes]
        values = np.array([float(e.value) for e in kappa])
        left.errorbar(settings.sizes, values, [2 * float(e.error) for e in kappa], fmt="o", ms=5, mfc="white",
                      color=colour, label=f"$M = {m}$")  # fmt: skip
        slope = float(condition_exponent(m)) * np.log(settings.sizes)
        left.plot(settings.sizes, slope + (values - slope).mean(), color=colour, lw=1.0)
    left.set_xscale("log")
    left.set_xticks(settings.sizes, [str(n) for n in settings.sizes])
    left.set_xticks([], minor=True)
    left.set_xlabel("size $N$")
    left.set_ylabel(r"mean $\ln(\sigma_{\max}/\sigma_{\min})$")
    left.legend()
    depth = np.arange(1, log_kappa.shape[1] + 1)
    found = statistics.estimate(log_kappa)
    right.errorbar(depth, found.value, 2 * found.error, fmt="o", ms=3, mfc="white", color=COLOURS[0],
                   label=f"drawn, $N = {settings.depth_size}$")  # fmt: skip
    rate = float(log_condition_rate(settings.depth_size))
    slope = float(condition_exponent(1)) * np.log(settings.depth_size)
    start = float(found.value[0])
    right.plot(depth, start + (depth - 1) * slope / 2, color=FAINT, lw=1.0, ls="--",
               label=r"$N^{1/2}$ a factor, $M \ll N$")  # fmt: skip
    right.plot(depth, float(found.value[-1]) + (depth - depth[-1]) * rate, color=FAINT, lw=1.0,
               label=r"Lyapunov exponents, $M \gg N$")  # fmt: skip
    right.set_xlabel("number of factors $M$")
    right.set_ylabel(r"mean $\ln(\sigma_{\max}/\sigma_{\min})$")
    right.legend()
    return Picture(
        figure,
        "The condition number. Left: against N, with lines of the derived slope (M + 1)/2. Right: against depth, as in "
        "Figure 20; the slopes of the two lines are derived for few and for many factors.",
    )
