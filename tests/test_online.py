"""The derived flow against its microscopic definition, averaged directly.

The reference knows the loss of one sample and nothing of the theory.  A step moves J_i along minus the
gradient, so <grad_i> . J_j is the derivative of the loss as J_i grows by epsilon J_j: x_i by epsilon x_j and
|J_i|^2 by 2 epsilon Q_ij.  Those derivatives are taken by a complex step, and averaged by quadrature (two and
three fields: 1e-12) or by sampling (more).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scipy.special import erf as scipy_erf
from sympy import Expr, Heaviside, Indexed, IndexedBase, Sum, Symbol, erf, sqrt, tanh

from derive.errors import DerivationError
from derive.evaluate import evaluate
from derive.gaussian import GaussianAverage
from derive.model import NORMALIZATIONS, Model, committee, student_sum, teacher_sum, unit
from derive.online import Flow, close_averages, derive_flow
from derive.symbols import Q, noise, v, w, x, y
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
    extra: dict[str, float] = field(default_factory=dict)

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
        """Derivative of the noise-averaged loss as named quantities move; the loss is quadratic in the noise."""
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
            quiet = replace(self, sigma_0=0.0, extra={"xi": xi})
            total += quiet.amplitude(fields, i, xi) * quiet.amplitude(fields, j, xi) / 2
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
