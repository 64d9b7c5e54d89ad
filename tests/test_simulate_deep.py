"""Deep networks: derivatives against complex step and finite differences, spectra against the P x P matrix."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special

from numerics.runtime.errors import InputError
from tests.device import Device
from validate.simulate.deep import (
    Architecture,
    Layer,
    Network,
    Parameters,
    architecture,
    descend,
    measure,
    overlaps,
)
from validate.simulate.deep.architecture import PLACES
from validate.simulate.deep.descent import Task, loss_and_gradient, task
from validate.simulate.deep.gram import GramOperator, gram_matrix
from validate.simulate.deep.network import INPUTS, PARAMETERS, draw, gaussian_inputs
from validate.simulate.deep.projections import projection_averages
from validate.simulate.deep.spectrum import eigenvalues, largest, mean_gradient_overlap, trace_of
from validate.simulate.streams import replica_generator

T, C = 9, 3
MIXED = Architecture(4, (
    Layer(6, "tanh", 1.5, 0.3, "layer"), Layer(5, "leaky-relu(0.2)", 2.0, 0.1, "mean"),
    Layer(4, "erf", 1.2, 0.0, "batch"), Layer(C, "identity", 1.0, 0.5, "batch"),
))  # fmt: skip
SHAPES = {
    **{place: architecture((6, 7, 5, C), "tanh", 2.0, 0.3, place) for place in PLACES},
    "relu": architecture((5, 8, 4, C), "relu", 2.0, 0.0),
    "gelu, batch": architecture((5, 8, 4, C), "gelu", 2.0, 0.1, "batch-middle"),
    "mixed": MIXED,
}


def built(shape: Architecture, samples: int = T, seed: int = 3, dtype=np.float64):
    network = Network(shape, draw(shape, seed, 0, PARAMETERS, np, dtype))
    return network, gaussian_inputs(shape, samples, seed, 0, np, dtype)


def unflat(like: Parameters, flat: np.ndarray) -> Parameters:
    arrays, start = [], 0
    for array in like.weights + like.biases:
        arrays.append(flat[start : start + array.size].reshape(array.shape))
        start += array.size
    return Parameters(tuple(arrays[: len(like.weights)]), tuple(arrays[len(like.weights) :]))


def jacobian(network: Network, x: np.ndarray) -> np.ndarray:
    """(C T, P) by complex step: no backpropagation."""
    flat = network.parameters.flat(np)
    columns = []
    for i in range(flat.size):
        moved = flat.astype(complex)
        moved[i] += 1e-30j
        outputs = network.with_parameters(unflat(network.parameters, moved)).forward(x).outputs
        columns.append(outputs.imag.T.ravel() / 1e-30)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("name", SHAPES)
def test_derivatives_against_complex_step(name):
    network, x = built(SHAPES[name])
    J = jacobian(network, x)
    trace = network.forward(x)
    unit = np.eye(C * T).reshape(C * T, C, T).swapaxes(1, 2)
    np.testing.assert_allclose(network.pull(trace, unit).flat(np), J, rtol=0, atol=1e-13 * np.abs(J).max())
    tangent = np.random.default_rng(0).standard_normal((2, J.shape[1]))
    pushed = [network.push(trace, unflat(network.parameters, each)).T.ravel() for each in tangent]
    np.testing.assert_allclose(pushed, tangent @ J.T, rtol=0, atol=1e-12 * np.abs(J).max())


@pytest.mark.parametrize("name", SHAPES)
def test_gradient_of_the_loss_against_finite_differences(name):
    network, x = built(SHAPES[name])
    y = np.random.default_rng(1).standard_normal((T, C))
    flat = network.parameters.flat(np)
    gradient = loss_and_gradient(network, x, y)[1].flat(np)

    def difference(step):
        losses = [
            [
                loss_and_gradient(network.with_parameters(unflat(network.parameters, flat + s * e)), x, y)[0]
                for e in step * np.eye(flat.size)
            ]
            for s in (1, -1)
        ]
        return (np.array(losses[0]) - losses[1]) / (2 * step)

    extrapolated = (4 * difference(1e-4) - difference(2e-4)) / 3
    np.testing.assert_allclose(gradient, extrapolated, rtol=0, atol=1e-9 * np.abs(gradient).max())


@pytest.mark.parametrize("name", SHAPES)
def test_spectrum_against_the_fisher_information_matrix(name):
    network, x = built(SHAPES[name])
    J = jacobian(network, x)
    trace = network.forward(x)
    gram = gram_matrix(network, trace)
    np.testing.assert_allclose(gram, J @ J.T / T, rtol=0, atol=1e-13 * np.abs(gram).max())
    np.testing.assert_allclose(
        GramOperator(network, trace).apply(np.eye(C * T)), gram, rtol=0, atol=1e-13 * np.abs(gram).max()
    )
    brute, directions = np.linalg.eigh(J.T @ J / T)  # P x P
    brute, directions = brute[::-1], directions[:, ::-1]
    np.testing.assert_allclose(eigenvalues(gram), brute[: C * T], rtol=0, atol=1e-12 * brute[0])
    values, vectors = largest(gram, 4)
    np.testing.assert_allclose(values, brute[:4], rtol=1e-12)
    if network.shape.layers[-1].normalization in ("mean", "batch"):
        return
    mean_gradients = J.reshape(C, T, -1).mean(axis=1)
    _, sizes, basis = np.linalg.svd(mean_gradients, full_matrices=False)
    basis = basis[sizes > 1e-10 * sizes[0]].T
    np.testing.assert_allclose(
        mean_gradient_overlap(gram, values, vectors, C), ((basis.T @ directions[:, :4]) ** 2).sum(axis=0),
        rtol=1e-8,
    )  # fmt: skip


@pytest.mark.parametrize("place", ["none", "batch-middle", "layer"])
def test_lanczos_finds_the_top_of_the_whole_spectrum(place):
    """At a size where ARPACK runs; outputs make the top nearly degenerate."""
    network, x = built(architecture((20, 20, 20, 4), "relu", 2.0, 0.1, place), samples=60)
    trace = network.forward(x)
    gram = gram_matrix(network, trace)
    whole = eigenvalues(gram)
    for operator in (gram, GramOperator(network, trace)):
        values, vectors = largest(operator, 5)
        np.testing.assert_allclose(values, whole[:5], rtol=1e-11)
        residual = gram @ vectors - vectors * values
        assert np.abs(residual).max() < 1e-9 * whole[0]


def test_trace_estimate_is_unbiased():
    """Against the exact trace: 400 estimates, five standard errors."""
    network, x = built(SHAPES["gelu, batch"])
    trace = network.forward(x)
    gram = gram_matrix(network, trace)
    vectors = largest(gram, 2)[1]
    operator = GramOperator(network, trace)
    found = np.array([trace_of(operator, vectors, np.random.default_rng(s)) for s in range(400)])
    error = found.std(ddof=1) / 20
    assert 0 < error < 0.02 * np.trace(gram)
    assert abs(found.mean() - np.trace(gram)) < 5 * error


@pytest.mark.parametrize("place", PLACES)
def test_an_ensemble_is_its_networks(place):
    """Against the whole spectrum of each, from the P x P matrix; the means are exact but where estimated."""
    shape = architecture((6, 7, 5, C), "tanh", 2.0, 0.3, place)
    found = measure(shape, T, 3, seed=5)
    whole = measure(shape, T, 3, seed=5, whole=True)
    assert found.eigenvalues.shape == (3, C) and whole.eigenvalues.shape == (3, C * T)
    for replica in range(3):
        network = Network(shape, draw(shape, 5, replica, PARAMETERS, np, np.float64))
        J = jacobian(network, gaussian_inputs(shape, T, 5, replica, np, np.float64))
        F = J.T @ J / T
        brute = np.linalg.eigvalsh(F)[::-1]
        np.testing.assert_allclose(found.eigenvalues[replica], brute[:C], rtol=1e-11)
        np.testing.assert_allclose(whole.eigenvalues[replica], brute[: C * T], rtol=0, atol=1e-12 * brute[0])
        np.testing.assert_allclose(whole.mean_eigenvalue[replica], np.trace(F) / len(F), rtol=1e-12)
    estimated = 0.3 if place == "batch-middle" else 1e-12
    np.testing.assert_allclose(found.mean_eigenvalue, whole.mean_eigenvalue, rtol=estimated)


def test_parameters_and_inputs_follow_their_laws():
    """Variances of weights, biases and inputs, five standard errors; every replica its own."""
    shape = Architecture(300, (Layer(200, "relu", 3.0, 0.5), Layer(400, "identity", 0.7, 2.0)))
    first, second = (draw(shape, 1, replica, PARAMETERS, np, np.float64) for replica in (0, 1))
    for arrays, scale in ((first.weights, (3.0 / 300, 0.7 / 200)), (first.biases, (0.5, 2.0))):
        for array, variance in zip(arrays, scale, strict=True):
            assert abs((array**2).mean() / variance - 1) < 5 * np.sqrt(2 / array.size)
            assert abs(array.mean()) < 5 * np.sqrt(variance / array.size)
    assert not np.allclose(first.weights[0], second.weights[0])
    x = gaussian_inputs(shape, 50, 1, 0, np, np.float64)
    assert x.shape == (50, 300) and abs((x**2).mean() - 1) < 5 * np.sqrt(2 / x.size)
    assert not np.allclose(x[0, :200], replica_generator(1, 0, PARAMETERS).standard_normal(200))
    assert INPUTS != PARAMETERS


@pytest.mark.parametrize(("place", "axis"), [("batch-middle", 0), ("layer", 1)])
def test_normalized_fields_have_mean_zero_and_variance_one(place, axis):
    network, x = built(architecture((6, 7, 5, C), "tanh", 2.0, 0.3, place))
    fields = network.forward(x).fields[:2]
    for v in fields:
        np.testing.assert_allclose(v.mean(axis=axis), 0, atol=1e-14)
        np.testing.assert_allclose(v.var(axis=axis), 1, rtol=1e-13)


def test_layer_normalization_of_two_outputs_is_flat():
    """(u_1 - u_2)/|u_1 - u_2| is +1 or -1: the Fisher information vanishes."""
    found = measure(architecture((6, 7, 5, 2), "tanh", 2.0, 0.3, "layer"), T, 2)
    assert np.abs(found.eigenvalues).max() < 1e-12


def test_descent_of_a_linear_network_is_known():
    """One layer: the residual after n steps is (1 - eta G)^n times the first."""
    shape = architecture((5, 1), "identity", 1.0, 0.4)
    start = task(shape, 7, seed=2)
    trace = start.student.forward(start.inputs)
    residual = (trace.outputs - start.labels)[:, 0]
    eta, steps = 0.3, 12
    found = descend(start, eta, steps)
    gram = gram_matrix(start.student, trace)
    expected = [
        ((np.linalg.matrix_power(np.eye(7) - eta * gram, n) @ residual) ** 2).sum() / 14
        for n in range(steps + 1)
    ]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-11)
    limit = 2 / eigenvalues(gram)[0]
    assert descend(start, 0.9 * limit, 300).final < found.losses[0] < descend(start, 1.2 * limit, 300).final
    assert descend(start, 50 * limit, 300).final == np.inf


def test_at_zero_residual_descent_stays():
    network, x = built(SHAPES["relu"])
    found = descend(Task(network, x, network.forward(x).outputs), 0.1, 3)
    assert (found.losses == 0).all()


@pytest.mark.parametrize("place", PLACES)
def test_single_precision(place):
    shape = architecture((20, 30, 20, C), "relu", 2.0, 0.1, place)
    double, single = (measure(shape, 60, 2, seed=4, dtype=dtype) for dtype in (np.float64, np.float32))
    np.testing.assert_allclose(single.eigenvalues, double.eigenvalues, rtol=1e-4)
    network, x = built(shape, dtype=np.float32)
    trace = network.forward(x)
    assert gram_matrix(network, trace).dtype == np.float32
    assert network.pull(trace, trace.outputs).flat(np).dtype == np.float32


@pytest.mark.parametrize("place", PLACES)
def test_another_array_module_measures_the_same(place, monkeypatch):
    """Everything stays on the device: an array that strays is refused."""
    device = Device()
    for name in ("cupyx", "cupyx.scipy", "cupyx.scipy.special"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    sys.modules["cupyx"].scipy = sys.modules["cupyx.scipy"]
    sys.modules["cupyx.scipy"].special = SimpleNamespace(ndtr=device.wrapped(scipy.special.ndtr))
    shape = architecture((20, 20, 20, 2), "gelu", 2.0, 0.1, place)
    ours, other = (measure(shape, 80, 1, seed=6, xp=xp) for xp in (np, device))
    for name, values in vars(ours).items():
        np.testing.assert_allclose(vars(other)[name], values, rtol=1e-11, atol=1e-13)
    if place != "batch-middle":
        ours, other = (overlaps(shape, 5, 2, seed=6, xp=xp) for xp in (np, device))
        np.testing.assert_allclose(other.backward_squares, ours.backward_squares, rtol=1e-13)


def test_projection_averages_are_those_of_the_jacobians():
    """P_t/sigma(t) = df/du by finite differences, and the eigenvectors of the C - 2 largest of their mean square."""
    u = np.random.default_rng(4).standard_normal((7, 5))

    def normalized(u):
        return (u - u.mean(axis=-1, keepdims=True)) / u.std(axis=-1, keepdims=True)

    steps = 1e-6 * np.eye(5)
    J = np.stack([(normalized(u + h) - normalized(u - h)) / 2e-6 for h in steps], axis=-1)
    sigma = u.std(axis=1)
    a, w = np.linalg.eigh((J @ J).mean(axis=0))
    rest = w.T @ (J @ J / sigma[:, None, None] ** 2).mean(axis=0) @ w
    want = [np.mean(1 / sigma**2), a[2:].sum(), (np.diag(rest) / a)[2:].sum()]
    np.testing.assert_allclose(projection_averages(normalized(u), sigma[:, None]), want, rtol=1e-7)


def test_script_of_figure_1_measures_what_ensembles_measure(tmp_path):
    """The same networks; a second process, as one runs it on a GPU."""
    script, file = Path(__file__).parents[1] / "docs" / "figure_1.py", tmp_path / "found.json"
    options = ["--backend", "numpy", "--widths", "150,20", "--replicas", "2", "--threads", "2"]
    subprocess.run([sys.executable, script, "measure", *options, file], check=True, capture_output=True)
    networks = json.loads(file.read_text())["networks"]
    for number, model in enumerate((("relu", 2.0, 0.0), ("tanh", 3.0, 0.64))):
        for M, place in itertools.product((20, 150), ("none", "mean")):
            want = measure(architecture((M, M, M, 1), *model, place), M, 2, seed=(32, number, M))
            found = np.array(networks[model[0]][str(M)][place])
            np.testing.assert_allclose(found, np.stack([want.largest, want.mean_eigenvalue], axis=1), rtol=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: architecture((5, 0, 1), "relu", 1.0, 0.0), "at least 1 unit"),
        (lambda: architecture((5,), "relu", 1.0, 0.0), "1 layer at least"),
        (lambda: architecture((5, 4, 1), "relu", -1.0, 0.0), "weight_variance"),
        (lambda: architecture((5, 4, 1), "relu", 1.0, float("nan")), "bias_variance"),
        (lambda: architecture((5, 4, 1), "relu", 1.0, 0.0, "batch-lst"), "did you mean 'batch-last'"),
        (lambda: Layer(3, "relu", normalization="bach"), "did you mean 'batch'"),
        (lambda: Architecture(3, (Layer(3, "relu"),)), "linear readout"),
        (lambda: measure(architecture((5, 4, 1), "relu", 1.0, 0.0, "mean"), 1, 1), "at least 2 samples"),
        (lambda: measure(architecture((5, 4, 1), "relu", 1.0, 0.0), 4, 0), "1 replica"),
        (lambda: measure(architecture((5, 4, 1), "rleu", 1.0, 0.0), 4, 1), "did you mean 'relu'"),
    ],
)
def test_bad_input_is_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message):
        make()
