"""The site-symmetric reduction against the full flow at integer K, unit by unit."""

from __future__ import annotations

import itertools
from functools import cache

import mpmath
import numpy as np
import pytest
from sympy import Expr, Indexed, Integer, Rational, Symbol, lambdify

from derive.errors import DerivationError
from derive.indexed import summands
from derive.model import committee
from derive.online import derive_flow
from derive.sites import C_, Q_, R_, S_, SiteFlow, g_, reduce_flow, w_
from derive.symbols import K, M, batch, eta, eta_g, eta_w, gain_decay, label_noise, tau, weight_decay

DIGITS = 50
POINT = {
    R_: Rational(31, 100), S_: Rational(17, 100), Q_: Rational(83, 100), C_: Rational(29, 100),
    g_: Rational(71, 100), w_: Rational(9, 10), tau: Rational(7, 5), eta: Rational(3, 10),
    eta_g: Rational(1, 5), eta_w: Rational(2, 7), batch: Integer(3), label_noise: Rational(1, 4),
    weight_decay: Rational(1, 50), gain_decay: Rational(1, 30),
}  # fmt: skip
NORMALIZATIONS = ("none", "batch", "batch-without-radial", "weight")


@cache
def reduced(normalization: str, phi: str = "erf", **options: bool) -> SiteFlow:
    return reduce_flow(derive_flow(committee(phi, normalization)), **options)


def entry(atom: Indexed, units: dict[Symbol, int]) -> Expr:
    """The ansatz, written once more: by the values of the indices."""
    name, indices = str(atom.base), [units[k] for k in atom.indices]
    if name in "gwv":
        return {"g": POINT[g_], "w": Integer(1), "v": Integer(1)}[name]
    same = indices[0] == indices[1]
    values = {"Q": (POINT[C_], POINT[Q_]), "R": (POINT[S_], POINT[R_]), "T": (Integer(0), Integer(1))}
    return values[name][same]


class UnitByUnit:
    """An indexed expression at integer K = M, looping over its sums, to DIGITS digits."""

    def __init__(self, rate: Expr) -> None:
        self.parts = []
        for limits, body in summands(rate):
            atoms = sorted(body.atoms(Indexed), key=str)
            names = [Symbol(f"a{k}") for k in range(len(atoms))]
            body = body.xreplace(dict(zip(atoms, names, strict=True))).xreplace(POINT)
            self.parts.append(([index for index, _ in limits], atoms, lambdify(names, body, "mpmath")))

    def __call__(self, size: int, free: dict[Symbol, int]) -> mpmath.mpf:
        total = mpmath.mpf(0)
        for bound, atoms, function in self.parts:
            for units in itertools.product(range(1, size + 1), repeat=len(bound)):
                at = {**free, **dict(zip(bound, units, strict=True))}
                total += function(*(mpmath.mpf(e.p) / e.q for e in (entry(atom, at) for atom in atoms)))
        return total


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_reduced_rates_equal_the_full_flow(normalization: str) -> None:
    site = reduced(normalization)
    places = {R_: ("R", (1, 1)), S_: ("R", (2, 1)), Q_: ("Q", (2, 2)), C_: ("Q", (1, 2)), g_: ("g", (2,))}
    full = {v.name: UnitByUnit(v.explicit_rate) for v in site.flow.state}
    with mpmath.workdps(DIGITS):
        for size, symbol in itertools.product((2, 3, 4), site.state):
            name, units = places[symbol]
            expected = full[name](size, dict(zip(site.flow[name].indices, units, strict=True)))
            own = site.rates[symbol].xreplace({K: Integer(size)}).xreplace(POINT).evalf(DIGITS)
            assert abs(expected - mpmath.mpf(own)) < mpmath.mpf(10) ** (10 - DIGITS), (symbol, size)


def test_reduced_drift_is_the_flow_without_noise() -> None:
    site = reduced("batch-without-radial")
    for symbol in site.state:
        rest = (site.rates[symbol] - site.drift[symbol]).xreplace({**POINT, K: Integer(4), batch: batch})
        vanishes = rest.subs(batch, 10**60)
        assert abs(vanishes.evalf(20)) < 1e-40
        assert (symbol in (Q_, C_)) == (abs(rest.subs(batch, 1).evalf(20)) > 1e-6)


@pytest.mark.parametrize("normalization", ["none", "batch", "weight"])
def test_reduced_error_equals_quadrature(normalization: str) -> None:
    """eps_g summed over units, each average by Gauss-Hermite on a plane: no closed form, no partition."""
    size = 4
    site = reduced(normalization)
    values = {s: float(v) for s, v in POINT.items()}
    own = float(site.generalization_error.xreplace({K: Integer(size)}).xreplace(POINT).evalf(20))
    students = values[C_] + (values[Q_] - values[C_]) * np.eye(size)
    cross = values[S_] + (values[R_] - values[S_]) * np.eye(size)
    norm = {"none": values[g_], "batch": np.sqrt(values[tau] * values[Q_]), "weight": np.sqrt(values[Q_])}
    c = values[g_] / norm[normalization]
    covariance = values[tau] * np.block([[c * c * students, c * cross], [c * cross.T, np.eye(size)]])
    sign = np.r_[-np.ones(size), np.ones(size)]
    total = 0.0
    for a, b in itertools.product(range(2 * size), repeat=2):
        total += 0.5 * sign[a] * sign[b] * plane_average(covariance[np.ix_([a, b], [a, b])])
    assert own == pytest.approx(total, abs=1e-10)


def plane_average(covariance: np.ndarray, nodes: int = 120) -> float:
    """<erf(u/sqrt 2) erf(z/sqrt 2)>, with its Cholesky factor and a product rule."""
    from scipy.special import erf

    x, weight = np.polynomial.hermite_e.hermegauss(nodes)
    weight = weight / weight.sum()
    first = np.sqrt(covariance[0, 0])
    slope = covariance[0, 1] / first
    rest = np.sqrt(max(covariance[1, 1] - slope**2, 0.0))
    u = first * x[:, None]
    z = slope * x[:, None] + rest * x[None, :]
    return float(weight @ (erf(u / np.sqrt(2)) * erf(z / np.sqrt(2))) @ weight)


def test_unpaired_reduction_keeps_K_and_M_apart() -> None:
    site = reduced("none", paired=False)
    assert site.state == (R_, Q_, C_)
    assert {K, M} <= site.rates[Q_].free_symbols
    both = site.drift[R_].xreplace({M: Integer(3), K: Integer(3)}).xreplace(POINT)
    paired = reduced("none").drift[R_].xreplace({S_: R_, K: Integer(3)}).xreplace(POINT)
    assert abs((both - paired).evalf(DIGITS)) < 1e-40


def test_second_layer_moves_on_request() -> None:
    site = reduced("none", second_layer=True)
    assert site.state[-1] == w_
    unit = {w_: Integer(1), Symbol("v", real=True): Integer(1)}
    assert (site.drift[R_].xreplace(unit) - reduced("none").drift[R_]).expand() == 0


def test_kinks_are_merged_before_they_are_closed() -> None:
    """ReLU: 0/0 would appear if coinciding units were put into the closed form of distinct ones."""
    site = reduced("none", phi="relu")
    for symbol in site.state:
        value = site.rates[symbol].xreplace({K: Integer(3)}).xreplace(POINT).evalf(20)
        assert value.is_finite
    error = float(site.generalization_error.xreplace({K: Integer(3)}).xreplace(POINT).evalf(20))
    generator = np.random.default_rng(5)
    values = {s: float(v) for s, v in POINT.items()}
    students = values[C_] + (values[Q_] - values[C_]) * np.eye(3)
    cross = values[S_] + (values[R_] - values[S_]) * np.eye(3)
    covariance = values[tau] * np.block([[students, cross], [cross.T, np.eye(3)]])
    fields = generator.standard_normal((400_000, 6)) @ np.linalg.cholesky(covariance).T
    relu = np.maximum(fields, 0)
    losses = 0.5 * (relu[:, 3:].sum(1) - relu[:, :3].sum(1)) ** 2
    assert abs(losses.mean() - error) < 4 * losses.std() / np.sqrt(len(losses))


def test_a_flow_with_another_size_is_refused() -> None:
    from derive.sites import _Ansatz

    with pytest.raises(DerivationError, match="runs to K or M"):
        _Ansatz(True, {}).pool(Symbol("L"))
