"""What the report on karakida2019 is for, answered in words that derivations and measurements decide."""

from __future__ import annotations

from collections.abc import Iterable

from derive.equation import LedgerEntry
from validate.experiments.answers import Evidence
from validate.report.model import ExperimentResult


def answers(entries: Iterable[LedgerEntry], results: Iterable[ExperimentResult]) -> dict[str, str]:
    """The questions and what ledger and experiments say to them."""
    evidence = Evidence.on("karakida2019", entries, results)
    return {
        "Which printed equations are right?": evidence.printed_equations(),
        "Is the largest eigenvalue of a random network as sharp as (10) says?": " ".join((
            evidence.answered("largest_eigenvalue"),
            evidence.answered("finite_width"),
            evidence.about(
                ("theorem-2-2", "theorem-3-1", "claim-centered-order-one"),
                "karakida2019.largest_eigenvalue, karakida2019.proportional",
            ),
        )).strip(),
        "Does mean subtraction in the last layer remove the sharpness?": " ".join((
            evidence.about(
                ("claim-figure-1", "claim-order-one", "claim-loose-bounds", "claim-q-half", "assumption-3-2"),
                "karakida2019.sharpness, karakida2019.proportional, karakida2019.backward_overlaps",
            ),
            evidence.answered("bulk"),
        )).strip(),
        "Do the other normalizations?": evidence.about(
            ("theorem-3-4", "claim-last-layer-is-vital", "theorem-4-1", "claim-layer-cannot"),
            "karakida2019.batch_middle, karakida2019.layer_normalization",
        ),
        "Does 2/lambda_max predict which learning rates explode?": evidence.about(
            ("claim-rate-predicts", "claim-larger-rate", "claim-rate-independent-of-width", "claim-trials"),
            "karakida2019.learning_rate",
        ),
    }  # fmt: skip
