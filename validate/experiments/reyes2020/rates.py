"""Experiment: learning rates that work, and where the normalization stands.

The network without normalization, with it after the rectifier (as in the paper) and before it (as it was first
proposed), trained by Adam at learning rates over orders of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from validate.experiments import Context, Experiment
from validate.experiments.judging import CRITERION, LEVEL, judge
from validate.experiments.reyes2020 import runs
from validate.report.figures import BLUE, COLOURS, VERMILION, panels
from validate.report.model import ExperimentResult, Finding, Picture, Table
from validate.simulate import digits

LOOKS = {
    "none": (VERMILION, "without normalization"), "batch": (BLUE, "after the rectifier"),
    "batch-before": (COLOURS[2], "before the rectifier"),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """A rate works if it leads to ``target`` test accuracy after the last epoch."""

    data: str = "mnist"
    seeds: tuple[int, ...] = tuple(range(10))
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)
    decay: float = 1e-4
    epochs: int = 10
    batch_size: int = 100
    hidden: int = 100
    target: float = 0.7


def accuracy(
    data: str,
    normalization: str,
    seed: int,
    rate: float,
    decay: float,
    epochs: int,
    batch_size: int,
    hidden: int,
) -> dict[str, np.ndarray]:
    """Accuracy in training and in test after the last epoch, with the statistics of the training set."""
    train, _, test = digits.split(digits.load(data), runs.FRACTIONS, seed)
    network = runs.trained(train, normalization, seed, rate, decay, epochs, batch_size, hidden)
    statistics = network.statistics(train.images)
    return {"accuracy": np.array([runs.judged(network, part, statistics)[0] for part in (train, test)])}


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Train at every rate; find the largest that works, and compare the two places."""
    wanted = [
        {
            "data": settings.data, "normalization": network, "seed": seed, "rate": rate, "decay": settings.decay,
            "epochs": settings.epochs, "batch_size": settings.batch_size, "hidden": settings.hidden,
        }
        for network in LOOKS
        for rate in settings.rates
        for seed in settings.seeds
    ]  # fmt: skip
    done = context.pieces(accuracy, wanted, "learning rates")
    shape = (len(LOOKS), len(settings.rates), len(settings.seeds), 2)
    record = dict(
        zip(LOOKS, np.array([each["accuracy"] for each in done]).reshape(shape)[..., 1], strict=True)
    )
    findings = (_higher(settings, record), _placement(settings, record))
    return context.result(
        " ".join(finding.answer for finding in findings),
        findings=findings,
        figures={"rates": _figure(settings, record)},
        tables=(_table(settings, record),),
        seeds={"split, weights, order of samples": list(settings.seeds)},
    )


def largest_working(target: float, rates: tuple[float, ...], reached: np.ndarray) -> np.ndarray:
    """The logarithm of the largest rate at which accuracies (rate, seed) reach ``target``, interpolated.

    The largest rate tried where that one works, the smallest where none does.
    """
    log = np.log10(rates)
    found = []
    for own in reached.T:
        works = np.flatnonzero(own >= target)
        last = works[-1] if len(works) else 0
        if not len(works) or last == len(log) - 1:
            found.append(log[last])
            continue
        share = (own[last] - target) / (own[last] - own[last + 1])
        found.append(log[last] + share * (log[last + 1] - log[last]))
    return np.array(found)


def _higher(settings: Settings, record: dict[str, np.ndarray]) -> Finding:
    largest = {
        network: largest_working(settings.target, settings.rates, record[network]) for network in LOOKS
    }
    pairs = judge(
        {f"{LOOKS[network][1]}": largest[network] - largest["none"] for network in LOOKS if network != "none"}
    )
    capped = {
        network: float((own == np.log10(settings.rates[-1])).mean()) for network, own in largest.items()
    }
    words = "; ".join(
        f"{LOOKS[network][1]} {10 ** own.mean():.2g}" + (" or more" if capped[network] else "")
        for network, own in largest.items()
    )
    return Finding(
        "reyes2020.claim-higher-rates",
        "batch normalization enables higher learning rates",
        f"The largest rate of Adam that leads to {settings.target:.0%} test accuracy after {settings.epochs} epochs: "
        f"{words} (geometric means over seeds).",
        pairs.verdict,
        {"criterion": CRITERION, "decades above the network without, mean and standard error":
         {case: [float(m), float(e)] for case, m, e in zip(pairs.cases, pairs.mean, pairs.error, strict=True)},
         "share of seeds at the largest rate tried": capped},
    )  # fmt: skip


def _placement(settings: Settings, record: dict[str, np.ndarray]) -> Finding:
    """The same or better: nowhere significantly worse."""
    best = {network: settings.rates[int(own.mean(axis=1).argmax())] for network, own in record.items()}
    place = {network: settings.rates.index(rate) for network, rate in best.items()}
    differences = {
        f"rate {rate:g}": record["batch"][k] - record["batch-before"][k]
        for k, rate in enumerate(settings.rates)
    }
    name = "each at its best rate"
    differences[name] = record["batch"][place["batch"]] - record["batch-before"][place["batch-before"]]
    pairs = judge(differences)
    better, worse = pairs.named(pairs.significant), pairs.named(pairs.opposite)
    return Finding(
        "reyes2020.claim-placement",
        "normalizing after the rectifier does the same as before it, or better",
        f"Rates at which the test accuracy is significantly higher after the rectifier: {better}; before it: {worse}; "
        f"each at its best rate, {record['batch'][place['batch']].mean():.1%} ({best['batch']:g}) after and "
        f"{record['batch-before'][place['batch-before']].mean():.1%} ({best['batch-before']:g}) before.",
        "refuted" if pairs.opposite.all() else "conditional" if pairs.opposite.any() else "confirmed",
        {"criterion": f"confirmed if it is significantly worse nowhere, conditional if somewhere, refuted if "
         f"everywhere; t-tests over paired seeds, family-wise level {LEVEL:g} (Holm)",
         "after less before, mean and standard error":
         {case: [float(m), float(e)] for case, m, e in zip(pairs.cases, pairs.mean, pairs.error, strict=True)}},
    )  # fmt: skip


def _figure(settings: Settings, record: dict[str, np.ndarray]) -> Picture:
    figure, ax = panels(1)
    for network, (colour, label) in LOOKS.items():
        own = record[network]
        ax.plot(settings.rates, own.mean(axis=1), "o-", ms=4, mfc="white", color=colour, label=label)
        ax.fill_between(settings.rates, own.min(axis=1), own.max(axis=1), color=colour, alpha=0.2, lw=0)
    ax.axhline(settings.target, color="0.6", lw=0.8, ls=":")
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("test accuracy")
    ax.legend(loc="lower left")
    return Picture(
        figure,
        f"Test accuracy after {settings.epochs} epochs of Adam against its learning rate: mean over "
        f"{len(settings.seeds)} seeds and the range of all of them; dotted, what counts as working.",
    )


def _table(settings: Settings, record: dict[str, np.ndarray]) -> Table:
    rows = tuple(
        (f"{rate:g}", *(f"{own[k].mean():.1%} ± {own[k].std(ddof=1):.1%}" for own in record.values()))
        for k, rate in enumerate(settings.rates)
    )
    return Table(
        "Test accuracy after the last epoch: mean and standard deviation over seeds",
        ("learning rate", *(label for _, label in LOOKS.values())),
        rows,
    )


EXPERIMENT = Experiment(
    title="Learning rates that work, and the place of the normalization",
    question="Does batch normalization allow higher learning rates, and is it better before or after the rectifier?",
    run=run,
    full=Settings(),
    quick=Settings(seeds=tuple(range(5)), rates=(1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0), epochs=5),
)
