"""Experiment: networks that learn with one half of batch normalization.

Centring alone and scaling alone, next to both and neither; runs with both and neither are those of the experiment
on training, where its settings are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from validate.experiments import Context, Experiment
from validate.experiments.judging import CRITERION, Pairs, judge
from validate.experiments.reyes2020 import runs
from validate.report.figures import BLUE, COLOURS, VERMILION, panels
from validate.report.model import ExperimentResult, Picture, Table

LOOKS = {
    "none": (VERMILION, "neither"), "centre": (COLOURS[2], "centred"), "scale": (COLOURS[3], "scaled"),
    "batch": (BLUE, "both"),
}  # fmt: skip
TEST = 2
QUANTITIES = {
    "lambda_1": lambda own: np.log(own["top"][:, :, 0]),
    "lambda_1/lambda_10": lambda own: np.log(own["top"][:, :, 0] / own["top"][:, :, 9]),
}
"""Logarithms by seed and recorded epoch."""


@dataclass(frozen=True)
class Settings:
    data: str = "mnist"
    seeds: tuple[int, ...] = tuple(range(10))
    rate: float = 1e-3
    decay: float = 1e-4
    epochs: int = 30
    batch_size: int = 100
    hidden: int = 100
    recorded: tuple[int, ...] = (0, 1, 2, 3, 5, 10, 20, 30)


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Train the four networks, compare the three with the one that has neither."""
    wanted = [
        {
            "data": settings.data, "normalization": network, "seed": seed, "rate": settings.rate,
            "decay": settings.decay, "epochs": settings.epochs, "batch_size": settings.batch_size,
            "hidden": settings.hidden, "recorded": list(settings.recorded),
        }
        for network in LOOKS
        for seed in settings.seeds
    ]  # fmt: skip
    done = context.pieces(runs.training, wanted, "halves")
    count = len(settings.seeds)
    record = {
        network: {
            name: np.stack([arrays[name] for arrays in done[count * k : count * (k + 1)]]) for name in done[0]
        }
        for k, network in enumerate(LOOKS)
    }
    pairs = {quantity: _pairs(settings, record, quantity) for quantity in QUANTITIES}
    return context.result(
        " ".join(_words(settings, pairs[quantity], quantity) for quantity in QUANTITIES),
        figures={"halves": _figure(settings, record)},
        tables=(_table(settings, record), _significant(pairs)),
        seeds={"split, weights, order of samples": list(settings.seeds)},
    )


def _pairs(settings: Settings, record: dict[str, dict[str, np.ndarray]], quantity: str) -> Pairs:
    value = QUANTITIES[quantity]
    return judge(
        {
            f"{LOOKS[network][1]} at epoch {epoch}": value(record["none"])[:, k] - value(record[network])[:, k]
            for network in LOOKS
            if network != "none"
            for k, epoch in enumerate(settings.recorded)
        }
    )


def _words(settings: Settings, pairs: Pairs, quantity: str) -> str:
    """Factors at the first and the last recorded epoch, with what is significant."""
    epochs = settings.recorded[0], settings.recorded[-1]
    found = dict(
        zip(
            pairs.cases,
            zip(np.exp(-pairs.mean), pairs.significant | pairs.opposite, strict=True),
            strict=True,
        )
    )

    def factor(name: str, epoch: int) -> str:
        value, significant = found[f"{name} at epoch {epoch}"]
        return f"{value:.2g}" + ("" if significant else " (not significant)")

    names = [name for network, (_, name) in LOOKS.items() if network != "none"]
    listed = "; ".join(
        f"{name} {factor(name, epochs[0])} at epoch {epochs[0]} and {factor(name, epochs[1])} at epoch {epochs[1]}"
        for name in names
    )
    return f"Networks that learn with normalized units have {quantity} multiplied by these factors: {listed}."


def _figure(settings: Settings, record: dict[str, dict[str, np.ndarray]]) -> Picture:
    figure, axes = panels(2)
    for ax, (quantity, value) in zip(axes, QUANTITIES.items(), strict=True):
        for network, (colour, label) in LOOKS.items():
            own = np.exp(value(record[network]))
            ax.plot(
                settings.recorded,
                np.exp(np.log(own).mean(axis=0)),
                "o-",
                ms=4,
                mfc="white",
                color=colour,
                label=label,
            )
            ax.fill_between(
                settings.recorded, own.min(axis=0), own.max(axis=0), color=colour, alpha=0.15, lw=0
            )
        ax.set_yscale("log")
        ax.set_xlabel("epoch")
        ax.set_ylabel({"lambda_1": "$\\lambda_1$"}.get(quantity, "$\\lambda_1/\\lambda_{10}$"))
    axes[0].legend(loc="upper right")
    return Picture(
        figure,
        "The last layer's Hessian of networks that learn with centred units, scaled ones, both or neither: geometric "
        f"means over {len(settings.seeds)} seeds and the range of all of them.",
    )


def _table(settings: Settings, record: dict[str, dict[str, np.ndarray]]) -> Table:
    rows = []
    for network, (_, label) in LOOKS.items():
        own = record[network]
        accuracy = own["accuracy"][:, -1, TEST]
        for quantity, value in QUANTITIES.items():
            numbers = np.exp(value(own).mean(axis=0))
            rows.append((label, quantity, *(f"{v:.3g}" for v in numbers), f"{accuracy.mean():.1%}"))
    return Table(
        "Geometric means over seeds by epoch, and the test accuracy after the last",
        ("units", "quantity", *(f"epoch {epoch}" for epoch in settings.recorded), "test accuracy"),
        tuple(rows),
    )


def _significant(pairs: dict[str, Pairs]) -> Table:
    rows = tuple(
        (quantity, own.named(own.significant), own.named(own.opposite)) for quantity, own in pairs.items()
    )
    return Table(f"Against neither: {CRITERION}", ("quantity", "lower", "higher"), rows)


EXPERIMENT = Experiment(
    title="Centring alone, scaling alone, in training",
    question="Which half of batch normalization changes the last layer's Hessian of networks that learn with it?",
    run=run,
    full=Settings(),
    quick=Settings(seeds=tuple(range(6)), recorded=(0, 1, 5, 30)),
)
