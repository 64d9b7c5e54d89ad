"""What the report on bjorck2018 is for, answered in words that the results decide."""

from __future__ import annotations

from collections.abc import Iterable

from derive.equation import LedgerEntry
from validate.experiments.answers import Evidence
from validate.report.model import ExperimentResult


def answers(entries: Iterable[LedgerEntry], results: Iterable[ExperimentResult]) -> dict[str, str]:
    """The questions and what ledger and experiments say to them."""
    evidence = Evidence.on("bjorck2018", entries, results)
    return {
        "How does the noise of a gradient step depend on the batch?": evidence.about(
            ("eq2", "eq2-epochs", "claim-noise-alike", "claim-bound-networks", "claim-unbiased"),
            "bjorck2018.minibatch_noise",
        ),
        "Do the terms of a gradient agree without normalization, and cancel with it?": evidence.about(
            ("claim-table1-without", "claim-table1-with", "claim-single-parameters"), "bjorck2018.initialization"
        ),
        "Are gradients larger and their tails heavier without it?": evidence.about(
            ("claim-gradients-larger", "claim-heavy-tails", "claim-low-rank", "claim-large-means"),
            "bjorck2018.initialization and bjorck2018.channel_means",
        ),
        "What does depth do to activations?": " ".join(
            (
                evidence.about(("claim-moments-constant", "claim-moments-grow"), "bjorck2018.initialization"),
                evidence.answered("depth_growth"),
            )
        ).strip(),
        "What does the network put out before training?": evidence.about(
            ("claim-output-scale", "claim-one-class", "claim-input-independent"), "bjorck2018.initialization"
        ),
        "How far along the gradient may the first steps go?": evidence.about(
            ("claim-range-of-steps", "claim-large-steps-diverge", "claim-shallow-rates"), "bjorck2018.first_steps"
        ),
        "What diverges in a step that diverges?": evidence.about(
            ("claim-moments-explode", "claim-activations-diverge"), "bjorck2018.first_steps"
        ),
        "What is the density of Theorem 1 a density of?": evidence.about(
            ("theorem1-variable", "theorem1-support", "claim-origin", "claim-practical-size"),
            "bjorck2018.products",
        ),
        "What does depth do to the conditioning of a linear network?": " ".join(
            (
                evidence.about(
                    ("claim-largest", "claim-heavier-tails", "claim-condition-depth", "claim-condition-measured"),
                    "bjorck2018.products",
                ),
                evidence.answered("products"),
            )
        ).strip(),
        "Does a larger condition number need a smaller learning rate?": evidence.about(
            ("claim-kappa-rate", "claim-kappa-convergence", "claim-single-matrix"), "bjorck2018.products"
        ),
    }
