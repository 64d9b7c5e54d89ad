"""What is derived about products of Gaussian matrices, against the matrices that were drawn.

Every comparison is a ``Case``: a derived number, its measured mean with a standard error, and the wrong
numbers that it would have noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from derive.products import finite_moment, lyapunov_exponent, mean_log_determinant, moment
from derive.products.density import condition_exponent, edge_width, upper_end
from derive.products.exponents import log_condition_rate
from numerics.products import ProductLaw
from numerics.tracy_widom import mean_and_deviation
from validate import statistics
from validate.experiments.bjorck2018.products_draws import Spectra
from validate.products import kolmogorov_distance
from validate.report.model import Check

ORDERS = (1, 2, 3, 4)
PROBABILITIES = (0.1, 0.25, 0.5, 0.75, 0.9)
NAME = "bjorck2018.products"


@dataclass(frozen=True)
class Case:
    """A derived number beside a measured one."""

    name: str
    statement: str
    predicted: float
    measured: statistics.Estimate
    wrong: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)


def judge(cases: Sequence[Case], experiment: str = NAME) -> list[Check]:
    """t-tests of all cases of an experiment together."""
    z = [float(statistics.z_score(case.measured, case.predicted)) for case in cases]
    p = [float(statistics.p_value(s, c.measured.degrees)) for s, c in zip(z, cases, strict=True)]
    rejected, level = statistics.holm(np.array(p)), statistics.single_level(len(cases))
    return [
        Check(
            name=f"{experiment}: {case.name}", statement=case.statement, predicted=case.predicted,
            measured=float(case.measured.value), standard_error=float(case.measured.error),
            criterion=f"t-tests, Holm over {len(cases)} checks at family-wise level {statistics.FAMILY_LEVEL:g}",
            passed=not bool(rejected[number]), z=z[number], p_value=p[number],
            power={
                name: float(
                    statistics.power(value - case.predicted, case.measured.error, level, case.measured.degrees)
                )
                for name, value in case.wrong.items()
            },
            details=case.details,
        )
        for number, case in enumerate(cases)
    ]  # fmt: skip


def moments(spectra: Spectra, size: int) -> Iterator[Case]:
    """Exact moments and mean logarithms at finite N."""
    for (factors, n), x in spectra.items():
        if n != size:
            continue
        for order in ORDERS:
            exact = float(finite_moment(order, factors, n))
            planar = float(moment(order, factors))
            yield Case(
                f"moment {order}, M = {factors}, N = {n}",
                f"the mean of (1/N) tr (X X^T)^{order} for M = {factors} of size {n}, exactly",
                exact, statistics.estimate((x**order).mean(axis=1)),
                {} if planar == exact else {"N = infinity": planar},
            )  # fmt: skip
        exact = float(mean_log_determinant(factors, n))
        yield Case(
            f"mean logarithm, M = {factors}, N = {n}",
            f"the mean of (1/N) log det X X^T for M = {factors} of size {n}, exactly",
            exact, statistics.estimate(np.log(x).mean(axis=1)), {"N = infinity": -float(factors)},
        )  # fmt: skip


def shares(spectra: Spectra) -> Iterator[Case]:
    """Shares of singular values below derived quantiles, extrapolated in 1/N."""
    for factors, sizes in _sizes(spectra).items():
        quantiles = ProductLaw(factors).quantile(np.array(PROBABILITIES))
        found = [
            statistics.estimate((spectra[factors, n][..., None] <= quantiles).mean(axis=1)) for n in sizes
        ]
        line = _extrapolate(sizes, found)
        scaled = ProductLaw(factors).distribution(quantiles / 1.05)
        for place, probability in enumerate(PROBABILITIES):
            yield Case(
                f"distribution function {probability:g}, M = {factors}",
                f"the share of x below its derived {probability:g}-quantile, M = {factors}, N to infinity",
                probability, _one(line, place), {"x too small by 5 %": float(scaled[place])},
                {"sizes": sizes, "goodness of the line in 1/N": float(line.goodness[place])},
            )  # fmt: skip


def edges(spectra: Spectra) -> Iterator[Case]:
    """The largest x at its derived end, in units of its derived width: the mean of the Tracy-Widom law.

    Of its logarithm, which has the same limit: factors multiply, and what is left at finite N is then closest to a line
    in N^(-1/3) at any number of factors (with x itself, five factors extrapolate to -1.51 from sizes up to 400).
    """
    real, _ = mean_and_deviation(1)
    complex_, _ = mean_and_deviation(2)
    for factors, sizes in _sizes(spectra).items():
        end = float(upper_end(factors))
        found = [scaled_end(spectra, factors, n) for n in sizes]
        line = _extrapolate([n ** (1 / 3) for n in sizes], found)
        yield Case(
            f"largest value, M = {factors}",
            f"log(x_max/{end:.6g}) over the relative width, M = {factors}, N to infinity, has the mean of the "
            "Tracy-Widom law of real matrices",
            real, _one(line), {"no fluctuations": 0.0, "complex matrices": complex_},
            {"sizes": sizes, "goodness of the line in N^(-1/3)": float(line.goodness)},
        )  # fmt: skip


def condition_powers(spectra: Spectra) -> Iterator[Case]:
    """The power of N in the condition number: slope of the mean log kappa against log N."""
    for factors, sizes in _sizes(spectra).items():
        found = [statistics.estimate(log_condition(spectra[factors, n])) for n in sizes]
        slope, goodness = _slope(np.log(sizes), found)
        power = float(condition_exponent(factors))
        yield Case(
            f"condition number against N, M = {factors}",
            f"log kappa for M = {factors} grows as {power:g} log N",
            power, slope, {"the power of one factor less": power - 0.5, "N^M": float(factors)} if factors > 1
            else {"sqrt N": 0.5}, {"sizes": sizes, "goodness of the line in log N": goodness},
        )  # fmt: skip


def growth(extremes: Mapping[int, np.ndarray]) -> Iterator[Case]:
    """Growth of log sigma_max and log kappa with every further factor, over the second half of the depth."""
    for size, logarithms in extremes.items():
        depth = logarithms.shape[1]
        late = (logarithms[:, -1] - logarithms[:, depth // 2 - 1]) / (depth - depth // 2)
        exponent, rate = float(lyapunov_exponent(1, size)), float(log_condition_rate(size))
        wide = {"the growth of wide matrices, none": 0.0}
        yield Case(
            f"largest value with depth, N = {size}",
            f"log sigma_max grows by the largest Lyapunov exponent a factor, N = {size}",
            exponent, statistics.estimate(late[:, 0]), wide, {"factors": [depth // 2, depth]},
        )  # fmt: skip
        yield Case(
            f"condition number with depth, N = {size}",
            f"log kappa grows by the difference of the outer Lyapunov exponents a factor, N = {size}",
            rate, statistics.estimate(late[:, 0] - late[:, 1]), {"twice log sigma_max": 2 * exponent},
            {"factors": [depth // 2, depth]},
        )  # fmt: skip


def scaled_end(spectra: Spectra, factors: int, size: int) -> statistics.Estimate:
    """log(x_max/end), over width/end."""
    end = float(upper_end(factors))
    logarithms = np.log(spectra[factors, size][:, 0] / end)
    return statistics.estimate(logarithms * end / float(edge_width(size, factors)))


def log_condition(x: np.ndarray) -> np.ndarray:
    """log of the condition number of every draw, from squared singular values (draw, N), descending."""
    return 0.5 * np.log(x[:, 0] / x[:, -1])


def kolmogorov(large: Mapping[int, np.ndarray]) -> list[Check]:
    """The distance of all drawn values from the derived distribution function, against the bound for independent
    ones (Dvoretzky, Kiefer, Wolfowitz), which holds for values that repel with room to spare."""
    checks = []
    for factors, x in large.items():
        bound = dkw_bound(x.size, statistics.single_level(len(large)))
        law = ProductLaw(factors)
        wrong = {
            "x as the singular value itself": np.sqrt(x),
            "entries of twice the variance (He)": x * 2.0**factors,
        }
        distances = {name: kolmogorov_distance(law, values) for name, values in wrong.items()}
        distances["one factor more"] = kolmogorov_distance(ProductLaw(factors + 1), x)
        distance = kolmogorov_distance(law, x)
        checks.append(
            Check(
                name=f"{NAME}: distribution of x, M = {factors}, N = {x.shape[1]}",
                statement=f"{x.shape[0]} products with M = {factors} of size {x.shape[1]} follow the derived law",
                predicted=0.0, measured=distance, passed=distance <= bound,
                criterion=f"largest difference of the distribution functions below {bound:.4g}, the bound for "
                f"{x.size} independent values at family-wise level {statistics.FAMILY_LEVEL:g}",
                power={name: float(each > bound) for name, each in distances.items()},
                details={"bound": bound, "distances from wrong laws": distances},
            )
        )  # fmt: skip
    return checks


def dkw_bound(count: int, level: float) -> float:
    """What the distance of ``count`` independent values from their law exceeds with at most this probability."""
    return math.sqrt(math.log(2 / level) / (2 * count))


def _sizes(spectra: Spectra) -> dict[int, list[int]]:
    """The sizes of each number of factors."""
    found: dict[int, list[int]] = {}
    for factors, n in spectra:
        found.setdefault(factors, []).append(n)
    return found


def _extrapolate(sizes: Sequence[float], found: Sequence[statistics.Estimate]) -> statistics.Extrapolation:
    return statistics.extrapolate(
        np.array(sizes), np.array([e.value for e in found]), np.array([e.error for e in found])
    )


def _one(line: statistics.Extrapolation, place: int | None = None) -> statistics.Estimate:
    value, error = (a if place is None else a[place] for a in (line.limit.value, line.limit.error))
    return statistics.Estimate(value, error)


def _slope(at: np.ndarray, found: Sequence[statistics.Estimate]) -> tuple[statistics.Estimate, float]:
    """Weighted fit of a line: its slope, and the probability of so large a chi-squared."""
    line = _extrapolate(list(1 / at), found)  # a line in 1/size
    return line.slope, float(line.goodness)
