"""The flow under real batch statistics, to first order in 1/b: against what is exact, and against the network."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from sympy import S, simplify

from derive.batch_normalization import decay_of_gains, expected_over_batch, gradient_noise
from derive.batch_statistics import (
    NORMALIZED,
    cosine,
    fluctuation,
    joint_fluctuation,
    kurtosis,
    skewness,
    t,
    y,
)
from derive.closing import close_averages
from derive.errors import DerivationError
from derive.evaluate import evaluate
from derive.model import committee
from derive.online import Flow, derive_flow
from numerics.batch_statistics import expected_correction
from numerics.runtime.errors import InputError
from numerics.runtime.runfile import load
from validate.runs import setup_of
from validate.simulate.committee import Committee, Sample
from validate.simulate.setup import Setup

INFINITE = 1e300


def point(K: int, M: int, seed: int, **numbers: float) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(K + M, K + M + 1)) / 2
    overlaps = weights @ weights.T
    arrays = {
        "J": weights[:K], "B": weights[K:], "Q": overlaps[:K, :K], "R": overlaps[:K, K:], "T": overlaps[K:, K:],
        "g": rng.uniform(0.5, 1.5, K), "w": rng.uniform(0.5, 1.5, K), "v": rng.uniform(0.5, 1.5, M),
    }  # fmt: skip
    scalars = {"eta": 1.0, "eta_g": 1.0, "eta_w": 1.0, "tau": 1.3, "sigma_0": 0.4, "zeta": 0.0, "lambda": 0.0}
    lists = {name: array.tolist() for name, array in arrays.items()}
    return {"K": K, "M": M, **lists, **scalars, **numbers}


def first_order(flow: Flow, name: str, at: dict[str, Any], **indices: int) -> float:
    """The coefficient of 1/b in a rate."""
    rate = flow[name].explicit_rate
    one, none = (evaluate(rate, {**at, **indices, "b": b}, 25) for b in (1.0, INFINITE))
    return float(one - none)


def linear_loss(J: Any, g: Any, at: dict[str, Any], b: float | None) -> Any:
    """The expected loss of a linear committee under the statistics of b samples, exactly, without constants:
    <z_i y_n> shrinks by the mean deviation, and <z_i z_j> is the mean of a sample correlation (Hotelling 1953)."""
    K, M, B, w, v = (at[name] for name in ("K", "M", "B", "w", "v"))
    deviation: Any = mpmath.mpf(1)
    if b is not None:
        n = mpmath.mpf(b - 1)
        ratio = mpmath.exp(mpmath.loggamma((n + 1) / 2) - mpmath.loggamma(n / 2))
        deviation = mpmath.sqrt(mpmath.mpf(2) / b) * ratio

    def correlation(r: Any) -> Any:
        return r if b is None else 2 / n * ratio**2 * r * mpmath.hyp2f1(0.5, 0.5, (n + 2) / 2, r * r)

    size = [mpmath.sqrt(mpmath.fdot(row, row)) for row in J]
    total = mpmath.mpf(0)
    for i in range(K):
        for j in range(K):
            r = mpmath.fdot(J[i], J[j]) / (size[i] * size[j])
            total += w[i] * w[j] * g[i] * g[j] * (1 if i == j else correlation(r)) / 2
        for n_ in range(M):
            along = mpmath.fdot(J[i], B[n_]) / size[i]
            total -= w[i] * g[i] * v[n_] * mpmath.sqrt(at["tau"]) * along * deviation
    return total


def test_linear_committee_against_exact_batches() -> None:
    """Drifts of R and g, three students of two teachers: b (rate at b - rate at infinity) at b = 10^8, where the
    second order is 1e-8 of it."""
    flow = derive_flow(committee("identity", "batch-statistics"))
    at = point(3, 2, seed=1)
    b, step = 10**8, mpmath.mpf(10) ** -12
    with mpmath.workdps(45):

        def slope(i: int, direction: list[float] | None, samples: float | None) -> Any:
            """-d loss along J_i += direction, or along g_i."""
            ends = []
            for sign in (1, -1):
                J, g = [[mpmath.mpf(a) for a in row] for row in at["J"]], [mpmath.mpf(a) for a in at["g"]]
                if direction is None:
                    g[i] += sign * step
                else:
                    J[i] = [a + sign * step * c for a, c in zip(J[i], direction, strict=True)]
                ends.append(linear_loss(J, g, at, samples))
            return (ends[1] - ends[0]) / (2 * step)

        for i, n in ((0, 0), (2, 1)):
            exact = [float(b * (slope(i, d, b) - slope(i, d, None))) for d in (at["B"][n], None)]
            assert first_order(flow, "R", at, i=i + 1, n=n + 1) == pytest.approx(exact[0], rel=1e-7)
            assert first_order(flow, "g", at, i=i + 1) == pytest.approx(exact[1], abs=1e-7)


def test_decays_of_the_gains() -> None:
    """Those of a linear committee against exact batches, and 3/8 at the best gain of one unit."""
    decay = decay_of_gains(committee("identity", "batch-statistics"))
    at = point(3, 2, seed=1)
    b, step = 10**8, mpmath.mpf(10) ** -12
    with mpmath.workdps(45):
        for i in range(3):
            slope = mpmath.mpf(0)
            for sign in (1, -1):
                g = [mpmath.mpf(a) for a in at["g"]]
                g[i] += sign * step
                slope += sign * (linear_loss(at["J"], g, at, b) - linear_loss(at["J"], g, at, None)) / (2 * step)
            exact = float(b * slope / (2 * at["g"][i]))
            assert float(evaluate(decay, {**at, "i": i + 1})) == pytest.approx(exact, abs=1e-7)
    one = {"K": 1, "M": 1, "i": 1, "tau": 1, "Q": [[1]], "R": [[0.6]], "T": [[1]], "g": [0.6], "w": [1], "v": [1]}
    assert float(evaluate(decay, one)) == pytest.approx(3 / 8, abs=1e-12)


@pytest.mark.parametrize(
    ("normalization", "kind"),
    [("batch-statistics", "batch"), ("batch-statistics-uncentred", "root-mean-square")],
)
def test_one_unit_against_the_expected_loss(normalization: str, kind: str) -> None:
    """The drift of the gain of an erf unit is minus the slope of the corrected loss, by quadrature: 1e-8."""
    flow = derive_flow(committee("erf", normalization))
    R, g, step = 0.6, 0.9, 1e-4
    at = point(1, 1, 0, tau=1.0, sigma_0=0.0) | {"Q": [[1.0]], "R": [[R]], "T": [[1.0]], "g": [g], "w": [1], "v": [1]}
    values = {d: expected_correction("erf", kind, False, g + d * step, R).total for d in (-2, -1, 1, 2)}
    slope = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * step)
    assert first_order(flow, "g", at, i=1) == pytest.approx(-slope, abs=1e-8)


@pytest.mark.parametrize("statistics", ["batch", "batch-uncentred"])
@pytest.mark.parametrize("activation", ["erf", "gelu"])
def test_noise_of_the_gradient_against_the_network(statistics: str, activation: str) -> None:
    """What multiplies the inputs in the network's own gradient, 100 batches of 4000 samples.

    Criterion, stated first: three products within 4.5 standard errors (chance 2e-5 each) and 1/4000.
    """
    at = point(2, 1, seed=4)
    normalization = {"batch": "batch-statistics", "batch-uncentred": "batch-statistics-uncentred"}[statistics]
    model = committee(activation, normalization)
    noise = close_averages(gradient_noise(model))
    setup = Setup(
        2, 1, activation=activation, normalization="batch", statistics=statistics, batch_size=4000,
        input_variance=at["tau"], **{name: at[name] for name in ("Q", "R", "T", "g", "w", "v")},
    )  # fmt: skip
    rng, batches, size = np.random.default_rng(5), 100, 4000
    Q, R, T = (np.array(at[name]) for name in "QRT")
    covariance = at["tau"] * np.block([[Q, R], [R.T, T]])
    fields = rng.standard_normal((batches, size, 3)) @ np.linalg.cholesky(covariance).T
    ones = np.ones((batches, 1))
    gradient = Committee(setup, np).gradient(Sample(
        fields[..., :2], fields[..., 2:], at["sigma_0"] * rng.standard_normal((batches, size)),
        ones * np.array(at["g"]), ones * np.array(at["w"]), 0 * ones * np.array(at["g"]),
    ))  # fmt: skip
    wrong = close_averages(derive_flow(committee(activation, "batch")).diffusion)
    distances = []
    for a, b in ((0, 0), (0, 1), (1, 1)):
        products = (gradient.inputs[..., a] * gradient.inputs[..., b]).mean(axis=1)
        error = products.std(ddof=1) / np.sqrt(batches) + abs(products.mean()) / size
        where = {**at, "i": a + 1, "j": b + 1}
        assert abs(products.mean() - float(evaluate(noise, where))) < 4.5 * error
        population = float(evaluate(wrong, {**where, "b": 1.0})) / at["tau"]
        distances.append(abs(products.mean() - population) / error)
    assert max(distances) > 10  # it is told from that of the population's normalization


def test_large_batches_have_the_population_s_flow() -> None:
    flow, plain = (derive_flow(committee("erf", name)) for name in ("batch-statistics", "batch"))
    at = point(2, 2, seed=3) | {"b": INFINITE}
    for name, indices in (("Q", {"i": 1, "j": 2}), ("R", {"i": 2, "n": 1}), ("g", {"i": 1}), ("w", {"i": 2})):
        ours, theirs = (float(evaluate(f[name].explicit_rate, {**at, **indices})) for f in (flow, plain))
        assert ours == pytest.approx(theirs, abs=1e-13)
    assert flow.generalization_error == plain.generalization_error


@pytest.mark.parametrize("kind", NORMALIZED)
def test_two_units_that_are_one(kind: str) -> None:
    joint = joint_fluctuation(kind).subs({cosine: S.One, y: t})
    assert simplify(joint - fluctuation(kind).spread.subs({kurtosis: 0, skewness: 0})) == 0


def test_refusals(tmp_path: Any) -> None:
    for refused in (expected_over_batch, decay_of_gains):
        with pytest.raises(DerivationError, match="needs a smooth activation"):
            refused(committee("relu", "batch-statistics"))
    file = tmp_path / "run.toml"
    file.write_text('[parameters]\nnormalization = "batch-statistics"\nbatch_size = 2\n')
    with pytest.raises(InputError, match="'batch-statistics' needs batch_size at least 3, not 2"):
        load(file)
    file.write_text('[parameters]\nnormalization = "batch-statistics-uncentred"\nbatch_size = 8\n')
    setup = setup_of(load(file))
    assert (setup.normalization, setup.statistics) == ("batch", "batch-uncentred")
