"""What finite layers add to a squared gradient: the theory of infinite width, carried to the next order in 1/M.

Narrow networks in great number, without normalization.  Of |grad f_k(t)|^2, its mean over samples and outputs read
off the trace of F, the leading order alpha M kappa_1 is taken away; what is left at order one is the gradients of the
biases and a correction of the theory itself.  Criterion: extrapolated in 1/M it is not rejected against the derived sum
of both by Holm's procedure at a family-wise level of 1 % for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from derive.wide import Network, network
from derive.wide.gram import bias_gradients
from numerics.wide import order_parameters
from numerics.wide.finite_width import gradient_correction
from validate import statistics
from validate.experiments import Context, Experiment
from validate.experiments.karakida2019.ensembles import Case, limit, measure_all
from validate.experiments.karakida2019.limits import Limit, checks, largest_score
from validate.report.model import Check, ExperimentResult, Picture
from validate.simulate.deep import Ensemble

Model = tuple[str, float, float, tuple[float, ...], int]
"""Activation, weight and bias variance, alpha_0 .. alpha_(L-1), C."""
MODELS: tuple[Model, ...] = (
    ("tanh", 1.5, 0.0, (1.0, 1.0, 1.0), 1),
    ("erf", 2.0, 0.3, (1.0, 0.5, 1.0, 1.5), 2),
    ("relu", 2.0, 0.5, (1.0, 1.0), 1),
)
SAMPLES = 4
ROUNDING = 1e-9
"""A correction below this is none."""


@dataclass(frozen=True)
class Settings:
    """``replicas`` networks at each of ``widths``, for every model."""

    widths: tuple[int, ...]
    replicas: tuple[int, ...]
    seed: int = 39


@dataclass(frozen=True)
class Theory:
    """|grad f_k(t)|^2 as ``leading`` M + ``biases`` + ``correction`` and terms that vanish as 1/M."""

    leading: float
    biases: float
    correction: float


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Measure traces, take the leading order away, extrapolate, judge."""
    cases = [
        Case((*(round(a * M) for a in alphas), outputs), phi, weight, bias, SAMPLES, n, (settings.seed, number))
        for number, (phi, weight, bias, alphas, outputs) in enumerate(MODELS)
        for M, n in zip(settings.widths, settings.replicas, strict=True)
    ]  # fmt: skip
    ensembles, count = measure_all(context, cases, "narrow networks"), len(settings.widths)
    added = [
        _added(settings, model, ensembles[k * count : (k + 1) * count]) for k, model in enumerate(MODELS)
    ]
    limits = [_limit(settings, model, each) for model, each in zip(MODELS, added, strict=True)]
    judged = checks(limits)
    return context.result(
        _answer(limits, judged), checks=judged, figures={"finite-width": _figure(settings, added, limits)},
        seeds={"of a case": "(seed, number of the model, part)"},
    )  # fmt: skip


@cache
def theory(model: Model) -> Theory:
    """The derived orders."""
    given = _network(model)
    found, one, _ = order_parameters(given)
    return Theory(float(given.alpha * one), float(bias_gradients(found)[0]), gradient_correction(given))


def _network(model: Model) -> Network:
    phi, weight, bias, alphas, outputs = model
    return network(len(alphas), phi, weight, bias, alphas, outputs)


def _name(model: Model) -> str:
    phi, weight, bias, alphas, outputs = model
    return f"{phi} ({weight:g}, {bias:g}), L = {len(alphas)}, C = {outputs}"


def _added(settings: Settings, model: Model, found: Sequence[Ensemble]) -> list[np.ndarray]:
    """Of every network |grad f|^2 less the leading order, by width: tr F = C |grad f|^2 = P m_lambda."""
    given = _network(model)
    return [
        e.mean_eigenvalue * int(given.parameters(M)) / int(given.outputs) - theory(model).leading * M
        for M, e in zip(settings.widths, found, strict=True)
    ]


def _limit(settings: Settings, model: Model, added: Sequence[np.ndarray]) -> Limit:
    p = theory(model)
    wrong = {"leading order only": 0.0}
    if p.biases and abs(p.correction) > ROUNDING:
        wrong |= {"no correction of the theory": p.biases, "its sign changed": p.biases - p.correction}
    return Limit(_name(model), "|grad f|^2 - alpha M kappa_1", p.biases + p.correction, limit(settings.widths, added),
                 min(settings.replicas) - 1, wrong)  # fmt: skip


def _signed(value: float) -> str:
    return f" {'-' if value < 0 else '+'} {abs(value):.2f}"


def _answer(limits: Sequence[Limit], judged: Sequence[Check]) -> str:
    holds = all(check.passed for check in judged)
    parts = "; ".join(
        f"{theory(model).biases:.2f}{_signed(theory(model).correction)} derived, {float(each.estimate.value):.2f} ± "
        f"{float(each.estimate.error):.2f} measured ({each.case})"
        for model, each in zip(MODELS, limits, strict=True)
    )
    return (
        f"What finite layers add to a squared gradient {'is' if holds else 'is not'} what is derived (largest |z| "
        f"{largest_score(limits):.1f}), gradients of biases and correction of the theory: {parts}."
    )


def _figure(settings: Settings, added: Sequence[Sequence[np.ndarray]], limits: Sequence[Limit]) -> Picture:
    from validate.report.figures import COLOURS, panels, trend

    figure, axes = panels(len(MODELS), height=3.4)
    for ax, model, samples, each, colour in zip(axes, MODELS, added, limits, COLOURS, strict=False):
        estimates = [statistics.estimate(values) for values in samples]
        fit = (float(each.measured.limit.value), float(each.measured.slope.value))
        trend(
            ax, 1 / np.array(settings.widths), [float(e.value) for e in estimates],
            [float(e.error) for e in estimates], label="measured", colour=colour, fit=fit,
        )  # fmt: skip
        p = theory(model)
        ax.axhline(p.biases + p.correction, color="black", lw=1.2, label="derived")
        ax.axhline(p.biases, color="black", lw=1.0, ls=":", label="biases alone")
        ax.set_title(_name(model), fontsize=9)
        ax.set_xlabel("$1/M$")
    axes[0].set_ylabel(r"$|\nabla f|^2 - \alpha M \kappa_1$")
    axes[0].legend()
    return Picture(
        figure,
        "Mean squared gradient less its leading order, against 1/M, with weighted straight lines; bars two standard "
        "errors. At 1/M = 0 the lines must meet the solid black one, not the dotted one (where these differ).",
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="The next order in 1/M",
    question="What do finite layers and biases add to a squared gradient?",
    run=run,
    full=Settings((16, 32, 64), (40000, 40000, 40000)),
    quick=Settings((16, 32, 64), (10000, 10000, 10000)),
)
