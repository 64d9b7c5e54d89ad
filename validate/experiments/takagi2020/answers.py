"""What the report on takagi2020 is for: four questions, answered in words that the results decide."""

from __future__ import annotations

from collections.abc import Iterable

from derive.equation import LedgerEntry
from validate.experiments.answers import Evidence
from validate.report.model import ExperimentResult


def answers(entries: Iterable[LedgerEntry], results: Iterable[ExperimentResult]) -> dict[str, str]:
    """The four questions and what ledger and experiments say to them."""
    evidence = Evidence.on("takagi2020", entries, results)
    return {
        "Which printed equations are right?": evidence.printed_equations(),
        "Does the dropped radial term matter?": evidence.about(
            ("claim-radial-negligible",), "takagi2020.trajectories"
        ),
        "What sets the escape from the plateau, with and without batch normalization?": " ".join(
            (
                evidence.answered("weight_norm", "spectra"),
                evidence.about(
                    ("claim-escape-slower", "claim-q-inverse-g2", "claim-infinitesimal-rate"),
                    "takagi2020.escape, takagi2020.weight_norm, takagi2020.learning_rate",
                ),
            )
        ).strip(),
        "Where does the paper's Hessian argument stand?": evidence.about(
            ("claim-hessian-sets-escape", "claim-critical-point", "claim-negative-eigenvalue-k",
             "claim-negative-eigenvalue-tau", "claim-flat-direction", "claim-flat-direction-tau"),
            "takagi2020.spectra, takagi2020.escape",
        ),
    }  # fmt: skip
