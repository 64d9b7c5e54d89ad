"""Another array module than numpy: numpy in disguise, with what cupy has and without what it lacks."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
from sympy import IndexedBase

from validate.simulate import Setup, simulate


class Generator:
    """The methods of cupy's Generator that the simulation may call."""

    def __init__(self, bits):
        generator = np.random.Generator(bits)
        for name in ("standard_normal", "standard_gamma", "random", "integers"):
            setattr(self, name, getattr(generator, name))


class Disguise:
    """Looks like cupy: own random streams, everything else numpy's."""

    __name__ = "numpy"
    random = SimpleNamespace(Generator=Generator, Philox4x3210=lambda seed: np.random.Philox(seed))

    def __getattr__(self, name):
        return getattr(np, name)


@pytest.fixture
def disguise(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "cupyx.scipy", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", scipy.special)
    sys.modules["cupyx"].scipy = sys.modules["cupyx.scipy"]
    sys.modules["cupyx.scipy"].special = scipy.special
    return Disguise()


x, y, g = map(IndexedBase, "xyg")
CASES = {
    "gelu, centred": {"activation": "gelu", "normalization": "batch", "statistics": "batch", "shift": True},
    "binary": {"input_law": "binary", "activation": "leaky-relu(0.1)"},
    "heavy-tailed": {"input_law": "heavy-tailed", "normalization": "weight", "weight_decay": 0.1},
    "own loss": {"model": (y[1] - g[1] * x[1] + y[2] - g[2] * x[2]) ** 2 / 2},
}


RUNS = [(case, "direct") for case in CASES] + [("gelu, centred", "chain"), ("own loss", "chain")]


@pytest.mark.parametrize(("case", "method"), RUNS)
def test_another_array_module_gives_the_same_law(case, method, disguise):
    """300 replicas, five standard errors on Q, R, w."""
    setup = Setup(
        students=2, teachers=2, batch_size=4, label_noise=0.3, second_layer_learning_rate=0.2,
        Q=[[0.5, 0.1], [0.1, 0.4]], R=[[0.3, 0.1], [0.05, 0.2]], **CASES[case],
    )  # fmt: skip
    a, b = (
        simulate(setup, [1.0], 300, 30, seed=seed, method=method, xp=xp)
        for seed, xp in ((1, np), (2, disguise))
    )
    for name in ("Q", "R", "second_layer"):
        first, second = getattr(a, name)[:, 0], getattr(b, name)[:, 0]
        error = np.sqrt((first.var(0) + second.var(0)) / 300)
        assert (np.abs(first.mean(0) - second.mean(0)) <= 5 * error).all()
