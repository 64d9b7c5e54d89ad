"""Experiment: the whole Hessian of a small network, exactly.

Digits of 7 x 7 pixels, a few hidden units: every second derivative by complex steps, in training mode with the
training set as one batch, so that the statistics of the batch are differentiated as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from validate.experiments import Context, Experiment
from validate.experiments.judging import CRITERION, judge
from validate.experiments.reyes2020 import runs
from validate.report.figures import BLUE, COLOURS, VERMILION, panels
from validate.report.model import ExperimentResult, Finding, Picture, Table
from validate.simulate import digits
from validate.simulate.curvature import full_hessian
from validate.simulate.digits import Digits

NETWORKS = ("none", "batch")
TOP = 10
BLOCK_DIAGONAL = 0.1
"""The Hessian is called block diagonal where blocks off the diagonal hold less than this share of its norm."""


@dataclass(frozen=True)
class Settings:
    data: str = "mnist"
    seeds: tuple[int, ...] = tuple(range(10))
    rate: float = 1e-2
    decay: float = 1e-4
    epochs: tuple[int, ...] = (0, 3, 30)
    batch_size: int = 100
    hidden: int = 10
    samples: int = 1000


def hessian(
    data: str, normalization: str, seed: int, rate: float, decay: float, epochs: int, batch_size: int,
    hidden: int, samples: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Largest eigenvalues of the whole, of the blocks of the first and of the last layer and of both without
    what couples them; squared Frobenius norms of the three blocks; the most negative eigenvalue."""
    everything = digits.load(data)
    part = _small(digits.split(everything, (samples / len(everything),), seed)[0])
    network = runs.trained(part, normalization, seed, rate, decay, epochs, batch_size, hidden)
    whole, _ = full_hessian(network, part.images, part.labels, ("W1", "b1", "W2", "b2"))
    ends = network.parameters["W1"].size + network.parameters["b1"].size
    first, last, coupling = whole[:ends, :ends], whole[ends:, ends:], whole[:ends, ends:]
    values = np.linalg.eigvalsh(whole)
    own = [np.linalg.eigvalsh(block) for block in (first, last)]
    return {
        "whole": values[::-1][:TOP], "first": own[0][::-1][:TOP], "last": own[1][::-1][:TOP],
        "blocks": np.sort(np.concatenate(own))[::-1][:TOP], "least": values[0],
        "norms": np.array([(first**2).sum(), (last**2).sum(), 2 * (coupling**2).sum()]),
    }  # fmt: skip


def _small(part: Digits) -> Digits:
    """Means over squares of 4 x 4 pixels, where images have 28 x 28."""
    side = int(np.sqrt(len(part.images)))
    if side <= 8:
        return part
    tiles = part.images.reshape(side // 4, 4, side // 4, 4, -1)
    return Digits(tiles.mean(axis=(1, 3)).reshape((side // 4) ** 2, -1), part.labels)


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Every Hessian, its blocks, and what the last layer says about the whole."""
    wanted = [
        {
            "data": settings.data, "normalization": network, "seed": seed, "rate": settings.rate,
            "decay": settings.decay, "epochs": epochs, "batch_size": settings.batch_size,
            "hidden": settings.hidden, "samples": settings.samples,
        }
        for network in NETWORKS
        for epochs in settings.epochs
        for seed in settings.seeds
    ]  # fmt: skip
    done = context.pieces(hessian, wanted, "full Hessians")
    shape = (len(NETWORKS), len(settings.epochs), len(settings.seeds))
    record = {
        name: np.array([arrays[name] for arrays in done]).reshape(*shape, *done[0][name].shape)
        for name in done[0]
    }
    findings = (_representative(settings, record), _block_diagonal(settings, record), _flat(settings, record))
    return context.result(
        " ".join(finding.answer for finding in findings),
        findings=findings,
        figures={"full-hessian": _figure(settings, record)},
        tables=(_table(settings, record),),
        seeds={"split, weights, order of samples": list(settings.seeds)},
    )


def _representative(settings: Settings, record: dict[str, np.ndarray]) -> Finding:
    """Does normalization change the whole Hessian as it changes the last layer's?"""
    effect = {
        (what, block): np.log(value(record[block])[0] / value(record[block])[1])
        for what, value in (
            ("lambda_1", lambda v: v[..., 0]),
            ("lambda_1 / lambda_10", lambda v: v[..., 0] / v[..., 9]),
        )
        for block in ("whole", "last")
    }
    pairs = {key: judge({f"epoch {e}": d for e, d in zip(settings.epochs, found, strict=True)})
             for key, found in effect.items()}  # fmt: skip
    same = {
        what: [
            bool(np.sign(effect[what, "whole"][k].mean()) == np.sign(effect[what, "last"][k].mean()))
            and bool(pairs[what, "whole"].significant[k] == pairs[what, "last"].significant[k])
            for k in range(len(settings.epochs))
        ]
        for what in ("lambda_1", "lambda_1 / lambda_10")
    }
    words = "; ".join(
        f"{what} without over with normalization is "
        + ", ".join(
            f"{np.exp(effect[what, 'last'][k].mean()):.2g} in the last layer and "
            f"{np.exp(effect[what, 'whole'][k].mean()):.2g} in the whole at epoch {epoch}"
            for k, epoch in enumerate(settings.epochs)
        )
        for what in same
    )
    agreed = [s for values in same.values() for s in values]
    return Finding(
        "reyes2020.claim-last-layer-representative",
        "the last layer's Hessian shows the effect of batch normalization on the whole network",
        f"Geometric means over seeds: {words}.",
        "confirmed" if all(agreed) else "conditional" if any(agreed) else "refuted",
        {"criterion": "the effect has the same sign, and is significant in both or in neither; " + CRITERION,
         "agree, by epoch": same},
    )  # fmt: skip


def _share(record: dict[str, np.ndarray]) -> np.ndarray:
    """What the blocks off the diagonal hold of the Frobenius norm: (network, epoch, seed)."""
    return np.sqrt(record["norms"][..., 2] / record["norms"].sum(axis=-1))


def _block_diagonal(settings: Settings, record: dict[str, np.ndarray]) -> Finding:
    share = _share(record)
    lost = record["blocks"][..., 0] / record["whole"][..., 0]
    return Finding(
        "reyes2020.claim-block-diagonal",
        "the Hessian may be taken as block diagonal in the layers",
        f"The blocks that couple the layers hold {share.min():.0%} to {share.max():.0%} of its Frobenius norm "
        f"(mean {share[0].mean():.0%} without, {share[1].mean():.0%} with normalization); without them the "
        f"largest eigenvalue comes out {lost.min():.0%} to {lost.max():.0%} of what it is.",
        "confirmed" if share.max() < BLOCK_DIAGONAL else "conditional" if share.min() < BLOCK_DIAGONAL else "refuted",
        {"criterion": f"a share below {BLOCK_DIAGONAL:g} in every network, or in some",
         "share, by network and epoch": share.mean(axis=-1).tolist(),
         "eigenvalue kept, by network and epoch": lost.mean(axis=-1).tolist()},
    )  # fmt: skip


def _flat(settings: Settings, record: dict[str, np.ndarray]) -> Finding:
    """The first layer's largest eigenvalue below the last layer's."""
    steeper = np.log(record["last"][..., 0] / record["first"][..., 0])
    pairs = judge(
        {
            f"epoch {epoch} {'with' if network == 'batch' else 'without'} normalization": steeper[n, k]
            for n, network in enumerate(NETWORKS)
            for k, epoch in enumerate(settings.epochs)
        }
    )
    return Finding(
        "reyes2020.claim-flat-first-layer",
        "the Hessian goes from flat in the first layer to steep in the last",
        f"The last layer's largest eigenvalue exceeds the first layer's {pairs.where()}; the ratio goes from "
        f"{np.exp(pairs.mean.min()):.2g} to {np.exp(pairs.mean.max()):.2g}.",
        pairs.verdict,
        {"criterion": CRITERION, "last over first": dict(zip(pairs.cases, np.exp(pairs.mean).tolist(), strict=True))},
    )  # fmt: skip


def _figure(settings: Settings, record: dict[str, np.ndarray]) -> Picture:
    figure, axes = panels(len(NETWORKS), sharey=True)
    rank = np.arange(1, TOP + 1)
    for n, (ax, network) in enumerate(zip(axes, NETWORKS, strict=True)):
        for name, label, colour in (
            ("whole", "whole", "0.2"), ("blocks", "both layers, uncoupled", COLOURS[2]),
            ("first", "first layer", VERMILION), ("last", "last layer", BLUE),
        ):  # fmt: skip
            values = np.maximum(record[name][n, -1], 1e-12)
            ax.plot(
                rank,
                np.exp(np.log(values).mean(axis=0)),
                "o-",
                ms=4,
                mfc="white",
                lw=1,
                color=colour,
                label=label,
            )
        ax.set_yscale("log")
        ax.set_xlabel("rank")
        ax.set_title(f"{'with' if network == 'batch' else 'without'} normalization")
    axes[0].set_ylabel("eigenvalue")
    axes[0].legend()
    return Picture(
        figure,
        f"The ten largest eigenvalues of the exact Hessian of a small network after {settings.epochs[-1]} epochs, "
        f"and of its blocks: geometric means over {len(settings.seeds)} seeds.",
    )


def _table(settings: Settings, record: dict[str, np.ndarray]) -> Table:
    share = _share(record)
    rows = []
    for n, network in enumerate(NETWORKS):
        for k, epoch in enumerate(settings.epochs):
            own = {name: record[name][n, k] for name in record}
            rows.append(
                (
                    "with" if network == "batch" else "without", epoch,
                    *(f"{own[name][:, 0].mean():.3g}" for name in ("whole", "first", "last")),
                    f"{(own['whole'][:, 0] / own['whole'][:, 9]).mean():.3g}",
                    f"{(own['last'][:, 0] / own['last'][:, 9]).mean():.3g}",
                    f"{own['least'].mean():.2g}", f"{share[n, k].mean():.0%}",
                )
            )  # fmt: skip
    return Table(
        "Means over seeds",
        ("normalization", "epoch", "lambda_1, whole", "first layer", "last layer", "lambda_1/lambda_10, whole",
         "last layer", "least eigenvalue", "share of the coupling"), tuple(rows),
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="The whole Hessian of a small network",
    question="Is the last layer representative, and is the Hessian block diagonal in the layers?",
    run=run,
    full=Settings(),
    quick=Settings(seeds=tuple(range(5)), epochs=(0, 30), samples=500),
)
