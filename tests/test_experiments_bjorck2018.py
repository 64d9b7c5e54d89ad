"""The experiments of bjorck2018 at sizes of a test: they pass, and a wrong theory makes them fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from derive import ledger
from numerics.runtime.errors import InputError
from validate.experiments import Context
from validate.experiments.bjorck2018 import answers, depth_growth, initialization, networks, shapes, table1
from validate.report.model import ExperimentResult
from validate.simulate import digits
from validate.simulate.digits import Digits
from validate.simulate.residual import Architecture, ResNet

INITIALIZATION = initialization.Settings(
    depth=20,
    seeds=(0, 1, 2),
    batch=8,
    side=16,
    batches=(2,),
    sides=(8,),
    initializations=("torch",),
    small_batch=4,
)
GROWTH = depth_growth.Settings(
    blocks=1, widths=(8, 12, 24), seeds=(120, 80, 40), normalized_widths=(12, 16, 24),
    normalized_seeds=(40, 30, 20), others=("torch",), images_seeds=5, images_side=16,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def made_up() -> Iterator[Digits]:
    """100 images of 8 x 8 pixels: a pattern a class, and noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 10
    images = np.abs(rng.standard_normal((64, 10))[:, labels] + 0.5 * rng.standard_normal((64, 100)))
    data = Digits(images / images.max(), labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "load", lambda source: data)
        yield data


@pytest.fixture(scope="module")
def initial(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResult:
    return initialization.run(INITIALIZATION, Context(tmp_path_factory.mktemp("initial"), workers=1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("growth")


def test_growth_is_what_was_derived(folder: Path) -> None:
    result = depth_growth.run(GROWTH, Context(folder, workers=1))
    assert all(check.passed for check in result.checks) and len(result.checks) == 18
    powers = [power for check in result.checks for name, power in check.power.items()]
    assert np.median(powers) > 0.9


def test_a_wrong_growth_is_rejected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Theory of a network that pads one block too late, on the same measurements."""
    right = depth_growth.normalized_stream

    def late(blocks: int):
        moments = right(blocks)
        return replace(
            moments, **{name: np.roll(getattr(moments, name), 1) for name in ("mean", "square", "overlap")}
        )

    monkeypatch.setattr(depth_growth, "normalized_stream", late)
    result = depth_growth.run(GROWTH, Context(folder, workers=1))
    failed = [check.name for check in result.checks if not check.passed]
    assert failed and all("with normalization" in name for name in failed)


def test_every_finding_is_a_claim_of_the_ledger(initial: ExperimentResult) -> None:
    known = {entry.name for entry in ledger.entries("bjorck2018")}
    names = [finding.claim for finding in initial.findings]
    assert set(names) <= known and len(set(names)) == len(names) == 11


def test_answers_quote_what_was_measured(initial: ExperimentResult) -> None:
    said = answers.answers(ledger.entries("bjorck2018"), [replace(initial, name="bjorck2018.initialization")])
    assert any("grows with the number of images" in text for text in said.values())


def test_sums_of_absolute_values_bound_absolute_sums() -> None:
    """And a batch of one pixel's worth of terms: |d| and |sum of d| agree where there is one term."""
    measured = networks.gradients(14, "none", "xavier", 0, 4, 8, "noise")
    assert (measured["a"] >= measured["b"]).all() and (measured["a"] > 1.01 * measured["b"]).any()
    assert measured["layers"].tolist() == [2, 7, 11]
    agreement, mean = measured["single"], measured["b"] / measured["a"]
    assert (agreement[:, 0] < mean).all() and (mean < agreement[:, 100]).all() and (agreement <= 1).all()
    assert measured["rows"].sum(axis=0) == pytest.approx(np.zeros(4), abs=1e-6)


def test_overlaps_are_those_of_different_images() -> None:
    """Against a loop over pairs of images."""
    measured = networks.stream(8, 4, "batch", "xavier", [5], 3, 8, 3, "smooth", "zero")
    seen = []
    network = ResNet(Architecture(8, 4), 5)
    network.forward(
        networks.images("smooth", 3, 3, 8, 5),
        lambda layer, what, x: seen.append(x) if what == "stream" else None,
    )
    pairs = [[np.mean(x[:, s] * x[:, t]) for s in range(3) for t in range(3) if s != t] for x in seen]
    assert measured["overlap"][0] == pytest.approx(np.mean(pairs, axis=1), rel=1e-5)
    assert measured["square"][0] == pytest.approx([np.mean(x * x) for x in seen], rel=1e-5)


@pytest.mark.parametrize("kind", networks.IMAGES)
def test_images_have_unit_variance(kind: str) -> None:
    drawn = networks.images(kind, 50, 40, 8, 0)
    assert drawn.shape == (50, 40, 8, 8) and (drawn**2).mean() == pytest.approx(1, rel=0.1)
    with pytest.raises(InputError, match="unknown kind of image 'cats'"):
        networks.images("cats", 3, 2, 8, 0)


def test_digits_as_images(made_up: Digits) -> None:
    """Enlarged threefold and framed in 27 x 27: every pixel where it belongs; mean 0 and variance 1 over all."""
    shown = digits.pictures(made_up, 27)
    for i, j in ((1, 1), (14, 3), (24, 24)):
        assert (shown[:, i, j] == made_up.images[8 * ((i - 1) // 3) + (j - 1) // 3]).all()
    assert not shown[:, 0].any() and not shown[:, :, 25:].any()
    images, labels = digits.draw("digits", 100, 27, np.random.default_rng(0))
    assert images.mean() == pytest.approx(0, abs=1e-12) and images.var() == pytest.approx(1)
    assert sorted(labels) == sorted(made_up.labels)
    with pytest.raises(InputError, match="8 x 8 pixels do not fit in 6 x 6"):
        digits.pictures(made_up, 6)
    with pytest.raises(InputError, match="1 to 100 samples of digits, not 101"):
        digits.draw("digits", 101, 8, np.random.default_rng(0))


def test_batches_of_digits_have_their_own_labels(made_up: Digits) -> None:
    images, labels = networks.labelled_images("digits", 3, 20, 8, 4)
    other, _ = networks.labelled_images("digits", 3, 20, 8, 4, 1)
    assert (images[0] == images[2]).all() and (images != other).any()
    flat = images[0].reshape(20, 64).T
    for column, label in zip(flat.T, labels, strict=True):
        match = [np.corrcoef(column, x)[0, 1] > 0.999 for x in made_up.images.T]
        assert made_up.labels[match.index(True)] == label


def test_terms_of_random_sign_and_terms_that_agree() -> None:
    """a/b as the square root of the number of terms, or not at all: exponents 1/2 and 0."""
    rng = np.random.default_rng(0)
    scaled = {}
    for batch, side in ((4, 8), (16, 8), (16, 16)):
        terms = rng.standard_normal((3, 2, 200, batch * side**2))
        random = {
            "a": np.abs(terms).sum(axis=-1).mean(axis=-1),
            "b": np.abs(terms.sum(axis=-1)).mean(axis=-1),
        }
        agree = {"a": random["a"], "b": random["a"] / 2}
        scaled[batch, side] = {"none": agree, "batch": random}
    assert table1.exponents(scaled, "batch").value == pytest.approx([0.5, 0.5], abs=0.04)
    assert table1.exponents(scaled, "none").value == pytest.approx([0, 0], abs=1e-12)
    assert table1.exponents(scaled, "none", "a").value == pytest.approx([1, 1], abs=0.01)


def test_single_parameters_are_told_apart() -> None:
    """Those whose terms agree from those whose terms cancel; and networks that were exchanged."""
    rng = np.random.default_rng(0)
    terms = rng.standard_normal((5, 2, 300, 100))
    random = np.abs(terms.sum(axis=-1)) / np.abs(terms).sum(axis=-1)
    layers = np.array(5 * [[2, 7]])
    agree, cancel = (
        {
            "layers": layers, "silent": np.zeros((5, 2)),
            "single": np.percentile(shares, np.arange(101), axis=-1).transpose(1, 2, 0),
        }
        for shares in (rng.uniform(0.5, 1, random.shape), random)
    )  # fmt: skip
    right = table1.single({"none": agree, "batch": cancel})
    assert right.verdict == "confirmed" and "100% agree within a factor of 2" in right.answer
    assert table1.single({"none": cancel, "batch": agree}).verdict == "refuted"


def test_shares_of_made_up_gradients() -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((1, 10, 1)) + np.zeros((1, 10, 50))
    assert shapes.common_share({"rows": rows}) == pytest.approx(1)
    product = rng.random((6, 1)) * rng.random((1, 7))
    noise = rng.random((6, 7))
    shares = shapes.rank_one_share({"channels": np.array([product, noise])})
    assert shares[0] == pytest.approx(1) and shares[1] < 0.6
    gauss, wide = rng.standard_normal((1, 200_000)), rng.standard_t(5, (1, 200_000))
    assert shapes.kurtosis({"middle": gauss}) == pytest.approx(3, rel=0.05)
    assert shapes.kurtosis({"middle": wide}) > 5
