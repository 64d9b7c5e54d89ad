"""The bulk after mean subtraction: against free probability done otherwise, moments, and simulated networks."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from derive.wide import network
from derive.wide import proportional as theory
from numerics.runtime.errors import InputError
from numerics.wide import order_parameters
from numerics.wide.proportional import bulk
from validate.simulate.deep import architecture, measure
from validate.simulate.deep.gram import gram_matrix
from validate.simulate.deep.network import PARAMETERS, Network, draw, gaussian_inputs


@pytest.mark.parametrize("ratio", (0.2, 1.0, 5.0, 300.0))
def test_a_linear_network_is_a_product_of_wishart_matrices(ratio: float) -> None:
    """T F* = X (w + W^T W) X^T: samples of a population w (1 + Marchenko-Pastur), by Silverstein's equation."""
    w = 1.5
    rho = 1 / ratio

    def density(x: float) -> float:  # of W^T W / w for a square W
        return np.sqrt((4 - x) / x) / (2 * np.pi)

    def z(tau: float) -> float:
        inner, _ = quad(lambda x: (w + w * x) / (1 - tau * (w + w * x)) * density(x), 0, 4)
        return 1 / tau + rho * inner

    expected = minimize_scalar(z, bounds=(1e-3, (1 - 1e-6) / (5 * w)), method="bounded", options={"xatol": 1e-9}).fun
    found = bulk(network(2, "identity", w, 0), ratio)
    assert found.edge == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    ("depth", "phi", "weight", "bias", "widths", "outputs"),
    (
        (2, "relu", 2, 0, None, 1),
        (3, "tanh", 3, 0.64, None, 2),
        (4, "gelu", 2, 0.3, (1, 0.5, 2, 0.7), 5),
        (3, "relu", 1, 5, None, 1),  # samples correlated to 94 %
        (3, "relu", 0.5, 5, None, 3),
    ),
)
def test_mean_is_that_of_the_blocks(
    depth: int, phi: str, weight: float, bias: float, widths: tuple[float, ...] | None, outputs: int
) -> None:
    """rho alpha (kappa_1 - kappa_2), which the equations for the bulk do not know."""
    model = network(depth, phi, weight, bias, widths, outputs)
    _, one, two = order_parameters(model)
    assert bulk(model, 0.5).mean == pytest.approx(float(model.alpha * (one - two)) / 0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("phi", "weight", "bias", "widths", "ratio"),
    (
        ("relu", 2.0, 0.0, (200, 200), 1.0),
        ("relu", 2.0, 0.5, (200, 100, 300), 0.5),
        ("tanh", 3.0, 0.64, (200, 200, 200), 2.0),
        ("erf", 2.0, 0.3, (200, 200, 100, 200), 1.0),
    ),
)
def test_edge_and_variance_of_simulated_networks(
    phi: str, weight: float, bias: float, widths: tuple[int, ...], ratio: float
) -> None:
    """The largest eigenvalue is 1.2 units of the edge's scale below it, the second 3.3 (Tracy and Widom, beta = 1).

    Everything in units of the mean eigenvalue: a network's scale fluctuates as M^(-1/2).  Corrections to the
    second moment are of order 1/M.
    """
    size, samples = widths[0], round(ratio * widths[0])
    found = measure(architecture((*widths, 1), phi, weight, bias, "mean"), samples, 8, seed=4, whole=True)
    scaled = found.eigenvalues / (found.eigenvalues.sum(axis=1) / (samples - 1))[:, None]
    model = network(len(widths), phi, weight, bias, [m / size for m in widths], normalization="mean")
    expected = bulk(model, ratio, size)
    one, two = scaled[:, 0].mean(), scaled[:, 1].mean()
    assert one + 1.21 / (3.26 - 1.21) * (one - two) == pytest.approx(expected.edge / expected.mean, rel=0.05)
    second = (scaled**2).sum(axis=1).mean() / (samples - 1)
    assert second == pytest.approx(1 + expected.variance / expected.mean**2, rel=0.04)
    assert expected.lower < found.largest.mean() < expected.upper(samples)


@pytest.mark.parametrize("outputs", [1, 8])
def test_second_moment_of_many_outputs(outputs: int) -> None:
    """Biases that make samples alike, where the outputs share most: tr G^2 extrapolated in 1/M from two widths.

    With the formula of one output for eight it would be 0.17 lower, without the shared signals lower still.
    """
    weight, bias, ratio, found = 1.0, 5.0, 0.25, []
    for width, replicas in ((100, 150), (200, 100)):
        shape, samples = architecture((width,) * 3 + (outputs,), "relu", weight, bias, "mean"), round(ratio * width)
        size, values = (samples - 1) * outputs, []
        for replica in range(replicas):
            own = Network(shape, draw(shape, 3, replica, PARAMETERS, np, np.float64))
            gram = gram_matrix(own, own.forward(gaussian_inputs(shape, samples, 3, replica, np, np.float64)))
            values.append((gram**2).sum() * size / np.trace(gram) ** 2)
        found.append((np.mean(values), np.std(values) / np.sqrt(replicas)))
    (one, first), (two, second) = found
    expected = bulk(network(3, "relu", weight, bias, outputs=outputs, normalization="mean"), ratio)
    error = np.hypot(first, 2 * second)
    assert error < 0.02
    assert 2 * two - one == pytest.approx(1 + expected.variance / expected.mean**2, abs=3 * error)


def test_backward_signals_and_their_noise_matter_for_the_edge() -> None:
    """Without the features D the edge would lie elsewhere: the comparison above can tell."""
    model = network(3, "relu", 2, 0.5)
    from numerics.wide.proportional import _Model

    whole = _Model.of(model, 200)
    without = replace(whole, on_d=0 * whole.on_d)
    assert without.edge(1.0) < 0.93 * whole.edge(1.0)


def test_largest_unit_raises_the_edge_with_the_width() -> None:
    """From depth 3 on, as the logarithm; in a network of depth 2 there is no such unit."""
    deep, shallow = network(3, "relu", 2, 0), network(2, "relu", 2, 0)
    edges = [bulk(deep, 4, 10**k).edge for k in (2, 6, 12)]
    assert edges[0] < edges[1] < edges[2]
    assert bulk(shallow, 4, 100).edge == pytest.approx(bulk(shallow, 4, 10**12).edge, rel=1e-9)


def test_noise_is_what_stein_leaves() -> None:
    """For a linear unit there is none, whatever Delta."""
    at = {theory.value: theory.slope**2 * theory.delta, theory.gradient_: 0, theory.mixed: 0, theory.bend: 0}
    assert all(e.subs(at) == 0 for e in theory.noises().values())
    assert theory.constant_diagonal().factor() != 0


@pytest.mark.parametrize(
    ("changes", "ratio", "width", "words"),
    (
        ({"normalization": "layer"}, 1.0, 100, "mean subtraction"),
        ({}, 0.0, 100, "positive"),
        ({}, 1.0, 1, "at least 2"),
    ),
)
def test_refuses(changes: dict, ratio: float, width: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        bulk(network(2, "relu", 2, 0, **changes), ratio, width)


def test_refuses_samples_that_are_all_but_equal() -> None:
    with pytest.raises(InputError, match="all but fully correlated"):
        bulk(network(2, "relu", 1e-5, 3), 1.0)
