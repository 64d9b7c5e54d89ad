"""The derived statements as numbers, against the Hessian from its definition."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.readout import Readout
from numerics.runtime.errors import InputError
from validate.simulate.curvature import last_layer_hessian
from validate.simulate.layers import softmax


def made(scale: float = 1.0, samples: int = 40):
    rng = np.random.default_rng(5)
    h = np.vstack([np.abs(rng.standard_normal((4, samples))), np.ones(samples)])
    return h, softmax(scale * rng.standard_normal((3, 5)) @ h), rng.integers(0, 3, samples)


@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0, 4.0])
def test_spectrum_and_bounds(scale: float) -> None:
    h, p, labels = made(scale)
    values = np.linalg.eigvalsh(last_layer_hessian(h, p, bias=False))[::-1]
    own = Readout(h, p)
    low, high = own.bounds()
    assert (low <= values + 1e-13).all() and (values <= high + 1e-13).all()
    assert own.trace() == pytest.approx(values.sum(), rel=1e-12)
    assert values[0] <= own.steepest() and values.sum() <= own.loss_bound(labels)
    if scale <= 0.01:
        assert values == pytest.approx(own.uniform_spectrum(), rel=0.1, abs=1e-13)
        assert (values > 1e-12).sum() == own.rank() == 10 and own.nullity() == 5
    if scale == 0:
        assert values == pytest.approx(own.uniform_spectrum(), rel=1e-12, abs=1e-14)
        assert low == pytest.approx(high)


def test_a_dead_and_a_constant_unit_cost_ranks() -> None:
    h, p, _ = made()
    h[0], h[1] = 0, 3
    assert Readout(h, p).rank() == 2 * 3 and Readout(h, p).nullity() == 15 - 6
    assert (np.linalg.eigvalsh(last_layer_hessian(h, p, bias=False)) > 1e-12).sum() == 6


def test_centring() -> None:
    h, p, _ = made()
    units = h[:-1]
    mean = units.mean(axis=1)
    change = np.trace(last_layer_hessian(units - mean[:, None], p, bias=False)) - np.trace(
        last_layer_hessian(units, p, bias=False)
    )
    assert Readout(units, p).centred_change(mean) == pytest.approx(change, rel=1e-12)
    assert Readout(units, p).centred_change(0 * mean) == 0


def test_bad_input() -> None:
    h, p, labels = made()
    with pytest.raises(InputError, match="need the same samples"):
        Readout(h[:, :-1], p)
    with pytest.raises(InputError, match="at least one"):
        Readout(h[:, :0], p[:, :0])
    with pytest.raises(InputError, match="sum to 1"):
        Readout(h, 2 * p)
    with pytest.raises(InputError, match="finite"):
        Readout(h * np.nan, p)
    with pytest.raises(InputError, match=r"labels must be 0 to 2; these run from 0 to 3"):
        Readout(h, p).loss_bound(np.where(labels == 2, 3, labels))
    with pytest.raises(InputError, match="labels must be whole numbers, not of type float64"):
        Readout(h, p).loss_bound(labels + 0.5)
    with pytest.raises(InputError, match="as many labels"):
        Readout(h, p).loss_bound(labels[1:])
