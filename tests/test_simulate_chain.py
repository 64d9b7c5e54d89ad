"""The overlap chain has the law of the direct simulation."""

import numpy as np
import pytest

from validate.simulate import Setup, simulate
from validate.simulate.chain import Chain

START = {
    "Q": [[0.5, 0.1], [0.1, 0.4]], "R": [[0.3, 0.1], [0.05, 0.2]], "T": [[1.0, 0.3], [0.3, 0.8]],
    "students": 2, "teachers": 2, "input_variance": 1.3, "label_noise": 0.2, "weight_decay": 0.05,
    "second_layer_learning_rate": 0.3,
}  # fmt: skip
COLLINEAR = {"Q": np.ones((2, 2)), "R": np.full((2, 2), 0.5), "T": np.full((2, 2), 0.25)}

CASES = {
    "none": {},
    "relu, b > K": {"activation": "relu", "batch_size": 4, "learning_rate": 0.5},
    "collinear, b = K": {**COLLINEAR, "batch_size": 2},
    "population": {"normalization": "batch", "gain_decay": 0.1, "shift": True},
    "without radial": {"normalization": "batch-without-radial", "batch_size": 3},
    "weight": {"normalization": "weight"},
    "batch statistics": {"normalization": "batch", "statistics": "batch", "batch_size": 5, "shift": True},
    "uncentred": {"normalization": "batch", "statistics": "batch-uncentred", "batch_size": 6},
}


def first_two_moments(trajectories):
    """Independent entries of Q, R, g, w and their squares, a row a replica."""
    Q, R = trajectories.Q[:, -1], trajectories.R[:, -1]
    columns = [
        Q[:, 0, 0],
        Q[:, 0, 1],
        Q[:, 1, 1],
        *R.reshape(len(R), -1).T,
        *trajectories.second_layer[:, -1].T,
    ]
    if trajectories.g is not None:
        columns += [*trajectories.g[:, -1].T]
    values = np.stack(columns, axis=1)
    return np.concatenate([values, values**2], axis=1)


@pytest.mark.parametrize("case", CASES)
def test_chain_and_direct_agree_in_distribution(case):
    """Criterion: no standardized difference of a first or second moment beyond 5; about 170 moments make a
    false alarm of 1e-4. A mean off by a quarter of its spread is seen with probability 0.97."""
    setup, replicas, size = Setup(**{**START, **CASES[case]}), 1500, 12
    direct, chain = (
        first_two_moments(simulate(setup, [2.0], replicas, size, seed=seed, method=method))
        for seed, method in ((1, "direct"), (2, "chain"))
    )
    error = np.sqrt((direct.var(0) + chain.var(0)) / replicas)
    z = (direct.mean(0) - chain.mean(0)) / error
    assert np.abs(z).max() < 5


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_part_outside_has_the_law_of_a_product_of_gaussian_vectors(batch):
    """Inner products of sum_u A_iu xi_u, xi_u Gaussian in 3 dimensions: first moments, and all second ones.
    Criterion: 4.5 standard errors; 27 moments, a false alarm of 2e-4."""
    replicas, steps, dimensions = 100, 200, 3
    learner = Chain(Setup(**{**START, "batch_size": batch}), replicas, 4 + dimensions, seed=3)
    along, drawn = np.random.default_rng(0).standard_normal((2, batch)), []
    for step in range(steps):
        learner.fields(step)
        drawn.append(learner._outside(np.broadcast_to(along, (replicas, 2, batch))))
    outside, count = np.concatenate(drawn), replicas * steps
    xi = np.sqrt(1.3) * np.random.default_rng(1).standard_normal((count, batch, dimensions))
    products = []
    for vectors in (outside, along @ xi):
        gram = vectors @ vectors.swapaxes(1, 2)
        first = np.stack([gram[:, 0, 0], gram[:, 0, 1], gram[:, 1, 1]], axis=1)
        second = (first[:, :, None] * first[:, None, :]).reshape(count, 9)
        products.append(np.concatenate([first, second], axis=1))
    found, wanted = products
    error = np.sqrt((found.var(0) + wanted.var(0)) / count)
    assert (np.abs(found.mean(0) - wanted.mean(0)) < 4.5 * error).all()


def test_the_chain_at_a_million_inputs_has_the_drift_of_the_chain_at_a_thousand():
    """Over a time of 0.001 the drift does not depend on N but for terms of order 1/N; the noise falls with
    N."""
    setup = Setup(**START)
    large, small = (
        simulate(setup, [0.0, 1e-3], replicas, size, method="chain", seed=size)
        for replicas, size in ((50, 10**6), (4000, 10**3))
    )
    drifts = [run.Q[:, 1] - run.Q[:, 0] for run in (large, small)]
    errors = [drift.std(axis=0) / np.sqrt(len(drift)) for drift in drifts]
    assert (np.abs(drifts[0].mean(0) - drifts[1].mean(0)) < 5 * np.hypot(*errors)).all()
    assert np.abs(drifts[0].mean(0)).max() > 10 * np.hypot(*errors).max()
