"""Claims on training that compare few numbers a run: generalization, time, and the ten largest eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from validate.experiments.judging import CRITERION, Pairs, judge
from validate.report.model import Finding

if TYPE_CHECKING:
    from validate.experiments.reyes2020.training import Case, Settings

NETWORKS = {"none": "without", "batch": "with"}
TRAIN, TEST = 0, 2
SIMILAR = 0.03
"""Accuracies in training and in test are similar if they differ by less: in the paper's Table 1, by 2.8 % at most."""


def generalizes(cases: Sequence[Case]) -> Finding:
    """Accuracy in training less accuracy in test, after the last epoch."""
    gaps = {
        f"{case.name} {words} normalization": case.final(network, TRAIN) - case.final(network, TEST)
        for case in cases
        for network, words in NETWORKS.items()
    }
    pairs = judge({case: SIMILAR - gap for case, gap in gaps.items()})
    mean = [gap.mean() for gap in gaps.values()]
    return Finding(
        "reyes2020.claim-generalizes",
        "accuracies in training and in test are similar",
        f"Accuracy in training exceeds that in test by {min(mean):.1%} to {max(mean):.1%}: significantly less than "
        f"{SIMILAR:.0%} in {pairs.significant.sum()} and more in {pairs.opposite.sum()} of {len(pairs.cases)} "
        "networks and settings.",
        pairs.verdict,
        {"similar": f"a difference below {SIMILAR:g}", **evidence(pairs)},
    )


def time_per_epoch(cases: Sequence[Case]) -> Finding:
    """Seconds of the processor, of one seed and one setting each."""
    spent = {
        network: {case.name: case.runs[network]["seconds"][:, -1] for case in cases} for network in NETWORKS
    }
    pairs = judge({case.name: np.log(spent["batch"][case.name] / spent["none"][case.name]) for case in cases})
    ratio = np.exp(pairs.mean)
    return Finding(
        "reyes2020.claim-time-per-epoch",
        "an epoch takes longer with batch normalization",
        f"With normalization an epoch takes {ratio.min():.2f} to {ratio.max():.2f} times as long (geometric means over "
        f"seeds); longer {pairs.where()}.",
        pairs.verdict,
        evidence(pairs),
    )


def top_ten(settings: Settings, cases: Sequence[Case]) -> Finding:
    """The geometric mean of lambda_1 ... lambda_10 says whether they are larger, lambda_1/lambda_10 how wide."""
    differences = {}
    for case in cases:
        top = {network: np.log(case.runs[network]["top"][:, :, :10]) for network in NETWORKS}
        for k, epoch in enumerate(settings.recorded):
            mean = {network: own[:, k].mean(axis=-1) for network, own in top.items()}
            spread = {network: own[:, k, 0] - own[:, k, 9] for network, own in top.items()}
            differences[f"{case.name} at epoch {epoch}: size"] = mean["none"] - mean["batch"]
            differences[f"{case.name} at epoch {epoch}: spread"] = spread["none"] - spread["batch"]
    pairs = judge(differences)
    sizes = np.array([name.endswith("size") for name in pairs.cases])
    count = {name: (int((pairs.significant & own).sum()), int((pairs.opposite & own).sum()), int(own.sum()))
             for name, own in (("larger", sizes), ("more widely spread", ~sizes))}  # fmt: skip
    words = " and ".join(
        f"{name} in {yes} (the opposite in {no}) of {all_}" for name, (yes, no, all_) in count.items()
    )
    return Finding(
        "reyes2020.claim-top-ten",
        "without normalization the ten largest eigenvalues are all larger, and more widely spread",
        f"Without normalization the ten largest eigenvalues are {words} settings and epochs.",
        pairs.verdict,
        evidence(pairs),
    )


def evidence(pairs: Pairs) -> dict[str, Any]:
    """The criterion, and mean and standard error of every paired difference."""
    return {
        "criterion": CRITERION,
        "paired differences": {
            case: [float(m), float(e)]
            for case, m, e in zip(pairs.cases, pairs.mean, pairs.error, strict=True)
        },
    }
