"""Corrections of order 1/M to the squared gradient: exact cases, and simulated narrow networks."""

import numpy as np
import pytest

from derive.activation import Activation, u
from derive.wide import Network, network
from numerics.runtime.errors import InputError
from numerics.wide import order_parameters, predict
from numerics.wide.finite_width import gradient_correction
from validate.simulate.deep import architecture, measure


@pytest.mark.parametrize("phi", ("relu", "identity", "leaky-relu(1/5)"))
@pytest.mark.parametrize("depth", (2, 3, 5))
def test_homogeneous_networks_have_none(phi: str, depth: int) -> None:
    """E |grad f|^2 is that of infinite width at every width, biases or not: squares are linear in q."""
    found = gradient_correction(network(depth, phi, 1.7, 0.4, (1, 2, 0.5, 1, 3)[:depth]))
    assert abs(found) < 1e-10


def test_squaring_units_by_hand() -> None:
    """phi = u^2, L = 2: M 3 E q^2 + 4 w E[q |x|^2] with q = b + w |x|^2 / M_0 and |x|^2 chi-square."""
    w, alphas = 1.3, (2.0, 0.7)
    square = network(2, Activation("square", u**2), w, 0.6, alphas)
    expected = alphas[1] * 3 * w**2 * 2 / alphas[0] + alphas[0] * 4 * w * w * 2 / alphas[0]
    assert gradient_correction(square) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("phi", "weight", "bias", "depth"), (("tanh", 1.5, 0.0, 3), ("erf", 2.0, 0.3, 4))
)
def test_simulated_narrow_networks(phi: str, weight: float, bias: float, depth: int) -> None:
    """Within 3.5 standard errors and the next order at M = 16; infinite width is off by at least as much again."""
    width = 16
    model = network(depth, phi, weight, bias)
    found = measure(architecture((width,) * depth + (1,), phi, weight, bias), 4, 12000, seed=11)
    p = predict(model, width, 4, corrections=True)
    mean, error = found.mean_eigenvalue.mean(), found.mean_eigenvalue.std() / np.sqrt(len(found.mean_eigenvalue))
    added = gradient_correction(model) / p.parameters
    assert abs(mean - p.m_lambda) < 3.5 * error + abs(added) / 6
    assert abs(mean - (p.m_lambda - added)) > 3.5 * error + abs(added) / 6


def test_it_is_in_the_mean_eigenvalue_only_to_relative_order_one_over_width() -> None:
    model = network(3, "tanh", 3, 0.64)
    _, one, _ = order_parameters(model)
    wide, wider = (predict(model, M, 10, corrections=True).m_lambda * M / float(one) - 1 for M in (1000, 2000))
    assert wide / wider == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(
    ("model", "words"),
    ((network(3, "tanh", 1, normalization="mean"), "without normalization"), (network(3, "tanh", 0, 1), "positive")),
)
def test_refuses(model: Network, words: str) -> None:
    with pytest.raises(InputError, match=words):
        gradient_correction(model)
