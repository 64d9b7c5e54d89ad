"""Losses of two students' fields: against one field, ridge regression, minimization and sampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.special import erf as gaussian_error
from sympy import Expr, Heaviside, Symbol, cosh, erf, log, sqrt

from derive.errors import DerivationError
from derive.evaluate import evaluate
from derive.replica import Energy, read_loss
from derive.replica import symbols as one
from derive.replica.pair import PairEnergy, free_energy, saddle_point
from derive.replica.pair.saddle import replicon, whitened
from derive.replica.pair.symbols import Delta, R, q, x, y
from derive.replica.symbols import noise
from numerics.replica.pair.inner import places_of_kinks
from numerics.replica.pair.solve import PairSolution, solve_pair
from numerics.replica.solve import Solution, solve
from numerics.runtime.errors import InputError
from orderparams import main
from validate.statistics import Estimate, estimate, single_level, z_score

x1, x2 = x
y1, y2 = y
RELU = (one.y - one.x * Heaviside(one.x)) ** 2 / 2
SMOOTH = log(cosh(one.y + one.noise - one.x))
LINEAR = (one.y + one.noise - one.x) ** 2 / 2


def beside(first: Expr, second: Expr, teachers: int) -> Expr:
    """A loss of each unit alone, of one teacher or of a teacher each."""
    other = y1 if teachers == 1 else y2
    return first.xreplace({one.x: x1, one.y: y1}) + second.xreplace({one.x: x2, one.y: other})


def both(first: Solution, second: Solution, pair: PairSolution, tolerance: float) -> None:
    assert pair.free_energy == pytest.approx(first.free_energy + second.free_energy, abs=tolerance)
    assert pair.training_loss == pytest.approx(first.training_loss + second.training_loss, abs=tolerance)
    for a, single in enumerate((first, second)):
        assert pair.q[a][a] == pytest.approx(single.q, abs=tolerance)
        assert pair.Q[a][a] == pytest.approx(single.Q, abs=tolerance)
        assert pair.R[a][min(a, len(pair.R[a]) - 1)] == pytest.approx(single.R, abs=tolerance)
    assert pair.stability == pytest.approx(min(first.stability, second.stability), abs=tolerance)
    assert pair.residual < 1e-12


@pytest.mark.parametrize(
    ("first", "second", "teachers", "beta", "tolerance"),
    [
        (LINEAR, LINEAR, 2, 3.0, 1e-10),
        (SMOOTH, SMOOTH, 1, 2.0, 1e-9),
        (SMOOTH, SMOOTH, 1, np.inf, 1e-9),
        (SMOOTH, LINEAR, 1, 2.0, 1e-8),
        (RELU, RELU, 1, 2.0, 3e-8),
    ],
    ids=["linear", "smooth", "smooth minimum", "unlike", "kinked"],
)
def test_units_that_do_not_see_each_other(
    first: Expr, second: Expr, teachers: int, beta: float, tolerance: float
) -> None:
    """Their partition function is a product, whatever examples they share."""
    alone = [solve(Energy("one", f, one.x**2), [0.8], beta, 0.0, 0.5)[0] for f in (first, second)]
    (pair,) = solve_pair(
        PairEnergy("two", beside(first, second, teachers), x1 * x1, teachers), [0.8], beta, 0.0, 0.5
    )
    both(*alone, pair, tolerance)
    assert pair.Q[0][1] - pair.q[0][1] == pytest.approx(0, abs=tolerance), "independent given the examples"
    if teachers == 2:
        assert abs(pair.R[0][1]) < tolerance


def test_spherical_units_that_do_not_see_each_other() -> None:
    (alone,) = solve(Energy("one", LINEAR, one.x**2, "spherical"), [1.5], 3.0, 0.25)
    loss = beside(LINEAR, LINEAR, 1)
    (pair,) = solve_pair(PairEnergy("two", loss, x1 * x1, prior="spherical"), [1.5], 3.0, 0.25)
    both(alone, alone, pair, 1e-9)


@pytest.mark.parametrize("load", [0.4, 2.0])
@pytest.mark.parametrize("beta", [5.0, np.inf])
def test_a_sum_of_fields_is_ridge_regression(load: float, beta: float) -> None:
    """(t - 2 x1 - x2)^2 sees J = 2 J_1 + J_2 alone, whose cheapest split costs lambda |J|^2/(2 5).

    The error of J from the resolvent of Marchenko and Pastur: its g solves g = 1/(r + alpha/(1 + g)).
    """
    S, ridge = 0.25, 0.6
    r = ridge / 5

    def stieltjes(r: float) -> float:
        return brentq(lambda g: g * (r + load / (1 + g)) - 1, 1e-9, 1 / r, xtol=1e-15, rtol=1e-15)

    g, step = stieltjes(r), 1e-5
    slope = (
        8 * (stieltjes(r + step) - stieltjes(r - step)) - (stieltjes(r + 2 * step) - stieltjes(r - 2 * step))
    ) / (12 * step)
    expected = S * (g + r * slope) - r**2 * slope
    energy = PairEnergy("sum", (y1 + noise - 2 * x1 - x2) ** 2 / 2, (y1 - 2 * x1 - x2) ** 2)
    (found,) = solve_pair(energy, [load], beta, S, ridge)
    (a, b), (_, c) = found.q
    along = 2 * found.R[0][0] + found.R[1][0]
    assert 1 - 2 * along + 4 * a + 4 * b + c == pytest.approx(expected, abs=1e-9)
    assert found.R[0][0] == pytest.approx(2 * found.R[1][0], abs=1e-12)
    if np.isinf(beta):
        assert found.generalization_error == pytest.approx(expected, abs=1e-9)
    assert found.residual < 1e-12 and found.stable


def test_the_closed_free_energy_is_stationary_at_the_solution() -> None:
    energy = PairEnergy("coupled", (y1 + noise - x1 - x2) ** 2 / 2 + (x1 - 2 * x2 + y2) ** 2 / 3, x1 * x1, 2)
    value = free_energy(energy)
    assert value.closed
    load, beta, S, ridge = 1.3, 2.0, 0.25, 0.4
    (found,) = solve_pair(energy, [load], beta, S, ridge)
    at: dict[str, float] = {"alpha": load, "beta": beta, "S": S, "lambda": ridge}
    for k in range(4):
        a, b = divmod(k, 2)
        at |= {q[a, b].name: found.q[a][b], R[a, b].name: found.R[a][b]}
        at[Delta[a, b].name] = found.chi[a][b] / beta
    assert float(evaluate(value.value, at)) == pytest.approx(found.log_partition, abs=1e-10)
    for variable in {*q, *R, *Delta}:
        assert float(evaluate(value.value.diff(variable), at)) == pytest.approx(0, abs=1e-9), variable


def test_the_conditions_of_the_saddle_point() -> None:
    """Written by matrices: q - R R^T = alpha A, 1 = Delta (p + alpha C), R = alpha (B + Delta C R)."""
    from sympy import Matrix, diag, eye

    from derive.replica.pair.saddle import square, stiffness, teacher
    from derive.replica.pair.symbols import p
    from derive.replica.symbols import alpha

    point = saddle_point(PairEnergy("two", (erf(y1) + erf(y2) - erf(x1) * x2) ** 2, x1, 2))
    expected = (
        q - R * R.T - alpha * square,
        eye(2) - Delta * (diag(*p) + alpha * stiffness),
        alpha * (teacher[:, :2] + Delta * stiffness * R) - R,
    )
    for found, matrix in zip((point.overlap, point.norm, point.teacher), expected, strict=True):
        assert (Matrix(found) - matrix).expand().is_zero_matrix
    one_field = replicon().subs({whitened[0, 1]: 0, whitened[1, 1]: 0})
    assert one_field[0, 0] == 1 - alpha * whitened[0, 0] ** 2


def overlaps(J: np.ndarray, teacher: np.ndarray) -> list[float]:
    size = len(teacher)
    return [J[0] @ J[0] / size, J[0] @ J[1] / size, J[1] @ J[1] / size, *(J @ teacher / size)]


def judge(samples: np.ndarray, predicted: list[float], bias: float) -> None:
    """No z-score beyond 1 % over all entries, with a systematic part of ``bias`` of each entry beside the noise."""
    from scipy.stats import norm

    found = estimate(samples)
    spread = np.hypot(found.error, bias * np.abs(predicted))
    limit = norm.isf(single_level(len(predicted)) / 2)
    z = z_score(Estimate(found.value, spread), np.array(predicted))
    assert np.abs(z).max() < limit, z


def test_direct_minimization_of_a_coupled_loss() -> None:
    """Robust regression by a sum, and a second loss that ties the units: N = 200, 24 sets; 1/N = 0.5 %."""
    size, load, S, ridge = 200, 1.5, 0.25, 0.2
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(24):
        teacher = rng.standard_normal(size)
        teacher *= np.sqrt(size) / np.linalg.norm(teacher)
        inputs = rng.standard_normal((round(load * size), size)) / np.sqrt(size)
        target = inputs @ teacher + np.sqrt(S) * rng.standard_normal(len(inputs))

        def cost(flat: np.ndarray, inputs: np.ndarray = inputs, target: np.ndarray = target) -> tuple:
            J = flat.reshape(2, size)
            a, b = inputs @ J.T.copy()[:, 0], inputs @ J[1]
            gap, tie = target - a - b, a - 3 * b
            value = np.log(np.cosh(gap)).sum() + np.log(np.cosh(tie)).sum() + ridge * (J**2).sum() / 2
            slope = np.stack(
                [inputs.T @ (np.tanh(tie) - np.tanh(gap)), inputs.T @ (-3 * np.tanh(tie) - np.tanh(gap))]
            )
            return value, (slope + ridge * J).ravel()

        best = minimize(
            cost, np.zeros(2 * size), jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-13}
        )
        rows.append([*overlaps(best.x.reshape(2, size), teacher), best.fun / size])
    energy = PairEnergy("tied", log(cosh(y1 + noise - x1 - x2)) + log(cosh(x1 - 3 * x2)), (y1 - x1 - x2) ** 2)
    (found,) = solve_pair(energy, [load], np.inf, S, ridge)
    (a, b), (_, c) = found.q
    judge(np.array(rows), [a, b, c, found.R[0][0], found.R[1][0], found.free_energy], bias=0.005)
    assert found.stable and found.residual < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("teachers", "load", "beta", "S", "ridge"),
    [(1, 2.0, 4.0, 0.1, 0.5), (2, 1.0, 2.0, 0.0, 0.5)],
    ids=["a linear teacher", "two erf teachers, units not specialized"],
)
def test_sampling_a_committee(teachers: int, load: float, beta: float, S: float, ridge: float) -> None:
    """Hamiltonian Monte Carlo of two erf units: N = 60, 48 sets, two chains; 1/N = 1.7 %."""
    size, sets = 60, 48
    rng = np.random.default_rng(7)
    teacher = np.linalg.qr(rng.standard_normal((sets, size, teachers)))[0] * np.sqrt(size)
    inputs = rng.standard_normal((sets, round(load * size), size)) / np.sqrt(size)
    fields = np.einsum("spn,snk->spk", inputs, teacher)
    target = (gaussian_error(fields / np.sqrt(2)) if teachers > 1 else fields).sum(axis=2)
    target = target + np.sqrt(S) * rng.standard_normal(target.shape)

    def energy(J: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """beta times the energy, its gradient and the loss of J (sets, chains, 2, N)."""
        field = np.einsum("sckn,spn->sckp", J, inputs, optimize=True)
        rest = gaussian_error(field / np.sqrt(2)).sum(axis=2) - target[:, None]
        loss = (rest**2).sum(axis=-1) / 2
        pull = rest[:, :, None] * np.sqrt(2 / np.pi) * np.exp(-(field**2) / 2)
        slope = np.einsum("sckp,spn->sckn", pull, inputs, optimize=True) + ridge * J
        return beta * (loss + ridge * (J**2).sum(axis=(2, 3)) / 2), beta * slope, loss

    J = rng.standard_normal((sets, 2, 2, size))
    records = []
    for sweep in range(260):
        value, slope, loss = energy(J)
        momentum = rng.standard_normal(J.shape)
        start = value + (momentum**2).sum(axis=(2, 3)) / 2
        at, length = J, 0.16 * rng.uniform(0.5, 1.0)
        for _ in range(12):
            momentum = momentum - length / 2 * slope
            at = at + length * momentum
            ahead, slope, lost = energy(at)
            momentum = momentum - length / 2 * slope
        taken = rng.random(start.shape) < np.exp(
            np.minimum(start - ahead - (momentum**2).sum(axis=(2, 3)) / 2, 0)
        )
        J = np.where(taken[..., None, None], at, J)
        if sweep >= 60:
            loss = np.where(taken, lost, loss)
            one_chain, other = J[:, 0], J[:, 1]
            within = np.einsum("scan,scbn->sab", J, J) / (2 * size)
            shared = np.einsum("san,sbn->s", one_chain, other) / (4 * size)
            along = np.einsum("scan,snk->s", J, teacher) / (4 * size * teachers)
            entry = [(within[:, 0, 0] + within[:, 1, 1]) / 2, within[:, 0, 1], shared, along]
            records.append(np.stack([*entry, loss.mean(axis=1) / inputs.shape[1]], axis=1))
    right = y1 if teachers == 1 else erf(y1 / sqrt(2)) + erf(y2 / sqrt(2))
    right = right + noise if S else right  # noise beside two teachers makes the average fivefold
    committee = PairEnergy("committee", (right - erf(x1 / sqrt(2)) - erf(x2 / sqrt(2))) ** 2 / 2, x1, teachers)
    (found,) = solve_pair(committee, [load], beta, S, ridge)
    shared = (found.q[0][0] + found.q[1][1] + 2 * found.q[0][1]) / 4
    along = np.mean(found.R)
    predicted = [found.Q[0][0], found.Q[0][1], shared, along, found.training_loss]
    judge(np.mean(records, axis=0), predicted, bias=1 / size)


def test_where_a_loss_has_kinks() -> None:
    t1 = Symbol("t1", real=True)
    loss = Heaviside(-(t1 - 1) * (x1 - 2) * x2) + abs(x2**2 - 4)
    assert places_of_kinks(loss, (x1, x2, t1)) == ((2.0,), (-2.0, 0.0, 2.0), (1.0,))
    with pytest.raises(InputError, match="two fields take kinks where one of them is a number"):
        places_of_kinks(abs(x1 - x2), (x1, x2, t1))


def test_what_the_loss_knows_of_the_teachers() -> None:
    joined = PairEnergy("sum", (y1 - 2 * y2 + noise - x1 - x2) ** 2 / 2, x1, 2).targets
    assert len(joined.fields) == 1 and list(joined.mixing) == [1, -2]
    assert float(joined.variance[0].subs(one.noise_variance, 0.25)) == 5.25
    apart = PairEnergy("apart", (erf(y1) + y2 + noise - x1 - x2) ** 2 / 2, x1, 2).targets
    assert len(apart.fields) == 3


FILE = """
from sympy import *
x1, x2, y, noise, z = symbols("x1 x2 y noise z")
x, y_ = IndexedBase("x"), IndexedBase("y")
i, n = symbols("i n", integer=True)
K, M = symbols("K M", integer=True, positive=True)
plain = (y + noise - x1 - x2)**2/2
summed = (Sum(y_[n], (n, 1, M)) + noise - Sum(x[i], (i, 1, K)))**2/2
strange = (y - x1 - x2 - z)**2
third = (y - x1 - x2 - x[3])**2
concave = y*x1 - x2**2
jump = Abs(x1 - x2) + y**2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "two.py"
    path.write_text(FILE)
    return path


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--alpha", "0.5:1:2", "--noise", "0.25", "--ridge", "0.3"]
    assert main(["replica", f"{file}:plain", *common]) == 0
    table = capsys.readouterr().out
    assert main(["replica", f"{file}:summed", "--students", "2", "--teachers", "1", *common]) == 0
    assert capsys.readouterr().out == table and "q12" in table and "R21" in table


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["plain", "--alpha", "1"], "need a ridge above 0"),
        (["plain", "--alpha", "0", "--ridge", "1"], "alpha must be a positive number"),
        (["plain", "--alpha", "1", "--ridge", "-1"], "ridge of at least 0"),
        (["plain", "--alpha", "1", "--ridge", "1", "--beta", "0"], "beta must be"),
        (["plain", "--alpha", "1", "--ridge", "1", "--noise", "-1"], "noise variance"),
        (["strange", "--alpha", "1", "--ridge", "1"], "holds the symbol z"),
        (["third", "--alpha", "1", "--ridge", "1"], "one or two students"),
        (["concave", "--alpha", "1", "--ridge", "1"], "concave in a direction"),
        (["jump", "--alpha", "1", "--ridge", "1"], "take kinks where one of them is a number"),
        (["summed", "--students", "1", "--teachers", "2", "--alpha", "1"], "one student"),
    ],
)
def test_bad_input(file: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    assert main(["replica", f"{file}:{options[0]}", *options[1:]]) == 2
    captured = capsys.readouterr()
    assert words in captured.err and captured.out == ""


def test_one_student_takes_one_teacher() -> None:
    with pytest.raises(DerivationError, match="two teachers and one student"):
        read_loss((y1 + y2 - Symbol("x")) ** 2, "loss")
