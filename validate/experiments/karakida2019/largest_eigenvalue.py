"""Theorems 2.2 and 3.1: eigenvalues and eigenvectors of networks without normalization.

Random networks of several depths, numbers of outputs and unequal widths alpha_l M, at a fixed number of
samples. m_lambda M, lambda_max / M (the mean of the C largest: a single one of them is biased as M^(-1/2)) and
the part of their eigenvectors in the span of E[grad f_k] are extrapolated in 1/M.  Criteria: no eigenvalue is
rejected against (10), by Holm's procedure over all of them at a family-wise level of 1 % for the report; of
what a network's eigenvectors miss of the mean gradients at the largest width, at most a fifth, and three
standard errors, is left at infinite width (they miss so little that corrections of order 1/M^2 are seen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from derive.wide import network
from numerics.wide import Prediction, predict
from validate.experiments import Context, Experiment
from validate.experiments.karakida2019.ensembles import Case, limit, measure_all
from validate.experiments.karakida2019.limits import Limit, checks, largest_score
from validate.report.model import Check, ExperimentResult, Finding, Picture
from validate.simulate.deep import Ensemble

OVERLAP = "cos^2 with the mean gradients"
QUANTITIES = ("m_lambda M", "lambda_max / M", OVERLAP)

Model = tuple[str, float, float, tuple[float, ...], int]
"""Activation, weight and bias variance, alpha_0 .. alpha_(L-1), C."""
MODELS: tuple[Model, ...] = (
    ("relu", 2.0, 0.0, (1.0, 0.5), 1),
    ("tanh", 3.0, 0.64, (0.5, 1.5), 4),
    ("tanh", 3.0, 0.64, (1.0, 0.5, 1.5), 1),
    ("relu", 2.0, 0.0, (0.5, 1.0, 0.5), 4),
    ("relu", 2.0, 0.5, (1.0, 0.5, 1.0, 1.5, 0.5), 1),
    ("erf", 2.0, 0.3, (0.5, 1.0, 0.5, 1.0, 1.5), 4),
)


@dataclass(frozen=True)
class Settings:
    """``replicas`` networks at each of ``widths`` (M), ``samples`` inputs, for every model."""

    widths: tuple[int, ...]
    replicas: tuple[int, ...]
    samples: int = 20
    models: tuple[Model, ...] = MODELS
    seed: int = 31


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Measure every model at every width, extrapolate, compare, judge."""
    cases = [
        Case((*(round(a * M) for a in alphas), outputs), phi, weight, bias, settings.samples, replicas,
             (settings.seed, number))
        for number, (phi, weight, bias, alphas, outputs) in enumerate(settings.models)
        for M, replicas in zip(settings.widths, settings.replicas, strict=True)
    ]  # fmt: skip
    found = measure_all(context, cases, "largest eigenvalues")
    count = len(settings.widths)
    measured = [
        _quantities(settings, model, cases[k * count :], found[k * count : (k + 1) * count])
        for k, model in enumerate(settings.models)
    ]
    limits = [
        Limit(_name(model), quantity, predicted[quantity], limit(settings.widths, samples),
              min(settings.replicas) - 1, _distinct(predicted[quantity], wrong.get(quantity, {})))
        for model, quantities in zip(settings.models, measured, strict=True)
        for predicted, wrong in [_theory(settings, model)]
        for quantity, samples in zip(QUANTITIES, quantities, strict=True)
    ]  # fmt: skip
    spaces = [found for found in limits if found.quantity == OVERLAP]
    limits = [found for found in limits if found.quantity != OVERLAP]
    judged = checks(limits)
    turned = [
        _aligned(found, 1 - float(quantities[2][-1].mean()))
        for found, quantities in zip(spaces, measured, strict=True)
    ]
    return context.result(
        _answer(limits, judged, turned), checks=[*judged, *turned],
        findings=[_eigenvalues(limits, judged), _eigenvectors(settings, turned)],
        figures={"largest-eigenvalue": _figure(settings, measured, [*limits, *spaces])},
        seeds={"of a case": "(seed, number of the model, part)"},
    )  # fmt: skip


def _name(model: Model) -> str:
    phi, weight, bias, alphas, outputs = model
    widths = ", ".join(f"{a:g}" for a in alphas)
    return f"L = {len(alphas)}, C = {outputs}, {phi} ({weight:g}, {bias:g}), widths ({widths}) M"


def _quantities(
    settings: Settings, model: Model, cases: Sequence[Case], found: Sequence[Ensemble]
) -> tuple[list[np.ndarray], ...]:
    """QUANTITIES by width, each (replicas)."""
    widths = settings.widths
    return (
        [e.mean_eigenvalue * M for M, e in zip(widths, found, strict=True)],
        [e.eigenvalues.mean(axis=1) / M for M, e in zip(widths, found, strict=True)],
        [e.overlap.mean(axis=1) for e in found],
    )


def _theory(settings: Settings, model: Model) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """QUANTITIES as predicted, and under wrong theories."""
    right = _prediction(model, model[3], settings.samples)
    wrong = {
        "equal widths": _prediction(model, (1.0,) * len(model[3]), settings.samples),
        "infinitely many samples": _prediction(model, model[3], 10**9),
    }
    shifted = _shifted(right)
    mean, top, overlap = QUANTITIES
    ratio = {k: shifted[k] / getattr(right, k) for k in ("kappa_1", "kappa_2")}
    T = settings.samples
    return (
        {mean: right.m_lambda, top: right.lambda_max, overlap: 1.0},
        {
            mean: {"equal widths": wrong["equal widths"].m_lambda,
                   "(11) with qhat of the layer above": right.m_lambda * ratio["kappa_1"]},
            top: {**{name: p.lambda_max for name, p in wrong.items()},
                  "(11) with qhat of the layer above":
                      right.alpha * ((T - 1) / T * shifted["kappa_2"] + shifted["kappa_1"] / T)},
        },
    )  # fmt: skip


def _distinct(right: float, wrong: Mapping[str, float]) -> dict[str, float]:
    """The wrong theories that say something else here."""
    return {name: value for name, value in wrong.items() if abs(value - right) > 1e-9 * abs(right)}


def _prediction(model: Model, alphas: Sequence[float], samples: int) -> Prediction:
    """At M = 1: m_lambda M and lambda_max / M."""
    phi, weight, bias, _, outputs = model
    return predict(network(len(alphas), phi, weight, bias, alphas, outputs), 1, samples)


def _shifted(right: Prediction) -> dict[str, float]:
    """The kappas if delta^l met h^l instead of h^(l-1), where there is one."""
    found, widths = right.order_parameters, [float(a) for a in right.network.widths]
    columns = {"kappa_1": (found.tilde_t, found.hat_t), "kappa_2": (found.tilde_st, found.hat_st)}
    return {
        name: sum(a * t * h for a, t, h in zip(widths, tilde, (*hat[1:], hat[-1]), strict=False))
        / right.alpha
        for name, (tilde, hat) in columns.items()
    }


def _aligned(found: Limit, missed: float) -> Check:
    """Whether what the eigenvectors miss at the largest width vanishes with 1/M."""
    left, error = 1 - float(found.estimate.value), float(found.estimate.error)
    return Check(
        name=f"{OVERLAP}: {found.case}",
        statement="the eigenvectors of the C largest eigenvalues lie in the span of E[grad f_k]",
        predicted=1.0, measured=1 - left, standard_error=error,
        criterion="1 - cos^2 at infinite width: a fifth of that at the largest width, and three standard errors",
        passed=abs(left) <= missed / 5 + 3 * error,
        details={"1 - cos^2 at the largest width": missed},
    )  # fmt: skip


def _answer(limits: Sequence[Limit], judged: Sequence[Check], turned: Sequence[Check]) -> str:
    bad = [check.name for check in (*judged, *turned) if not check.passed]
    if bad:
        return f"Not all of it: rejected are {'; '.join(bad)}."
    return (
        f"Yes: all {len(limits)} limits of m_lambda M and lambda_max / M agree with (10) (largest |z| "
        f"{largest_score(limits):.1f}), and the eigenvectors turn into the span of the mean gradients as 1/M."
    )


def _eigenvalues(limits: Sequence[Limit], judged: Sequence[Check]) -> Finding:
    holds = all(check.passed for check in judged)
    precision = max(float(found.estimate.error / abs(found.predicted)) for found in limits)
    return Finding(
        "karakida2019.theorem-2-2",
        "m_lambda ~ kappa_1 C/M and lambda_max ~ alpha ((T-1)/T kappa_2 + kappa_1/T) M",
        f"{'Holds' if holds else 'Fails'} in networks of several depths with one and four outputs and unequal "
        f"widths, extrapolated to infinite width (largest |z| {largest_score(limits):.1f}, standard errors up to "
        f"{100 * precision:.1g} %).",
        "confirmed" if holds else "refuted",
        {f"{found.quantity}: {found.case}":
            [found.predicted, float(found.estimate.value), float(found.estimate.error)] for found in limits},
    )  # fmt: skip


def _eigenvectors(settings: Settings, turned: Sequence[Check]) -> Finding:
    holds = all(check.passed for check in turned)
    missed = max(float(check.details["1 - cos^2 at the largest width"]) for check in turned)
    return Finding(
        "karakida2019.theorem-3-1", "the eigenspace of the C largest eigenvalues is spanned by E[grad f_k]",
        f"{'Holds' if holds else 'Fails'} at infinite width: at M = {settings.widths[-1]} the eigenvectors miss the "
        f"span by 1 - cos^2 = {missed:.1g} at most, and what they miss falls as 1/M.",
        "confirmed" if holds else "refuted",
        {check.name: [check.measured, check.standard_error] for check in turned},
    )  # fmt: skip


def _figure(
    settings: Settings, measured: Sequence[Sequence[Sequence[np.ndarray]]], limits: Sequence[Limit]
) -> Picture:
    from validate.experiments.karakida2019.drawing import approach
    from validate.report.figures import COLOURS, FAINT, panels

    figure, axes = panels(3, height=3.6)
    by_name: dict[tuple[str, str], Limit] = {(l.case, l.quantity): l for l in limits}
    titles: Mapping[str, str] = {
        QUANTITIES[0]: r"$m_\lambda M$, measured / (10)", QUANTITIES[1]: r"$\lambda_{\max}/M$, measured / (10)",
        QUANTITIES[2]: r"$\cos^2$ with $E[\nabla f_k]$",
    }  # fmt: skip
    for k, (ax, quantity) in enumerate(zip(axes, QUANTITIES, strict=True)):
        for number, (model, quantities) in enumerate(zip(settings.models, measured, strict=True)):
            found = by_name[_name(model), quantity]
            label = f"$L={len(model[3])}$, $C={model[4]}$, {model[0]}"
            approach(
                ax, settings.widths, quantities[k], found.measured, found.predicted, label, COLOURS[number]
            )
        ax.axhline(1.0, color=FAINT, lw=0.6)
        ax.set_title(titles[quantity])
        ax.set_xlabel("$1/M$")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Picture(
        figure,
        f"Means over networks (bars two standard errors) divided by the prediction, at T = {settings.samples}, and "
        "their weighted straight lines in 1/M, which must meet at one for 1/M = 0. Eigenvalues: within noise at a "
        f"family-wise level of 1 % for the whole report; the largest |z| is "
        f"{largest_score([found for found in limits if found.quantity != OVERLAP]):.1f}.",
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="The largest eigenvalue without normalization",
    question="Do m_lambda, lambda_max and its eigenvectors follow Theorems 2.2 and 3.1 at infinite width?",
    run=run,
    full=Settings((400, 800, 1600, 3200), (1600, 800, 400, 100)),
    quick=Settings((200, 400, 800), (200, 150, 100)),
)
