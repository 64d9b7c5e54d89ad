"""``orderparams products``: the squared singular values of a product of Gaussian matrices, derived and drawn."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from sympy import log

from derive.products import M, finite_moment, log_cumulant, moment
from derive.products.wick import norm_spread
from numerics.products import ProductLaw
from numerics.runtime.errors import InputError
from numerics.runtime.results import check_writable, stamp, to_json
from validate import statistics
from validate.commands import PLOT_SUFFIXES

ORDERS = tuple(range(1, 7))
FINITE_ORDERS = tuple(range(1, 5))
"""Those that are also given at finite N, where each further one costs much more."""
PROBABILITIES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
ENOUGH = 10
"""Draws for every unit of relative variance."""
LARGEST_EXPONENT = 700.0
GRID = 400
"""Points at which the density is given, equally likely ones."""


def products(arguments: Namespace) -> int:
    """Moments, support, quantiles and density; with ``--size`` also a simulation beside them."""
    if arguments.size is None and (arguments.draws is not None or arguments.seed is not None):
        raise InputError("--draws and --seed go with --size N, the size of the matrices to draw")
    if arguments.plot:
        check_writable(arguments.plot, PLOT_SUFFIXES)
    law = ProductLaw(arguments.factors)
    result = _theory(law)
    drawn = None
    if arguments.size is not None:
        drawn = _draw(arguments)
        result["simulation"] = _compare(law, drawn, arguments.size, arguments.seed or 0)
    result |= stamp()
    if arguments.plot:
        from validate import plots

        plots.save(figure(law, drawn), Path(arguments.plot))
    print(to_json(result) if arguments.format == "json" else _text(result), end="")
    return 0


def _theory(law: ProductLaw) -> dict[str, Any]:
    grid = law.quantile((np.arange(GRID) + 0.5) / GRID)
    return {
        "factors": law.factors,
        "variable": "squared singular values x of X_1 ... X_M, entries of variance 1/N, N = infinity",
        "moments": [int(moment(order, law.factors)) for order in ORDERS],
        "support_end": law.support_end,
        "mean_log": float(log_cumulant(1).subs(M, law.factors)),
        "variance_log": float(log_cumulant(2).subs(M, law.factors)),
        "quantiles": {
            "probability": list(PROBABILITIES), "x": law.quantile(np.array(PROBABILITIES)),
            "log_x": law.log_quantile(np.array(PROBABILITIES)),
        },
        "density": {"x": grid, "density": law.density(grid)},
    }  # fmt: skip


def _draw(arguments: Namespace) -> np.ndarray:
    from validate.simulate.products import squared_singular_values

    return squared_singular_values(
        arguments.factors, arguments.size, arguments.draws or 100, arguments.seed or 0, show=None
    )


def _compare(law: ProductLaw, drawn: np.ndarray, size: int, seed: int) -> dict[str, Any]:
    """Moments beside the exact ones at this N, and the distance to the distribution function at infinite N."""
    draws = len(drawn)
    rows = []
    for order in FINITE_ORDERS:
        each = (drawn**order).mean(axis=1)
        exact = float(finite_moment(order, law.factors, size))
        row: dict[str, Any] = {"order": order, "exact": exact, "measured": float(each.mean())}
        needed = draws_needed(order, law.factors, size)
        if needed > draws:
            row["draws_needed"] = needed
        elif draws > 1:
            found = statistics.estimate(each)
            row |= {"standard_error": float(found.error), "z": float(statistics.z_score(found, exact))}
        rows.append(row)
    return {
        "size": size, "draws": draws, "seed": seed, "moments": rows,
        "kolmogorov_distance": kolmogorov_distance(law, drawn),
        "lost_to_rounding": float((drawn <= rounding(drawn)).mean()),
    }  # fmt: skip


def rounding(drawn: np.ndarray) -> float:
    """The x up to which drawn values (draw, N), descending, may be rounding: that of their decomposition, N eps
    relative to the largest singular value."""
    largest = float(drawn[:, 0].max())
    if largest == 0:
        raise InputError(
            "all singular values are below what a floating-point number holds; take fewer factors or larger matrices"
        )
    return (drawn.shape[1] * float(np.finfo(float).eps)) ** 2 * largest


def draws_needed(order: int, factors: int, size: int) -> float:
    """About how many draws a mean of x^order needs before its standard error means something.

    From the exact spread of the mean of x, scaled to its powers as if it were log-normal, which the norm of a deep
    product becomes: the means are then decided by draws that are rare.
    """
    exponent = order**2 * float(log(1 + norm_spread(factors, size)).evalf())
    return ENOUGH * math.expm1(exponent) if exponent < LARGEST_EXPONENT else math.inf


def kolmogorov_distance(law: ProductLaw, drawn: np.ndarray) -> float:
    """The largest difference between the distribution of all drawn values (draw, N) and the derived one, where
    values are not rounding."""
    values = np.sort(drawn, axis=None)
    lost = int((values <= rounding(drawn)).sum())
    derived = law.distribution(values[lost:])
    steps = np.arange(lost, len(values) + 1) / len(values)
    return float(max((steps[1:] - derived).max(), (derived - steps[:-1]).max()))


def figure(law: ProductLaw, drawn: np.ndarray | None) -> Any:
    """The density of singular values and the distribution function of log10 x; drawn values beside them."""
    from validate.report import figures

    fig, (left, right) = figures.panels(columns=2)
    grid = law.quantile(np.linspace(0.0, 1.0, 2001)[1:-1])
    sigma = np.sqrt(grid)
    left.plot(sigma, 2 * sigma * law.density(grid), label="derived")
    left.set_ylim(0, min(3.0, 1.1 * float((2 * sigma * law.density(grid)).max())))
    right.plot(np.log10(grid), law.distribution(grid), label="derived")
    if drawn is not None:
        left.hist(
            np.sqrt(drawn).ravel(), bins=80, density=True, color=figures.SKY, alpha=0.4, label="drawn"
        )
        values = np.sort(drawn, axis=None)
        shown = values > rounding(drawn)
        right.plot(
            np.log10(values[shown]), ((np.arange(len(values)) + 0.5) / len(values))[shown], "--",
            color=figures.VERMILION, label="drawn",
        )  # fmt: skip
    left.set_xlabel(r"singular value $\sigma$")
    left.set_ylabel("density")
    right.set_xlabel(r"$\log_{10} x$, $x = \sigma^2$")
    right.set_ylabel("distribution function")
    left.set_title(f"$M = {law.factors}$")
    left.legend()
    right.legend(loc="upper left")
    return fig


def _text(result: dict[str, Any]) -> str:
    lines = [
        f"product of {result['factors']} matrices: {result['variable']}",
        f"moments of order 1 to {len(result['moments'])}: {', '.join(map(str, result['moments']))}",
        f"support: 0 to {result['support_end']:.12g}",
        f"log x: mean {result['mean_log']:.12g}, standard deviation {math.sqrt(result['variance_log']):.12g}",
        "quantiles:",
    ]
    quantiles = result["quantiles"]
    lines += [
        f"  {p:<5g} {x:.12g}" if x > 0 else f"  {p:<5g} e^{log_x:.8g}"
        for p, x, log_x in zip(*quantiles.values(), strict=True)
    ]
    simulation = result.get("simulation")
    if simulation is not None:
        lines.append(f"drawn: {simulation['draws']} products of size N = {simulation['size']}")
        for row in simulation["moments"]:
            error = f" ± {row['standard_error']:.2g} (z {row['z']:+.1f})" if "z" in row else ""
            if "draws_needed" in row:
                needed = row["draws_needed"]
                take = f"take {needed:.1g} or more" if needed < math.inf else "more than can be made"
                error = f" (decided by rare draws: {take})"
            lines.append(
                f"  moment {row['order']}: exact at this N {row['exact']:.8g}, "
                f"measured {row['measured']:.8g}{error}"
            )
        lines.append(
            f"  distance of the distribution functions, infinite N: {simulation['kolmogorov_distance']:.3g}"
        )
        if simulation["lost_to_rounding"]:
            lines.append(f"  smallest values lost to rounding, left out: {simulation['lost_to_rounding']:.1%}")
    return "\n".join(lines) + "\n"

