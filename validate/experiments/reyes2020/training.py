"""Experiment: the network of the paper with and without batch normalization, seed by seed.

784-100-10 with ReLU, batch normalization after it, Adam, cross-entropy, L2, 30 epochs.  The exact Hessian in
the last layer's weights is taken over the training set, with the statistics of the training set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from derive import readout
from validate.experiments import Context, Experiment
from validate.experiments.judging import judge
from validate.experiments.reyes2020 import runs
from validate.experiments.reyes2020.training_figures import convergence_figure, spectrum_figure
from validate.experiments.reyes2020.training_findings import evidence, generalizes, time_per_epoch, top_ten
from validate.report.model import Check, ExperimentResult, Finding, Table

PAPER = "reyes2020"
NETWORKS = ("none", "batch")
TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True)
class Settings:
    """``recorded`` epochs have their spectrum taken; ``target`` is the validation accuracy that convergence
    is timed to."""

    data: str = "mnist"
    seeds: tuple[int, ...] = tuple(range(10))
    rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    decays: tuple[float, ...] = (1e-4, 1e-2)
    epochs: int = 30
    batch_size: int = 100
    hidden: int = 100
    recorded: tuple[int, ...] = (0, 1, 2, 3, 5, 10, 20, 30)
    target: float = 0.85


@dataclass(frozen=True)
class Case:
    """A learning rate and an L2 parameter, with the runs of both networks: arrays over seeds."""

    rate: float
    decay: float
    runs: dict[str, dict[str, np.ndarray]]

    @property
    def name(self) -> str:
        return f"rate {self.rate:g} with L2 {self.decay:g}"

    def final(self, network: str, part: int) -> np.ndarray:
        """Accuracy after the last epoch, by seed."""
        return self.runs[network]["accuracy"][:, -1, part]

    def largest(self, network: str) -> np.ndarray:
        """lambda_1 by seed and recorded epoch."""
        return self.runs[network]["top"][:, :, 0]

    def pseudo_condition(self, network: str) -> np.ndarray:
        """lambda_1 / lambda_10 by seed and recorded epoch."""
        top = self.runs[network]["top"]
        return top[:, :, 0] / top[:, :, 9]


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Train every network; judge each claim over seeds, at every learning rate and L2 parameter."""
    grid = [
        (rate, decay, network) for decay in settings.decays for rate in settings.rates for network in NETWORKS
    ]
    pieces = [
        {
            "data": settings.data, "normalization": network, "seed": seed, "rate": rate, "decay": decay,
            "epochs": settings.epochs, "batch_size": settings.batch_size, "hidden": settings.hidden,
            "recorded": list(settings.recorded),
        }
        for rate, decay, network in grid
        for seed in settings.seeds
    ]  # fmt: skip
    done = context.pieces(runs.training, pieces, "training digits")
    count = len(settings.seeds)
    grouped: dict[tuple[float, float], dict[str, dict[str, np.ndarray]]] = {}
    for number, (rate, decay, network) in enumerate(grid):
        own = done[count * number : count * (number + 1)]
        grouped.setdefault((rate, decay), {})[network] = {
            name: np.stack([arrays[name] for arrays in own]) for name in own[0]
        }
    cases = [Case(*key, networks) for key, networks in grouped.items()]
    findings = (
        _accuracy(cases), _convergence(settings, cases), *_spectrum(settings, cases), _singular(cases),
        _ten_large(settings, cases), top_ten(settings, cases), generalizes(cases), time_per_epoch(cases),
    )  # fmt: skip
    return context.result(
        " ".join(finding.answer for finding in findings[:4]),
        checks=(_nullity(settings, cases),),
        findings=findings,
        figures={
            "training-convergence": convergence_figure(settings, cases),
            "training-spectrum": spectrum_figure(settings, cases),
        },
        tables=(_table(cases),),
        seeds={"split, weights, order of samples": list(settings.seeds)},
    )


def best(cases: list[Case], network: str) -> Case:
    """The case of the best mean validation accuracy after the last epoch."""
    return max(cases, key=lambda case: case.final(network, VALIDATION).mean())


def epochs_to(target: float, accuracy: np.ndarray) -> np.ndarray:
    """When accuracies (seed, epoch) first reach ``target``, interpolated between epochs; never counts as one
    epoch more than there are."""
    reached = accuracy >= target
    first = reached.argmax(axis=1)
    rows = np.arange(len(accuracy))
    before, after = accuracy[rows, np.maximum(first - 1, 0)], accuracy[rows, first]
    with np.errstate(invalid="ignore", divide="ignore"):
        crossing = np.where(first == 0, 0.0, first - 1 + (target - before) / (after - before))
    return np.where(reached.any(axis=1), crossing, accuracy.shape[1])


def _accuracy(cases: list[Case]) -> Finding:
    """Every rate on its own, and each network at its best."""
    differences = {
        f"{case.name} in {name}": case.final("batch", part) - case.final("none", part)
        for case in cases
        for name, part in (("training", TRAIN), ("test", TEST))
    }
    own = {network: best(cases, network).final(network, TEST) for network in NETWORKS}
    differences["each at its best in test"] = own["batch"] - own["none"]
    pairs = judge(differences)
    return Finding(
        f"{PAPER}.claim-accuracy",
        "batch normalization improves the accuracy in training and in test",
        f"Normalization raises the accuracy {pairs.where()}. Each network at its best reaches "
        f"{own['none'].mean():.1%} without and {own['batch'].mean():.1%} with normalization.",
        pairs.verdict,
        evidence(pairs),
    )


def _convergence(settings: Settings, cases: list[Case]) -> Finding:
    """Epochs to the target accuracy, and seconds."""

    def to_target(case: Case, network: str) -> np.ndarray:
        return epochs_to(settings.target, case.runs[network]["accuracy"][:, :, VALIDATION])

    def seconds(case: Case, network: str) -> np.ndarray:
        spent = case.runs[network]["seconds"]
        time = np.arange(spent.shape[1])
        return np.array(
            [
                np.interp(t, time, own, right=np.inf)
                for t, own in zip(to_target(case, network), spent, strict=True)
            ]
        )

    epochs = {network: {case.name: to_target(case, network) for case in cases} for network in NETWORKS}
    differences = {name: epochs["none"][name] - epochs["batch"][name] for name in epochs["none"]}
    quickest = {n: min(cases, key=lambda case: to_target(case, n).mean()) for n in NETWORKS}
    differences["each at its fastest"] = to_target(quickest["none"], "none") - to_target(
        quickest["batch"], "batch"
    )
    pairs = judge(differences)
    took = {n: float(np.median(seconds(quickest[n], n))) for n in NETWORKS}
    return Finding(
        f"{PAPER}.claim-convergence",
        "batch normalization makes training converge faster, in time as well",
        f"With normalization fewer epochs lead to {settings.target:.0%} validation accuracy {pairs.where()}. "
        f"Each at its fastest takes {np.median(to_target(quickest['none'], 'none')):.2g} epochs "
        f"({took['none']:.2g} s) without and {np.median(to_target(quickest['batch'], 'batch')):.2g} "
        f"({took['batch']:.2g} s) with it.",
        pairs.verdict,
        {**evidence(pairs), "seconds, each at its fastest": took},
    )


def _spectrum(settings: Settings, cases: list[Case]) -> tuple[Finding, Finding]:
    """lambda_1 and lambda_1 / lambda_10 with and without normalization, at every recorded epoch."""
    findings = []
    for claim, says, what, value in (
        ("claim-lambda-max", "the largest eigenvalue of the last layer's Hessian is consistently smaller with "
         "batch normalization", "The largest eigenvalue", Case.largest),
        ("claim-pseudo-condition", "the pseudo-condition number lambda_1 / lambda_10 is much smaller with batch "
         "normalization", "The ratio lambda_1/lambda_10", Case.pseudo_condition),
    ):  # fmt: skip
        differences = {
            f"{case.name} at epoch {epoch}": np.log(value(case, "none")[:, k] / value(case, "batch")[:, k])
            for case in cases
            for k, epoch in enumerate(settings.recorded)
        }
        pairs = judge(differences)
        ratios = np.exp(pairs.mean).reshape(len(cases), -1)
        holds = pairs.significant.reshape(len(cases), -1)
        against = pairs.opposite.reshape(len(cases), -1)
        by_epoch = ", ".join(
            f"{np.exp(np.log(ratios[:, k]).mean()):.2g} at epoch {epoch}"
            for k, epoch in enumerate(settings.recorded)
            if epoch in (settings.recorded[0], settings.recorded[1], settings.recorded[-1])
        )
        findings.append(
            Finding(
                f"{PAPER}.{claim}", says,
                f"{what} is smaller with normalization in {holds.sum()} and larger in {against.sum()} of "
                f"{holds.size} settings and epochs; without over with normalization it is {by_epoch} "
                f"(geometric means over settings), {ratios.min():.2g} to {ratios.max():.2g} over all.",
                pairs.verdict, evidence(pairs),
            )
        )  # fmt: skip
    return findings[0], findings[1]


def _singular(cases: list[Case]) -> Finding:
    zeros = np.concatenate([case.runs[n]["zeros"].ravel() for case in cases for n in NETWORKS])
    return Finding(
        f"{PAPER}.claim-singular",
        "the last layer's Hessian has eigenvalues near zero, so that its condition number means nothing",
        f"Every Hessian measured has between {zeros.min()} and {zeros.max()} eigenvalues that are zero up to "
        "rounding: the softmax does not see what is added to the weights of all classes alike.",
        "confirmed" if zeros.min() > 0 else "refuted",
        {"fewest zeros": int(zeros.min()), "most zeros": int(zeros.max())},
    )


def _ten_large(settings: Settings, cases: list[Case]) -> Finding:
    """The largest gap among lambda_k / lambda_(k+1), k up to 11, after training."""
    gaps = {}
    for network in NETWORKS:
        top = np.concatenate([case.runs[network]["top"][:, -1] for case in cases])
        place = 1 + (top[:, :-1] / top[:, 1:]).argmax(axis=1)
        gaps[network] = {int(k): float((place == k).mean()) for k in np.unique(place)}
    law = readout.uniform_spectrum()
    at_ten = [gaps[network].get(10, 0.0) for network in NETWORKS]
    words = "; ".join(
        f"{'with' if network == 'batch' else 'without'} normalization after "
        + ", ".join(f"{k} ({share:.0%})" for k, share in gaps[network].items())
        for network in NETWORKS
    )
    return Finding(
        f"{PAPER}.claim-ten-large",
        "classifiers have as many large eigenvalues as there are classes",
        f"Among the twelve largest eigenvalues after training the widest gap follows: {words}. At uniform predictions "
        f"they come in groups of {law.multiplicity.subs(readout.K, runs.CLASSES)}, one fewer than classes.",
        "confirmed" if min(at_ten) > 0.5 else "conditional" if max(at_ten) > 0.5 else "refuted",
        {"share of runs by place of the widest gap": {n: {str(k): v for k, v in g.items()} for n, g in gaps.items()}},
    )  # fmt: skip


def _nullity(settings: Settings, cases: list[Case]) -> Check:
    """At initialization predictions are mild, and every eigenvalue that is not zero stands clear of rounding.

    There dead units are zero on every sample, the others are in general position.
    """
    law = readout.nullity().right.subs({readout.K: runs.CLASSES, readout.d: settings.hidden})
    found = []
    for case in cases:
        for network in NETWORKS:
            record = case.runs[network]
            ranks = [
                readout.generic_feature_rank(
                    record["samples"][0], settings.hidden - int(n), constant=False, centred=network == "batch"
                )
                for n in record["dead"][:, 0]
            ]
            predicted = np.array([int(law.subs(readout.r, rank)) for rank in ranks])
            found.append(record["zeros"][:, 0] - predicted)
    difference = np.concatenate(found)
    return Check(
        name="reyes2020.training: null space at initialization",
        statement="the Hessian in W2 has as many zero eigenvalues as derived for features in general position: one a "
        "hidden unit, and one more a class but one for every dead unit",
        predicted=0, measured=int(np.abs(difference).max()),
        criterion=f"the number of eigenvalues below {runs.ZERO:g} lambda_1 is the predicted one, in every network",
        passed=bool((difference == 0).all()),
        details={"networks": int(difference.size)},
    )  # fmt: skip


def _table(cases: list[Case]) -> Table:
    def spread(values: np.ndarray, form: str = ".1%") -> str:
        return f"{values.mean():{form}} ± {values.std(ddof=1):{form}}"

    rows = tuple(
        (
            case.name, "with" if network == "batch" else "without",
            *(spread(case.final(network, part)) for part in (TRAIN, VALIDATION, TEST)),
            spread(case.largest(network)[:, -1], ".3g"), spread(case.pseudo_condition(network)[:, -1], ".3g"),
        )
        for case in cases
        for network in NETWORKS
    )  # fmt: skip
    return Table(
        "After the last epoch: mean and standard deviation over seeds",
        ("training", "normalization", "training accuracy", "validation", "test", "lambda_1",
         "lambda_1 / lambda_10"), rows,
    )  # fmt: skip


EXPERIMENT = Experiment(
    title="Training with and without batch normalization",
    question="Does batch normalization after the rectifier improve accuracy, convergence and the last layer's "
    "Hessian?",
    run=run,
    full=Settings(),
    quick=Settings(seeds=tuple(range(6)), decays=(1e-4,), recorded=(0, 1, 5, 30)),
)
