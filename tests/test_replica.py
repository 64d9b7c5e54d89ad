"""The replica derivation against explicit matrices, quadrature, and differences of its own free energy."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from sympy import (
    Abs,
    Heaviside,
    Matrix,
    Max,
    Or,
    Piecewise,
    Rational,
    Symbol,
    exp,
    eye,
    log,
    ones,
    sign,
    simplify,
    sin,
    symbols,
)

from derive.errors import DerivationError
from derive.gaussian import average
from derive.replica import Energy, free_energy, known, read_loss, saddle_point
from derive.replica.matrices import ReplicaSymmetric, per_replica
from derive.replica.pieces import nearest_minimizer, partition, pieces
from derive.replica.saddle import stationary
from derive.replica.symbols import (
    Delta,
    R,
    alpha,
    beta,
    chi,
    m,
    noise,
    noise_variance,
    q,
    replicas,
    ridge,
    t,
    x,
    y,
)  # fmt: skip
from numerics.replica.problem import Problem, State


@pytest.mark.parametrize("count", [2, 3, 5])
def test_replica_symmetric_matrices_at_whole_n(count: int) -> None:
    d, o = Rational(7, 3), Rational(2, 5)
    full = (d - o) * eye(count) + o * ones(count, count)
    given = ReplicaSymmetric(d, o)
    assert simplify(given.log_determinant.subs(replicas, count) - log(full.det())) == 0
    inverse = given.inverse
    a, b = (e.subs(replicas, count) for e in (inverse.diagonal, inverse.off))
    assert full.inv() == (a - b) * eye(count) + b * ones(count, count)


def test_taking_out_the_teacher_is_the_schur_complement() -> None:
    with_teacher = Matrix([[2, 1, R], [1, 2, R], [R, R, 1]])
    rest = ReplicaSymmetric(2, 1).without(R).log_determinant.subs(replicas, 2)
    assert simplify(exp(rest) - with_teacher.det()) == 0
    with pytest.raises(DerivationError, match="does not vanish"):
        per_replica(1 + replicas)


def test_quadratic_energies_by_the_determinant_of_all_replicas() -> None:
    """<prod_a exp(-beta (t - x_a)^2/2)> is a determinant; its n to 0 needs no inner average."""
    distance = 1 + noise_variance - 2 * R + q
    differences = ReplicaSymmetric(1 + beta * (distance + Delta), beta * distance)
    by_determinant = per_replica(-differences.log_determinant / 2)
    assert simplify(by_determinant - free_energy(known("linear")).energetic) == 0


HUBER = Piecewise(((t - x) ** 2 / 2, Abs(t - x) < 1), (Abs(t - x) - Rational(1, 2), True))
LOSSES = {
    "relu": known("relu").target[0],
    "hinge": Max(0, 1 - x * sign(t)),
    "absolute": Abs(t - x),
    "errors": Heaviside(-x * t),
    "deadzone": Max(0, x - 1) + Max(0, -x - Rational(1, 2)),
    "huber-like": Max(x, 0) ** 2 + t * x,
    "huber": HUBER,
    "huber by cases": Piecewise(
        (t - x - Rational(1, 2), x < t - 1), ((t - x) ** 2 / 2, x <= t + 1), (x - t - Rational(1, 2), True)
    ),
    "insensitive": Max(0, Abs(x - t) - 1),
    "outside": Piecewise((1, Or(x > 1, x < -1)), (0, True)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_inner_averages_close_on_pieces(name: str) -> None:
    loss = LOSSES[name]
    found = pieces(loss)
    assert found is not None
    for values in ((0.7, 1.3, 0.6, 2.0), (-1.1, -0.4, 1.7, 0.9), (0.3, -2.0, 0.2, 5.0)):
        point = dict(zip((m, t, Delta, beta), values, strict=True))
        width = mpmath.sqrt(point[Delta])

        def integrand(z: mpmath.mpf, point: dict = point, width: mpmath.mpf = width) -> mpmath.mpf:
            at = loss.subs({x: point[m] + float(width) * z, t: point[t]})
            return mpmath.exp(-point[beta] * mpmath.mpf(float(at)) - z * z / 2) / mpmath.sqrt(2 * mpmath.pi)

        places = (-1, -0.5, 0, 1, point[t] - 1, point[t], point[t] + 1)
        kinks = sorted((k - point[m]) / width for k in places)
        numeric = mpmath.quad(integrand, [-12, *kinks, 12])
        exact = {s: Rational(str(v)) for s, v in point.items()}
        closed = float(partition(found).subs(exact).evalf(30))
        assert closed == pytest.approx(float(numeric), rel=1e-10)


def test_what_is_no_loss_of_pieces() -> None:
    assert pieces(sin(x)) is None and pieces(Max(0, x - 1, -x)) is None
    assert pieces(Abs(x - t) + Abs(x + t)) is None, "two ends that move with the target"
    assert pieces(Abs(x**2 - 1)) is None
    with pytest.raises(DerivationError, match="concave"):
        pieces(-(x**2))


def test_the_nearest_minimizer_of_the_relu_loss() -> None:
    nearest, floor = nearest_minimizer(pieces(LOSSES["relu"]))
    for at in ((1.5, 2.0), (-1.5, 2.0), (1.5, -2.0), (-1.5, -2.0)):
        point = dict(zip((m, t), map(Rational, at), strict=True))
        fit = at[1] if at[1] > 0 else min(at[0], 0)
        assert (nearest.subs(point), floor.subs(point)) == (Rational(fit), Rational(min(at[1], 0)) ** 2 / 2)


def test_the_linear_student_is_ridge_regression_in_closed_form() -> None:
    """1/chi = lambda + alpha/(1 + chi) is the equation of Marchenko and Pastur's Stieltjes transform."""
    free = free_energy(known("linear"))
    ground = free.ground_state
    along_q = ground.diff(q).subs({R: 0})
    assert simplify(along_q - (ridge - 1 / chi + alpha / (1 + chi)) / 2) == 0
    assert simplify(stationary(free.value)[R] - alpha * beta * Delta / (1 + beta * Delta)) == 0


@pytest.mark.parametrize("name", ["relu", "sign", "linear", "pseudo-inverse"])
def test_the_conditions_are_the_gradient_of_the_free_energy(name: str) -> None:
    """Differences of (1/N) <ln Z>, integrated anew at each point, against the derived conditions."""
    problem = Problem(known(name), 3.0, 0.4, 0.0 if name == "sign" else 0.5)
    load, state = 1.7, State(0.35, 0.3, 0.6)

    def value(q_: float, R_: float, Delta_: float) -> float:
        at = State(R_, q_ - R_ * R_, Delta_)
        return problem.value(at, problem.moments(at, 12), load)

    h = 1e-4
    at = np.array([state.q, state.R, state.spread])
    slope = [
        (
            8 * (value(*(at + h * e)) - value(*(at - h * e)))
            - value(*(at + 2 * h * e))
            + value(*(at - 2 * h * e))
        )
        / (12 * h)
        for e in np.eye(3)
    ]
    moments = problem.moments(state, 12)
    D, p = state.spread, problem.cost(load)
    overlap, along = problem.residual(state, moments, load, free=True)
    norm = problem.eta(moments, load) - p * D
    assert 2 * D * slope[0] == pytest.approx(norm, abs=1e-8)
    assert D * problem.variance * slope[1] == pytest.approx(along, abs=1e-8)
    assert 2 * D**2 * (slope[0] - slope[2]) == pytest.approx(overlap, abs=1e-8)


def test_the_replicon_of_four_replicas() -> None:
    """The second difference of half the log-determinant along a perturbation whose rows sum to zero."""
    stability = saddle_point(known("linear")).stability
    assert stability.right.diff(alpha).subs({s: 1 for s in stability.right.free_symbols}) == -1
    D, overlap = 0.7, 0.4
    matrix = D * np.eye(4) + overlap
    e = np.outer([1, -1, 0, 0], [0, 0, 1, -1])
    e = e + e.T
    h = 1e-3
    second = sum(
        w * np.linalg.slogdet(matrix + k * h * e)[1] / 2 for k, w in ((-1, 1), (0, -2), (1, 1))
    ) / h**2  # fmt: skip
    assert -second / (np.trace(e @ e) / 2) == pytest.approx(1 / D**2, rel=1e-4)


def test_users_losses() -> None:
    K, M = symbols("K M", integer=True, positive=True)
    from sympy import IndexedBase, Sum

    i = Symbol("i", integer=True)
    fields, teachers = IndexedBase("x"), IndexedBase("y")
    given = (Sum(teachers[i], (i, 1, M)) + noise - Sum(fields[i], (i, 1, K))) ** 2 / 2
    assert simplify(read_loss(given, "mine").loss - known("linear").loss) == 0
    assert read_loss(known("sign"), "sign") == known("sign")
    for bad, words in (
        (Symbol("u") * x, "symbol u"), (fields[3] ** 2, "not 3"), (y**2, "does not depend"), ("x +", "not an"),
    ):  # fmt: skip
        with pytest.raises(DerivationError, match=words):
            read_loss(bad, "mine")


def test_the_target_of_separate_noise() -> None:
    assert Energy("a", (sign(y) + noise - x) ** 2, y).target == ((sign(t) + noise - x) ** 2, 1, True)
    assert known("relu").target[1:] == (1 + noise_variance, False)
    assert average(known("sign").error, {(x, x): q, (x, y): R, (y, x): R, (y, y): 1}).closed
