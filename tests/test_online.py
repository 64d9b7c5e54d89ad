"""The derived flow against its microscopic definition, averaged directly.

The reference knows the loss of one sample and nothing of the theory.  A step moves J_i along minus the
gradient, so <grad_i> . J_j is the derivative of the loss as J_i grows by epsilon J_j: x_i by epsilon x_j and
|J_i|^2 by 2 epsilon Q_ij.  Those derivatives are taken by a complex step, and averaged by quadrature (two and
three fields: 1e-12) or by sampling (more).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.special import erf as scipy_erf
from sympy import Heaviside, IndexedBase, Symbol, erf, floor, sqrt, tanh

from derive.closing import close_averages
from derive.errors import DerivationError
from derive.evaluate import evaluate
from derive.gaussian import GaussianAverage
from derive.model import NORMALIZATIONS, Model, committee, student_sum, teacher_sum, teacher_unit, unit
from derive.online import Flow, derive_flow
from derive.symbols import noise, v, w, x, y
from numerics.special.quadrature import gaussian_average

STEP = 1e-30


def real_erf(h: np.ndarray) -> np.ndarray:
    """erf(h/sqrt 2) of h = a + i STEP b, exactly to first order in the step."""
    slope = np.sqrt(2 / np.pi) * np.exp(-(h.real**2) / 2)
    return scipy_erf(h.real / np.sqrt(2)) + 1j * slope * h.imag


def real_relu(h: np.ndarray) -> np.ndarray:
    return h * (h.real > 0)


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"erf": real_erf, "relu": real_relu}


@dataclass(frozen=True)
class Microscopic:
    """A committee machine at one point of its state: what the theory claims to average."""

    activation: str
    normalization: str
    Q: np.ndarray
    R: np.ndarray
    T: np.ndarray
    g: np.ndarray
    w: np.ndarray
    v: np.ndarray
    eta: float = 0.7
    eta_g: float = 0.4
    eta_w: float = 0.3
    tau: float = 1.3
    b: float = 3.0
    sigma_0: float = 0.0
    weight_decay: float = 0.0
    gain_decay: float = 0.0

    @property
    def covariance(self) -> np.ndarray:
        return self.tau * np.block([[self.Q, self.R], [self.R.T, self.T]])

    def loss(
        self, fields: np.ndarray, norms: np.ndarray, g: np.ndarray, w: np.ndarray, xi: float
    ) -> np.ndarray:
        """Of one sample, without penalties; ``norms`` are the Q_ii that the normalization divides by."""
        K = len(self.Q)
        phi = ACTIVATIONS[self.activation]
        scale = {
            "none": np.ones(K),
            "batch": g / np.sqrt(self.tau * norms),
            "batch-without-radial": g / np.sqrt(self.tau * norms),
            "weight": g / np.sqrt(norms),
        }[self.normalization]
        student = sum(w[i] * phi(fields[i] * scale[i]) for i in range(K))
        teacher = sum(self.v[n] * phi(fields[K + n] + 0j) for n in range(len(self.T)))
        return (teacher + xi - student) ** 2 / 2

    def _slope(self, fields: np.ndarray, move: dict[str, tuple[int, float | np.ndarray]]) -> np.ndarray:
        """Derivative of the loss as named quantities move, averaged over the noise (at most squared)."""
        total = np.zeros(fields.shape[1:])
        for xi in (-self.sigma_0, self.sigma_0):
            parts = {
                "x": fields.astype(complex),
                "norm": np.diag(self.Q).astype(complex),
                "g": self.g.astype(complex),
                "w": self.w.astype(complex),
            }
            for name, (index, amount) in move.items():
                parts[name][index] += 1j * STEP * amount
            total += self.loss(parts["x"], parts["norm"], parts["g"], parts["w"], xi).imag / STEP / 2
        return total

    def towards(self, fields: np.ndarray, i: int, other: int) -> np.ndarray:
        """grad_i . (weight vector of ``other``), J for other < K, then B."""
        overlap = self.covariance[i, other] / self.tau
        move = {"x": (i, fields[other])}
        if self.normalization != "batch-without-radial":
            move["norm"] = (i, 2 * overlap)
        return self._slope(fields, move) + self.weight_decay * overlap

    def products(self, fields: np.ndarray, i: int, j: int) -> np.ndarray:
        """A_i A_j with A_i the factor of the input in grad_i, averaged over the noise."""
        total = np.zeros(fields.shape[1:])
        for xi in (-self.sigma_0, self.sigma_0):
            total += self.amplitude(fields, i, xi) * self.amplitude(fields, j, xi) / 2
        return total

    def amplitude(self, fields: np.ndarray, i: int, xi: float) -> np.ndarray:
        moved = fields.astype(complex)
        moved[i] += 1j * STEP
        norms = np.diag(self.Q).astype(complex)
        return self.loss(moved, norms, self.g.astype(complex), self.w.astype(complex), xi).imag / STEP

    def rates(self) -> dict[str, dict[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]]:
        """The change of every order parameter per unit of time steps / N, as a function of the fields."""
        K, M = self.R.shape

        def rate_q(i: int, j: int) -> Callable[[np.ndarray], np.ndarray]:
            return lambda fields: (
                -self.eta * (self.towards(fields, i, j) + self.towards(fields, j, i))
                + self.eta**2 * self.tau / self.b * self.products(fields, i, j)
            )

        def rate_r(i: int, n: int) -> Callable[[np.ndarray], np.ndarray]:
            return lambda fields: -self.eta * self.towards(fields, i, K + n)

        def rate_g(i: int) -> Callable[[np.ndarray], np.ndarray]:
            return lambda fields: (
                -self.eta_g * (self._slope(fields, {"g": (i, 1.0)}) + self.gain_decay * self.g[i])
            )

        def rate_w(i: int) -> Callable[[np.ndarray], np.ndarray]:
            return lambda fields: -self.eta_w * self._slope(fields, {"w": (i, 1.0)})

        rates = {
            "Q": {(i, j): rate_q(i, j) for i in range(K) for j in range(i, K)},
            "R": {(i, n): rate_r(i, n) for i in range(K) for n in range(M)},
            "w": {(i,): rate_w(i) for i in range(K)},
        }
        if self.normalization != "none":
            rates["g"] = {(i,): rate_g(i) for i in range(K)}
        return rates

    def error(self, fields: np.ndarray) -> np.ndarray:
        norms = np.diag(self.Q).astype(complex)
        return self.loss(fields.astype(complex), norms, self.g, self.w, 0.0).real

    def values(self) -> dict[str, object]:
        K, M = self.R.shape
        names = ("eta", "eta_g", "eta_w", "tau", "b", "sigma_0")
        arrays = {name: getattr(self, name).tolist() for name in ("Q", "R", "T", "g", "w", "v")}
        decays = {"lambda": self.weight_decay, "zeta": self.gain_decay}
        return {"K": K, "M": M, **arrays, **decays, **{name: getattr(self, name) for name in names}}


def random_point(
    activation: str, normalization: str, K: int, M: int, seed: int, **settings: float
) -> Microscopic:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(K + M, K + M + 1)) / np.sqrt(K + M + 1)
    overlaps = weights @ weights.T
    return Microscopic(
        activation, normalization, overlaps[:K, :K], overlaps[:K, K:], overlaps[K:, K:],
        g=rng.uniform(0.5, 1.5, K), w=rng.uniform(0.5, 1.5, K), v=rng.uniform(0.5, 1.5, M), **settings,
    )  # fmt: skip


def derived(flow: Flow, name: str, indices: tuple[int, ...], point: Microscopic) -> float:
    """The theory's rate of one entry, in closed form."""
    variable = flow[name]
    where = {str(index): k + 1 for index, k in zip(variable.indices, indices, strict=True)}
    inert = float(evaluate(variable.averages, {**point.values(), **where}))
    closed = float(evaluate(variable.explicit_rate, {**point.values(), **where}))
    assert closed == pytest.approx(inert, abs=1e-13)
    return closed


def assert_flow(point: Microscopic, flow: Flow, tolerance: float = 1e-12) -> None:
    """All rates of one family at once, as a combination with random weights: one quadrature a family."""
    rng = np.random.default_rng(0)
    kinks = point.activation == "relu"
    for name, entries in point.rates().items():
        weights = rng.uniform(0.5, 1.5, len(entries))
        theory = sum(
            c * derived(flow, name, indices, point) for c, indices in zip(weights, entries, strict=True)
        )

        def combined(*fields: np.ndarray, entries=entries, weights=weights) -> np.ndarray:
            return sum(c * rate(np.array(fields)) for c, rate in zip(weights, entries.values(), strict=True))

        direct = gaussian_average(combined, point.covariance, kinks, 1e-13)
        assert theory == pytest.approx(direct.value, abs=tolerance), name
    direct = gaussian_average(lambda *fields: point.error(np.array(fields)), point.covariance, kinks, 1e-13)
    error = float(evaluate(close_averages(flow.error_averages), point.values()))
    assert error == pytest.approx(direct.value, abs=tolerance)


@pytest.mark.parametrize("activation", ["erf", "relu"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(("K", "M"), [(1, 1), (2, 1)])
def test_rates(activation: str, normalization: str, K: int, M: int) -> None:
    flow = derive_flow(committee(activation, normalization))
    point = random_point(
        activation, normalization, K, M, seed=K, sigma_0=0.5, weight_decay=0.2, gain_decay=0.1
    )
    assert_flow(point, flow)


def test_every_entry_where_units_coincide() -> None:
    """i = j = k in the sums over units: deltas of kinks meet the signs of the same unit."""
    flow = derive_flow(committee("relu", "weight"))
    point = random_point("relu", "weight", 2, 1, seed=2)
    for indices, rate in point.rates()["Q"].items():
        direct = gaussian_average(lambda *f, r=rate: r(np.array(f)), point.covariance, True, 1e-13)
        assert derived(flow, "Q", indices, point) == pytest.approx(direct.value, abs=1e-12)


@pytest.mark.parametrize(("activation", "normalization"), [("erf", "batch"), ("relu", "none")])
def test_rates_by_sampling(activation: str, normalization: str) -> None:
    """Three students and two teachers: every pattern of coinciding units.

    Criterion, stated first: of 22 or 28 means over 200,000 antithetic pairs none is more than 4.5 standard
    errors away (chance 2e-4).  Power: the standard errors are 1e-3 to 1e-2 of the rates.
    """
    point = random_point(activation, normalization, 3, 2, seed=8, sigma_0=0.3, weight_decay=0.1)
    flow = derive_flow(committee(activation, normalization))
    factor = np.linalg.cholesky(point.covariance)
    fields = factor @ np.random.default_rng(9).standard_normal((5, 200_000))
    for name, entries in point.rates().items():
        for indices, rate in entries.items():
            draws = (rate(fields) + rate(-fields)) / 2
            error = draws.std(ddof=1) / np.sqrt(draws.size)
            where = {str(k): a + 1 for k, a in zip(flow[name].indices, indices, strict=True)}
            theory = float(evaluate(flow[name].explicit_rate, {**point.values(), **where}))
            assert abs(draws.mean() - theory) < 4.5 * error, (name, indices)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_finite_batch(normalization: str) -> None:
    """eta^2 (1 - 1/b)/N <grad_i> . <grad_j>, with weight vectors in three dimensions."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(3, 3)) / 2
    overlaps = weights @ weights.T
    point = replace(
        random_point("erf", normalization, 2, 1, seed=2, weight_decay=0.3),
        Q=overlaps[:2, :2],
        R=overlaps[:2, 2:],
        T=overlaps[2:, 2:],
    )

    def along(i: int, axis: int) -> float:
        """One component of the mean gradient: J_i grows by epsilon along a Cartesian axis."""

        def slope(*inputs: np.ndarray) -> np.ndarray:
            move: dict[str, tuple[int, float | np.ndarray]] = {"x": (i, inputs[axis].reshape(-1))}
            if normalization != "batch-without-radial":
                move["norm"] = (i, 2 * weights[i, axis])
            return point._slope(weights @ np.array(inputs).reshape(3, -1), move).reshape(inputs[0].shape)

        mean = gaussian_average(slope, point.tau * np.eye(3), False, 1e-13).value
        return mean + point.weight_decay * weights[i, axis]

    gradients = np.array([[along(i, axis) for axis in range(3)] for i in range(2)])
    flow = derive_flow(committee("erf", normalization))
    for i, j in ((0, 0), (0, 1), (1, 1)):
        ours = float(evaluate(flow.finite_batch, {**point.values(), "N": 50, "i": i + 1, "j": j + 1}))
        direct = point.eta**2 * (1 - 1 / point.b) / 50 * gradients[i] @ gradients[j]
        assert ours == pytest.approx(direct, abs=1e-13), (i, j)


def test_a_model_of_ones_own() -> None:
    """The committee's loss, written by a user, gives the committee's flow."""
    student = student_sum(w[unit] * erf(x[unit] / sqrt(2)))
    teacher = teacher_sum(v[teacher_unit] * erf(y[teacher_unit] / sqrt(2)))
    ours = derive_flow(Model(loss=(teacher + noise - student) ** 2 / 2, name="mine"))
    point = random_point("erf", "none", 2, 2, seed=5, sigma_0=0.4)
    builtin = derive_flow(committee("erf"))
    for name, indices in (("Q", (0, 1)), ("R", (1, 0)), ("w", (1,))):
        assert derived(ours, name, indices, point) == pytest.approx(
            derived(builtin, name, indices, point), abs=1e-14
        )


def test_another_loss() -> None:
    """Phase retrieval, (y^2 - x^2)^2/4 with one unit: dR/dt = eta <(y^2 - x^2) x y>, by Wick's theorem."""
    loss = (teacher_sum(y[teacher_unit] ** 2) - student_sum(x[unit] ** 2)) ** 2 / 4
    flow = derive_flow(Model(loss=loss, name="phase retrieval"))
    point = random_point("erf", "none", 1, 1, seed=4)
    (q,), (r,), (t,) = point.Q[0], point.R[0], point.T[0]
    expected = point.eta * point.tau**2 * 3 * r * (t - q)
    assert derived(flow, "R", (0, 0), point) == pytest.approx(expected, abs=1e-14)


def test_what_no_rule_closes_stays_in_the_flow() -> None:
    flow = derive_flow(committee("tanh"))
    assert flow["R"].rate.has(GaussianAverage)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: committee("step"), "no gradient to descend"),
        (lambda: committee("erf", "layer"), "unknown normalization 'layer'"),
        (lambda: Model(loss=student_sum(x[unit] * Symbol("q")) ** 2), "depends on q, which is not declared"),
        (lambda: Model(loss=student_sum(IndexedBase("z")[unit])), "which is not declared; arrays are"),
        (lambda: derive_flow(Model(loss=tanh(student_sum(x[unit])))), "inside tanh cannot be averaged"),
        (lambda: derive_flow(Model(loss=student_sum(Heaviside(x[unit])) ** 2)), "jumps in a preactivation"),
        (lambda: derive_flow(Model(loss=student_sum(floor(x[unit])) ** 2)), "holds floor, whose derivative"),
        (lambda: derive_flow(committee("erf"))["C"], "the flow has no 'C'"),
    ],
)
def test_refusals(make: Callable[[], object], words: str) -> None:
    with pytest.raises(DerivationError, match=words):
        make()
