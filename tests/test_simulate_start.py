"""Initial overlaps, refusals, input laws."""

import numpy as np
import pytest
from scipy.stats import kstest

from numerics.runtime.errors import InputError
from validate.simulate import Setup, simulate
from validate.simulate.arrays import semidefinite_cholesky
from validate.simulate.inputs import input_law

OVERLAPS = {"Q": [[0.5, 0.1], [0.1, 0.4]], "R": [[0.3, 0.1], [0.05, 0.2]], "T": [[1.0, 0.2], [0.2, 1.5]]}
COLLINEAR = {"Q": np.ones((2, 2)), "R": np.full((2, 2), 0.5), "T": np.full((2, 2), 0.25)}


def setup(**changes):
    return Setup(**{"students": 2, "teachers": 2, **OVERLAPS, **changes})


@pytest.mark.parametrize("method", ["direct", "chain"])
@pytest.mark.parametrize("overlaps", [OVERLAPS, COLLINEAR], ids=["regular", "collinear"])
@pytest.mark.parametrize("size", [6, 50, 300])
def test_initial_overlaps_are_exact_at_every_size(method, overlaps, size):
    start = simulate(setup(**overlaps), [0.0], replicas=3, size=size, method=method)
    for name in ("Q", "R", "T"):
        found = getattr(start, name) if name == "T" else getattr(start, name)[:, 0]
        np.testing.assert_allclose(found, np.broadcast_to(overlaps[name], found.shape), rtol=0, atol=2e-14)


def test_collinear_students_stay_finite_in_the_chain():
    run = simulate(setup(**COLLINEAR), [5.0], replicas=20, size=30, method="chain")
    assert np.isfinite(run.Q).all()
    # The same fields make the same updates: students that start equal stay equal.
    np.testing.assert_allclose(run.Q[:, 0, 0, 0], run.Q[:, 0, 0, 1], rtol=1e-10)


@pytest.mark.parametrize("method", ["direct", "chain"])
def test_drawn_students_have_the_overlaps_of_gaussian_vectors(method):
    size, replicas, norm = 20, 4000, 1.5
    drawn = Setup(students=2, teachers=2, draw={"seed": 3, "norm": norm})
    start = simulate(drawn, [0.0], replicas, size, method=method)
    weights = norm / np.sqrt(size) * np.random.default_rng(8).standard_normal((replicas, 2, size))
    expected = weights @ weights.swapaxes(1, 2), weights[:, :, :2]
    for found, wanted in zip((start.Q[:, 0], start.R[:, 0]), expected, strict=True):
        for power in (1, 2):  # 16 independent moments; 4.5 standard errors: false alarm 1e-4
            difference = (found**power).mean(0) - (wanted**power).mean(0)
            error = np.sqrt(((found**power).var(0) + (wanted**power).var(0)) / replicas)
            assert (np.abs(difference) < 4.5 * error).all()


def test_the_same_draw_starts_direct_and_chain():
    drawn = Setup(students=2, teachers=1, draw={"seed": 3})
    a, b = (simulate(drawn, [0.0], 5, 40, method=method, seed=1) for method in ("direct", "chain"))
    np.testing.assert_allclose(a.Q, b.Q, atol=1e-13)


def test_cholesky_of_semidefinite_matrices():
    rng = np.random.default_rng(0)
    for rank in range(5):
        factor = rng.standard_normal((50, 4, rank))
        matrix = factor @ factor.swapaxes(1, 2)
        root = semidefinite_cholesky(matrix, np)
        np.testing.assert_allclose(root @ root.swapaxes(1, 2), matrix, atol=2e-13)
        assert (root == np.tril(root)).all()


@pytest.mark.parametrize("law", ["gaussian", "binary", "uniform", "heavy-tailed"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_input_laws_have_mean_zero_and_variance_one(law, dtype):
    count = 400_000
    sample = input_law(law, np, dtype)(np.random.default_rng(2), (count,))
    assert sample.dtype == dtype
    sample = sample.astype(float)
    kurtosis = {"gaussian": 3.0, "binary": 1.0, "uniform": 1.8, "heavy-tailed": 9.0}[law]
    assert abs(sample.mean()) < 5 / np.sqrt(count)
    assert abs((sample**2).mean() - 1) < 5 * np.sqrt(kurtosis / count)
    if law == "heavy-tailed":  # whose fourth moment has no finite error
        assert kstest(sample * np.sqrt(5 / 3), "t", args=(5,)).pvalue > 1e-3
    else:
        assert abs((sample**4).mean() - kurtosis) < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Q": [[0.5, 0.9], [0.9, 0.5]]}, r"eigenvalue -0\."),
        ({"R": [[2.0, 0.0], [0.0, 2.0]]}, r"\[\[Q, R\], \[R\^T, T\]\] has the eigenvalue -"),
        ({"Q": [[0.5, 0.1], [0.0, 0.5]]}, "symmetric"),
        ({"Q": [0.5, 0.5]}, r"Q must have shape \(2, 2\)"),
        ({"R": [[np.nan, 0], [0, 0]]}, "not finite"),
        ({"students": 0}, "students must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": np.inf}, "batch_size"),
        ({"label_noise": -1.0}, "label_noise"),
        ({"input_variance": 0.0}, "input_variance must be a positive number"),
        ({"activation": "relo"}, "did you mean 'relu'"),
        ({"activation": "leaky-relu(x)"}, "slope"),
        ({"activation": "sign"}, "no gradient"),
        ({"normalization": "bach"}, "did you mean 'batch'"),
        ({"input_law": "gausian"}, "did you mean 'gaussian'"),
        ({"statistics": "batch"}, 'needs normalization = "batch"'),
        ({"shift": True}, "shift = true needs normalization"),
        ({"normalization": "batch", "statistics": "batch", "batch_size": 2}, "batch_size of at least 3"),
        ({"normalization": "batch", "statistics": "batch-uncentred"}, "batch_size of at least 2"),
        ({"draw": {"seed": 1}}, "not both"),
        ({"Q": None, "R": None, "draw": {"sed": 1}}, "did you mean 'seed'"),
        ({"Q": None}, "give the initial overlaps"),
    ],
)
def test_bad_setups_are_refused_with_the_reason(changes, message):
    with pytest.raises(InputError, match=message):
        simulate(setup(**changes), [1.0], replicas=2, size=20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 3}, "at least students \\+ teachers = 4"),
        ({"size": 4, "method": "chain"}, "needs size"),
        ({"times": [2.0, 1.0]}, "ascending"),
        ({"times": []}, "times"),
        ({"times": [-1.0]}, "times"),
        ({"method": "chian"}, "did you mean 'chain'"),
        ({"replicas": 0}, "replicas"),
        ({"seed": -1}, "seed"),
        ({"dtype": np.int32}, "dtype"),
        ({"method": "chain", "dtype": np.float32}, "double precision"),
    ],
)
def test_bad_runs_are_refused_with_the_reason(arguments, message):
    with pytest.raises(InputError, match=message):
        simulate(**{"setup": setup(), "times": [1.0], "replicas": 2, "size": 20, **arguments})


def test_chain_refuses_other_inputs_than_gaussian():
    with pytest.raises(InputError, match="gaussian inputs only"):
        simulate(setup(input_law="binary"), [1.0], 2, 20, method="chain")
