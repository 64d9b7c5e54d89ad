"""Means of channels beside the gradients of the weights that leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from validate.experiments import Context
from validate.experiments.bjorck2018 import channel_means, networks
from validate.simulate.layers import softmax_cross_entropy
from validate.simulate.residual import Architecture, ResNet

SMALL = channel_means.Settings(depth=14, seeds=4, batch=4, side=8, layers=(45, 54))


def test_without_normalization_means_decide(tmp_path: Path) -> None:
    result = channel_means.run(SMALL, Context(tmp_path, workers=1))
    (finding,) = result.findings
    ranks = finding.evidence["rank correlation"]
    assert finding.verdict == "confirmed"
    assert all(np.mean(free) > np.mean(ranks["batch"][layer]) for layer, free in ranks["none"].items())
    assert set(result.figures) == {"channel-means"} and len(result.tables[0].rows) == 2


def test_rank_correlation_is_spearmans() -> None:
    pairs = np.random.default_rng(0).standard_normal((3, 2, 16))
    pairs[0, 1] = np.exp(pairs[0, 0])  # any rising function
    found = channel_means.rank_correlation(pairs)
    assert found == pytest.approx([spearmanr(*each).statistic for each in pairs]) and found[0] == pytest.approx(1)


def test_gradients_belong_to_the_channels_that_enter() -> None:
    """One weight of the last convolution by finite differences, beside the entry that holds it."""
    layer, channel = 7, 5
    found = channel_means.channels(8, "none", "xavier", 0, 3, 8, "noise", [layer])[str(layer)]
    network = ResNet(Architecture(8, normalization="none"), 0)
    x, labels = networks.images("noise", 3, 3, 8, 0).astype(float), np.random.default_rng((0, 2)).integers(0, 10, 3)
    kernel = network.parameters[f"layer{layer}.kernel"]
    network.parameters = {name: p.astype(float) for name, p in network.parameters.items()}
    step, slopes = 1e-6, []
    for out in range(kernel.shape[0]):
        for place in np.ndindex(kernel.shape[2:]):
            losses = []
            for sign in (1, -1):
                network.parameters[f"layer{layer}.kernel"][(out, channel, *place)] += sign * step
                losses.append(float(softmax_cross_entropy(network.forward(x, lambda *_: None)[0], labels)[0]))
                network.parameters[f"layer{layer}.kernel"][(out, channel, *place)] -= sign * step
            slopes.append((losses[0] - losses[1]) / (2 * step))
    assert found.shape == (2, kernel.shape[1])
    assert np.abs(slopes).mean() == pytest.approx(found[1, channel], rel=1e-3)
