"""The first steps along a gradient, at sizes of a test, on made-up digits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from derive import ledger
from validate.experiments import Context
from validate.experiments.bjorck2018 import answers, first_steps, networks, steps
from validate.report.model import ExperimentResult
from validate.simulate import digits
from validate.simulate.digits import Digits
from validate.simulate.residual import Architecture, ResNet

SETTINGS = first_steps.Settings(
    depth=20, seeds=(0, 1, 2), batch=8, side=8, updates=2, depths=(8,), initializations=("torch",), small_batch=6,
    fractions=(0.0, 0.5, 1.0),
)  # fmt: skip
PIECE = {"initialization": "xavier", "seed": 1, "batch": 8, "side": 8, "data": "digits"}


@pytest.fixture(scope="module", autouse=True)
def made_up() -> Iterator[None]:
    """100 images of 8 x 8 pixels: a pattern a class, and noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 10
    images = np.abs(rng.standard_normal((64, 10))[:, labels] + 0.5 * rng.standard_normal((64, 100)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "load", lambda source: Digits(images / images.max(), labels))
        yield


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResult:
    return first_steps.run(SETTINGS, Context(tmp_path_factory.mktemp("first"), workers=1))


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_the_limit_is_where_the_loss_is_back(normalization: str) -> None:
    """Losses on both sides of it, from the network itself."""
    found = steps.along(14, normalization, updates=0, rate=0.1, **PIECE)
    limit = float(found["limit"][0])
    network = ResNet(Architecture(14, normalization=normalization), 1)
    images, labels = networks.labelled_images("digits", 3, 8, 8, 1)
    loss, gradients = steps.gradient_of(network, images, labels)
    before = network.parameters
    losses = []
    for factor in (0.5, 0.8, 1.25):
        network.parameters = {name: w - factor * limit * gradients[name] for name, w in before.items()}
        losses.append(steps.loss_of(network, images, labels))
    assert losses[0] < loss and losses[1] < loss < losses[2]
    assert found["loss"][0] == pytest.approx(loss)
    square = sum((g.astype(float) ** 2).sum() for g in gradients.values())
    assert found["natural"][0] == pytest.approx(loss / square, rel=1e-5)


def test_small_steps_are_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "UNITS", np.array([1e-3, 1e-2, 1e6]))
    found = steps.along(8, "batch", updates=0, rate=0.1, **PIECE)
    falls = 1 - found["losses"][0, :2] / found["loss"][0]
    assert falls == pytest.approx([1e-3, 1e-2], rel=0.1)


def test_updates_are_those_of_momentum_on_new_batches() -> None:
    """The second look is at the third batch, after two updates made by hand."""
    found = steps.along(8, "batch", updates=2, rate=1e-3, **PIECE)
    network = ResNet(Architecture(8), 1)
    velocity = dict.fromkeys(network.parameters, 0.0)
    for number in range(2):
        images, labels = networks.labelled_images("digits", 3, 8, 8, 1, number)
        _, gradients = steps.gradient_of(network, images, labels)
        for name, w in network.parameters.items():
            velocity[name] = 0.9 * velocity[name] + gradients[name] + 1e-4 * w
            network.parameters[name] = w - np.float32(found["rate"]) * velocity[name]
    loss = steps.loss_of(network, *networks.labelled_images("digits", 3, 8, 8, 1, 2))
    assert found["rate"] == pytest.approx(1e-3) and found["loss"][1] == pytest.approx(loss, rel=1e-4)


def test_levels_are_crossed_on_a_line_of_logarithms() -> None:
    x = np.array([1.0, 10.0, 100.0])
    assert steps._crossing(x, x**2, 1e3) == pytest.approx(10**1.5)
    assert steps._crossing(x, np.array([1.0, 5.0, np.inf]), 1e3) == 100
    assert np.isnan(steps._crossing(x, x, 1e3))


def test_with_normalization_the_loss_grows_like_the_square_of_the_step() -> None:
    """Kernels only turn; gains and the readout become longer.  Without it every layer multiplies."""
    tied, free = (steps.along(14, n, updates=0, rate=1e-3, **PIECE)["growth"][0] for n in ("batch", "none"))
    assert tied == pytest.approx(2, abs=0.1) and free > 4


def test_a_step_that_diverges_does_so_at_its_end() -> None:
    found = steps.diverging(14, rates=(1e-6, 1.0, 1e3), fractions=(0.0, 1.0), shown=(2, 7), **PIECE)
    assert found["rate"] in (1.0, 1e3) and found["loss"][0] < steps.DIVERGED < found["loss"][1]
    assert found["moments"].shape == (2, 13, 2) and found["channels1"].shape == (2, 32, 2)
    assert found["channels0"][..., 1].mean(axis=1) == pytest.approx(found["moments"][:, 1, 1])
    assert found["kernels"] != found["dense"] and found["dense"] != found["loss"][1]


def test_every_finding_is_a_claim_that_the_ledger_leaves_to_it(result: ExperimentResult) -> None:
    waiting = {
        entry.name for entry in ledger.entries("bjorck2018")
        if entry.verdict.evidence and entry.verdict.evidence.get("experiment") == "first_steps"
    }  # fmt: skip
    assert {finding.claim for finding in result.findings} == waiting and len(waiting) == 5


def test_normalization_widens_the_range(result: ExperimentResult) -> None:
    said = answers.answers(ledger.entries("bjorck2018"), [replace(result, name="bjorck2018.first_steps")])
    assert any("in units of the step at which a linear loss would vanish" in text for text in said.values())
    assert len(result.figures) == 2 and result.tables[0].rows
