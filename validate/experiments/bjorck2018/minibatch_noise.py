"""Experiment: the noise of mini-batch gradients, equation (2), and what batch normalization makes of it.

Without normalization the loss is a mean over samples, and everything is exact.  With the batch's own statistics it
is not: the gradient is a function of several means, biased at order 1/B.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from derive import minibatch
from derive.equation import VerdictKind
from derive.minibatch import noise
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.bjorck2018 import minibatch_checks as checks
from validate.experiments.bjorck2018.minibatch_draws import GROUPS, classifier, epoch, regression
from validate.experiments.bjorck2018.minibatch_figures import figure
from validate.experiments.judging import judge
from validate.report.model import ExperimentResult, Finding, Table
from validate.simulate.minibatch import SAMPLINGS

CONSTANT = 0.1
"""B times the noise counts as constant where it is within this share of its value at the largest batch."""


@dataclass(frozen=True)
class Settings:
    """``networks`` classifiers, each with ``draws`` batches of every size; the batches of an epoch are those of
    ``epoch_samples`` samples; ``regression_draws`` batches for the regression."""

    networks: int = 16
    samples: int = 400
    inputs: int = 20
    hidden: int = 30
    classes: int = 5
    batches: tuple[int, ...] = (4, 32, 128)
    normalized_batches: tuple[int, ...] = (2, 4, 8, 32, 128)
    draws: int = 1000
    epoch_samples: int = 12
    epoch_batch: int = 4
    weight: float = 0.4
    epsilon: float = 1e-5
    regression_batches: tuple[int, ...] = (32, 64, 128)
    regression_draws: int = 400_000
    seed: int = 0

    @property
    def network(self) -> dict[str, int]:
        return {"inputs": self.inputs, "hidden": self.hidden, "classes": self.classes}


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Draw the batches of networks with and without normalization, then of the regression."""
    free = {
        (sampling, batch): _networks(settings, context, "none", sampling, batch)
        for sampling in SAMPLINGS
        for batch in settings.batches
    }
    tied = {
        batch: _networks(settings, context, "batch", "with replacement", batch)
        for batch in settings.normalized_batches
    }
    seeds = range(settings.seed, settings.seed + settings.networks)
    epochs = context.pieces(
        epoch,
        [
            {"batch": settings.epoch_batch, "draws": settings.draws, "samples": settings.epoch_samples,
             **settings.network, "seed": seed}
            for seed in seeds
        ],
        "batches of an epoch",
    )  # fmt: skip
    drawn = dict(
        zip(
            settings.regression_batches,
            context.pieces(
                regression,
                [
                    {"samples": settings.samples, "batch": batch, "draws": settings.regression_draws,
                     "weight": settings.weight, "epsilon": settings.epsilon, "seed": settings.seed}
                    for batch in settings.regression_batches
                ],
                "normalized regression",
            ),
            strict=True,
        )
    )  # fmt: skip
    errors = {batch: arrays["errors"] for batch, arrays in drawn.items()}
    found = (*checks.enumerations(), *checks.judge([
        *checks.noises(settings.samples, free), *checks.epochs(settings.epoch_samples, epochs),
        *checks.first_order(settings, errors),
    ]))  # fmt: skip
    constancy, unbiased = _constant(settings, tied), _unbiased(free, tied)
    return context.result(
        f"{sum(c.passed is True for c in found)} of {len(found)} derived numbers agree with enumerated and drawn "
        f"batches. {constancy.answer} {unbiased.answer}",
        checks=found, findings=(constancy, unbiased),
        equations=tuple(noise(sampling) for sampling in SAMPLINGS),
        figures={"minibatch-noise": figure(settings, free, tied, errors)}, tables=(_table(tied),),
        seeds={"networks and their data": list(seeds), "regression": settings.seed},
    )  # fmt: skip


def _networks(
    settings: Settings, context: Context, normalization: str, sampling: str, batch: int
) -> dict[str, np.ndarray]:
    """What ``classifier`` returns, stacked over networks."""
    pieces = [
        {"normalization": normalization, "sampling": sampling, "batch": batch, "draws": settings.draws,
         "samples": settings.samples, **settings.network, "seed": seed}
        for seed in range(settings.seed, settings.seed + settings.networks)
    ]  # fmt: skip
    done = context.pieces(classifier, pieces, f"batches of {batch}, {normalization}")
    return {name: np.stack([arrays[name] for arrays in done]) for name in done[0]}


def _constant(settings: Settings, tied: Mapping[int, Mapping[str, np.ndarray]]) -> Finding:
    """B times the noise, against its value at the largest batch."""
    largest = max(tied)
    logs = {b: np.log(b * record["squares"].mean(axis=1)) for b, record in tied.items()}
    steps = judge({f"B = {b}": logs[b] - logs[largest] for b in sorted(tied) if b != largest})
    ratio = {b: float(np.exp((logs[b] - logs[largest]).mean())) for b in sorted(tied)}
    changed = bool((steps.significant | steps.opposite).any())
    enough = [b for b in sorted(tied) if all(abs(ratio[c] - 1) < CONSTANT for c in tied if c >= b)]
    verdict: VerdictKind = "confirmed" if not changed else "conditional" if enough[0] < largest else "refuted"
    words = ", ".join(f"{r:.3g} at B = {b}" for b, r in ratio.items())
    where = f"; constant from B = {enough[0]} on" if verdict == "conditional" else ""
    return Finding(
        "bjorck2018.claim-bound-networks",
        "noise goes as 1/|B|, with a constant C that depends on the architecture alone, also with batch normalization",
        f"With batch normalization, B times the noise depends on B: relative to B = {largest} it is {words}{where}."
        if changed else f"With batch normalization, B times the noise does not change with B: {words}.",
        verdict,
        {"criterion": f"t-tests over {settings.networks} networks at family-wise level 1 % (Holm); constant within "
                      f"{CONSTANT:.0%}: conditional if from some smaller batch on", "ratio": ratio},
    )  # fmt: skip


def _unbiased(
    free: Mapping[tuple[str, int], Mapping[str, np.ndarray]], tied: Mapping[int, Mapping[str, np.ndarray]]
) -> Finding:
    """The mean batch gradient along the full one."""
    without = judge({f"{s}, B = {b}": record["along"].mean(axis=1) for (s, b), record in free.items()})
    with_ = judge({f"B = {b}": record["along"].mean(axis=1) for b, record in tied.items()})
    biased = with_.significant | with_.opposite
    clean = not (without.significant | without.opposite).any()
    size = {b: bias(record) for b, record in tied.items()}
    words = ", ".join(f"{s.value:.2g} ± {s.error:.1g} at B = {b}" for b, s in size.items())
    return Finding(
        "bjorck2018.claim-unbiased",
        "the gradient of a batch is unbiased, since samples are drawn uniformly",
        ("Without normalization no bias is seen" if clean else "Even without normalization a bias is seen")
        + f"; with the batch's own statistics the bias along the gradient is significant at {with_.named(biased)}, "
        f"and its squared size over that of the gradient is {words}.",
        "conditional" if clean and biased.any() else "confirmed" if clean else "refuted",
        {"criterion": "t-tests over networks at family-wise level 1 % (Holm), with and without normalization",
         "mean along the gradient": {c: [float(m), float(e)] for c, m, e
                                     in zip(with_.cases, with_.mean, with_.error, strict=True)}},
    )  # fmt: skip


def bias(record: Mapping[str, np.ndarray]) -> statistics.Estimate:
    """|mean error|^2 over |gradient|^2, over networks, from products of different groups of draws."""
    groups = record["groups"]
    total = (groups.sum(axis=1) ** 2).sum(axis=-1) - (groups**2).sum(axis=(1, 2))
    return statistics.estimate(total / (GROUPS * (GROUPS - 1)) / record["full"])


def _table(tied: Mapping[int, Mapping[str, np.ndarray]]) -> Table:
    rows = []
    for batch, record in tied.items():
        scaled = statistics.estimate(batch * record["squares"].mean(axis=1) / record["full"])
        along, squared = statistics.estimate(record["along"].mean(axis=1)), bias(record)
        centred = minibatch.centred_bias("with replacement").subs(minibatch.B, batch) - 1
        rows.append((batch, f"{scaled.value:.4g} ± {scaled.error:.2g}", f"{along.value:+.4f} ± {along.error:.4f}",
                     f"{squared.value:.4f} ± {squared.error:.4f}", f"{float(centred):+.4f}"))  # fmt: skip
    return Table(
        "Batch normalization in training, with replacement; the last column is what centring by the batch's mean does "
        "to a product",
        ("B", "B noise/|g|^2", "bias along g", "|bias|^2/|g|^2", "centring alone"),
        tuple(rows),
    )


EXPERIMENT = Experiment(
    title="The noise of mini-batch gradients",
    question="How does the noise of a gradient step depend on the batch, and does it with batch normalization?",
    run=run,
    full=Settings(),
    quick=Settings(
        networks=12, draws=200, batches=(4, 32, 128), normalized_batches=(2, 8, 32, 128), regression_draws=100_000,
        regression_batches=(24, 48, 96),
    ),
)  # fmt: skip
