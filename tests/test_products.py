"""Products of Gaussian matrices: moments, density and their simulation, against independent computations."""

from __future__ import annotations

import json
from math import factorial
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from sympy import Matrix, Poly, Rational, lambdify, symbols

import orderparams
from derive.errors import DerivationError
from derive.products import finite_moment, log_cumulant, lyapunov_exponent, mean_log_determinant, moment
from derive.products.density import condition_exponent, edge_width, phi, spectral_law, upper_end
from derive.products.exponents import log_condition_rate
from derive.products.limit import M, deep_moment, real_moment, s
from derive.products.wick import correction, norm_spread
from numerics.products import ProductLaw
from numerics.runtime.errors import InputError
from validate.products import kolmogorov_distance, rounding
from validate.simulate.products import check_size, log_extremes, squared_singular_values


def trees(arity: int, nodes: int) -> int:
    """Plane trees whose inner nodes have ``arity`` children, counted by their definition."""
    counts = [1]
    for _ in range(nodes):
        forests = [1] + [0] * len(counts)
        for _ in range(arity):
            forests = [sum(forests[i] * counts[j - i] for i in range(j + 1)) for j in range(len(counts))]
        counts.append(forests[len(counts) - 1])
    return counts[nodes]


@pytest.mark.parametrize("factors", [1, 2, 3, 7])
def test_moments_count_trees(factors):
    assert [moment(order, factors) for order in range(1, 7)] == [
        trees(factors + 1, order) for order in range(1, 7)
    ]


def gaussian_mean(polynomial: Poly) -> Rational:
    """Of independent standard Gaussian variables, monomial by monomial."""
    total = Rational(0)
    for powers, coefficient in polynomial.terms():
        if all(p % 2 == 0 for p in powers):
            value = 1
            for p in powers:
                value *= factorial(p) // (2 ** (p // 2) * factorial(p // 2))
            total += coefficient * value
    return total


@pytest.mark.parametrize(("factors", "order", "size"), [(1, 2, 2), (1, 3, 2), (1, 2, 3), (2, 2, 2), (3, 2, 2)])
def test_finite_moments_by_expanding_the_trace(factors, order, size):
    """No Wick theorem: the trace is multiplied out in the entries of the matrices."""
    entries = symbols(f"x:{factors * size * size}")
    matrix = Matrix.eye(size)
    for f in range(factors):
        block = entries[f * size * size : (f + 1) * size * size]
        matrix = (matrix * Matrix(size, size, block)).expand()
    gram = (matrix * matrix.T).expand()
    power = gram
    for _ in range(order - 1):
        power = power * gram
    mean = gaussian_mean(Poly(power.trace(), *entries)) / Rational(size) ** (factors * order + 1)
    assert finite_moment(order, factors, size) == mean


@pytest.mark.parametrize("order", [1, 2, 3])
def test_large_size_recovers_the_planar_moments(order):
    assert (correction(order, 0) - moment(order)).equals(0)
    for factors in (1, 2, 5):
        slope = (finite_moment(order, factors, 10**9) - moment(order, factors)) * 10**9
        assert float(slope) == pytest.approx(float(correction(order, 1).subs(M, factors)), rel=1e-6, abs=1e-12)


def along(factors):
    """x and the density as functions of phi at any precision, and the end of phi."""
    law = spectral_law()
    x, density = (lambdify(phi, e.subs(M, factors), "mpmath") for e in (law.x, law.density))
    return x, density, lambdify(phi, law.distribution.subs(M, factors), "mpmath"), mpmath.pi / (factors + 1)


@pytest.mark.parametrize("factors", [1, 2, 3, 6])
def test_density_is_normalized_and_has_the_moments(factors):
    """The density itself is integrated over x = x(phi), its derivative taken numerically."""
    with mpmath.workdps(40):
        x, density, distribution, end = along(factors)

        def weighted(power):
            def integrand(t):
                return -density(t) * x(t) ** power * mpmath.diff(x, t)

            cut = end - mpmath.mpf(10) ** -18 * end  # x^(1/(M + 1)) is what is left out: below 1e-17
            return mpmath.quad(integrand, [mpmath.mpf(10) ** -20, end / 4, end / 2, 3 * end / 4, cut])

        for power in range(4):
            assert abs(weighted(power) - (1 if power == 0 else int(moment(power, factors)))) < 1e-12
        middle = end / 3
        part = mpmath.quad(lambda t: -density(t) * mpmath.diff(x, t), [middle, 2 * end / 3])
        assert abs(part - (distribution(middle) - distribution(2 * end / 3))) < 1e-15


def test_ends_of_the_support():
    with mpmath.workdps(40):
        for factors in (1, 2, 5):
            x, density, _, end = along(factors)
            law = spectral_law()
            upper, edge, origin, power = (
                mpmath.mpmathify(e.subs(M, factors).evalf(40))
                for e in (law.upper_end, law.edge, law.origin, law.origin_exponent)
            )
            near = mpmath.mpf(10) ** -12
            assert abs(x(near) - upper) < 1e-20
            assert abs(density(near) / (edge * mpmath.sqrt(upper - x(near)) / mpmath.pi) - 1) < 1e-10
            assert abs(density(end - near) / (origin * x(end - near) ** power) - 1) < 1e-10
    assert upper_end(1) == 4 and condition_exponent(1) == 1 and condition_exponent(3) == 2
    assert float(edge_width(1000, 1)) == pytest.approx(2 ** (4 / 3) * 1000 ** (-2 / 3))  # Johnstone's


def test_logarithms():
    x, _, distribution, end = along(3)
    with mpmath.workdps(20):
        for order in (1, 2):
            value = mpmath.quad(
                lambda t: mpmath.log(x(t)) ** order * -mpmath.diff(distribution, t),  # noqa: B023
                [0.0001 * end, end / 2, end * 0.99, end * (1 - mpmath.mpf(10) ** -9)],
            )
            mean = log_cumulant(1).subs(M, 3)
            expected = mean if order == 1 else log_cumulant(2).subs(M, 3) + mean**2
            assert float(value) == pytest.approx(float(expected), rel=1e-5)
    assert deep_moment().equals(1 / (s + 1))
    assert real_moment().subs({s: 4, M: 3}) == moment(4, 3)


def test_spread_of_the_norm():
    """3^M - 1 for products of squared Gaussian numbers; 2/N^2 for one matrix, a sum of N^2 of them; and drawn."""
    assert norm_spread(4, 1) == 3**4 - 1 and norm_spread(1, 7) == Rational(2, 49)
    means = squared_singular_values(3, 6, 20000, seed=9).mean(axis=1)
    assert means.var() == pytest.approx(float(norm_spread(3, 6)), rel=0.1)


def test_one_by_one_matrices():
    """For N = 1 everything is a product of squared Gaussian numbers."""
    assert finite_moment(3, 2, 1) == 15**2
    mean_log = -(np.euler_gamma + np.log(2))  # of one squared standard Gaussian
    assert float(mean_log_determinant(4, 1)) == pytest.approx(4 * mean_log)
    assert float(2 * lyapunov_exponent(1, 1)) == pytest.approx(mean_log)


@pytest.mark.parametrize("factors", [1, 2, 3, 10])
def test_arrays_against_fifty_digits(factors):
    law = ProductLaw(factors)
    with mpmath.workdps(50):
        x, density, distribution, end = along(factors)
        parameters = [end * mpmath.mpf(f) for f in ("1e-3", "0.1", "0.4", "0.7", "0.99", "0.999999")]
        points = [[float(f(t)) for t in parameters] for f in (x, density, distribution)]
    at, rho, F = map(np.array, points)
    tolerance = 1e-14 + 1e-14 * (1 + np.abs(np.log(at))) + 1e-15 / (1 - at / law.support_end)
    assert (np.abs(law.density(at) / rho - 1) < tolerance).all()
    assert (np.abs(law.distribution(at) / F - 1) < tolerance).all()
    rounding = (factors + 1) * 1e-14 * (1 + np.abs(np.log(at))) + 1e-15 / (at * rho)  # that of F itself
    assert (np.abs(law.quantile(F) / at - 1) < rounding).all()


def test_one_matrix_is_the_quarter_circle():
    law, x = ProductLaw(1), np.array([1e-12, 0.3, 2.0, 3.7])
    assert np.allclose(law.density(x), np.sqrt((4 - x) / x) / (2 * np.pi), rtol=1e-13, atol=0)
    assert law.density(np.array([4.0, 9.0])).tolist() == [0.0, 0.0] and law.density(0.0) == np.inf
    assert law.distribution(np.array([0.0, 4.0, 9.0])).tolist() == [0.0, 1.0, 1.0]


def test_deep_products_spread_uniformly():
    """x^(1/M) tends to a uniform variable; log_quantile does not underflow."""
    p = np.array([0.1, 0.5, 0.9])
    assert np.allclose(np.exp(ProductLaw(3000).log_quantile(p) / 3000), p, atol=5e-3)
    assert not np.allclose(np.exp(ProductLaw(3).log_quantile(p) / 3), p, atol=5e-2)


def test_drawn_matrices_follow_the_law():
    """Kolmogorov's 1 % bound for as many independent values; singular values repel and stay far below."""
    drawn = squared_singular_values(3, 150, 4, seed=5)
    bound = 1.63 / np.sqrt(drawn.size)
    assert kolmogorov_distance(ProductLaw(3), drawn) < bound
    assert kolmogorov_distance(ProductLaw(2), drawn) > bound
    assert kolmogorov_distance(ProductLaw(3), np.sqrt(drawn)) > bound


def test_extremes_agree_with_the_decomposition_and_grow_by_the_exponents():
    same = log_extremes(3, 10, 6, seed=2)[:, -1]
    assert np.allclose(np.exp(2 * same), squared_singular_values(3, 10, 6, seed=2)[:, [0, -1]], rtol=1e-8)
    deep = log_extremes(400, 3, 200, seed=3)
    growth = np.diff((deep[..., 0] - deep[..., 1])[:, [200, 399]], axis=1)[:, 0] / 199
    error = growth.std(ddof=1) / np.sqrt(200)
    assert abs(growth.mean() - float(log_condition_rate(3))) < 4 * error < 0.05


class Disguise:
    """numpy where cupy would be: own random streams."""

    random = SimpleNamespace(
        Generator=np.random.Generator, Philox4x3210=lambda key: np.random.Philox(key)
    )

    def __getattr__(self, name):
        return getattr(np, name)


def test_another_array_module_draws_the_same_law():
    drawn = squared_singular_values(2, 100, 4, seed=5, xp=Disguise())
    assert kolmogorov_distance(ProductLaw(2), drawn) < 1.63 / np.sqrt(drawn.size)


def test_values_lost_to_rounding_are_told_and_left_out(capsys):
    assert orderparams.main(["products", "--factors", "30", "--size", "60", "--draws", "3", "--format", "json"]) == 0
    simulation = json.loads(capsys.readouterr().out)["simulation"]
    exact = np.exp(2 * log_extremes(30, 60, 3, seed=0)[:, -1])
    drawn = squared_singular_values(30, 60, 3, seed=0)
    assert (exact[:, 1] < 1e-3 * rounding(drawn)).all()  # far below what the decomposition sees
    assert 0.05 < simulation["lost_to_rounding"] < 0.5 and simulation["kolmogorov_distance"] < 0.05
    assert orderparams.main(["products", "--factors", "5000", "--size", "2", "--draws", "3"]) == 2
    assert "fewer factors" in capsys.readouterr().err


@pytest.mark.parametrize("bad", [lambda: moment(0), lambda: moment(2, 0), lambda: finite_moment(9),
                                 lambda: finite_moment(2, 2, 0), lambda: lyapunov_exponent(4, 3)])  # fmt: skip
def test_bad_requests_are_refused(bad):
    with pytest.raises(DerivationError):
        bad()


def test_bad_numbers_are_refused():
    with pytest.raises(InputError, match="GiB"):
        check_size(2, 10**6, 1)
    with pytest.raises(InputError, match=r"singular values need .* GiB .* take up to \d+ draws"):
        check_size(2, 10, 10**11)
    with pytest.raises(InputError, match="at least 1"):
        squared_singular_values(2, 5, 0, 1)
    with pytest.raises(InputError, match="between 0 and 1"):
        ProductLaw(2).quantile(1.5)
    with pytest.raises(InputError, match="negative"):
        ProductLaw(2).density(-1.0)


def test_command_line(tmp_path, capsys):
    plot = tmp_path / "p.svg"
    words = ["products", "--factors", "2", "--size", "20", "--draws", "30", "--format", "json"]
    assert orderparams.main([*words, "--plot", str(plot)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["moments"] == [trees(3, order) for order in range(1, 7)]
    assert result["support_end"] == pytest.approx(6.75)
    assert {"factors", "quantiles", "density", "simulation"} <= result.keys() and plot.exists()
    assert all(abs(row.get("z", 0)) < 4 for row in result["simulation"]["moments"])
    assert orderparams.main(["products", "--factors", "40", "--size", "4", "--draws", "30"]) == 0
    assert "rare draws" in capsys.readouterr().out  # 1e26 times below the exact mean, and nothing is wrong
    assert orderparams.main(["products", "--factors", "3000"]) == 0
    assert "e^-2" in capsys.readouterr().out  # quantiles below the smallest floating-point number
    assert orderparams.main(["products", "--factors", "2", "--draws", "3"]) == 2
    assert "--size" in capsys.readouterr().err
