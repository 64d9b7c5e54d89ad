"""The symmetric fixed point, its curvature and its stability, against differences, quadrature and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
from sympy import Expr, Integer, Rational, Symbol, lambdify, oo, sqrt

from derive import fields
from derive.errors import DerivationError
from derive.landscape import (
    FixedPoint,
    Jacobian,
    conserved_quantities,
    curvature,
    jacobian,
    leading,
    slow_manifold,
    symmetric_fixed_point,
    weight_hessian,
)
from derive.landscape.curvature import error_of
from derive.landscape.radicals import canonical
from derive.model import committee
from derive.online import Flow, derive_flow
from derive.sites import C_, Q_, R_, S_, SiteFlow, g_, reduce_flow
from derive.symbols import K, M, N, Q, eta, eta_g, g, gain_decay, tau, weight_decay

NORMALIZATIONS = ("none", "batch", "batch-without-radial", "weight")
SETTINGS = {eta: Rational(7, 10), eta_g: Rational(3, 10), weight_decay: Integer(0), gain_decay: Integer(0)}
SIZE, VARIANCE, NORM = Integer(3), Rational(13, 10), Rational(9, 20)
"""K, tau, and Q* where it is free."""
HERE = {**SETTINGS, K: SIZE, tau: VARIANCE}


@cache
def flow(normalization: str, phi: str = "erf") -> Flow:
    return derive_flow(committee(phi, normalization))


@cache
def site(normalization: str) -> SiteFlow:
    return reduce_flow(flow(normalization))


@cache
def fixed(normalization: str) -> FixedPoint:
    return symmetric_fixed_point(flow(normalization))


@cache
def linear(normalization: str) -> Jacobian:
    return jacobian(site(normalization), fixed(normalization))


def number(expression: Expr) -> mpmath.mpf:
    return mpmath.mpf(expression.xreplace({**HERE, Q_: NORM}).evalf(mpmath.mp.dps))


def point(normalization: str) -> dict[Symbol, mpmath.mpf]:
    return {s: number(v) for s, v in fixed(normalization).values.items()}


def function(expression: Expr, variables: tuple[Symbol, ...]) -> Callable[..., Any]:
    return lambdify(variables, expression.xreplace(HERE), "mpmath")


# --- canonical form ---------------------------------------------------------------------------------------


def test_canonical_form_is_equal_and_unique() -> None:
    a = 1 / sqrt(K**2 * (1 + tau) ** 2 - tau**2) + sqrt(K + (K - 1) * tau) / sqrt(K * (1 + tau) + tau)
    b = (1 + K + (K - 1) * tau) / (sqrt(K * (1 + tau) - tau) * sqrt(K * (1 + tau) + tau))
    assert canonical(a) == canonical(b)
    assert canonical(a - b) == 0
    nested = sqrt(1 + sqrt(2 + tau)) / (1 + sqrt(1 + sqrt(2 + tau)))
    assert abs((canonical(nested) - nested).xreplace({tau: Rational(3, 7)}).evalf(30)) < 1e-28


def test_related_roots_of_roots_are_seen_to_cancel() -> None:
    """sqrt(2 + tau + 2 sqrt(1 + tau)) is 1 + sqrt(1 + tau)."""
    inner = sqrt(1 + tau)
    assert canonical(sqrt(2 + tau + 2 * inner) - 1 - inner) == 0
    assert canonical(sqrt(2 + tau + 2 * inner) - inner) != 0


def test_a_root_of_unknown_sign_is_refused() -> None:
    with pytest.raises(DerivationError, match="depends on its symbols"):
        canonical(sqrt(tau - 1))


# --- fixed points -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_drift_vanishes_at_the_fixed_point(normalization: str) -> None:
    """Every rate of the paired ansatz, S and C apart, at 40 digits; with R moved, not any more."""
    with mpmath.workdps(40):
        at = point(normalization)
        moved = {**at, R_: at[R_] * mpmath.mpf("1.1")}
        variables = site(normalization).state
        rates = [function(site(normalization).drift[s], variables) for s in variables]
        assert max(abs(rate(*(at[s] for s in variables))) for rate in rates) < 1e-37
        assert max(abs(rate(*(moved[s] for s in variables))) for rate in rates) > 1e-3


def test_unequal_sizes_have_a_closed_fixed_point() -> None:
    apart = reduce_flow(flow("none"), paired=False)
    found = symmetric_fixed_point(flow("none"), paired=False)
    numbers = {**SETTINGS, K: Integer(2), M: Integer(5), tau: Rational(4, 5)}
    for symbol in apart.state:
        value = apart.drift[symbol].xreplace(dict(found.values)).xreplace(numbers)
        assert abs(value.evalf(40)) < 1e-35
    at = {K: Integer(3), M: Integer(3), tau: Rational(4, 5)}
    for symbol in (R_, Q_):
        assert abs((found.values[symbol] - fixed("none").values[symbol]).xreplace(at).evalf(30)) < 1e-25


def test_only_normalized_weights_leave_q_free() -> None:
    assert fixed("none").free == ()
    assert fixed("batch").free == (Q_,)
    member = fixed("batch").member(1 / g_**2)
    assert member.free == ()
    assert canonical(member.values[Q_] * member.values[g_] ** 2) == 1
    with pytest.raises(DerivationError, match="no family"):
        fixed("none").member(Integer(1))


def test_a_drift_that_is_not_algebraic_is_refused() -> None:
    with pytest.raises(DerivationError, match="no closed form"):
        symmetric_fixed_point(flow("none", "relu"))


def test_the_student_is_the_best_predictor_given_its_field() -> None:
    """E[t - s | x] = 0 at the fixed point: the cause named for the marginal sectors, by quadrature."""
    from scipy.special import erf

    at = {s: float(v) for s, v in point("none").items()}
    size, variance = int(SIZE), float(VARIANCE)
    node, weight = np.polynomial.hermite_e.hermegauss(80)
    for x in (0.3, 1.1, 2.7):
        slope = at[R_] / at[Q_]
        rest = np.sqrt(variance * (1 - at[R_] ** 2 / at[Q_]))
        teacher = size * weight @ erf((slope * x + rest * node) / np.sqrt(2)) / weight.sum()
        assert teacher == pytest.approx(size * erf(x / np.sqrt(2)), abs=1e-12)


# --- curvature --------------------------------------------------------------------------------------------


def differences(
    error: Callable[..., Any], at: list[mpmath.mpf], orders: Mapping[int, int], step: mpmath.mpf
) -> mpmath.mpf:
    """Mixed central differences of a function at a point, ``orders`` in each argument."""
    stencils = {0: {0: 1}, 1: {-1: mpmath.mpf(-1) / 2, 1: mpmath.mpf(1) / 2}, 2: {-1: 1, 0: -2, 1: 1}}
    total = mpmath.mpf(0)
    (a, p), *rest = orders.items()
    b, q = rest[0] if rest else (a, 0)
    for i, c in stencils[p].items():
        for j, d in stencils[q].items():
            moved = list(at)
            moved[a] += i * step
            moved[b] += j * step
            total += c * d * error(*moved)
    return total / step ** (p + q)


@pytest.mark.parametrize("normalization", ["none", "batch"])
@pytest.mark.parametrize("c_free", [False, True])
def test_gradient_and_hessian_against_differences(normalization: str, c_free: bool) -> None:
    """Second-order differences of step 1e-15 at 60 digits: good to 1e-28."""
    found = curvature(site(normalization), fixed(normalization), c_free)
    with mpmath.workdps(60):
        error = function(error_of(site(normalization), c_free), found.variables)
        at = [point(normalization)[s] for s in found.variables]
        step = mpmath.mpf("1e-15")
        for a in range(len(at)):
            assert abs(differences(error, at, {a: 1}, step) - number(found.gradient[a])) < 1e-25
            for b in range(a, len(at)):
                measured = differences(error, at, {a: 2} if a == b else {a: 1, b: 1}, step)
                assert abs(measured - number(found.hessian[a, b])) < 1e-25, (a, b)


def test_replacing_c_before_differentiating_matters() -> None:
    tied = curvature(site("none"), fixed("none")).hessian
    free = curvature(site("none"), fixed("none"), c_free=True).hessian
    assert abs(number(tied[2, 2]) - number(free[2, 2])) > 0.1


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_curvature_that_breaks_the_symmetry_is_the_escape_rate(normalization: str) -> None:
    """Per length of the overlap matrix, times -eta: what the (R, S) Hessian has to do with time."""
    broken = curvature(site(normalization), fixed(normalization)).breaking
    assert canonical(broken * eta + linear(normalization)["specialization"].eigenvalue) == 0


# --- stability --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_jacobian_against_differences_and_its_modes(normalization: str) -> None:
    found = linear(normalization)
    with mpmath.workdps(60):
        at = [point(normalization)[s] for s in found.variables]
        step = mpmath.mpf("1e-15")
        matrix = mpmath.matrix(len(at))
        for a, symbol in enumerate(found.variables):
            rate = function(site(normalization).drift[symbol], found.variables)
            for b in range(len(at)):
                matrix[a, b] = differences(rate, at, {b: 1}, step)
                assert abs(matrix[a, b] - number(found.matrix[a, b])) < 1e-25
    # The trace and the characteristic polynomial know nothing of sectors.
    with mpmath.workdps(25):
        values = sorted(number(mode.eigenvalue) for mode in found.modes)
        computed = sorted(mpmath.re(x) for x in mpmath.eig(matrix, left=False, right=False))
        assert max(abs(x - y) for x, y in zip(values, computed, strict=True)) < 1e-10
    assert number(found["specialization"].eigenvalue) > 0
    assert all(mode.cause for mode in found.modes if mode.eigenvalue == 0)


def test_the_norm_alone_separates_escape_with_and_without_normalization() -> None:
    """Escape rates times Q* are equal for every K and tau: radial term and gain drop out."""
    vanilla = linear("none")["specialization"].eigenvalue * fixed("none").values[Q_]
    for normalization in NORMALIZATIONS[1:]:
        rate = linear(normalization)["specialization"].eigenvalue
        assert canonical(rate * Q_ - vanilla) == 0
        assert not rate.has(eta_g)


@pytest.mark.parametrize("normalization", ["none", "batch-without-radial"])
def test_escape_rate_against_an_integrated_trajectory(normalization: str) -> None:
    """A small R - S grows at the derived rate: the reduced drift integrated by scipy."""
    from scipy.integrate import solve_ivp

    own = site(normalization)
    rates = lambdify(own.state, [own.drift[s].xreplace(HERE) for s in own.state], "numpy")
    start = np.array([float(point(normalization)[s]) for s in own.state])
    start[0] += 1e-6
    start[1] -= 1e-6 / (float(SIZE) - 1)
    rate = float(number(linear(normalization)["specialization"].eigenvalue))
    times = np.linspace(0, 2 / rate, 9)
    found = solve_ivp(lambda t, x: rates(*x), times[[0, -1]], start, "LSODA", times, rtol=1e-11, atol=1e-14)
    gap = np.log(found.y[0] - found.y[1])
    assert np.polyfit(times[2:], gap[2:], 1)[0] == pytest.approx(rate, rel=1e-3)


def test_students_part_as_one_over_time_on_the_slow_manifold() -> None:
    """Q - C started on the center manifold obeys x' = a x^2; its coefficient is resolved to a percent."""
    from scipy.integrate import solve_ivp

    own = site("none")
    direction, coefficient = slow_manifold(own, fixed("none"), linear("none"))
    a = float(number(coefficient))
    assert a < 0
    rates = lambdify(own.state, [own.drift[s].xreplace(HERE) for s in own.state], "numpy")
    x = 1e-3 * float(point("none")[Q_])
    start = np.array([float(point("none")[s]) + x * float(number(direction[s])) for s in own.state])
    stop = 2.0 / (abs(a) * x)

    def merged(t: float, y: np.ndarray) -> list[float]:
        """On R = S, which the flow keeps: off it rounding would grow and the plateau end."""
        out = list(rates(y[0], y[0], y[2], y[3]))
        return [out[0], out[0], out[2], out[3]]

    found = solve_ivp(merged, (0, stop), start, "LSODA", rtol=1e-11, atol=1e-14)
    gap = found.y[2] - found.y[3]
    assert 1 / gap[-1] - 1 / gap[0] == pytest.approx(-a * stop, rel=0.01)


# --- weight space -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("normalization", "teachers"), [("none", 3), ("batch", 3), ("none", 2), ("batch", 4)]
)
def test_weight_hessian_against_a_network(normalization: str, teachers: int) -> None:
    """All eigenvalues, with multiplicity, of the Hessian of eps_g(J, g) at small N, by differences."""
    size, inputs = int(SIZE), max(int(SIZE), teachers) + 1
    paired = teachers == size
    place = fixed(normalization) if paired else symmetric_fixed_point(flow(normalization), paired=False)
    numbers = {**HERE, Q_: NORM, M: Integer(teachers), N: Integer(inputs)}
    at = {s: float(v.xreplace(numbers).evalf(20)) for s, v in place.values.items()}
    gains = normalization != "none"
    common = np.zeros(inputs)
    common[:teachers] = at[R_]
    start = np.concatenate([np.tile(common, size), np.full(size, at[g_]) if gains else []])

    def error(parameters: np.ndarray) -> float:
        """eps_g from the arcsine law of erf units, over the weights themselves."""
        J = parameters[: size * inputs].reshape(size, inputs)
        if gains:
            scale = parameters[size * inputs :] / np.sqrt(float(VARIANCE))
            J = J * (scale / np.linalg.norm(J, axis=1))[:, None]
        weights = np.concatenate([J, np.eye(teachers, inputs)])
        covariance = float(VARIANCE) * weights @ weights.T
        root = np.sqrt(1 + np.diag(covariance))
        sign = np.r_[-np.ones(size), np.ones(teachers)]
        return float(sign @ np.arcsin(covariance / np.outer(root, root)) @ sign / np.pi)

    dimension, step = len(start), 1e-3
    stencil = ((1, 8), (-1, -8), (2, -1), (-2, 1))
    unit = step * np.eye(dimension)
    hessian = np.empty((dimension, dimension))
    for a in range(dimension):
        for b in range(a, dimension):
            terms = (c * d * error(start + p * unit[a] + q * unit[b]) for p, c in stencil for q, d in stencil)
            hessian[a, b] = hessian[b, a] = sum(terms) / (144 * step**2)
    expected: list[float] = []
    for sector in weight_hessian(flow(normalization), place, paired):
        count = int(sector.multiplicity.xreplace(numbers))
        block = np.array(sector.block.xreplace(numbers).evalf(20).tolist(), dtype=float)
        expected += list(np.linalg.eigvalsh(block)) * count
        assert bool(sector.cause) == (abs(np.linalg.eigvalsh(block)).min() < 1e-12)
    assert np.sort(expected) == pytest.approx(np.linalg.eigvalsh(hessian), abs=2e-7)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_flow_rates_are_curvatures_of_the_weights(normalization: str) -> None:
    """Gradient descent: R - S decays as -eta H, Q and C, quadratic in the weights, as -2 eta H."""
    sectors = {
        (s.students, s.direction): s.block for s in weight_hessian(flow(normalization), fixed(normalization))
    }
    pairs = {
        "specialization": ("different", "between teachers", 1),
        "orthogonal": ("common", "orthogonal", 2),
        "splitting": ("different", "orthogonal", 2),
    }
    for name, (students, direction, power) in pairs.items():
        rate = linear(normalization)[name].eigenvalue
        assert canonical(rate + power * eta * sectors[students, direction][0, 0]) == 0


# --- conserved quantities ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("normalization", "phi", "count"),
    [
        ("none", "erf", 0),
        ("batch", "erf", 1),
        ("weight", "erf", 1),
        ("none", "relu", 1),
        ("batch", "relu", 2),
    ],
)
def test_how_much_each_flow_conserves(normalization: str, phi: str, count: int) -> None:
    """ReLU is homogeneous: Q_ii - (eta/eta_w) w_i^2 without normalization, g_i^2 and w_i^2 with one."""
    assert len(conserved_quantities(flow(normalization, phi))) == count


@pytest.mark.parametrize("normalization", ["batch", "batch-without-radial", "weight"])
def test_conserved_quantities_stay_along_a_trajectory(normalization: str) -> None:
    """From a start off the plateau; 1/g^2 - Q, which the paper takes to vanish, does move."""
    from scipy.integrate import solve_ivp

    own = site(normalization)
    rates = lambdify(own.state, [own.drift[s].xreplace(HERE) for s in own.state], "numpy")
    start = {R_: 0.2, S_: 0.1, Q_: 0.8, C_: 0.1, g_: 1.3}
    found = solve_ivp(lambda t, x: rates(*x), (0, 30), [start[s] for s in own.state], rtol=1e-10, atol=1e-12)
    (quantity,) = conserved_quantities(flow(normalization))
    own_symbols = {Q[fields.i, fields.i]: Q_, g[fields.i]: g_}
    values = {s: found.y[k] for k, s in enumerate(own.state)}
    along = lambdify([Q_, g_], quantity.xreplace(own_symbols).xreplace(HERE), "numpy")(values[Q_], values[g_])
    assert np.ptp(along) < 1e-7
    assert np.ptp(values[Q_] - 1 / values[g_] ** 2) > 0.1


# --- asymptotics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "towards", "far"), [(K, oo, 10**12), (tau, oo, 10**12), (tau, 0, 10**-12)]
)
def test_leading_terms(symbol: Symbol, towards: Expr, far: float) -> None:
    for normalization in ("none", "batch"):
        rate = linear(normalization)["specialization"].eigenvalue
        ratio = (leading(rate, symbol, towards) / rate).xreplace({symbol: Rational(far)})
        assert abs(ratio.xreplace({**HERE, Q_: NORM}).evalf(20) - 1) < 1e-11
