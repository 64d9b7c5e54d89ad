"""Experiment: products of Gaussian matrices, drawn, against what is derived about them (Theorem 1, Figs 8, 9, 20)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from derive.products import spectral_law
from derive.products.limit import moments as planar_moments
from numerics.products import ProductLaw
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.bjorck2018 import products_checks as checks
from validate.experiments.bjorck2018 import products_figures as figures
from validate.experiments.bjorck2018.products_draws import Spectra, draw_extremes, draw_spectra
from validate.experiments.judging import judge
from validate.products import kolmogorov_distance
from validate.report.model import ExperimentResult, Finding, Table


@dataclass(frozen=True)
class Settings:
    """``draws`` products at each of ``sizes`` for every number of ``factors``; ``large_draws`` of ``large_size`` as
    in Figure 9; and ``deep_draws`` products of up to ``depths`` factors at each of ``deep_sizes``, of which the
    first factors of the largest size are followed one by one."""

    factors: tuple[int, ...] = (1, 2, 3, 5)
    sizes: tuple[int, ...] = (50, 100, 200, 400)
    draws: tuple[int, ...] = (8000, 4000, 1500, 400)
    large_factors: tuple[int, ...] = (1, 2, 3)
    large_size: int = 1000
    large_draws: int = 10
    deep_sizes: tuple[int, ...] = (2, 5, 10)
    depths: tuple[int, ...] = (200, 300, 400)
    deep_draws: tuple[int, ...] = (4000, 2000, 1000)
    depth: int = 30
    depth_size: int = 100
    depth_draws: int = 100


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Draw everything, then compare."""
    spectra = draw_spectra(
        context,
        {(m, n): s for m in settings.factors for n, s in zip(settings.sizes, settings.draws, strict=True)},
    )
    large = {
        m: x
        for (m, _), x in draw_spectra(
            context, {(m, settings.large_size): settings.large_draws for m in settings.large_factors}
        ).items()
    }
    deep = draw_extremes(
        context,
        {
            (m, n): s
            for m, n, s in zip(settings.depths, settings.deep_sizes, settings.deep_draws, strict=True)
        },
    )
    followed = draw_extremes(context, {(settings.depth, settings.depth_size): settings.depth_draws})
    log_kappa = followed[settings.depth_size][..., 0] - followed[settings.depth_size][..., 1]
    cases = [
        *checks.moments(spectra, settings.sizes[0]), *checks.shares(spectra), *checks.edges(spectra),
        *checks.condition_powers(spectra), *checks.growth(deep),
    ]  # fmt: skip
    found = (*checks.kolmogorov(large), *checks.judge(cases))
    findings = (
        _practical(settings, large), _variable(large), _largest(settings, spectra), _tails(large),
        _condition(settings, log_kappa),
    )  # fmt: skip
    return context.result(
        _answer(found, large), checks=found, findings=findings,
        equations=(planar_moments(), *spectral_law().equations()),
        figures=figures.figures(settings, spectra, large, log_kappa), tables=(_table(settings, spectra),),
        seeds={"of a piece": f"{checks.NAME}: 4 pieces a case, numbered from 4 times the number of factors"},
    )  # fmt: skip


def _answer(found: tuple[checks.Check, ...], large: Mapping[int, np.ndarray]) -> str:
    right = sum(check.passed is True for check in found)
    worst = max(kolmogorov_distance(ProductLaw(m), x) for m, x in large.items())
    size = next(iter(large.values())).shape[1]
    return (
        f"{right} of {len(found)} derived numbers agree with the drawn matrices: moments at finite N, distribution "
        "function, end of the support and fluctuations there, growth of the condition number with N and with depth. "
        f"At N = {size} the distribution functions of squared singular values differ by at most {worst:.1g}."
    )


def _practical(settings: Settings, large: Mapping[int, np.ndarray]) -> Finding:
    """All runs together, and every single one, against the bound for independent values."""
    runs = sum(len(x) for x in large.values())
    level = statistics.FAMILY_LEVEL / (runs + len(large))
    pooled = {m: kolmogorov_distance(ProductLaw(m), x) for m, x in large.items()}
    single = {m: max(kolmogorov_distance(ProductLaw(m), each[None]) for each in x) for m, x in large.items()}
    bounds = {m: checks.dkw_bound(x.size, level) for m, x in large.items()}
    bound = checks.dkw_bound(settings.large_size, level)
    together = all(pooled[m] <= bounds[m] for m in large)
    alike = all(each <= bound for each in single.values())
    return Finding(
        "bjorck2018.claim-practical-size",
        "matrices of practical size (N = 1000) are distributed alike, and single runs look similar (Figure 9)",
        f"At N = {settings.large_size} the distribution function of {settings.large_draws} runs together is within "
        f"{max(pooled.values()):.1g} of the derived one, that of any single run within {max(single.values()):.1g} "
        f"(bounds {max(bounds.values()):.2g} and {bound:.2g}) - for squared singular values.",
        "confirmed" if together and alike else "conditional" if together or alike else "refuted",
        {"criterion": "Dvoretzky, Kiefer, Wolfowitz at family-wise level 1 %: confirmed if both hold",
         "all runs": pooled, "farthest single run": single, "bound": bound, "bounds for all runs": bounds},
    )  # fmt: skip


def _variable(large: Mapping[int, np.ndarray]) -> Finding:
    """Which variable the printed density is a density of."""
    squared = {m: kolmogorov_distance(ProductLaw(m), x) for m, x in large.items()}
    plain = {m: kolmogorov_distance(ProductLaw(m), np.sqrt(x)) for m, x in large.items()}
    level = statistics.single_level(2 * len(large))
    bounds = {m: checks.dkw_bound(x.size, level) for m, x in large.items()}
    right = all(squared[m] <= bounds[m] for m in large)
    wrong = all(plain[m] > bounds[m] for m in large)
    return Finding(
        "bjorck2018.theorem1-variable",
        "(5) is the density of the singular values of X",
        f"Singular values are off the printed law by {min(plain.values()):.2g} to {max(plain.values()):.2g} in the "
        f"distribution function, their squares by at most {max(squared.values()):.1g}.",
        "misprint" if right and wrong else "confirmed" if not wrong else "refuted",
        {"criterion": "distance from the printed law, against the bound for independent values",
         "singular values": plain, "squared singular values": squared, "bounds": bounds},
    )  # fmt: skip


def _largest(settings: Settings, spectra: Spectra) -> Finding:
    """Powers of M in the mean largest singular value and its square, between the fewest and the most factors.

    For few factors x_max = (M + 1)^(M + 1)/M^M is not yet e M, so a power of 1 or 1/2 in (M + 1/2), which is e M
    up to 1/M^2, is what the limit would leave.
    """
    few, many, size = min(settings.factors), max(settings.factors), settings.sizes[-1]
    over = np.log((2 * many + 1) / (2 * few + 1))
    power = {}
    for name, root in (("sigma_max^2", 1.0), ("sigma_max", 0.5)):
        ends = [statistics.estimate(root * np.log(spectra[m, size][:, 0])) for m in (many, few)]
        difference = ends[0] - ends[1]
        power[name] = (float(difference.value / over), float(difference.error / over))
    plain, error = power["sigma_max"]
    square, square_error = power["sigma_max^2"]
    linear = abs(plain - 1) < 5 * error
    return Finding(
        "bjorck2018.claim-largest",
        "the largest singular value scales as O(M) for large matrices",
        f"Between {few} and {many} factors of size {size} it grows as (M + 1/2)^{plain:.3f} (standard error "
        f"{error:.3f}), its square as (M + 1/2)^{square:.3f} ({square_error:.3f}).",
        "confirmed" if linear else "conditional" if abs(square - 1) < 0.1 else "refuted",
        {"criterion": "confirmed if the power is 1 within five errors, conditional if that of the square is within "
                      "0.1", "power and its error": power},
    )  # fmt: skip


def _tails(large: Mapping[int, np.ndarray]) -> Finding:
    kurtosis = {m: statistics.estimate((x**2).mean(axis=1) / x.mean(axis=1) ** 2) for m, x in large.items()}
    order = sorted(large)
    steps = judge({
        f"{one} to {other} factors": (large[other] ** 2).mean(axis=1) / large[other].mean(axis=1) ** 2
        - (large[one] ** 2).mean(axis=1) / large[one].mean(axis=1) ** 2
        for one, other in pairwise(order)
    })  # fmt: skip
    words = ", ".join(f"{kurtosis[m].value:.3f} ± {kurtosis[m].error:.3f} (M = {m})" for m in order)
    return Finding(
        "bjorck2018.claim-heavier-tails",
        "the distribution becomes more heavy-tailed the more matrices are multiplied (Figure 8)",
        f"<sigma^4>/<sigma^2>^2 is {words}; it grows {steps.where()}.",
        steps.verdict,
        {"kurtosis": {m: [float(k.value), float(k.error)] for m, k in kurtosis.items()}},
    )


def _condition(settings: Settings, log_kappa: np.ndarray) -> Finding:
    """Whether every further factor makes it larger, on average over products that share the earlier factors."""
    steps = judge({f"{m} to {m + 1} factors": log_kappa[:, m] - log_kappa[:, m - 1]
                   for m in range(1, log_kappa.shape[1])})  # fmt: skip
    mean = log_kappa.mean(axis=0) / np.log(10)
    depth = log_kappa.shape[1]
    return Finding(
        "bjorck2018.claim-condition-measured",
        "the condition number of a product grows with the number of factors (Figure 20, not given)",
        f"At N = {settings.depth_size} its mean logarithm grows {steps.where()}: from 10^{mean[0]:.1f} for one "
        f"factor to 10^{mean[depth // 2 - 1]:.1f} for {depth // 2} and 10^{mean[-1]:.1f} for {depth}.",
        steps.verdict,
        {"draws": settings.depth_draws, "mean log10 by number of factors": mean.tolist()},
    )  # fmt: skip


def _table(settings: Settings, spectra: Spectra) -> Table:
    rows = []
    for m in settings.factors:
        for n in settings.sizes:
            x = spectra[m, n]
            largest, kappa = statistics.estimate(x[:, 0]), statistics.estimate(checks.log_condition(x))
            words = [f"{each.value:.4f} ± {each.error:.4f}" for each in (largest, kappa)]
            rows.append((m, n, len(x), f"{ProductLaw(m).support_end:.4f}", *words))
    return Table(
        "The largest squared singular value beside the end of the support at N = infinity, and the condition number",
        ("M", "N", "draws", "end", "largest x", "log(sigma_max/sigma_min)"),
        tuple(rows),
    )


EXPERIMENT = Experiment(
    title="Products of Gaussian matrices",
    question="How are the singular values of a deep linear network distributed at initialization?",
    run=run,
    full=Settings(),
    quick=Settings(
        factors=(1, 2, 3), sizes=(50, 100, 200), draws=(2000, 1000, 300), large_draws=10, large_size=500,
        depths=(100, 150, 200), deep_draws=(1000, 500, 250), depth=12, depth_draws=40,
    ),
)  # fmt: skip
