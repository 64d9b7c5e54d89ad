"""Experiment: whether weights that leave channels of large mean have large gradients (appendix G, which is missing).

By (4) a weight's gradient sums the channel's activations times the derivatives at the layer's output.  Where neither
changes much from image to image and from place to place, it is the product of their means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.bjorck2018 import networks
from validate.experiments.judging import CRITERION, judge
from validate.report.figures import BLUE, VERMILION, panels
from validate.report.model import ExperimentResult, Finding, Picture, Table
from validate.simulate.layers import softmax_cross_entropy
from validate.simulate.residual import Architecture, ResNet

NETWORKS = {"none": "without normalization", "batch": "with normalization"}
STRONG = 0.9
"""A rank correlation above which the means decide which weights have large gradients."""


@dataclass(frozen=True)
class Settings:
    """``seeds`` networks of each kind; ``layers`` as in a network of depth 110, scaled to ``depth``."""

    depth: int = 110
    seeds: int = 10
    batch: int = 16
    side: int = 32
    layers: tuple[int, ...] = (18, 45, 54, 90)
    initialization: str = "xavier"
    kind: str = "noise"

    @property
    def chosen(self) -> tuple[int, ...]:
        return tuple(max(2, round(self.depth * layer / 110)) for layer in self.layers)


def channels(
    depth: int, normalization: str, initialization: str, seed: int, batch: int, side: int, kind: str,
    layers: list[int],
) -> dict[str, np.ndarray]:  # fmt: skip
    """One network at initialization.  For every layer, under its number: |mean| of the activations of every channel
    that enters its convolution, and the mean |gradient| of the weights that leave it, (2, channel)."""
    network = ResNet(Architecture(depth, normalization=normalization, initialization=initialization), seed)
    labels = np.random.default_rng((seed, 2)).integers(0, 10, batch)
    means: dict[int, np.ndarray] = {}

    def behind(layer: int, what: str, array: np.ndarray) -> None:
        if what == "input" and layer in layers:
            means[layer] = np.abs(array.mean(axis=(1, 2, 3), dtype=float))

    logits, pullback = network.forward(networks.images(kind, 3, batch, side, seed), lambda *_: None)
    _, back = softmax_cross_entropy(logits, labels)
    found = pullback(back(), behind)
    return {
        str(layer): np.stack([means[layer], np.abs(found[f"layer{layer}.kernel"]).mean(axis=(0, 2, 3), dtype=float)])
        for layer in layers
    }


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Rank correlations over channels, layer by layer and seed by seed."""
    pieces = [
        {"depth": settings.depth, "normalization": net, "initialization": settings.initialization, "seed": seed,
         "batch": settings.batch, "side": settings.side, "kind": settings.kind, "layers": list(settings.chosen)}
        for net in NETWORKS for seed in range(settings.seeds)
    ]  # fmt: skip
    done = context.pieces(channels, pieces, "means of channels")
    measured = {
        net: {
            layer: np.array([p[str(chosen)] for p in done[k * settings.seeds : (k + 1) * settings.seeds]])
            for layer, chosen in zip(settings.layers, settings.chosen, strict=True)
        }
        for k, net in enumerate(NETWORKS)
    }
    ranks = {net: {layer: rank_correlation(m) for layer, m in each.items()} for net, each in measured.items()}
    finding = _finding(settings, ranks)
    return context.result(
        finding.answer, findings=(finding,), figures={"channel-means": _figure(settings, measured)},
        tables=(_table(ranks),), seeds={"networks, images and labels": list(range(settings.seeds))},
    )  # fmt: skip


def rank_correlation(pairs: np.ndarray) -> np.ndarray:
    """Spearman's, of means and gradients (seed, 2, channel), by seed."""
    from scipy.stats import rankdata

    ranks = rankdata(pairs, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    product = (ranks[:, 0] * ranks[:, 1]).sum(axis=-1)
    return product / np.sqrt((ranks**2).sum(axis=-1).prod(axis=-1))


def _finding(settings: Settings, ranks: dict[str, dict[int, np.ndarray]]) -> Finding:
    free = ranks["none"]
    steps = judge({f"layer {layer}": values for layer, values in free.items()})
    words = {
        net: ", ".join(f"{values.mean():.2f} at layer {layer}" for layer, values in each.items())
        for net, each in ranks.items()
    }
    strong = all(values.mean() > STRONG for values in free.values())
    return Finding(
        "bjorck2018.claim-large-means",
        "weights that leave channels of large mean have large gradients (appendix G)",
        "Without normalization the rank correlation over channels between |mean activation| and mean |gradient| of the "
        f"weights that leave the channel is {words['none']}; it is positive {steps.where()}"
        + (f" and above {STRONG:g} everywhere" if strong else "") + f". With normalization it is {words['batch']}.",
        steps.verdict,
        {"criterion": CRITERION, "seeds": settings.seeds,
         "rank correlation": {net: {layer: values.tolist() for layer, values in each.items()}
                              for net, each in ranks.items()}},
    )  # fmt: skip


def _figure(settings: Settings, measured: dict[str, dict[int, np.ndarray]]) -> Picture:
    middle = settings.layers[len(settings.layers) // 2]
    figure, axes = panels(2)
    for ax, colour, (net, label) in zip(axes, (VERMILION, BLUE), NETWORKS.items(), strict=True):
        for means, sizes in measured[net][middle]:
            ax.plot(means, sizes / sizes.mean(), "o", ms=3, mfc="none", color=colour, alpha=0.6)
        if net == "none":  # orders of magnitude apart; with normalization they are not
            ax.set_xscale("log")
            ax.set_yscale("log")
        ax.set_title(label)
        ax.set_xlabel("|mean activation| of the channel")
    axes[0].set_ylabel("mean |gradient| over its mean")
    return Picture(
        figure,
        f"Every channel that enters layer {middle}, of {settings.seeds} networks: its mean activation, and the mean "
        "gradient of the weights that leave it, over that of the network's layer.",
    )


def _table(ranks: dict[str, dict[int, np.ndarray]]) -> Table:
    rows = []
    for layer in ranks["none"]:
        found = [statistics.estimate(ranks[net][layer]) for net in NETWORKS]
        rows.append((layer, *(f"{e.value:.3f} ± {e.error:.3f}" for e in found)))
    return Table(
        "Rank correlation over channels between |mean activation| and mean |gradient|, mean over seeds",
        ("layer", *NETWORKS.values()),
        tuple(rows),
    )


EXPERIMENT = Experiment(
    title="Means of channels and the gradients of their weights",
    question="Do weights that leave channels of large mean have large gradients?",
    run=run,
    full=Settings(),
    quick=Settings(depth=56, batch=8, side=16),
)
