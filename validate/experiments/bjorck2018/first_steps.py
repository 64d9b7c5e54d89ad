"""Experiment: steps along the gradient of a mini-batch, at initialization and after a few updates.

Figures 3 and 4 of the paper on digits in place of CIFAR-10: images of 28 x 28 framed to 32 x 32 (those of 8 x 8
enlarged fourfold), the same gray in three channels, standardized over the data set, without augmentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from derive.equation import VerdictKind
from validate.experiments import Context, Experiment
from validate.experiments.bjorck2018 import first_steps_figures, steps
from validate.experiments.bjorck2018.steps import DIVERGED
from validate.experiments.judging import CRITERION, judge
from validate.report.model import ExperimentResult, Finding, Table

PAPER = "bjorck2018"
RATES = {"none": 1e-4, "last": 0.03, "batch": 0.1}
"""The paper's learning rates: without normalization, with it in the last layer alone, and everywhere."""
NAMES = {"none": "without", "last": "in the last layer alone", "batch": "with"}
TRIED = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.1, 1.0, 10.0, 100.0)
"""Rates for a step that diverges: the paper's, and more of their kind."""
SHOWN = (8, 44, 80)
"""The layers of the paper's Figure 4, in a network of depth 110."""
FAR, ORDERS = 10.0, 100.0
"""A factor that makes a range far wider; one that is orders of magnitude."""
FURTHER = 3.0
"""A step that diverges is also looked at so many times as long."""

Record = Mapping[str, np.ndarray]
"""What ``steps.along`` or ``steps.diverging`` returned, stacked over seeds."""


@dataclass(frozen=True)
class Settings:
    """``updates`` precede the second look; ``depths`` are compared with ``depth`` without normalization."""

    depth: int = 110
    seeds: tuple[int, ...] = tuple(range(10))
    batch: int = 16
    side: int = 32
    data: str = "mnist"
    initialization: str = "xavier"
    updates: int = 5
    depths: tuple[int, ...] = (8, 20, 56)
    initializations: tuple[str, ...] = ("torch", "he")
    small_batch: int = 8
    fractions: tuple[float, ...] = tuple(k / 10 for k in range(11))

    @property
    def shown(self) -> tuple[int, ...]:
        return tuple(max(2, round(self.depth * layer / 110)) for layer in SHOWN)


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Losses along gradients; a step that diverges, bit by bit; other depths and other initial weights."""
    own = {
        network: _along(settings, context, network, settings.depth, settings.initialization, settings.batch)
        for network in RATES
    }
    schemes = {
        scheme: {
            network: _along(settings, context, network, settings.depth, scheme, settings.small_batch, 0)
            for network in ("none", "batch")
        }
        for scheme in settings.initializations
    }
    depths = {
        depth: _along(settings, context, "none", depth, settings.initialization, settings.small_batch, 0)
        for depth in (*settings.depths, settings.depth)
    }
    step = _diverging(settings, context)
    findings = (_range(own, schemes), _diverge(own), _explode(settings, step), _cause(step), _shallow(depths))
    return context.result(
        " ".join(finding.answer for finding in findings[:1]) + " " + _last(own),
        findings=findings,
        figures={
            "loss-along-gradient": first_steps_figures.losses(own, NAMES),
            "diverging-step": first_steps_figures.step(step, settings.fractions, settings.shown),
        },
        tables=(_table(own, schemes, depths),),
        seeds={"weights, batches": list(settings.seeds)},
    )


def _stack(done: list[dict[str, np.ndarray]]) -> Record:
    return {name: np.stack([arrays[name] for arrays in done]) for name in done[0]}


def _along(
    settings: Settings, context: Context, network: str, depth: int, initialization: str, batch: int,
    updates: int | None = None,
) -> Record:  # fmt: skip
    """Arrays (seed, batch looked at, ...)."""
    pieces = [
        {
            "depth": depth, "normalization": network, "initialization": initialization, "seed": seed,
            "batch": batch, "side": settings.side, "data": settings.data,
            "updates": settings.updates if updates is None else updates, "rate": RATES[network],
        }
        for seed in settings.seeds
    ]  # fmt: skip
    label = f"steps along gradients: depth {depth}, {initialization}, {NAMES[network]} normalization"
    return _stack(context.pieces(steps.along, pieces, label))


def _diverging(settings: Settings, context: Context) -> Record:
    pieces = [
        {
            "depth": settings.depth, "initialization": settings.initialization, "seed": seed,
            "batch": settings.small_batch, "side": settings.side, "data": settings.data, "rates": list(TRIED),
            "fractions": [*settings.fractions, FURTHER], "shown": list(settings.shown),
        }
        for seed in settings.seeds
    ]  # fmt: skip
    return _stack(context.pieces(steps.diverging, pieces, "a step that diverges"))


def _mean(values: np.ndarray) -> float:
    """The geometric mean."""
    return float(np.exp(np.log(values).mean()))


def _range(own: Mapping[str, Record], schemes: Mapping[str, Mapping[str, Record]]) -> Finding:
    """Figure 3: the largest step that lowers the loss, with over without normalization."""
    last = own["none"]["limit"].shape[1] - 1
    looks = {"first batch": 0} | ({"after some updates": last} if last else {})
    ratios = {case: own["batch"]["limit"][:, k] / own["none"]["limit"][:, k] for case, k in looks.items()}
    ratios |= {
        f"first batch of {scheme} weights": found["batch"]["limit"][:, 0] / found["none"]["limit"][:, 0]
        for scheme, found in schemes.items()
    }
    pairs = judge({case: np.log(values / FAR) for case, values in ratios.items()})
    words = ", ".join(f"{_mean(values):.3g} ({case})" for case, values in ratios.items())
    units, moved = (
        [_mean(values(own[n])) for n in ("none", "batch")]
        for values in (lambda r: r["limit"][:, 0] / r["natural"][:, 0], lambda r: r["relative"][:, 0])
    )
    return Finding(
        f"{PAPER}.claim-range-of-steps",
        "along the gradient the loss falls over a far wider range of steps with normalization (Figure 3)",
        f"The largest step that lowers the loss of a batch is larger with normalization by these factors: {words}; it "
        f"is more than {FAR:g} times larger {pairs.where()}. Most of that is the size of the gradient: in units of "
        f"the step at which a linear loss would vanish, the limit is {units[0]:.3g} without and {units[1]:.3g} with "
        f"normalization, and it moves the weights by {moved[0]:.2g} and {moved[1]:.2g} of their length.",
        pairs.verdict,
        {"criterion": f"differences are logarithms of the factor over {FAR:g}; " + CRITERION,
         "units of the linear step": units, "relative length": moved},
    )  # fmt: skip


def _diverge(own: Mapping[str, Record]) -> Finding:
    """Whether and how the loss passes the paper's bound."""
    share = {n: np.isfinite(own[n]["diverged"][:, 0]).mean() for n in ("none", "batch")}
    start = float((own["none"]["loss"][:, 0] > DIVERGED).mean())
    growth = {n: float(np.median(own[n]["growth"][:, 0])) for n in ("none", "batch")}
    at = {n: _mean(d[np.isfinite(d)]) for n in share if np.isfinite(d := own[n]["diverged"][:, 0]).any()}
    verdict: VerdictKind = (
        "refuted" if share["none"] < 0.5 else "confirmed" if share["batch"] == 0 else "conditional"
    )
    with_it = (
        f"it also passes it with normalization, at a step of {at['batch']:.3g}"
        if "batch" in at
        else "it never does with normalization"
    )
    return Finding(
        f"{PAPER}.claim-large-steps-diverge",
        "larger steps diverge without normalization, and not with it (Figure 3)",
        f"Without normalization the loss passes {DIVERGED:g} at a step of {at.get('none', np.nan):.2g} and grows like "
        f"the step to the power {growth['none']:.3g} before it overflows; {with_it}, but grows there like the power "
        f"{growth['batch']:.3g} only: normalized kernels turn, and only gains and the readout become longer. "
        f"{start:.0%} of the networks without normalization are beyond {DIVERGED:g} before the first step.",
        verdict,
        {"criterion": "refuted where fewer than half of the networks without normalization pass the bound; confirmed "
         "where none with it does; else conditional", "share that passes": {n: float(v) for n, v in share.items()}},
    )  # fmt: skip


def _explode(settings: Settings, step: Record) -> Finding:
    """Figure 4: how variances grow over the step, at its layers and at the last one."""
    variance = step["moments"][..., 1]  # seed, fraction, layer; the last fraction is beyond the step
    layers = (*settings.shown, settings.depth - 1)
    growth = {
        times: {layer: variance[:, place, layer - 1] / variance[:, 0, layer - 1] for layer in layers}
        for times, place in ((1.0, -2), (FURTHER, -1))
    }
    low, high, last = layers[0], layers[2], layers[3]
    pairs = judge(
        {
            f"layer {layer} of a step of {times:g} times that rate": np.log(found[layer] / found[low] / ORDERS)
            for times, found in growth.items()
            for layer in (high, last)
        }
    )
    words = "; ".join(
        f"{times:g} times that rate: "
        + ", ".join(f"{_mean(values):.2g} at layer {layer}" for layer, values in found.items())
        for times, found in growth.items()
    )
    return Finding(
        f"{PAPER}.claim-moments-explode",
        "in a step that diverges the moments explode in the higher layers (Figure 4)",
        f"The smallest rate at which the first step diverges is {step['rate'].min():g} to {step['rate'].max():g} over "
        f"seeds. The mean variance of a channel changes by these factors, at {words}. It grows {ORDERS:g} times more "
        f"than at layer {low} {pairs.where()}. After {settings.fractions[1]:.0%} of the step the variance at layer "
        f"{high} is {_mean(variance[:, 1, high - 1] / variance[:, 0, high - 1]):.2g} of its start.",
        pairs.verdict,
        {"criterion": f"logarithms of factors over that at the lowest layer and over {ORDERS:g}; " + CRITERION},
    )  # fmt: skip


def _cause(step: Record) -> Finding:
    """Which part of the step makes the loss pass the bound."""
    start, end = step["loss"][:, 0], step["loss"][:, -2]
    bound = np.maximum(DIVERGED, start)
    diverges = end > bound
    kernels, dense = (float((step[part] > bound)[diverges].mean()) for part in ("kernels", "dense"))
    verdict: VerdictKind = "refuted" if kernels < 0.5 else "confirmed" if dense == 0 else "conditional"
    return Finding(
        f"{PAPER}.claim-activations-diverge",
        "a step diverges because activations grow with depth, up to the output",
        f"Of the steps that diverge, {kernels:.0%} do when only the convolutions take them, and {dense:.0%} when only "
        "the readout does.",
        verdict,
        {"criterion": "confirmed where at least half diverge by the convolutions alone and none by the readout alone; "
         "conditional where some do by the readout", "steps that diverge": int(diverges.sum()),
         "seeds": len(start)},
    )  # fmt: skip


def _shallow(depths: Mapping[int, Record]) -> Finding:
    """Appendix H, at initialization: limits of neighbouring depths."""
    known = sorted(depths)
    limits = {depth: depths[depth]["limit"][:, 0] for depth in known}
    pairs = judge(
        {
            f"depth {a} against {b}": np.log(limits[a] / limits[b])
            for a, b in pairwise(known)
        }
    )
    words = ", ".join(f"{_mean(limits[depth]):.2g} at depth {depth}" for depth in known)
    return Finding(
        f"{PAPER}.claim-shallow-rates",
        "shallower networks without normalization allow larger learning rates (appendix H)",
        f"The largest step that lowers the loss of the first batch without normalization is {words}; it is larger in "
        f"the shallower network {pairs.where()}. Trainings at these rates were not made.",
        pairs.verdict, {"criterion": CRITERION},
    )  # fmt: skip


def _last(own: Mapping[str, Record]) -> str:
    """What one normalization, of the last block's output, does to the range of steps."""
    limits = {network: _mean(record["limit"][:, 0]) for network, record in own.items()}
    return (
        f"Normalizing the output of the last block alone allows steps up to {limits['last']:.2g}, against "
        f"{limits['none']:.2g} without any normalization and {limits['batch']:.2g} with all."
    )


def _table(
    own: Mapping[str, Record], schemes: Mapping[str, Mapping[str, Record]], depths: Mapping[int, Record]
) -> Table:
    rows = []

    def add(what: str, network: str, record: Record, look: int) -> None:
        cells = [
            f"{np.median(values):.2g} ({values.min():.2g} to {values.max():.2g})"
            for values in (record[name][:, look] for name in ("loss", "limit", "diverged", "relative"))
        ]
        safe = (record["limit"][:, look] > RATES[network]).mean()
        rows.append((what, NAMES[network], *cells, f"{safe:.0%} ({RATES[network]:g})"))

    for look in range(own["none"]["limit"].shape[1]):
        for network, record in own.items():
            add("first batch" if look == 0 else "after updates", network, record, look)
    for scheme, found in schemes.items():
        for network, record in found.items():
            add(f"first batch, {scheme} weights", network, record, 0)
    for depth, record in depths.items():
        add(f"first batch, depth {depth}", "none", record, 0)
    return Table(
        "Along the gradient: medians and ranges over seeds; the last column is the share of networks whose loss falls "
        "at the paper's learning rate",
        ("batch", "normalization", "loss", "largest step that lowers it", f"step to a loss of {DIVERGED:g}",
         "moves the weights by", "falls at the paper's rate"), tuple(rows),
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="The first steps along the gradient",
    question="How far may a step go, and what diverges when it goes too far?",
    run=run,
    full=Settings(),
    quick=Settings(
        seeds=tuple(range(6)),
        batch=8,
        updates=2,
        depths=(8, 32),
        initializations=("torch",),
        small_batch=4,
    ),
)
