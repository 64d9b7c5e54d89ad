"""The linear perceptron, whose means over replicas obey an exact recursion at every N.

With D = B - J, one step is D' = (1 - (eta/(N b)) sum_u xi_u xi_u^T) D - (eta/(N b)) sum_u noise_u xi_u, so

    <D'>     = (1 - eta tau / N) <D>,
    <D'.D'> = <D.D> [1 - 2 eta tau / N + (eta tau / N)^2 (N + kappa - 2 + b) / b] + eta^2 tau sigma^2 / (N b),

for independent input components of kurtosis kappa: <(xi.D)^2 xi.xi> = tau^2 (N - 1 + kappa) D.D.
"""

import numpy as np
import pytest

from validate.simulate import Setup, simulate

ETA, TAU, SIGMA, STEPS, REPLICAS = 0.7, 1.4, 0.5, 12, 4000


def exact(size, batch, kurtosis, q, r):
    """R and Q after STEPS steps, from R = r, Q = q, T = 1."""
    aligned, distance = 1 - r, q - 2 * r + 1
    a = ETA * TAU / size
    for _ in range(STEPS):
        aligned *= 1 - a
        distance *= 1 - 2 * a + a**2 * (size + kurtosis - 2 + batch) / batch
        distance += ETA**2 * TAU * SIGMA**2 / (size * batch)
    return 1 - aligned, distance + 2 * (1 - aligned) - 1


def scores(size, batch, kurtosis, **how):
    law = how.pop("law", "gaussian")
    setup = Setup(
        students=1, teachers=1, activation="identity", learning_rate=ETA, input_variance=TAU,
        label_noise=SIGMA, batch_size=batch, input_law=law, Q=[[0.5]], R=[[0.2]],
    )  # fmt: skip
    run = simulate(setup, [STEPS / size], REPLICAS, size, **how)
    measured = run.R[:, 0, 0, 0], run.Q[:, 0, 0, 0]
    wanted = exact(size, batch, kurtosis, 0.5, 0.2)
    return [
        (found.mean() - value) / (found.std() / np.sqrt(REPLICAS))
        for found, value in zip(measured, wanted, strict=True)
    ]


WAYS = {
    "direct": {},
    "single": {"dtype": np.float32},
    "chain": {"method": "chain"},
    "compiled": {"compiled": True},
    "compiled single": {"compiled": True, "dtype": np.float32},
    "compiled chain": {"compiled": True, "method": "chain"},
}


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("way", WAYS)
def test_means_obey_the_exact_recursion(way, batch):
    """Criterion: 4.5 standard errors, 24 scores: a false alarm of 2e-4."""
    assert np.abs(scores(4, batch, 3, **WAYS[way])).max() < 4.5


def test_the_criterion_would_see_a_wrong_finite_size_term():
    """N in place of N + 2: what a chain with the wrong degrees of freedom would give."""
    for way in WAYS.values():
        assert np.abs(scores(4, 1, 1, **way)).max() > 6


@pytest.mark.parametrize(("law", "kurtosis"), [("binary", 1), ("uniform", 1.8)])
def test_other_laws_enter_by_their_kurtosis(law, kurtosis):
    assert np.abs(scores(4, 1, kurtosis, law=law)).max() < 4.5
    assert np.abs(scores(4, 1, 3, law=law)).max() > 4.5
