"""The average engine against quadrature, textbook identities, limits, and Price's theorem.

Quadrature (numerics.special.quadrature) knows only the Gaussian density.  Tolerances: 1e-12 wherever it
reaches that, which is everywhere but for four fields with kinks; there the affordable is 1e-6.
"""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from sympy import (
    Abs,
    DiracDelta,
    Expr,
    Heaviside,
    Max,
    Min,
    Piecewise,
    Rational,
    S,
    Symbol,
    acos,
    asin,
    cos,
    erf,
    exp,
    log,
    pi,
    sign,
    simplify,
    sin,
    sqrt,
    symbols,
    tanh,
)

from derive.activation import DEFINITIONS, activation, slope
from derive.errors import AverageDoesNotExist, DerivationError
from derive.evaluate import evaluate
from derive.gaussian import Average, FourSigns, GaussianAverage, average, generic_covariance
from numerics.averages import check, integrate, random_covariance, value
from numerics.runtime.errors import InputError

u, v, w, z = symbols("u v w z", real=True)
FIELDS = (u, v, w, z)
CLOSED = [name for name in DEFINITIONS if name not in ("tanh", "softplus")]
KINKED = ("relu", "leaky-relu", "abs")


def phi(argument: Expr) -> Expr:
    return erf(argument / sqrt(2))


def relu(argument: Expr) -> Expr:
    return argument * Heaviside(argument)


def close(argument: Expr, fields: tuple[Symbol, ...] = FIELDS) -> Average:
    used = [s for s in fields if argument.has(s)]
    return average(argument, generic_covariance(used))


def assert_checked(argument: Expr, draws: int = 8, tolerance: float = 1e-12) -> None:
    assert check(close(argument), draws).worst < tolerance


# --- I2, I3, I4 of every function that the rules close ---------------------------------------------------


@pytest.mark.parametrize("name", CLOSED)
def test_i2(name: str) -> None:
    f = activation(name)
    assert_checked(f(u) * f(v), 12)


@pytest.mark.parametrize("name", CLOSED)
def test_i3(name: str) -> None:
    f = activation(name)
    assert_checked(f.derivative(u) * v * f(w), 6)


@pytest.mark.parametrize("name", [name for name in CLOSED if name not in KINKED])
def test_i4(name: str) -> None:
    f = activation(name)
    assert_checked(f.derivative(u) * f.derivative(v) * f(w) * f(z), 1)


@pytest.mark.parametrize("name", ["relu", "abs"])
def test_i4_with_kinks(name: str) -> None:
    f = activation(name)
    average_ = close(f.derivative(u) * f.derivative(v) * f(w) * f(z))
    assert check(average_, 1, tolerance=1e-6).worst < 1e-6


@pytest.mark.slow
def test_i4_with_a_symbolic_slope() -> None:
    f = activation("leaky-relu")
    average_ = close(f.derivative(u) * f.derivative(v) * f(w) * f(z))
    assert check(average_, 2, tolerance=1e-7).worst < 1e-6


def test_i4_of_leaky_relu_holds_its_special_cases() -> None:
    """Slopes 0, 1 and -1 make ReLU, the identity and |u|."""

    def i4(name: str) -> Expr:
        f = activation(name)
        return close(f.derivative(u) * f.derivative(v) * f(w) * f(z)).expression

    matrix = random_covariance(np.random.default_rng(3), 4, "generic")
    point = values(matrix)
    general = i4("leaky-relu")
    for number, name in ((0, "relu"), (1, "identity"), (-1, "abs")):
        assert evaluate(general.xreplace({slope: S(number)}), point) == pytest.approx(
            float(evaluate(i4(name), point)), abs=1e-14
        )


def values(matrix: np.ndarray, fields: tuple[Symbol, ...] = FIELDS) -> dict[Expr, float]:
    """Numbers for the symbols C_uv."""
    symbols_ = generic_covariance(fields[: len(matrix)])
    return {
        symbols_[fields[a], fields[b]]: matrix[a, b] for a in range(len(matrix)) for b in range(len(matrix))
    }


# --- identities of the textbooks -------------------------------------------------------------------------


def test_known_closed_forms() -> None:
    c = generic_covariance((u, v))
    uu, uv, vv = c[u, u], c[u, v], c[v, v]
    sheppard = 2 / pi * asin(uv / sqrt(uu * vv))
    assert simplify(close(sign(u) * sign(v)).expression - sheppard) == 0
    williams = 2 / pi * asin(uv / sqrt((1 + uu) * (1 + vv)))
    assert simplify(close(phi(u) * phi(v)).expression - williams) == 0
    theta = acos(uv / sqrt(uu * vv))
    arc_cosine = sqrt(uu * vv) * (sin(theta) + (pi - theta) * cos(theta)) / (2 * pi)
    point = {uu: Rational(7, 5), uv: Rational(-3, 10), vv: Rational(1, 2)}
    ours = close(relu(u) * relu(v)).expression
    assert abs(evaluate(ours - arc_cosine, point, 40)) < mpmath.mpf(10) ** -40
    assert close(Abs(u)).expression == sqrt(2 * uu / pi)
    assert close((1 + phi(u)) / 2).expression == Rational(1, 2)


@pytest.mark.parametrize("powers", [(1, 1), (2, 2), (3, 1), (4, 2), (1, 1, 1, 1), (2, 1, 1, 2)])
def test_wick(powers: tuple[int, ...]) -> None:
    """A moment is the sum over all pairings of its factors."""
    fields = FIELDS[: len(powers)]
    factors = [field for field, power in zip(fields, powers, strict=True) for _ in range(power)]
    c = generic_covariance(fields)

    def pairings(rest: list[Symbol]) -> Expr:
        if not rest:
            return S.One
        return sum(c[rest[0], rest[k]] * pairings(rest[1:k] + rest[k + 1 :]) for k in range(1, len(rest)))

    product = S.One
    for factor in factors:
        product *= factor
    assert (close(product).expression - pairings(factors)).expand() == 0


def test_odd_products_vanish() -> None:
    for argument in (phi(u) * v**2, sign(u) * sign(v) * sign(w), DiracDelta(u, 1), tanh(u) * tanh(v) ** 2):
        assert close(argument).expression == 0
        assert close(argument).rules == ("parity",)


# --- inputs of every shape -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argument",
    [
        phi(-u) * phi(2 * v),
        phi(u + v) * w,
        phi(u - 2 * v) * phi(v) * w**2,
        phi(u) ** 2,
        phi(u) ** 3 * v,
        phi(u) ** 4,
        phi(u) ** 5 * v,
        sign(u) ** 3 * v,
        sign(2 * u - 2 * v) * sign(u - v) * v**2,
        sign(u * v) * w**2,
        Abs(u * v),
        Abs(u) ** 3 * Abs(v),
        sqrt(u**2) * v**2,
        Abs(u + v) * Abs(u - v),
        Max(u, v) ** 2,
        Max(u, 0) * Min(v, 0),
        Max(u, v, 0),
        Piecewise((u, u > 0), (u / 7, True)) * v,
        Piecewise((0, u < v), (w, u >= v), (1, True)) * u,
        exp(-(u**2)) * v**2,
        exp(-3 * u**2 / 7),
        exp(-(u**2) - v**2),
        exp(-((u + v) ** 2)) * u * v,
        exp(-(u**2) / 2 - u * v / 3 - v**2 + Rational(1, 3)),
        exp(-(u**2) / 2) * exp(-(v**2)) * phi(u) * phi(w),
        DiracDelta(u) * DiracDelta(v) * w**2,
        DiracDelta(-2 * u) * v**2,
        DiracDelta(u - v) * Abs(u),
        DiracDelta(u + v) * relu(w) * w,
        phi(u) ** 2 * DiracDelta(v),
        u**2 * v**2 * w**2 + 3 * u - Rational(1, 7),
        (1 + phi(u)) ** 3 * (1 + phi(v)) / 16,
        slope * sign(slope * u) * v,
        relu(slope * u + v) * v,
    ],
    ids=str,
)
def test_closed_forms_of_all_shapes(argument: Expr) -> None:
    average_ = close(argument)
    assert average_.closed
    assert_checked(argument, 6)


def test_powers_of_signs() -> None:
    for argument in (u / Abs(u) * v, v / sign(u), sign(u) ** 3 * v, sign(u * v) * sign(v) * v):
        assert close(argument).expression == close(sign(u) * v).expression


def test_random_products() -> None:
    """Products of two or three factors drawn from everything the rules know: 25, at two covariances each."""
    rng = np.random.default_rng(11)
    factors = [phi, relu, sign, Abs, lambda x: x, lambda x: exp(-(x**2) / 2), Heaviside, lambda x: x**2]
    for _ in range(25):
        argument = S.One
        for _ in range(rng.integers(2, 4)):
            form = FIELDS[rng.integers(2)] + int(rng.integers(-1, 2)) * FIELDS[rng.integers(2)]
            argument *= factors[rng.integers(len(factors))](form)
        if not argument.is_number:
            assert check(close(argument), 2, seed=int(rng.integers(100))).worst < 1e-12, argument


@pytest.mark.parametrize(
    ("derivative", "antiderivative"),
    [
        (DiracDelta(u, 1) * v, 2 * DiracDelta(u) * v),
        (DiracDelta(u, 2) * relu(v) * w, 2 * DiracDelta(u, 1) * relu(v) * w),
        (DiracDelta(-u, 1) * v, -2 * DiracDelta(u) * v),
        (DiracDelta(3 * u, 1) * v, Rational(2, 9) * DiracDelta(u) * v),
    ],
    ids=str,
)
def test_derivatives_of_deltas_by_parts(derivative: Expr, antiderivative: Expr) -> None:
    """u delta^(k)(u) = -k delta^(k-1)(u), and delta^(k)(c u) = c^-k |c|^-1 delta^(k)(u)."""
    ours = close(u * derivative).expression
    order = derivative.atoms(DiracDelta).pop().args[1]
    assert simplify(ours + order * close(antiderivative).expression / 2) == 0


# --- the edges -------------------------------------------------------------------------------------------


DEGENERATE = [
    ([[1, 1], [1, 1]], "coinciding"),
    ([[1, -2], [-2, 4]], "collinear"),
    ([[1, 0], [0, 0]], "without variance"),
    ([[0.01, 0.03], [0.03, 0.09]], "collinear, with rounded entries"),
    ([[0.1 * 0.1, 0.1 * 0.7], [0.1 * 0.7, 0.7 * 0.7]], "the same, the rounding beyond one"),
    ([[0, 0], [0, 0]], "nothing"),
]


@pytest.mark.parametrize("name", [name for name in CLOSED if name not in ("step", "sign")])
@pytest.mark.parametrize(("matrix", "_"), DEGENERATE, ids=[label for _, label in DEGENERATE])
def test_degenerate_covariances_give_the_limits(name: str, matrix: list[list[float]], _: str) -> None:
    """<f(u) f(v)> is then an average over one field or none; f is continuous."""
    f = activation("leaky-relu(0.3)" if name == "leaky-relu" else name)
    ours = float(close(f(u) * f(v)).value(matrix))
    assert ours == pytest.approx(integrate(f(u) * f(v), (u, v), np.array(matrix)).value, abs=1e-13)


def test_four_fields_that_coincide() -> None:
    """<relu'(u)^2 relu(u)^2> = <u^2 step(u)> = C_uu/2, through the four-sign function at its corner."""
    ours = close(Heaviside(u) * Heaviside(v) * relu(w) * relu(z))
    assert float(ours.value(np.full((4, 4), 1.5))) == pytest.approx(0.75, abs=1e-14)
    # Two by two: <relu(u)^2> <step(w)^2> with independent pairs.
    pairs = np.kron([[1, 0], [0, 1]], np.ones((2, 2)))
    ours = close(relu(u) * relu(v) * Heaviside(w) * Heaviside(z))
    assert float(ours.value(pairs)) == pytest.approx(0.25, abs=1e-14)


@pytest.mark.parametrize(
    "argument",
    [
        DiracDelta(u) ** 2,
        DiracDelta(u) * DiracDelta(-3 * u),
        DiracDelta(u) * sign(u),
        DiracDelta(2 * u) * sign(u),
        DiracDelta(u - v) * Heaviside(v - u),
        DiracDelta(u) * DiracDelta(v) * DiracDelta(u + v),
        DiracDelta(u) / u * v,
    ],
    ids=str,
)
def test_products_that_do_not_exist(argument: Expr) -> None:
    with pytest.raises((AverageDoesNotExist, DerivationError), match=r"exist|delta"):
        close(argument)


def test_averages_that_diverge_at_a_covariance() -> None:
    """<step'(u) step'(v) step(w) step(z)> exists for distinct fields, not where u and v coincide."""
    i4 = close(DiracDelta(u) * DiracDelta(v) * Heaviside(w) * Heaviside(z))
    with pytest.raises(AverageDoesNotExist, match="no variance"):
        i4.value(np.ones((4, 4)) + np.diag([0, 0, 1, 1]))
    with pytest.raises(AverageDoesNotExist, match="no variance"):
        close(DiracDelta(u) * v**2).value([[0, 0], [0, 1]])


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[1, 2], [2, 1]], "lowest eigenvalue is -1"),
        ([[1, 2], [0, 1]], "not symmetric"),
        ([[1]], "1 x 1, but there are 2 fields"),
        ([[1, float("nan")], [float("nan"), 1]], "finite numbers"),
        ([[1, 0, 0], [0, 1, 0]], "square"),
    ],
)
def test_covariances_that_are_none(matrix: list[list[float]], words: str) -> None:
    with pytest.raises(DerivationError, match=words):
        close(phi(u) * phi(v)).value(matrix)


# --- what no rule closes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argument",
    [
        tanh(u) * tanh(v),
        tanh(u) * v,
        tanh(u).diff(u) * v * tanh(w),
        tanh(u) * u * v**2,
        phi(u + 1) * v**2,
        phi(u**2) * v**2,
        erf(Abs(u)) * v**2,
        exp(tanh(u)) * v**2,
        sin(u) * v * sign(w),
        log(1 + exp(u)) * v,
        cos(u) * DiracDelta(v),
        tanh(u) ** 2 * DiracDelta(u) * v**2,
        phi(u) * phi(v) * phi(w) * tanh(u),
        Abs(u) ** Rational(5, 2) * v**2,
    ],
    ids=str,
)
def test_unevaluated_averages_hold_the_average(argument: Expr) -> None:
    """Whatever the rules took out of it, quadrature of the rest is quadrature of the whole."""
    ours = close(argument)
    fields = ours.fields
    for kind in ("generic", "near", "degenerate"):
        matrix = random_covariance(np.random.default_rng(5), len(fields), kind)
        if argument.has(DiracDelta) and kind == "degenerate":
            continue
        whole = integrate(argument, fields, matrix)
        assert value(ours, matrix).value == pytest.approx(whole.value, abs=1e-12)


def test_deltas_beside_unknown_functions() -> None:
    """<tanh(u) delta'(v)> = -<tanh'(u)> Cov(u, v)/Var(v) p_v(0), the first by quadrature in one dimension."""
    matrix = np.array([[1.3, 0.4], [0.4, 0.9]])
    ours = value(close(tanh(u) * DiracDelta(v, 1)), matrix)
    conditional = np.array([[1.3 - 0.4**2 / 0.9]])
    slope_ = integrate(tanh(u).diff(u), (u,), conditional).value
    assert ours.value == pytest.approx(-slope_ * 0.4 / 0.9 / np.sqrt(2 * np.pi * 0.9), abs=1e-14)


def test_shifted_fields_are_left_alone() -> None:
    """A bias inside a kink moves it off the origin: no rule may touch it."""
    assert close(relu(u - 1)).expression.has(GaussianAverage)
    assert not close(sign(u - 1) * v).closed
    with pytest.raises(DerivationError, match="without a shift"):
        close(DiracDelta(u - 1))


def test_a_field_named_like_a_lift() -> None:
    lift = Symbol("z_1", real=True)
    argument = phi(lift) * phi(u) * lift * u
    assert check(average(argument), 3).worst < 1e-12


def test_functions_without_an_average_are_not_called_odd() -> None:
    with pytest.raises(AverageDoesNotExist, match="pole"):
        close(1 / u, (u,))


def test_value_needs_numbers_for_parameters() -> None:
    with pytest.raises(InputError, match="parameter a"):
        value(close(tanh(slope * u) * v), np.eye(2))


# --- the check can fail ----------------------------------------------------------------------------------


def test_the_check_finds_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    import derive.gaussian.rules as rules

    monkeypatch.setattr(rules, "_arcsine", lambda ab, aa, bb: asin(ab / sqrt(aa * bb)) * Rational(1001, 1000))
    assert check(close(phi(u) * phi(v)), 4).worst > 1e-6


def test_nothing_closed_cannot_be_checked() -> None:
    with pytest.raises(InputError, match="no closed form"):
        check(close(tanh(u) * tanh(v)))
    with pytest.raises(InputError, match="only the delta"):
        check(close(DiracDelta(u, 1) * v))


# --- Price's theorem -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argument",
    [
        phi(u) * phi(v),
        sign(u) * sign(v),
        relu(u) * relu(v),
        Heaviside(u) * v * relu(w),
        phi(u).diff(u) * v * phi(w),
        phi(u).diff(u) * phi(v).diff(v) * phi(w) * phi(z),
        sign(u) * sign(v) * sign(w) * sign(z),
        u**2 * v**2,
        DiracDelta(u) * Abs(v),
    ],
    ids=str,
)
def test_price(argument: Expr) -> None:
    """Differentiating the average and differentiating its closed form agree, for every covariance."""
    fields = tuple(s for s in FIELDS if argument.has(s))
    c = generic_covariance(fields)
    inert = GaussianAverage(argument, fields, [[c[a, b] for b in fields] for a in fields])
    closed = inert.doit()
    point = values(random_covariance(np.random.default_rng(2), len(fields), "generic"), fields)
    for a, b in itertools.combinations_with_replacement(fields, 2):
        by_price, by_calculus = inert.diff(c[a, b]).doit(), closed.diff(c[a, b])
        assert abs(evaluate(by_price, point, 30) - evaluate(by_calculus, point, 30)) < 1e-25, (a, b)


def test_four_signs_against_quadrature() -> None:
    signs = close(sign(u) * sign(v) * sign(w) * sign(z))
    assert signs.expression.has(FourSigns)
    matrix = random_covariance(np.random.default_rng(4), 4, "generic")
    expected = integrate(signs.argument, FIELDS, matrix, 1e-7).value
    assert float(signs.value(matrix)) == pytest.approx(expected, abs=1e-7)


# --- the derivation --------------------------------------------------------------------------------------


def test_the_steps_name_their_rules() -> None:
    i3 = close(phi(u).diff(u) * v * phi(w))
    assert i3.rules == ("pin", "stein", "sheppard") or set(i3.rules) <= {"pin", "stein", "sheppard", "parity"}
    assert all(step.rule in i3.rules for step in i3.steps)
