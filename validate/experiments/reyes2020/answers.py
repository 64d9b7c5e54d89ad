"""What the report on reyes2020 is for, answered in words that the results decide."""

from __future__ import annotations

from collections.abc import Iterable

from derive.equation import LedgerEntry
from validate.experiments.answers import Evidence
from validate.report.model import ExperimentResult


def answers(entries: Iterable[LedgerEntry], results: Iterable[ExperimentResult]) -> dict[str, str]:
    """The questions and what ledger and experiments say to them."""
    evidence = Evidence.on("reyes2020", entries, results)
    derived = evidence.about(("claim-singularity-grows", "claim-preconditioning"), "reyes2020.readout")
    causes = evidence.about(("claim-normalization-causes", "claim-lambda-max-explains"), "reyes2020.parts")
    return {
        "What follows from the definitions for the last layer's Hessian?": " ".join(
            words for words in (derived, evidence.answered("readout")) if words
        ),
        "Does batch normalization improve accuracy and convergence?": evidence.about(
            ("claim-accuracy", "claim-generalizes", "claim-convergence", "claim-time-per-epoch"),
            "reyes2020.training",
        ),
        "Does it allow higher learning rates, and where should it stand?": evidence.about(
            ("claim-higher-rates", "claim-placement"), "reyes2020.rates"
        ),
        "Does it improve the last layer's Hessian, and is the Hessian singular?": evidence.about(
            (
                "claim-lambda-max",
                "claim-pseudo-condition",
                "claim-top-ten",
                "claim-singular",
                "claim-ten-large",
            ),
            "reyes2020.training",
        ),
        "Which part of it does, and can that explain the convergence?": " ".join(
            words for words in (causes, evidence.answered("halves")) if words
        ),
        "Does the last layer speak for the whole network?": evidence.about(
            ("claim-last-layer-representative", "claim-block-diagonal", "claim-flat-first-layer"),
            "reyes2020.full_hessian",
        ),
    }
