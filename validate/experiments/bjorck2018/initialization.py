"""Experiment: a deep residual network at initialization, without and with batch normalization, seed by seed.

Networks of depth 110 on noise images with random labels, one batch forward and backward: Table 1 and Figures 2,
5, 6 and 7 of the paper, and how they depend on the size of the batch and of the images, which the paper kept;
Figure 6 also on waves, on images of one colour, and on digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from numerics.residual import growth
from validate.experiments import Context, Experiment
from validate.experiments.bjorck2018 import initialization_figures, networks, table1
from validate.experiments.bjorck2018.shapes import common_share, geometric, kurtosis, rank_one_share, ratio
from validate.experiments.bjorck2018.table1 import NETWORKS, PAPER, Records
from validate.experiments.judging import CRITERION, judge
from validate.report.model import ExperimentResult, Finding, Table

VARIANTS = {"1 x 1 shortcuts": {"shortcut": "projection"}, "uniform gains": {"gain": "uniform"}}
"""Networks that differ from the paper's between the stages, or in the gains of their normalization."""
CONSTANT = 10.0
"""Moments are called relatively constant where they stay within this factor over depth."""
STRAIGHT = 0.9
"""Growth is called exponential where a line explains this share of the logarithm's variance over a stage."""
SCALE = (10**1.5, 10**2.5)
"""Outputs are called of order 100 between these."""


@dataclass(frozen=True)
class Settings:
    """``batch`` and ``side`` are the paper's in the full run; ``batches`` and ``sides`` vary one of them."""

    depth: int = 110
    seeds: tuple[int, ...] = tuple(range(10))
    batch: int = 128
    side: int = 32
    initialization: str = "xavier"
    batches: tuple[int, ...] = (8, 32)
    sides: tuple[int, ...] = (8, 16)
    initializations: tuple[str, ...] = ("he", "torch")
    small_batch: int = 16
    data: str = "mnist"


def run(settings: Settings, context: Context) -> ExperimentResult:
    """The networks of the paper; then other batches, other images and other initial weights."""
    own = _records(settings, context, settings.initialization, settings.batch, settings.side)
    scaled = {(settings.batch, settings.side): own}
    for batch, side in (
        *((b, settings.side) for b in settings.batches), *((settings.batch, s) for s in settings.sides)
    ):  # fmt: skip
        scaled[batch, side] = _records(settings, context, settings.initialization, batch, side)
    schemes = {settings.initialization: own} | {
        scheme: _records(settings, context, scheme, settings.small_batch, settings.side)
        for scheme in settings.initializations
    }
    variants = {
        name: _records(
            settings, context, settings.initialization, settings.small_batch, settings.side, **choice
        )
        for name, choice in VARIANTS.items()
    }
    kinds = {"noise": own} | {
        kind: _records(settings, context, settings.initialization, settings.small_batch, settings.side, kind)
        for kind in (*networks.IMAGES[1:], settings.data)
    }
    findings = (
        *table1.sums(scaled), table1.single(own), _larger(own), _tails(own), *_moments(settings, own),
        _output(schemes), *_classes(kinds), _rank(own),
    )  # fmt: skip
    return context.result(
        " ".join(finding.answer for finding in findings[:3]),
        findings=findings,
        figures={
            "gradient-histograms": initialization_figures.histograms(own),
            "moments": initialization_figures.moments(own),
            "output-gradients": initialization_figures.output_gradients(kinds[settings.data]),
            "channels": initialization_figures.channels(own),
        },
        tables=(table1.table(scaled), table1.powers_table(scaled), _loss_table(schemes | variants)),
        seeds={"weights, images, labels": list(settings.seeds)},
    )


def _records(
    settings: Settings, context: Context, initialization: str, batch: int, side: int, kind: str = "noise",
    **choice: str,
) -> dict[str, dict[str, np.ndarray]]:  # fmt: skip
    pieces = [
        {
            "depth": settings.depth, "normalization": network, "initialization": initialization, "seed": seed,
            "batch": batch, "side": side, "kind": kind, **choice,
        }
        for network in NETWORKS
        for seed in settings.seeds
    ]  # fmt: skip
    label = " ".join((f"{initialization}, {batch} x {kind} of {side} x {side}", *choice.values()))
    done = context.pieces(networks.gradients, pieces, label)
    count = len(settings.seeds)
    return {
        network: {name: np.stack([d[name] for d in done[k * count : (k + 1) * count]]) for name in done[0]}
        for k, network in enumerate(NETWORKS)
    }


def _larger(own: Records) -> Finding:
    places = own["none"]["layers"][0] - 1
    logs = np.log(own["none"]["size"][:, places] / own["batch"]["size"][:, places])
    pairs = judge({f"layer {place + 1}": logs[:, k] for k, place in enumerate(places)})
    words = ", ".join(f"{np.exp(m):.3g} at {case}" for case, m in zip(pairs.cases, pairs.mean, strict=True))
    return Finding(
        f"{PAPER}.claim-gradients-larger", "gradients are consistently larger without normalization",
        f"The root mean square of a kernel's gradient without over with normalization is {words} (geometric means "
        f"over seeds).",
        pairs.verdict, {"criterion": CRITERION},
    )  # fmt: skip


def _tails(own: Records) -> Finding:
    free, tied = (kurtosis(own[network]) for network in NETWORKS)
    pairs = judge({"middle layer": np.log(free / tied)})
    return Finding(
        f"{PAPER}.claim-heavy-tails", "gradients have heavier tails without normalization (Figure 2)",
        f"The kurtosis of the middle kernel's gradient is {free.mean():.3g} without and {tied.mean():.3g} with "
        f"normalization (3 is Gaussian; {free.min():.3g} to {free.max():.3g} and {tied.min():.3g} to "
        f"{tied.max():.3g} over seeds).",
        pairs.verdict, {"criterion": CRITERION, "without": free.tolist(), "with": tied.tolist()},
    )  # fmt: skip


def _moments(settings: Settings, own: Records) -> tuple[Finding, Finding]:
    ranges = {
        (network, what): float(
            (own[network][what][..., 1].max(axis=1) / own[network][what][..., 1].min(axis=1)).mean()
        )
        for network in NETWORKS
        for what in ("convolution", "stream")
    }
    constant = {what: ranges["batch", what] <= CONSTANT for what in ("convolution", "stream")}
    variance = np.log(own["none"]["stream"][..., 1])
    blocks = (settings.depth - 2) // 6
    straight, slopes = [], []
    for seed in variance:
        for stage in range(3):
            y = seed[stage * blocks + 1 : (stage + 1) * blocks + 1]
            x = np.arange(len(y))
            slopes.append(np.polyfit(x, y, 1)[0])
            straight.append(np.corrcoef(x, y)[0, 1] ** 2)
    factor = np.exp(np.mean(slopes))
    explained = float(np.mean(straight))
    return (
        Finding(
            f"{PAPER}.claim-moments-constant",
            "with normalization means and variances of channels stay relatively constant with depth (Figure 5)",
            f"With normalization the mean variance of a convolution's channels varies over depth by a factor of "
            f"{ranges['batch', 'convolution']:.3g} before it is normalized, and that of the stream by "
            f"{ranges['batch', 'stream']:.3g}: the stream is a reflected walk, whose square grows with the number "
            "of blocks. Only what comes out of a normalization is constant, by definition.",
            "confirmed" if all(constant.values()) else "conditional",
            {
                "criterion": f"within a factor of {CONSTANT:g} wherever it is measured; else conditional, as the "
                "normalized outputs have mean 0 and variance 1 by definition",
                **{f"{n}, {w}": r for (n, w), r in ranges.items()},
            },
        ),
        Finding(
            f"{PAPER}.claim-moments-grow",
            "without normalization they grow almost exponentially with depth (Figure 5)",
            f"Without normalization the stream's variance spans a factor of {ranges['none', 'stream']:.3g}; within "
            f"a stage it grows by {factor:.3f} a block ({growth(settings.initialization).factor:.3f} derived, "
            f"infinitely wide), and a line explains {explained:.1%} of its logarithm.",
            "confirmed" if explained > STRAIGHT and factor > 1 else "refuted",
            {"criterion": f"a line explains more than {STRAIGHT:.0%}, on average over seeds and stages",
             "factor a block": float(factor)},
        ),
    )  # fmt: skip


def _output(schemes: Mapping[str, Records]) -> Finding:
    found = {scheme: float(np.median(records["none"]["top"])) for scheme, records in schemes.items()}
    holds = [SCALE[0] < value < SCALE[1] for value in found.values()]
    words = ", ".join(f"{value:.3g} ({scheme})" for scheme, value in found.items())
    return Finding(
        f"{PAPER}.claim-output-scale", "without normalization outputs reach scales of up to 100",
        f"The largest output without normalization, the median over seeds, is {words}: the initial weights decide.",
        "confirmed" if all(holds) else "conditional" if any(holds) else "refuted",
        {"criterion": f"between {SCALE[0]:.3g} and {SCALE[1]:.3g}, for all or for some initial weights", **found},
    )  # fmt: skip


def _classes(kinds: Mapping[str, Records]) -> tuple[Finding, Finding]:
    """Figure 6, on images that differ in every pixel, in their waves, in their colour, and on digits."""
    modal = {kind: [own[network]["modal"] for network in NETWORKS] for kind, own in kinds.items()}
    shares = {kind: [common_share(own[network]) for network in NETWORKS] for kind, own in kinds.items()}
    one, common = (
        judge({f"{kind} images": free - tied for kind, (free, tied) in found.items()})
        for found in (modal, shares)
    )

    def words(found: Mapping[str, list[np.ndarray]]) -> str:
        return "; ".join(
            f"{free.mean():.0%} without and {tied.mean():.0%} with normalization for {kind} images"
            for kind, (free, tied) in found.items()
        )

    biased = min(free.mean() for free, _ in modal.values()) > 0.8
    remark = (
        "Noise images differ only in pixels that the network averages; with normalization, too, they look alike "
        "to it."
    )
    return (
        Finding(
            f"{PAPER}.claim-one-class",
            "without normalization almost all images are put in one class, with it they are not (Figure 6)",
            f"The most frequent class takes these shares of the images: {words(modal)}. It is less with "
            f"normalization {one.where()}. {remark}",
            one.verdict if biased or one.verdict != "confirmed" else "conditional",
            {"criterion": CRITERION + "; and conditional where it is 80 % or less without"},
        ),
        Finding(
            f"{PAPER}.claim-input-independent",
            "without normalization the output gradients differ little across inputs, with it they depend on them "
            "(Figure 6)",
            f"What all images have in common makes up these shares of the squared output gradients: "
            f"{words(shares)}. It is less with normalization {common.where()}.",
            common.verdict, {"criterion": CRITERION},
        ),
    )  # fmt: skip


def _rank(own: Records) -> Finding:
    shares = {network: rank_one_share(own[network]) for network in NETWORKS}
    spreads = {
        n: own[n]["channels"].std(axis=(1, 2)) / own[n]["channels"].mean(axis=(1, 2)) for n in NETWORKS
    }
    pairs = judge(
        {
            "structure explained": shares["none"] - shares["batch"],
            "relative spread": np.log(spreads["none"] / spreads["batch"]),
        }
    )
    return Finding(
        f"{PAPER}.claim-low-rank",
        "without normalization gradients by channel have a dominant low rank, which is less pronounced with it "
        "(Figure 7)",
        f"A product of one vector over channels in and one over channels out explains "
        f"{shares['none'].mean():.0%} of the spread of the gradients without and {shares['batch'].mean():.0%} with "
        f"normalization; that spread is {spreads['none'].mean():.2f} and {spreads['batch'].mean():.2f} of the mean.",
        pairs.verdict, {"criterion": CRITERION},
    )  # fmt: skip


def _loss_table(networks: Mapping[str, Records]) -> Table:
    rows = []
    for name, records in networks.items():
        for network, record in records.items():
            cells = [
                f"{np.median(record[what]):.3g} ({record[what].min():.3g} to {record[what].max():.3g})"
                for what in ("loss", "top")
            ]
            ratios = ", ".join(f"{value:.3g}" for value in geometric(ratio(record)))
            rows.append((name, "with" if network == "batch" else "without", *cells, ratios))
    layers = ", ".join(map(str, record["layers"][0]))
    return Table(
        "Other initial weights, shortcuts and gains, before training: median and range over seeds; geometric means "
        "of a/b",
        ("network", "normalization", "loss", "largest output", f"a/b at layers {layers}"), tuple(rows),
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="Residual networks at initialization",
    question="What does batch normalization do to gradients, activations and outputs before any training?",
    run=run,
    full=Settings(),
    quick=Settings(batch=16, batches=(4,), sides=(16,), small_batch=8),
)
