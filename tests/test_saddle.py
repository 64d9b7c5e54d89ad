"""Saddle points: Newton's iteration itself, and replica-symmetric ones against exact results."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize
from scipy.special import ndtr
from scipy.stats import norm
from sympy import Abs, Piecewise, exp, log, tanh

from derive.replica import Energy, known
from derive.replica.symbols import noise, x, y
from numerics.replica.outer import nodes
from numerics.replica.solve import Solution, _Solver, solve
from numerics.runtime.errors import InputError
from numerics.saddle import NotConverged, Root, follow, newton
from orderparams import main

S = 0.25


def test_newton_certifies_and_keeps_positive_unknowns_positive() -> None:
    root = newton(
        lambda v: np.array([np.log(v[0]) + v[1], v[1] - 2.0]),
        np.array([3.0, 0.0]),
        np.array([True, False]),
        "ab",
    )
    assert root.x == pytest.approx([np.exp(-2.0), 2.0]) and root.residual < 1e-12
    assert root.condition < 100


def test_an_iteration_that_does_not_converge_is_an_error_with_its_path() -> None:
    with pytest.raises(NotConverged, match=r"path of \d+ points: u = 3 \(residual 10\)") as caught:
        newton(lambda v: v**2 + 1, np.array([3.0]), np.array([False]), "u")
    assert len(caught.value.path) > 1 and caught.value.exit_status == 2


def test_continuation_takes_smaller_steps_where_it_must() -> None:
    def solve_at(c: float, start: object) -> object:
        if start is not None and abs(c - start.x[0]) > 0.3:
            raise NotConverged("u", [(start.x, 1.0)], "too far")
        return newton(lambda v: v - c, np.array([c]), np.array([False]), "u")

    found = follow(solve_at, [0.0, 1.0, 2.0])
    assert [root.x[0] for root in found] == [0.0, 1.0, 2.0]


def stieltjes(load: float, ridge: float) -> tuple[float, float]:
    """G = (1/N) <tr (X^T X + ridge)^(-1)> of Marchenko and Pastur's law, and its derivative, by quadrature."""
    low, high = (1 - np.sqrt(load)) ** 2, (1 + np.sqrt(load)) ** 2

    def moment(power: int) -> float:
        def integrand(angle: float) -> float:
            e = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
            return ((high - low) / 2 * np.sin(angle)) ** 2 / (2 * np.pi * e) / (e + ridge) ** power

        bulk = quad(integrand, 0, np.pi, epsabs=1e-14, epsrel=1e-13)[0]
        return bulk + max(0.0, 1 - load) / ridge**power

    return moment(1), -moment(2)


@pytest.mark.parametrize("load", [0.3, 0.9, 1.0, 2.5])
@pytest.mark.parametrize("beta", [np.inf, 3.0])
def test_the_linear_student_is_ridge_regression(load: float, beta: float) -> None:
    ridge = 0.2
    g, slope = stieltjes(load, ridge)
    (found,) = solve(known("linear"), [load], beta, S, ridge)
    thermal = 0.0 if np.isinf(beta) else g / beta
    assert found.generalization_error == pytest.approx(
        S * (g + ridge * slope) - ridge**2 * slope + thermal, abs=1e-10
    )
    assert found.chi == pytest.approx(g, abs=1e-10)
    assert pytest.approx(1 - ridge * g, abs=1e-10) == found.R
    assert found.residual < 1e-12 and found.stable


def test_the_free_energy_of_ridge_regression() -> None:
    """(1/N) <ln Z> by thermodynamic integration over the ridge: its derivative is -beta Q / 2."""
    beta, h, ridge = 2.0, 1e-3, 0.7
    below, at, above = (solve(known("linear"), [0.8], beta, S, r)[0] for r in (ridge - h, ridge, ridge + h))
    slope = (above.log_partition - below.log_partition) / (2 * h)
    assert slope == pytest.approx(-beta * at.Q / 2, rel=1e-5)


@pytest.mark.parametrize("load", [0.4, 0.95, 1.3, 4.0])
def test_double_descent_without_a_ridge(load: float) -> None:
    (found,) = solve(known("linear"), [load], np.inf, S, 0.0)
    expected = 1 - load + load * S / (1 - load) if load < 1 else S / (load - 1)
    assert found.generalization_error == pytest.approx(expected, abs=1e-10)
    assert found.phase == ("interpolating" if load < 1 else "minimum")


def test_gamma_decay_beside_the_mean_is_a_ridge_times_the_load() -> None:
    (decay,), (ridge,) = (
        solve(known("linear-decay"), [2.0], np.inf, S, 0.3),
        solve(known("linear"), [2.0], np.inf, S, 0.6),
    )
    assert decay.generalization_error == pytest.approx(ridge.generalization_error, abs=1e-13)


@pytest.mark.parametrize("load", [0.5, 2.0])
def test_the_pseudo_inverse_rule(load: float) -> None:
    """Opper, Kinzel, Kleinz, Nehl (1990)."""
    (found,) = solve(known("pseudo-inverse"), [load])
    square = (
        2 * load * (1 - load) / (np.pi - 2 * load) if load < 1 else 2 * (load - 1) / (np.pi + 2 * load - 4)
    )
    assert found.R / np.sqrt(found.q) == pytest.approx(np.sqrt(square), abs=1e-10)
    assert found.generalization_error == pytest.approx(np.arccos(np.sqrt(square)) / np.pi, abs=1e-10)


@pytest.mark.parametrize("load", [0.5, 3.0])
def test_gibbs_learning_of_the_perceptron(load: float) -> None:
    """R / sqrt(1 - R) = (alpha/pi) int Dt exp(-R t^2/2) / H(sqrt(R) t) (Engel and Van den Broeck), and R = q."""

    def gap(overlap: float) -> float:
        def integrand(t: float) -> float:
            return np.exp(-overlap * t * t / 2 - t * t / 2) / np.sqrt(2 * np.pi) / ndtr(-np.sqrt(overlap) * t)

        return overlap / np.sqrt(1 - overlap) - load / np.pi * quad(integrand, -9, 9, epsabs=1e-13)[0]

    expected = brentq(gap, 1e-3, 0.999, xtol=1e-13)
    (found,) = solve(known("sign"), [load])
    assert pytest.approx(expected, abs=1e-10) == found.R
    assert found.q == pytest.approx(found.R, abs=1e-10) and found.stable


@pytest.mark.parametrize("beta", [0.5, 2.0, 6.0])
def test_errors_of_the_perceptron_at_a_temperature(beta: float) -> None:
    """The known free energy (Seung, Sompolinsky and Tishby 1992) by quadrature: its value, and stationary."""
    load = 2.0
    (found,) = solve(known("sign"), [load], beta=beta)
    floor = np.exp(-beta)

    def log_partition(q: float, R: float) -> float:
        def examples(t: float) -> float:
            right = ndtr(R * t / np.sqrt(q - R * R))
            inside = floor + (1 - floor) * ndtr(np.sqrt(q / (1 - q)) * t)
            return np.exp(-t * t / 2) / np.sqrt(2 * np.pi) * 2 * right * np.log(inside)

        energetic, _ = quad(examples, -12, 12, epsabs=1e-13, epsrel=1e-13, limit=400)
        return np.log(1 - q) / 2 + (q - R * R) / (2 * (1 - q)) + load * energetic

    assert found.log_partition == pytest.approx(log_partition(found.q, found.R), abs=1e-10)
    for dq, dR in ((1e-4, 0), (0, 1e-4)):
        slope = log_partition(found.q + dq, found.R + dR) - log_partition(found.q - dq, found.R - dR)
        assert abs(slope / 2e-4) < 1e-6


def test_relu_where_interpolation_ends() -> None:
    """x = t for t > 0 and x <= 0 for t < 0 can hold up to max rho^2/<distance^2> (Gordon), 1.465 at S = 1/4."""
    rows = solve(known("relu"), [1.0, 1.4, 1.5], np.inf, S, 0.0)
    assert [r.phase for r in rows] == ["interpolating", "interpolating", "minimum"]
    assert rows[0].training_loss == pytest.approx((1 + S) / 4, abs=1e-12), "half of <t^2> over t < 0"
    assert rows[0].stable and rows[2].stability == -np.inf and rows[2].training_loss > (1 + S) / 4
    soft = solve(known("relu"), [1.0], np.inf, S, 1e-6)[0]
    assert soft.q == pytest.approx(rows[0].q, abs=1e-3), "the limit of a vanishing ridge"


def test_growing_beta_leads_to_the_minimum() -> None:
    cold, frozen = (solve(known("relu"), [1.0], b, S, 0.1)[0] for b in (1024.0, np.inf))
    assert pytest.approx(frozen.R, abs=5e-3) == cold.R and cold.q == pytest.approx(frozen.q, abs=5e-3)


def test_a_smooth_loss_by_quadrature_agrees_with_the_closed_one() -> None:
    """A square that the piecewise rules do not recognize."""
    hidden = Energy("hidden", log(exp((y + noise - x) ** 2 / 2), evaluate=False), (y - x) ** 2)
    for beta in (2.0, np.inf):
        (ours,), (exact,) = solve(hidden, [0.8], beta, S, 0.3), solve(known("linear"), [0.8], beta, S, 0.3)
        assert pytest.approx(exact.R, abs=1e-10) == ours.R and abs(ours.Q - exact.Q) < 1e-10


def test_noise_beside_a_bent_teacher_adds_to_what_a_line_leaves() -> None:
    """To a linear student the target tanh(y) + noise is c y with noise of variance v - c^2: c = <y tanh y>, v its
    own variance."""
    density = norm.pdf
    squared = quad(lambda u: np.tanh(u) ** 2 * density(u), -12, 12, epsabs=1e-14)[0]
    along = quad(lambda u: u * np.tanh(u) * density(u), -12, 12, epsabs=1e-14)[0]
    bent = Energy("bent", (tanh(y) + noise - x) ** 2 / 2, (tanh(y) - x) ** 2 / 2)
    rest = (squared + 0.25 - along**2) / along**2
    for mine, line in zip(
        solve(bent, [0.5, 1.5], noise=0.25, ridge=0.1),
        solve(known("linear"), [0.5, 1.5], noise=rest, ridge=0.1),
        strict=True,
    ):
        expected = [line.q * along**2, line.R * along, line.chi, line.stability]
        assert [mine.q, mine.R, mine.chi, mine.stability] == pytest.approx(expected, rel=1e-11)


def test_even_steps_and_panels_agree_on_smooth_functions() -> None:
    def places(t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return np.full((0, *t.shape), np.nan)

    even, panels = (nodes(0.7, 0.4, 1.3, 0.25, places, 0.0, 0.0, smooth, 12) for smooth in (True, False))
    assert len(even.m) < len(panels.m) / 10
    first, second = (n.average(np.tanh(n.m - n.t) * np.exp(n.noise) / (1 + n.m**2)) for n in (even, panels))
    assert first == pytest.approx(second, rel=1e-10)


def test_the_loss_of_huber_by_direct_minimization() -> None:
    """Squares up to 1/2, linear beyond, with noise that is mostly beyond: 40 draws of 200 weights each."""
    size, load, ridge, noise_variance, knee = 200, 2.0, 0.3, 2.0, 0.5
    gap = y + noise - x
    loss = Piecewise((gap**2 / 2, Abs(gap) < knee), (knee * Abs(gap) - knee**2 / 2, True))
    (theory,) = solve(Energy("huber", loss, (y - x) ** 2), [load], np.inf, noise_variance, ridge)
    random = np.random.default_rng(11)
    found = []
    for _ in range(40):
        inputs = random.standard_normal((int(load * size), size)) / np.sqrt(size)
        teacher = random.standard_normal(size)
        teacher *= np.sqrt(size) / np.linalg.norm(teacher)
        label = inputs @ teacher + np.sqrt(noise_variance) * random.standard_normal(len(inputs))

        def energy(J: np.ndarray, inputs: np.ndarray = inputs, label: np.ndarray = label) -> tuple:
            rest = inputs @ J - label
            slope = np.clip(rest, -knee, knee)
            value = (slope * (rest - slope / 2)).sum() + ridge * (J @ J) / 2
            return value, inputs.T @ slope + ridge * J

        J = minimize(energy, np.zeros(size), jac=True, method="L-BFGS-B", options={"gtol": 1e-8}).x
        found.append((J @ J / size, J @ teacher / size, energy(J)[0] / size))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert np.abs((mean - [theory.q, theory.R, theory.free_energy]) / error).max() < 3.5
    (squares,) = solve(known("linear"), [load], np.inf, noise_variance, ridge)
    assert abs(squares.q - theory.q) > 10 * error[0], "what least squares would give"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["linear", "--alpha", "0"], "alpha must be a positive number"),
        (["linear", "--alpha", "0.5", "--ridge", "-0.1"], "leaves the energy without a minimum"),
        (["linear", "--alpha", "4", "--ridge", "-1.1"], "lowest eigenvalue of the inputs' correlations is 1"),
        (["linear", "--alpha", "0.5", "--ridge", "-0.1"], "correlations is 0"),
        (["relu", "--alpha", "4", "--ridge", "-0.1"], "without a minimum"),
        (["linear", "--alpha", "-1:2:3"], "alpha must be a positive number, not -1"),
        (["linear", "--alpha", "1"], "diverge at alpha = 1"),
        (["linear", "--alpha", "0.5", "--beta", "3"], "cannot be normalized"),
        (["linear", "--alpha", "1", "--beta", "0"], "beta must be"),
        (["linear", "--alpha", "1", "--noise", "-1"], "noise variance"),
        (["linear", "--alpha", "1", "--ridge", "nan"], "--ridge must be a number"),
        (["linear", "--alpha", "1:2"], "start:stop:count"),
        (["lineer", "--alpha", "1"], "unknown energy 'lineer'"),
        (["sign", "--alpha", "1", "--ridge", "1"], "fixed norm"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    assert main(["replica", *options]) == 2
    captured = capsys.readouterr()
    assert words in captured.err and captured.out == ""


def test_what_was_found_before_a_load_fails_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _Solver.solution

    def fails_late(self: _Solver, load: float, root: Root) -> Solution:
        if load > 0.6:
            raise NotConverged(["R"], [(np.array([0.5]), 1.0)], "made to fail")
        return real(self, load, root)

    monkeypatch.setattr(_Solver, "solution", fails_late)
    assert main(["replica", "linear", "--alpha", "0.5:1:3", "--ridge", "0.1", "--format", "json"]) == 3
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert [r["alpha"] for r in printed["rows"]] == [0.5] and printed["complete"] is False
    assert "stopped after 1 of 3 loads: the saddle-point iteration does not converge" in captured.err
    assert main(["replica", "linear", "--alpha", "1", "--ridge", "0.1"]) == 2, "nothing was found"


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    assert (
        main(
            [
                "replica",
                "linear",
                "--alpha",
                "0.5:2:2",
                "--noise",
                "0.25",
                "--ridge",
                "0.25",
                "--format",
                "json",
            ]
        )
        == 0
    )
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [r["alpha"] for r in rows] == [0.5, 2.0]
    assert set(rows[0]) >= {
        "free_energy",
        "q",
        "Q",
        "R",
        "generalization_error",
        "stability",
        "residual",
        "stable",
    }
    assert main(["replica", "relu", "--alpha", "2", "--noise", "0.25"]) == 0
    captured = capsys.readouterr()
    assert "replica symmetry is unstable for alpha = 2" in captured.err and "minimum" in captured.out
    mine = tmp_path / "mine.py"  # type: ignore[operator]
    mine.write_text("from sympy import *\nx, y, noise = symbols('x y noise')\nloss = (y + noise - x)**2/2\n")
    assert main(["replica", f"{mine}:loss", "--alpha", "2", "--noise", "0.25", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["R"] == pytest.approx(1.0)


def test_a_negative_ridge_where_the_matrix_is_regular() -> None:
    (found,) = solve(known("linear"), [4.0], np.inf, S, -0.5)
    g, slope = stieltjes(4.0, -0.5)
    assert found.generalization_error == pytest.approx(S * (g - 0.5 * slope) - 0.25 * slope, abs=1e-10)


def test_input_errors_name_the_value() -> None:
    with pytest.raises(InputError, match="alpha must be a positive number, not -1"):
        solve(known("linear"), [-1.0])
