"""What the report on luo2019 is for, answered in words that the results decide."""

from __future__ import annotations

from collections.abc import Iterable

from derive.equation import LedgerEntry
from validate.experiments.answers import Evidence
from validate.report.model import ExperimentResult


def answers(entries: Iterable[LedgerEntry], results: Iterable[ExperimentResult]) -> dict[str, str]:
    """The questions and what ledger and experiments say to them."""
    evidence = Evidence.on("luo2019", entries, results)
    return {
        "Which printed equations are right?": evidence.printed_equations(),
        "Does gamma decay let a perceptron learn with larger rates?": evidence.about(
            ("claim-maximal-rate", "claim-effective-rate", "proposition1", "proposition3"),
            "luo2019.stability",
        ),
        "Does batch normalization itself?": evidence.about(("claim-bn-maximal-rate",), "luo2019.boundary"),
        "Is batch normalization the population's plus gamma decay?": evidence.about(
            ("eq3", "claim-linear-decay", "claim-remainder-vanishes", "c4"), "luo2019.statistics"
        ),
        "What does real batch normalization do to a committee?": evidence.about(
            ("claim-committee-decay",), "luo2019.finite_batch"
        ),
        "Do the mean and the deviation regularize, and does the gain tell?": evidence.about(
            ("claim-mean-and-variance", "claim-gain-grows", "claim-released-gain"), "luo2019.claims"
        ),
        "Does batch normalization generalize as gamma decay of the equivalent strength?": evidence.about(
            ("claim-bn-equals-decay", "claim-bn-equals-decay-relu"), "luo2019.regression"
        ),
        "What does the replica theory of the ReLU student describe?": evidence.about(
            ("proposition5", "claim-gibbs", "claim-relu-curve", "claim-relu-diverges"), "luo2019.replica"
        ),
    }
