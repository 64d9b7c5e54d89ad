"""The simulated perceptron: gradients by differences, known cases, bad input."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.special

from numerics.runtime.errors import InputError
from tests.device import Device, DeviceArray
from validate.simulate import Setup, simulate
from validate.simulate.perceptron import STATISTICS, PerceptronSetup, _Unit, simulate_perceptron

KINDS = [(s, i) for s in STATISTICS for i in (False, True) if not (s == "population" and i)]


def _loss(setup: PerceptronSetup, J: np.ndarray, gain: float, B: np.ndarray, inputs: np.ndarray) -> float:
    """The loss of one batch, written once more as the paper defines it."""
    batch, source = inputs[: setup.batch_size], inputs[-setup.batch_size :]
    z = source @ J
    m = z.mean() if setup.statistics in ("batch", "mean-only") else 0.0
    s = {
        "population": np.sqrt(J @ J), "mean-only": np.sqrt(J @ J), "batch": z.std(), "variance-only": z.std(),
        "root-mean-square": np.sqrt((z**2).mean()),
    }[setup.statistics]  # fmt: skip
    output = np.log1p(np.exp(gain * (batch @ J - m) / s))
    target = np.log1p(np.exp(batch @ B))
    return float(((target - output) ** 2).mean() / 2 + setup.gain_decay * gain**2 / 2)


@pytest.mark.parametrize(("statistics", "independent"), KINDS)
def test_step_is_the_gradient_of_the_loss(statistics: str, independent: bool) -> None:
    """Central differences of the batch's loss in every weight and in the gain, to 1e-8."""
    size = 7
    setup = PerceptronSetup("softplus", statistics, independent, 0.4, 0.3, 5, gain=0.8, cosine=0.3, norm=1.5)
    unit = _Unit(setup, 2, size, 3, np, None)
    J, gain, B = unit.J.copy(), unit.gain.copy(), unit.B
    inputs = _Unit(setup, 2, size, 3, np, None).inputs.at(0)
    unit.step(0)
    for r in range(2):
        slopes = []
        for k in range(size + 1):
            ends = []
            for sign in (1, -1):
                moved, scale = J[r].copy(), gain[r]
                if k < size:
                    moved[k] += sign * 1e-5
                else:
                    scale += sign * 1e-5
                ends.append(_loss(setup, moved, scale, B[r], inputs[r]))
            slopes.append((ends[0] - ends[1]) / 2e-5)
        found = np.append(J[r] - unit.J[r], gain[r] - unit.gain[r]) / (setup.learning_rate / size)
        assert found == pytest.approx(slopes, abs=1e-8)


def test_population_statistics_are_the_committee_of_one_unit() -> None:
    """The committee machine's simulation, K = M = 1 with weight normalization: means within 4 errors."""
    setup = PerceptronSetup("relu", learning_rate=0.6, gain_decay=0.2, gain=0.7, cosine=0.3, norm=1.2)
    ours = simulate_perceptron(setup, [0.0, 1.5], 400, 60, seed=1)
    twin = Setup(
        1, 1, activation="relu", normalization="weight", learning_rate=0.6, gain_decay=0.2, g=[0.7],
        Q=[[1.44]], R=[[0.36]],
    )  # fmt: skip
    theirs = simulate(twin, [0.0, 1.5], 400, 60, seed=2)
    norm = np.sqrt(theirs.Q[..., 0, 0])
    assert theirs.g is not None
    pairs = [(ours.gain, theirs.g[..., 0]), (ours.norm, norm), (ours.cosine, theirs.R[..., 0, 0] / norm)]
    for a, b in pairs:
        assert a[:, 0] == pytest.approx(b[:, 0], abs=1e-12)
        error = np.hypot(a[:, 1].std(), b[:, 1].std()) / 20
        assert abs(a[:, 1].mean() - b[:, 1].mean()) < 4 * error


@pytest.mark.parametrize("statistics", ["batch", "variance-only", "root-mean-square"])
def test_norm_never_shrinks_under_scale_invariance(statistics: str) -> None:
    """The gradient of a loss that |J| does not enter is orthogonal to J, so that J.J grows with every step."""
    setup = PerceptronSetup("erf", statistics, batch_size=6, learning_rate=0.8, cosine=0.2)
    norm = simulate_perceptron(setup, np.arange(20) / 20, 4, 20).norm
    assert (np.diff(norm, axis=1) >= -1e-13).all()


def test_starts_are_exact_and_records_do_not_disturb_the_run() -> None:
    run = simulate_perceptron(
        PerceptronSetup(gain=0.6, cosine=-0.4, norm=2.0), [0.0, 0.5, 1.0], 3, 11, seed=5
    )
    assert run.entries[:, 0] == pytest.approx(np.tile([0.6, -0.4, 2.0], (3, 1)), abs=1e-14)
    again = simulate_perceptron(PerceptronSetup(gain=0.6, cosine=-0.4, norm=2.0), [1.0], 3, 11, seed=5)
    assert again.entries[:, 0] == pytest.approx(run.entries[:, 2], abs=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cosine": 1.2}, "in \\[-1, 1\\]"),
        ({"statistics": "bacth"}, "did you mean 'batch'"),
        ({"statistics": "batch", "batch_size": 2}, "at least 3"),
        ({"independent": True}, "second batch"),
        ({"gain_decay": -1.0}, "at least 0"),
        ({"norm": 0.0}, "positive"),
    ],
)
def test_bad_input(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(PerceptronSetup(), **changes)


def test_bad_times_and_sizes() -> None:
    with pytest.raises(InputError, match="ascending"):
        simulate_perceptron(PerceptronSetup(), [1.0, 0.5], 2, 10)
    with pytest.raises(InputError, match="at least 2"):
        simulate_perceptron(PerceptronSetup(), [1.0], 2, 1)


class Streams(Device):
    """The device with generators of its own, which fill arrays of the device."""

    class Generator:
        def __init__(self, bits: Any) -> None:
            self.host = np.random.Generator(bits)

        def __getattr__(self, name: str) -> Any:
            if name not in ("standard_normal", "random", "integers"):
                raise AttributeError(f"a generator of cupy has no {name}")
            return Device.wrapped(getattr(self.host, name))

    random = SimpleNamespace(Generator=Generator, Philox4x3210=lambda seed: np.random.Philox(seed))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Streams:
    """With special functions for its arrays alone, where cupy's would be."""
    names = ("erf", "expit", "ndtr")
    special = SimpleNamespace(**{f: Device.wrapped(getattr(scipy.special, f)) for f in names})
    scipyx = SimpleNamespace(special=special)
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(scipy=scipyx))
    monkeypatch.setitem(sys.modules, "cupyx.scipy", scipyx)
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", special)
    return Streams()


@pytest.mark.parametrize(
    "setup",
    [
        PerceptronSetup("softplus", "batch", batch_size=5, label_noise=0.3, input_law="uniform", cosine=0.3),
        PerceptronSetup("relu", "variance-only", True, batch_size=4, gain_decay=0.2, input_law="heavy-tailed"),
        PerceptronSetup("erf", learning_rate=1.0, gain=0.7, cosine=0.5, norm=1.3),
    ],
    ids=lambda setup: f"{setup.activation}, {setup.statistics}",
)  # fmt: skip
def test_another_array_module_gives_the_same_law(setup: PerceptronSetup, device: Streams) -> None:
    """Nothing strays from the device to numpy, and means over 300 replicas agree within five errors."""
    a, b = (
        simulate_perceptron(setup, [0.0, 1.0], 300, 20, seed, xp).entries for seed, xp in ((1, np), (2, device))
    )
    assert type(b) is np.ndarray and not isinstance(b, DeviceArray)
    assert b[:, 0] == pytest.approx(a[:, 0], abs=1e-13)
    error = np.sqrt((a[:, 1].var(0) + b[:, 1].var(0)) / 300)
    assert (np.abs(a[:, 1].mean(0) - b[:, 1].mean(0)) < 5 * error).all()
