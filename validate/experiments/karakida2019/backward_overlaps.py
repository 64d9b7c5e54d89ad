"""Overlaps of signals in networks that are built: Assumption 3.2, and the rate q* of the backward ones.

The recursion (7) for delta^l(s).delta^l(t) takes the weights of the backward pass as drawn anew.  Here they are
the same.  Criterion: forward and backward overlaps of every hidden layer, means over pairs of samples and
networks extrapolated in 1/M, are not rejected against (5) and (7) by Holm's procedure at a family-wise level of
1 % for the report.  The rate q of the backward overlaps is half the exponent with which their mean squared
deviation from (7) falls; "one half" means within 0.05, in every layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from derive.wide import network
from derive.wide.signals import Signals
from numerics.wide import predict
from validate.experiments import Context, Experiment
from validate.experiments.karakida2019.ensembles import Growth, array_module, device, growth, limit
from validate.experiments.karakida2019.limits import Limit, checks, largest_score
from validate.report.model import Check, ExperimentResult, Finding, Picture
from validate.simulate.deep import architecture, overlaps

MODELS = (("relu", 2.0, 0.0), ("tanh", 3.0, 0.64))
TOLERANCE = 0.05

Measured = Sequence[dict[str, np.ndarray]]
"""The arrays of ``Overlaps`` by width."""


@dataclass(frozen=True)
class Settings:
    """``replicas`` networks of equal widths and ``depth`` layers at each of ``widths``."""

    widths: tuple[int, ...]
    replicas: tuple[int, ...]
    depth: int = 4
    samples: int = 12
    seed: int = 34


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Measure the overlaps of both networks, extrapolate, fit the rates, judge."""
    jobs = [
        {"widths": [*(M,) * settings.depth, 1], "model": model, "samples": settings.samples, "replicas": replicas,
         "seed": [settings.seed, number], "backend": device(context)}
        for number, model in enumerate(MODELS)
        for M, replicas in zip(settings.widths, settings.replicas, strict=True)
    ]  # fmt: skip
    found = context.pieces(measured_overlaps, jobs, "overlaps")
    count = len(settings.widths)
    by_model = {model[0]: found[k * count : (k + 1) * count] for k, model in enumerate(MODELS)}
    theories = {model[0]: _theory(settings, model) for model in MODELS}
    limits = [each for name in by_model for each in _limits(settings, name, by_model[name], theories[name])]
    judged = checks(limits)
    rates = {
        (name, l): growth(settings.widths, _deviations(by_model[name], theories[name], l))
        for name in by_model for l in range(1, settings.depth)
    }  # fmt: skip
    findings = [_assumption(limits, judged), _rate(settings, rates)]
    return context.result(
        " ".join(finding.answer for finding in findings), checks=judged, findings=findings,
        figures={"backward-overlaps": _figure(settings, by_model, theories, rates)},
        seeds={"of a case": "(seed, number of the network)"},
    )  # fmt: skip


def measured_overlaps(
    widths: Sequence[int], model: tuple[str, float, float], samples: int, replicas: int, seed: Sequence[int],
    backend: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The overlaps of one width as a piece."""
    shape = architecture(widths, *model)
    return asdict(overlaps(shape, samples, replicas, seed=tuple(seed), xp=array_module(backend)))


def _theory(settings: Settings, model: tuple[str, float, float]) -> Signals:
    return predict(network(settings.depth, *model), 1, 1).order_parameters


def _limits(settings: Settings, name: str, found: Measured, theory: Signals) -> list[Limit]:
    """Of every hidden layer: hat_st of its activations, tilde_t and tilde_st of its backward signals."""
    limits = []
    for l in range(1, settings.depth):
        below = theory.tilde_st[l] if l < settings.depth - 1 else 1.0
        for quantity, key, index, predicted, wrong in (
            ("qhat_st", "forward_pairs", l, theory.hat_st[l], {"the layer below": theory.hat_st[l - 1]}),
            (
                "qtilde_t",
                "backward",
                l - 1,
                theory.tilde_t[l - 1],
                {"twice as large": 2 * theory.tilde_t[l - 1]},
            ),
            ("qtilde_st", "backward_pairs", l - 1, theory.tilde_st[l - 1], {"the layer above": below}),
        ):
            samples = [arrays[key][:, index] for arrays in found]
            limits.append(Limit(
                f"{name}, layer {l}", quantity, float(predicted), limit(settings.widths, samples),
                min(settings.replicas) - 1, {words: float(value) for words, value in wrong.items()},
            ))  # fmt: skip
    return limits


def _deviations(found: Measured, theory: Signals, l: int) -> list[np.ndarray]:
    """Mean squares over pairs of delta^l(s).delta^l(t) - qtilde_st^l, by width (S)."""
    value = float(theory.tilde_st[l - 1])
    return [
        arrays["backward_squares"][:, l - 1] - 2 * value * arrays["backward_pairs"][:, l - 1] + value**2
        for arrays in found
    ]


def _assumption(limits: Sequence[Limit], judged: Sequence[Check]) -> Finding:
    holds = all(check.passed for check in judged)
    precision = max(float(each.estimate.error / abs(each.predicted)) for each in limits)
    return Finding(
        "karakida2019.assumption-3-2", "backward overlaps may be computed with weights drawn anew",
        f"With the same weights forth and back the {len(limits)} overlaps extrapolated to infinite width "
        f"{'agree' if holds else 'do not all agree'} with the recursions (largest |z| {largest_score(limits):.1f}, "
        f"standard errors up to {100 * precision:.1g} %).",
        "confirmed" if holds else "refuted",
        {check.name: [check.predicted, check.measured, check.standard_error] for check in judged},
    )  # fmt: skip


def _rate(settings: Settings, rates: dict[tuple[str, int], Growth]) -> Finding:
    halves = {key: -each.exponent / 2 for key, each in rates.items()}
    holds = all(abs(q - 0.5) < TOLERANCE for q in halves.values())
    error = max(each.error / 2 for each in rates.values())
    return Finding(
        "karakida2019.claim-q-half", "backward overlaps of random networks converge as M^(-1/2)",
        f"Their deviations fall as M^-q with q from {min(halves.values()):.3f} to {max(halves.values()):.3f} over "
        f"layers and activations (standard errors up to {error:.2g}), M from {settings.widths[0]} to "
        f"{settings.widths[-1]}.",
        "confirmed" if holds else "refuted",
        {f"{name}, layer {l}": [q, rates[name, l].error / 2] for (name, l), q in halves.items()},
    )  # fmt: skip


def _figure(
    settings: Settings, by_model: dict[str, list[dict[str, np.ndarray]]], theories: dict[str, Signals],
    rates: dict[tuple[str, int], Growth],
) -> Picture:  # fmt: skip
    from matplotlib.ticker import NullFormatter

    from validate.report.figures import COLOURS, panels, theory_with_simulation

    figure, axes = panels(len(MODELS), height=3.6)
    widths = np.array(settings.widths)
    for ax, name in zip(axes, by_model, strict=True):
        ax.set_xscale("log")
        ax.set_yscale("log")
        for l in range(1, settings.depth):
            found = rates[name, l]
            squares = _deviations(by_model[name], theories[name], l)
            roots = np.array([np.sqrt(each.mean()) for each in squares])
            errors = [
                each.std(ddof=1) / np.sqrt(len(each)) / (2 * r)
                for each, r in zip(squares, roots, strict=True)
            ]
            theory_with_simulation(
                ax, widths, np.sqrt(found.constant * widths**found.exponent), roots, errors, colour=COLOURS[l - 1],
                label=rf"layer {l}: $q = {-found.exponent / 2:.3f} \pm {found.error / 2:.3f}$",
            )  # fmt: skip
        ax.set_xticks(widths, [str(M) for M in widths])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_title(name)
        ax.set_xlabel("width $M$")
        ax.legend()
    axes[0].set_ylabel(r"deviation of $\delta^l(s)\cdot\delta^l(t)$")
    return Picture(
        figure,
        "Root mean square deviation of backward overlaps of two samples from (7), over pairs and networks; bars two "
        "standard errors. Lines are fitted powers M^-q: one half is what Theorem 3.3 needs.",
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="Backward overlaps",
    question="Do backward overlaps follow (7) with the weights that are there, and how fast do they converge?",
    run=run,
    full=Settings((200, 400, 800, 1600), (1600, 800, 400, 200)),
    quick=Settings((100, 200, 400), (400, 200, 100)),
)
