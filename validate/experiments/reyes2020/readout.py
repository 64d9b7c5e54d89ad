"""Experiment: what is derived about the last layer's Hessian, on features of trained networks.

The Hessian is built from its definition over weights and biases; trace, rank, spectrum at uniform predictions and
bounds follow from the features, the predictions and the derivation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from derive import readout
from numerics.readout import Readout
from validate.experiments import Context, Experiment
from validate.experiments.reyes2020 import runs
from validate.report.figures import BLUE, VERMILION, panels
from validate.report.model import Check, ExperimentResult, Picture, Table
from validate.simulate import digits
from validate.simulate.curvature import last_layer_hessian

NETWORKS = ("none", "batch")
SHOWN = 40
"""Eigenvalues in the figure."""
EXACT = 1e-9
"""Identities hold to this, relative to the larger side."""
ROUNDING = 1e-13
"""Of eigenvalues, relative to the largest."""


@dataclass(frozen=True)
class Settings:
    """``shrink``: at epoch 0 the last layer's weights are also multiplied by these, which takes the predictions to
    uniform ones."""

    data: str = "mnist"
    seeds: tuple[int, ...] = tuple(range(10))
    rate: float = 1e-3
    decay: float = 1e-4
    epochs: tuple[int, ...] = (0, 1, 10, 30)
    batch_size: int = 100
    hidden: int = 100
    shrink: tuple[float, ...] = (0.1, 0.01)


def spectrum(
    data: str, normalization: str, seed: int, rate: float, decay: float, epochs: int, batch_size: int,
    hidden: int, shrink: float,
) -> dict[str, np.ndarray]:  # fmt: skip
    """All eigenvalues over weights and biases, measured and predicted for uniform predictions, what bounds them, how
    many vanish; the trace, its bound from the loss, and its change when the units are centred."""
    (part,) = digits.split(digits.load(data), runs.FRACTIONS[:1], seed)
    network = runs.trained(part, normalization, seed, rate, decay, epochs, batch_size, hidden)
    network.parameters["W2"] = shrink * network.parameters["W2"]
    units = network.features(part.images, network.statistics(part.images))
    probabilities = network.probabilities(units)
    values = np.linalg.eigvalsh(last_layer_hessian(units, probabilities))[::-1]
    law = Readout(np.vstack([units, np.ones(len(part))]), probabilities)
    low, high = law.bounds()
    mean = units.mean(axis=1)
    trace, centred = (
        np.trace(last_layer_hessian(own, probabilities, bias=False)) for own in (units, units - mean[:, None])
    )
    own = probabilities[part.labels, np.arange(len(part))]
    return {
        "values": values, "uniform": law.uniform_spectrum(), "low": low, "high": high,
        "zeros": np.array((values < runs.ZERO * values[0]).sum()), "nullity": np.array(law.nullity()),
        "trace": np.array(law.trace()), "bound": np.array(law.loss_bound(part.labels)),
        "steepest": np.array(law.steepest()), "loss": -np.log(np.maximum(own, 1e-300)).mean(),
        "centring": np.array([trace, centred - trace, Readout(units, probabilities).centred_change(mean)]),
    }  # fmt: skip


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Networks over training, and with shrunk weights at its start; each derived statement as a check."""
    cases = [(network, epochs, 1.0) for network in NETWORKS for epochs in settings.epochs]
    cases += [(network, 0, shrink) for network in NETWORKS for shrink in settings.shrink]
    wanted = [
        {
            "data": settings.data, "normalization": network, "seed": seed, "rate": settings.rate,
            "decay": settings.decay, "epochs": epochs, "batch_size": settings.batch_size, "hidden": settings.hidden,
            "shrink": shrink,
        }
        for network, epochs, shrink in cases
        for seed in settings.seeds
    ]  # fmt: skip
    done = context.pieces(spectrum, wanted, "last layers")
    count = len(settings.seeds)
    record = {
        case: {
            name: np.stack([arrays[name] for arrays in done[count * k : count * (k + 1)]]) for name in done[0]
        }
        for k, case in enumerate(cases)
    }
    return context.result(
        _answer(settings, record),
        checks=(_trace(record), _nullity(record), _sandwich(settings, record), _bounds(record), _centring(record)),
        figures={"readout": _figure(settings, record)},
        tables=(_table(record), _effects()),
        equations=readout.equations(),
        seeds={"split, weights, order of samples": list(settings.seeds)},
    )  # fmt: skip


Case = tuple[str, int, float]
Record = dict[Case, dict[str, np.ndarray]]


def _all(record: Record, name: str) -> np.ndarray:
    return np.concatenate([own[name] for own in record.values()])


def _answer(settings: Settings, record: Record) -> str:
    """Means over seeds at the start, and after the last epoch."""
    last, words = settings.epochs[-1], []
    for network in NETWORKS:
        start, end = record[network, 0, 1.0], record[network, last, 1.0]
        ratio, uniform = (
            start[name][:, 0] / start[name][:, runs.CLASSES - 1] for name in ("values", "uniform")
        )
        near = (start["values"][:, 0] / start["uniform"][:, 0]).mean()
        grown = (end["uniform"][:, 0] / start["uniform"][:, 0]).mean()
        flat = (end["values"][:, 0] / end["uniform"][:, 0]).mean()
        words.append(
            f"{_named(network).capitalize()}, lambda_1 starts at {near:.3g} times what the features' second moments "
            f"alone give at uniform predictions, lambda_1/lambda_10 at {ratio.mean():.3g} for {uniform.mean():.3g}. "
            f"By epoch {last} the largest second moment is {grown:.3g} times what it was, and predictions that became "
            f"certain leave {flat:.2g} of what uniform ones would give."
        )
    return (
        f"Networks at initialization and after up to {last} epochs have the trace, the null space and the bounds that "
        f"are derived. {' '.join(words)}"
    )


def _named(network: str) -> str:
    return "with normalization" if network == "batch" else "without normalization"


def _trace(record: Record) -> Check:
    measured, predicted = _all(record, "values").sum(axis=1), _all(record, "trace")
    worst = float(np.abs(measured / predicted - 1).max())
    return Check(
        name="reyes2020.readout: trace",
        statement="the eigenvalues sum to the mean of $(1 - \\sum_k p_k^2) |h|^2$",
        predicted=float(predicted.mean()), measured=float(measured.mean()),
        criterion=f"relative deviation below {EXACT:g} in every network", passed=worst < EXACT,
        details={"largest relative deviation": worst, "networks": int(measured.size)},
    )  # fmt: skip


def _nullity(record: Record) -> Check:
    """Where predictions are mild, at initialization: later, rounding hides which eigenvalues are zero."""
    start = {case: own for case, own in record.items() if case[1] == 0}
    difference = _all(start, "zeros") - _all(start, "nullity")
    return Check(
        name="reyes2020.readout: null space",
        statement="over weights and biases $K d - (K - 1) r$ eigenvalues vanish, r the rank of the features",
        predicted=float(_all(start, "nullity").mean()), measured=float(_all(start, "zeros").mean()),
        criterion=f"as many eigenvalues below {runs.ZERO:g} lambda_1 at initialization, in every network",
        passed=bool((difference == 0).all()), details={"networks": int(difference.size)},
    )  # fmt: skip


def _sandwich(settings: Settings, record: Record) -> Check:
    """Every eigenvalue; with shrunk weights the bounds close in on the prediction."""
    values, low, high = (_all(record, name) for name in ("values", "low", "high"))
    slack = ROUNDING * values[:, :1]
    inside = (low * (1 - EXACT) - slack <= values) & (values <= high * (1 + EXACT) + slack)
    least = min(settings.shrink)
    close = {network: record[network, 0, least] for network in NETWORKS}
    width = max(float((own["high"][:, 0] / own["low"][:, 0]).max()) - 1 for own in close.values())
    apart = max(
        float(np.abs(own["values"][:, :SHOWN] / own["uniform"][:, :SHOWN] - 1).max())
        for own in close.values()
    )
    return Check(
        name="reyes2020.readout: spectrum",
        statement="every eigenvalue lies between $K \\min p_k$ and $K \\max p_k$ times the one at uniform predictions",
        predicted=float(np.mean([own["uniform"][:, 0] for own in close.values()])),
        measured=float(np.mean([own["values"][:, 0] for own in close.values()])),
        criterion=f"all of them in every network, up to rounding ({EXACT:g}, and {ROUNDING:g} lambda_1)",
        passed=bool(inside.all()),
        details={
            f"with weights times {least:g} the bounds are apart by": f"{width:.2%}",
            f"and the {SHOWN} largest eigenvalues from the prediction by at most": f"{apart:.2%}",
            "so that a wrong factor is noticed beyond": f"{1 + width:.3g}",
        },
    )  # fmt: skip


def _bounds(record: Record) -> Check:
    trace, bound = _all(record, "trace"), _all(record, "bound")
    largest, steepest = _all(record, "values")[:, 0], _all(record, "steepest")
    return Check(
        name="reyes2020.readout: bounds",
        statement="the trace is at most twice the mean of $L |h|^2$, lambda_1 at most half the largest second moment",
        predicted=[1.0, 1.0], measured=[float((trace / bound).max()), float((largest / steepest).max())],
        criterion="both ratios at most 1 in every network",
        passed=bool((trace <= bound).all() and (largest <= steepest * (1 + EXACT)).all()),
        details={"networks": int(trace.size)},
    )  # fmt: skip


def _centring(record: Record) -> Check:
    trace, measured, predicted = np.moveaxis(_all(record, "centring"), -1, 0)
    worst = float((np.abs(measured - predicted) / trace).max())
    falls = {
        f"at initialization, {_named(network)}, the trace falls by":  # + 0.0: no "-0%"
        f"{round(-float((change / whole).mean()), 2) + 0.0:.0%}"
        for network in NETWORKS
        for whole, change, _ in [np.moveaxis(record[network, 0, 1.0]["centring"], -1, 0)]
    }
    return Check(
        name="reyes2020.readout: centring",
        statement="centring the units changes the trace over the weights by $\\sum_i (t m_i^2 - 2 m_i u_i)$, m_i the "
        "means of the units, t and u_i those of $1 - \\sum_k p_k^2$ and of the units times this",
        predicted=float(predicted.mean()), measured=float(measured.mean()),
        criterion=f"to {EXACT:g} of the trace in every network", passed=worst < EXACT,
        details={"largest deviation": worst, **falls},
    )  # fmt: skip


def _figure(settings: Settings, record: Record) -> Picture:
    """The spectra of one network each, with what is predicted for uniform predictions and the bounds."""
    figure, axes = panels(len(NETWORKS), 2, height=6.0, sharex=True, sharey=True)
    rank = np.arange(1, SHOWN + 1)
    for column, (network, colour) in enumerate(zip(NETWORKS, (VERMILION, BLUE), strict=True)):
        for row, (epochs, shrink) in enumerate(((0, 1.0), (settings.epochs[-1], 1.0))):
            ax, own = axes[row, column], record[network, epochs, shrink]
            ax.fill_between(rank, own["low"][0, :SHOWN], own["high"][0, :SHOWN], color=colour, alpha=0.15, lw=0,
                            label="bounds")  # fmt: skip
            ax.plot(rank, own["uniform"][0, :SHOWN], color="0.3", lw=1, label="uniform predictions")
            ax.plot(rank, own["values"][0, :SHOWN], "o", ms=3, mfc="white", color=colour, label="measured")
            ax.set_yscale("log")
            ax.set_title(f"{_named(network)}, epoch {epochs}")
    smallest = min(float(own["values"][0, SHOWN - 1]) for own in record.values())
    axes[0, 0].set_ylim(smallest / 3)
    for ax in axes[-1]:
        ax.set_xlabel("rank")
    for ax in axes[:, 0]:
        ax.set_ylabel("eigenvalue")
    axes[0, 1].legend()
    return Picture(
        figure,
        f"The {SHOWN} largest eigenvalues over weights and biases for one seed: measured, derived for uniform "
        f"predictions (in groups of {runs.CLASSES - 1}), and the bounds from the least and the largest probability.",
    )


def _table(record: Record) -> Table:
    rows = []
    for (network, epochs, shrink), own in record.items():
        ratio, uniform = (own[name][:, 0] / own[name][:, runs.CLASSES - 1] for name in ("values", "uniform"))
        rows.append(
            (
                "with" if network == "batch" else "without", epochs, f"{shrink:g}",
                f"{own['values'][:, 0].mean():.4g}", f"{own['uniform'][:, 0].mean():.4g}",
                f"{ratio.mean():.4g}", f"{uniform.mean():.4g}", f"{own['loss'].mean():.3g}",
                f"{own['trace'].mean():.4g}", f"{own['bound'].mean():.4g}",
            )
        )  # fmt: skip
    return Table(
        "Means over seeds, weights and biases: measured, derived for uniform predictions; the trace and its bound",
        ("normalization", "epoch", "weights times", "lambda_1", "uniform", "lambda_1/lambda_10", "uniform", "loss",
         "trace", "at most"), tuple(rows),
    )  # fmt: skip


def _effects() -> Table:
    """Exact, for any features; what depends on them has an exact example."""
    names = [quantity.name for quantity in readout.QUANTITIES]
    rows = []
    for bias in (True, False):
        found: dict[str, list[str]] = {}
        for effect in readout.effects(bias):
            found.setdefault(effect.transformation, []).append(_effect(effect.factor, effect.example))
        rows += [
            ("weights and biases" if bias else "weights alone", name, *cells) for name, cells in found.items()
        ]
    return Table(
        "What changes of features and weights that leave the function as it is do to its Hessian: the factor, or, "
        "where that depends on the features, an exact example before → after (three classes, two units)",
        ("Hessian in", "change", *names), tuple(rows),
    )  # fmt: skip


def _effect(factor: object, example: tuple[object, object] | None) -> str:
    if factor is None and example is not None:
        return " → ".join(f"{float(v):.3g}" for v in example)  # type: ignore[arg-type]
    return "as it was" if factor == 1 else f"times {str(factor).replace('**', '^')}"


EXPERIMENT = Experiment(
    title="The last layer's Hessian, derived and built",
    question="Do trained networks have the null space, the trace, the spectrum and the bounds that are derived?",
    run=run,
    full=Settings(),
    quick=Settings(seeds=(0, 1, 2), epochs=(0, 10), shrink=(0.01,)),
)
