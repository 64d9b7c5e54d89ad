"""Experiment: the residual stream with depth, against the theory of infinitely wide networks.

Small deep networks of growing width, and under normalization of growing batch, on noise images with periodic
borders; both corrections are of order one over the width, which is extrapolated away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle

import numpy as np

from derive.residual import first_moment, second_moment
from numerics.residual import growth, normalized_stream, unnormalized_correlation, unnormalized_stream
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.bjorck2018 import networks
from validate.report.figures import BLUE, ORANGE, SKY, VERMILION, panels
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table

CHUNK = 10
"""Seeds to a piece."""
UNPADDED = "zero padding ignored"
INDEPENDENT = 0.1
"""Growth is called independent of the data where it changes by less than this share of itself."""


@dataclass(frozen=True)
class Settings:
    """``seeds`` networks at each of ``widths``, without and with normalization; ``blocks`` in each of three
    stages.  ``others`` are initial weights under which growth without normalization is measured, too."""

    blocks: int = 5
    widths: tuple[int, ...] = (16, 32, 64)
    seeds: tuple[int, ...] = (400, 200, 80)
    normalized_widths: tuple[int, ...] = (24, 48, 96)
    normalized_seeds: tuple[int, ...] = (60, 30, 20)
    initialization: str = "xavier"
    others: tuple[str, ...] = ("he", "torch")
    side: int = 8
    batch: int = 4
    images_seeds: int = 40
    images_width: int = 16
    images_side: int = 32
    data: str = "mnist"

    @property
    def depth(self) -> int:
        return 6 * self.blocks + 2

    @property
    def ends(self) -> tuple[int, ...]:
        """The last block of every stage."""
        return (self.blocks, 2 * self.blocks, 3 * self.blocks)


@dataclass(frozen=True)
class Quantity:
    """What is compared: theory by block, and the samples (seed, block) at every width."""

    name: str
    theory: np.ndarray
    wrong: Mapping[str, np.ndarray]
    widths: tuple[int, ...]
    samples: tuple[np.ndarray, ...]
    scheme: str = ""
    """The initial weights, for growth without normalization."""

    @property
    def degrees(self) -> int:
        """Of freedom, counted cautiously: those of the width with the fewest networks."""
        return min(map(len, self.samples)) - 1

    @cached_property
    def limit(self) -> statistics.Extrapolation:
        """At infinite width, block by block (the first, which may be without spread, left out)."""
        found = [statistics.estimate(s[:, 1:]) for s in self.samples]
        return statistics.extrapolate(
            np.array(self.widths), np.array([e.value for e in found]), np.array([e.error for e in found])
        )


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Measure the stream in both networks and compare it with the derived laws; then with other images."""
    free = {
        scheme: [
            _measure(settings, context, "none", width, count, settings.batch, initialization=scheme)
            for width, count in zip(settings.widths, settings.seeds, strict=True)
        ]
        for scheme in (settings.initialization, *settings.others)
    }
    tied = [
        _measure(settings, context, "batch", width, count, 2 * width)
        for width, count in zip(settings.normalized_widths, settings.normalized_seeds, strict=True)
    ]
    quantities = _quantities(settings, free, tied)
    finding = _independent(settings, context)
    found = growth(settings.initialization)
    others = ", ".join(f"{growth(scheme).factor:.4f} for {scheme} weights" for scheme in settings.others)
    return context.result(
        f"Without normalization the mean square of a wide stream grows by a factor {found.factor:.4f} a block"
        + (f" ({others})" if others else "") + ", and two inputs become alike; with it the stream is a reflected walk, "
        "which grows like the square root of the number of blocks and keeps inputs apart "
        f"(correlations up to {quantities[-1].theory.max():.2f}). "
        + finding.answer,
        checks=_checks(settings, quantities), findings=(finding,), equations=(first_moment(), second_moment()),
        figures={"depth-growth": _figure(settings, quantities)}, tables=(_table(settings, quantities),),
        seeds={"weights and images, by width": [list(settings.seeds), list(settings.normalized_seeds)]},
    )  # fmt: skip


def _measure(
    settings: Settings, context: Context, normalization: str, width: int, count: int, batch: int,
    kind: str = "noise", channels: int = 0, side: int = 0, initialization: str = "",
) -> dict[str, np.ndarray]:  # fmt: skip
    """Arrays (seed, block).  Four times as many input channels as the width, unless another number is asked for,
    so that two noise images are as good as orthogonal."""
    pieces = [
        {
            "depth": settings.depth, "width": width, "normalization": normalization,
            "initialization": initialization or settings.initialization,
            "seeds": list(range(start, min(start + CHUNK, count))),
            "batch": batch, "side": side or settings.side, "channels": channels or 4 * width, "kind": kind,
            "border": "periodic",
        }
        for start in range(0, count, CHUNK)
    ]  # fmt: skip
    done = context.pieces(networks.stream, pieces, f"streams of width {width}")
    return {name: np.concatenate([arrays[name] for arrays in done]) for name in done[0]}


def _quantities(
    settings: Settings, free: dict[str, list[dict[str, np.ndarray]]], tied: list[dict[str, np.ndarray]]
) -> tuple[Quantity, ...]:
    """Theory, wrong theories for the power, and samples."""
    blocks, scheme = settings.blocks, settings.initialization
    count = 3 * blocks + 1
    alike = unnormalized_correlation(blocks, scheme)
    walk, long_walk = normalized_stream(blocks), normalized_stream(3 * blocks)
    half = "steps of half the variance"
    one, two = settings.widths, settings.normalized_widths
    return (
        *(_growth(settings, name, measured) for name, measured in free.items()),
        Quantity(
            "correlation of two inputs, without normalization", alike,
            {"inputs kept as far apart as normalization keeps them": walk.overlap / walk.square}, one,
            tuple(f["overlap"] / f["square"] for f in free[scheme]),
        ),
        Quantity(
            "mean, with normalization", walk.mean,
            {UNPADDED: long_walk.mean[:count], half: walk.mean / np.sqrt(2)}, two,
            tuple(t["mean"] for t in tied),
        ),
        Quantity(
            "mean square, with normalization", walk.square,
            {UNPADDED: long_walk.square[:count], half: walk.square / 2}, two,
            tuple(t["square"] for t in tied),
        ),
        Quantity(
            "correlation of two inputs, with normalization", walk.overlap / walk.square,
            {"the limit of a long walk, 2/pi": np.full(count, 2 / np.pi)}, two,
            tuple(t["overlap"] / t["square"] for t in tied),
        ),
    )  # fmt: skip


def _growth(settings: Settings, scheme: str, measured: list[dict[str, np.ndarray]]) -> Quantity:
    """Growth without normalization under initial weights of this scheme, against that under another and without
    zero padding."""
    count, other = 3 * settings.blocks + 1, "he" if scheme != "he" else "xavier"
    right, unpadded, different = (
        np.log(m.square / m.square[0])[:count]
        for m in (
            unnormalized_stream(settings.blocks, scheme), unnormalized_stream(3 * settings.blocks, scheme),
            unnormalized_stream(settings.blocks, other),
        )
    )  # fmt: skip
    return Quantity(
        f"log of the mean square over its start, without normalization, {scheme} weights", right,
        {UNPADDED: unpadded, f"{other} weights": different}, settings.widths,
        tuple(np.log(m["square"] / m["square"][:, :1]) for m in measured), scheme,
    )  # fmt: skip


def _checks(settings: Settings, quantities: tuple[Quantity, ...]) -> list[Check]:
    """Every quantity at the end of every stage, extrapolated to infinite width."""
    cases = [(quantity, end) for quantity in quantities for end in settings.ends]
    z, p = np.array([_score(*case) for case in cases]).T
    rejected = statistics.holm(p)
    level = statistics.single_level(len(cases))
    return [
        Check(
            name=f"bjorck2018.depth_growth: {quantity.name}, block {end}",
            statement=f"{quantity.name}, after {end} blocks, at infinite width is what was derived",
            predicted=float(quantity.theory[end]), measured=float(quantity.limit.limit.value[end - 1]),
            standard_error=float(quantity.limit.limit.error[end - 1]),
            criterion=f"linear extrapolation in 1/width; t-tests, Holm over {len(cases)} checks at family-wise "
            f"level {statistics.FAMILY_LEVEL:g}",
            passed=not bool(rejected[number]), z=float(z[number]), p_value=float(p[number]),
            power={
                name: float(
                    statistics.power(
                        wrong[end] - quantity.theory[end], quantity.limit.limit.error[end - 1], level,
                        quantity.degrees,
                    )
                )
                for name, wrong in quantity.wrong.items()
                if wrong[end] != quantity.theory[end]
            },
            details={"goodness of the line": float(quantity.limit.goodness[end - 1]),
                     "widths": list(quantity.widths), "networks": [len(s) for s in quantity.samples]},
        )
        for number, (quantity, end) in enumerate(cases)
    ]  # fmt: skip


def _score(quantity: Quantity, end: int) -> tuple[float, float]:
    """Score of the extrapolated value against the theory, and its p-value."""
    limit = quantity.limit.limit
    score = (limit.value[end - 1] - quantity.theory[end]) / limit.error[end - 1]
    return float(score), float(statistics.p_value(score, quantity.degrees))


def _independent(settings: Settings, context: Context) -> Finding:
    """The same networks on different images: how much of the growth changes."""
    logs = {}
    for kind in (*networks.IMAGES, settings.data):
        square = _measure(
            settings, context, "none", settings.images_width, settings.images_seeds, 8, kind, 3, settings.images_side
        )["square"]
        logs[kind] = np.log(square[:, -1] / square[:, 0])
    reference = logs["noise"].mean()
    changed = {kind: statistics.estimate(logs[kind] - logs["noise"]) for kind in logs if kind != "noise"}
    shares = {kind: float(c.value / reference) for kind, c in changed.items()}
    errors = {kind: float(c.error / reference) for kind, c in changed.items()}
    largest = max(abs(share) for share in shares.values())
    spread = float(logs["noise"].std(ddof=1) / reference)
    words = ", ".join(f"{shares[k]:+.1%} (standard error {errors[k]:.1%}) for {k} images" for k in shares)
    return Finding(
        "bjorck2018.claim-growth-data-independent",
        "a substantial part of the growth with depth is independent of the data",
        f"In the same networks the logarithm of the growth changes by {words}, against noise images; between "
        f"networks it varies by {spread:.0%}. The derived law holds for any input.",
        "confirmed" if largest < INDEPENDENT else "refuted" if largest > 0.5 else "conditional",
        {"criterion": f"confirmed below {INDEPENDENT:.0%}, refuted beyond 50 %", "change": shares,
         "standard error": errors, "seeds": settings.images_seeds},
    )  # fmt: skip


def _figure(settings: Settings, quantities: tuple[Quantity, ...]) -> Picture:
    figure, axes = panels(3)
    block = np.arange(len(quantities[0].theory))
    growing = cycle((VERMILION, ORANGE, SKY))
    for quantity in quantities:
        ax = axes[0 if quantity.scheme else 1 if "correlation" in quantity.name else 2]
        colour = next(growing) if quantity.scheme else VERMILION if "without" in quantity.name else BLUE
        limit = quantity.limit.limit
        ax.plot(block, quantity.theory, color=colour, lw=1.2, label=quantity.scheme or None)
        ax.errorbar(block[1:], limit.value, 2 * limit.error, fmt="o", ms=4, mfc="white", color=colour)
    titles = ("ln of mean square over start", "correlation of two inputs", "mean, mean square")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_xlabel("block")
        ax.set_title(title)
        for end in settings.ends[:2]:
            ax.axvline(end + 0.5, color="0.8", lw=0.8, zorder=0)
    axes[2].set_yscale("log")
    axes[0].legend(title="without normalization")
    for colour, label in ((VERMILION, "without normalization"), (BLUE, "with")):
        axes[1].plot([], [], color=colour, label=label)
    axes[1].legend(loc="lower right")
    return Picture(
        figure,
        "Lines: derived, at infinite width. Circles: measured, extrapolated to it, with two standard errors. Gray: "
        "where a stage ends, and zero padding halves the stream's square.",
    )


def _table(settings: Settings, quantities: tuple[Quantity, ...]) -> Table:
    rows = []
    for quantity in quantities:
        limit = quantity.limit.limit
        for end in settings.ends:
            by_width = [
                f"{s[:, end].mean():.4f} ({w})"
                for w, s in zip(quantity.widths, quantity.samples, strict=True)
            ]
            rows.append((quantity.name, end, f"{quantity.theory[end]:.4f}",
                         f"{limit.value[end - 1]:.4f} ± {limit.error[end - 1]:.4f}", *by_width))  # fmt: skip
    return Table(
        "At the end of every stage: derived, extrapolated, and means at each width",
        ("quantity", "block", "derived", "at infinite width", "narrow (width)", "middle", "wide"),
        tuple(rows),
    )


EXPERIMENT = Experiment(
    title="The residual stream with depth",
    question="How do moments and correlations grow with depth, without and with batch normalization?",
    run=run,
    full=Settings(),
    quick=Settings(
        blocks=3, widths=(16, 32, 48), seeds=(300, 120, 60), normalized_widths=(24, 36, 64),
        normalized_seeds=(40, 24, 16), images_seeds=20,
    ),
)  # fmt: skip
