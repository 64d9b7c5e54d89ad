"""Experiment: which part of batch normalization acts on the last layer's Hessian, at a fixed function.

The hidden features of a trained network are centred, scaled, or both, or all shrunk by one factor, and the
last layer is changed so that the network computes what it did.  Its Hessian is not what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from derive import readout
from derive.readout import invariance
from validate.experiments import Context, Experiment
from validate.experiments.judging import CRITERION, judge
from validate.experiments.reyes2020 import runs
from validate.report.figures import COLOURS, panels
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate import digits
from validate.simulate.curvature import last_layer_hessian, recoordinate
from validate.simulate.layers import softmax

SHRINK = 0.5
AS_IS, CENTRED, SCALED, BOTH, SHRUNK = "as they are", "centred", "scaled", "centred and scaled", "halved"
VARIANTS = (AS_IS, CENTRED, SCALED, BOTH, SHRUNK)
SAME_FUNCTION = 1e-9
"""Logits may differ by this much, relative to the largest."""


@dataclass(frozen=True)
class Settings:
    """Networks without normalization, at the ``epochs`` given."""

    data: str = "mnist"
    seeds: tuple[int, ...] = tuple(range(10))
    rate: float = 1e-3
    decay: float = 1e-4
    epochs: tuple[int, ...] = (0, 1, 10, 30)
    batch_size: int = 100
    hidden: int = 100


def pieces(
    data: str, seed: int, rate: float, decay: float, epochs: int, batch_size: int, hidden: int
) -> dict[str, np.ndarray]:
    """The largest eigenvalues of the Hessian in W2 for every variant of the features (variant, eigenvalue);
    those for uniform predictions, and of the features' second moments over ten; and by how much logits
    differ."""
    (part,) = digits.split(digits.load(data), runs.FRACTIONS[:1], seed)
    network = runs.trained(part, "none", seed, rate, decay, epochs, batch_size, hidden)
    features = network.features(part.images, network.statistics(part.images))
    alive = np.ptp(features, axis=1) > 0  # a dead unit has no scale
    features, weights, bias = features[alive], network.parameters["W2"][:, alive], network.parameters["b2"]
    logits = weights @ features + bias[:, None]
    top, moved = [], []
    for variant in VARIANTS:
        changed, own, offset = recoordinate(
            features, weights, bias, centre=variant in (CENTRED, BOTH),
            scale=SHRINK if variant == SHRUNK else variant in (SCALED, BOTH),
        )  # fmt: skip
        same = own @ changed + offset[:, None]
        moved.append(np.abs(same - logits).max() / np.abs(logits).max())
        top.append(_largest(changed, softmax(same)))
    uniform = np.full((runs.CLASSES, features.shape[1]), 1 / runs.CLASSES)
    moments = np.linalg.eigvalsh(features @ features.T / features.shape[1])[::-1]
    return {
        "top": np.array(top), "moved": np.array(moved), "dead": np.array((~alive).sum()),
        "uniform": _largest(features, uniform), "moments": moments[:2] / runs.CLASSES,
    }  # fmt: skip


def _largest(features: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    values = np.linalg.eigvalsh(last_layer_hessian(features, probabilities, bias=False))
    return values[::-1][: runs.TOP]


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Train without normalization, normalize afterwards, compare."""
    wanted = [
        {
            "data": settings.data, "seed": seed, "rate": settings.rate, "decay": settings.decay,
            "epochs": epochs, "batch_size": settings.batch_size, "hidden": settings.hidden,
        }
        for epochs in sorted(settings.epochs, reverse=True)
        for seed in settings.seeds
    ]  # fmt: skip
    done = dict(
        zip([(w["epochs"], w["seed"]) for w in wanted], context.pieces(pieces, wanted, "parts"), strict=True)
    )
    record = {
        name: np.array([[done[epochs, seed][name] for seed in settings.seeds] for epochs in settings.epochs])
        for name in ("top", "moved", "uniform", "moments")
    }
    largest, ratio = record["top"][..., 0], record["top"][..., 0] / record["top"][..., 9]
    findings = (_part(settings, ratio), _explains(settings, largest, ratio))
    return context.result(
        " ".join(finding.answer for finding in findings),
        checks=(_same(record["moved"]), _uniform(record), _scale(largest, ratio)), findings=findings,
        figures={"parts": _figure(settings, largest, ratio)}, tables=(_table(settings, largest, ratio),),
        seeds={"split, weights, order of samples": list(settings.seeds)},
    )  # fmt: skip


def _part(settings: Settings, ratio: np.ndarray) -> Finding:
    """Both halves together lower lambda_1 / lambda_10, and which of them does it."""
    log = np.log(ratio)
    gains = {variant: log[..., 0] - log[..., VARIANTS.index(variant)] for variant in (CENTRED, SCALED, BOTH)}
    pairs = judge(
        {
            f"features {variant} at epoch {epoch}": gains[variant][k]
            for variant in gains
            for k, epoch in enumerate(settings.epochs)
        }
    )
    both = {name: s for name, s in zip(pairs.cases, pairs.significant, strict=True) if BOTH in name}
    words = "; ".join(
        f"{variant}: "
        + ", ".join(
            f"{np.exp(-gain[k].mean()):.2g} at epoch {epoch}" for k, epoch in enumerate(settings.epochs)
        )
        for variant, gain in gains.items()
    )
    return Finding(
        "reyes2020.claim-normalization-causes",
        "it is the normalization of the features that lowers lambda_1 / lambda_10",
        "At a fixed function, the pseudo-condition number is multiplied by these factors when the features are "
        f"{words}.",
        "confirmed" if all(both.values()) else "conditional" if any(both.values()) else "refuted",
        {"criterion": CRITERION, "significant": pairs.named(pairs.significant),
         "the opposite": pairs.named(pairs.opposite)},
    )  # fmt: skip


def _explains(settings: Settings, largest: np.ndarray, ratio: np.ndarray) -> Finding:
    """Halving all features and doubling the weights changes no output, and the largest eigenvalue by four."""
    place = VARIANTS.index(SHRUNK)
    factor = largest[..., place] / largest[..., 0]
    kept = np.abs(ratio[..., place] / ratio[..., 0] - 1).max()
    invariant = bool(np.abs(factor - 1).max() < 0.01)
    return Finding(
        "reyes2020.claim-lambda-max-explains",
        "the smaller largest eigenvalue may explain the faster convergence",
        f"Features multiplied by {SHRINK:g}, and weights divided by it, leave the function as it is and multiply "
        f"the largest eigenvalue by {factor.mean():.4g}: on its own it says nothing about a network, only about "
        f"its coordinates. Their ratios do not change (to {kept:.1g}).",
        "open" if invariant else "conditional",
        {"factor": float(factor.mean()), "change of lambda_1 / lambda_10": float(kept)},
    )


def _same(moved: np.ndarray) -> Check:
    return Check(
        name="reyes2020.parts: the function is fixed",
        statement="the logits of every variant are those of the trained network",
        predicted=0.0, measured=float(moved.max()), criterion=f"largest relative difference below {SAME_FUNCTION:g}",
        passed=bool(moved.max() < SAME_FUNCTION),
    )  # fmt: skip


def _uniform(record: dict[str, np.ndarray]) -> Check:
    """Softmax's covariance at uniform predictions is (1 - 11^T/K)/K: each eigenvalue of the second moments
    of the features, over K, K - 1 times."""
    top, moments = record["uniform"], record["moments"]
    found = np.concatenate([top[..., :9] / moments[..., :1], top[..., 9:] / moments[..., 1:]], axis=-1)
    worst = float(np.abs(found - 1).max())
    return Check(
        name="reyes2020.parts: uniform predictions",
        statement="at uniform predictions lambda_1 to lambda_9 are the largest eigenvalue of the features' "
        "second moments over ten, and lambda_10 the second: lambda_1 / lambda_10 compares the mean of the "
        "features with their spread",
        predicted=[float(moments[..., 0].mean()), float(moments[..., 1].mean())],
        measured=[float(top[..., 0].mean()), float(top[..., 9].mean())],
        criterion="relative deviation below 1e-10 in every network", passed=worst < 1e-10,
        details={"largest relative deviation": worst},
    )  # fmt: skip


def _scale(largest: np.ndarray, ratio: np.ndarray) -> Check:
    """The derived factors of a common scale of all units, for the Hessian over the weights."""
    place = VARIANTS.index(SHRUNK)
    law = {(e.transformation, e.quantity): e.factor for e in readout.effects(bias=False)}
    factors = (law["all units times c", name] for name in ("lambda_1", "lambda_1/lambda_K"))
    predicted = [float(factor.subs(invariance.c, SHRINK)) for factor in factors if factor is not None]
    measured = [values[..., place] / values[..., 0] for values in (largest, ratio)]
    worst = max(float(np.abs(own / factor - 1).max()) for own, factor in zip(measured, predicted, strict=True))
    return Check(
        name="reyes2020.parts: scale",
        statement="units times c, and weights over c, multiply lambda_1 by c^2 and leave lambda_1/lambda_10 as it is",
        predicted=predicted, measured=[float(own.mean()) for own in measured],
        criterion="relative deviation below 1e-9 in every network", passed=worst < 1e-9,
        details={"largest relative deviation": worst},
    )  # fmt: skip


def _figure(settings: Settings, largest: np.ndarray, ratio: np.ndarray) -> Picture:
    figure, axes = panels(2)
    for ax, values, label in (
        (axes[0], largest, "$\\lambda_1$"), (axes[1], ratio, "$\\lambda_1/\\lambda_{10}$"),
    ):  # fmt: skip
        for number, (variant, colour) in enumerate(zip(VARIANTS, COLOURS, strict=False)):
            own = np.exp(np.log(values[..., number]).mean(axis=1))
            spread = np.exp(np.log(values[..., number]).std(axis=1, ddof=1))
            x = np.arange(len(settings.epochs)) + 0.08 * (number - 2)
            ax.errorbar(x, own, [own - own / spread, own * spread - own], fmt="o", ms=5, mfc="white", color=colour,
                        label=variant)  # fmt: skip
        ax.set_yscale("log")
        ax.set_xticks(range(len(settings.epochs)), [str(epoch) for epoch in settings.epochs])
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
    axes[1].legend()
    return Picture(
        figure,
        "The last layer's Hessian of one and the same function, its hidden features as they are, centred, scaled, "
        f"both, or halved. Geometric means and standard deviations over {len(settings.seeds)} networks trained "
        "without normalization.",
    )


def _table(settings: Settings, largest: np.ndarray, ratio: np.ndarray) -> Table:
    def row(name: str, values: np.ndarray) -> Sequence[Any]:
        middle: Callable[[np.ndarray], np.ndarray] = lambda v: np.exp(np.log(v).mean(axis=1))  # noqa: E731
        return tuple(
            (name, variant, *(f"{v:.3g}" for v in middle(values[..., k])))
            for k, variant in enumerate(VARIANTS)
        )

    return Table(
        "Geometric means over seeds, at a fixed function",
        ("quantity", "features", *(f"epoch {epoch}" for epoch in settings.epochs)),
        (*row("lambda_1", largest), *row("lambda_1 / lambda_10", ratio)),
    )


EXPERIMENT = Experiment(
    title="Centring alone, scaling alone, at a fixed function",
    question="Which part of batch normalization lowers the pseudo-condition number of the last layer?",
    run=run,
    full=Settings(),
    quick=Settings(seeds=tuple(range(6)), epochs=(0, 10)),
)
