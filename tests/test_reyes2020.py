"""The ledger of reyes2020: verdicts that are computed, and that notice a wrong form."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derive import latex, readout
from derive.ledger import entries, find
from derive.papers.reyes2020 import curvature, equations
from derive.readout.symbols import K, d, r
from validate.experiments import registry

VERDICTS = {
    "claim-softmax-normalizes": "confirmed", "claim-unit-mean": "confirmed", "claim-unit-variance": "conditional",
    "block-sizes": "conditional", "claim-singular": "confirmed", "claim-singularity-grows": "confirmed",
    "claim-preconditioning": "conditional", "claim-smallest-eigenvalues": "open", "claim-table1": "open",
}  # fmt: skip
DEFINITIONS = {
    "hidden-layer", "logits", "softmax", "batch-normalization", "batch-mean", "batch-variance", "scale-and-shift",
    "loss", "last-layer-gradient", "last-layer-hessian", "pseudo-condition",
}  # fmt: skip


def test_verdicts() -> None:
    found = {e.name.partition(".")[2]: e.verdict for e in entries("reyes2020")}
    assert {name: found[name].kind for name in VERDICTS} == VERDICTS
    assert {name for name, verdict in found.items() if verdict.kind == "definition"} == DEFINITIONS
    for name, verdict in found.items():
        if verdict.kind == "open":
            assert verdict.evidence.keys() & {"experiment", "needs"}, name
            if "experiment" in verdict.evidence:
                assert f"reyes2020.{verdict.evidence['experiment']}" in registry.available(), name
    assert (
        found["claim-unit-variance"].counterexample and "epsilon = 0" in found["claim-unit-variance"].reason
    )


def test_a_wrong_normalization_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variance divided by n - 1 leaves the normalized one beside 1 even at epsilon = 0."""
    variance = equations._variance
    monkeypatch.setattr(equations, "_variance", lambda: variance() * equations.n / (equations.n - 1))
    assert equations.claim_unit_variance.__wrapped__().verdict.kind == "misprint"


def test_a_wrong_null_space_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(readout.nullity(), right=K * d - K * r)
    monkeypatch.setattr(readout, "nullity", lambda: wrong)
    assert curvature.claim_singular.__wrapped__().verdict.kind == "refuted"
    assert curvature.claim_singularity_grows.__wrapped__().verdict.kind == "refuted"


def test_the_least_number_of_zeros_in_the_paper() -> None:
    evidence = find("reyes2020.claim-singular").verdict.evidence
    assert evidence["in the 1000 weights of the paper"] == 100 and evidence["in weights and biases"] == 101


def test_examples_of_preconditioning() -> None:
    """Condition numbers of 2 x 2 examples by hand: 10 to 1, 1 to 2, 100 to 1."""
    evidence = find("reyes2020.claim-preconditioning").verdict.evidence
    pairs = next(iter(evidence.values()))
    assert [float(v) for v in pairs["centring, large mean"]] == [10, 1]
    assert [float(v) for v in pairs["centring, mean along a flat direction"]] == [1, 2]
    assert [float(v) for v in pairs["scaling, units of very different variance"]] == [100, 1]
    before, after = (float(v) for v in pairs["scaling, three correlated units"])
    assert after > 1.2 * before


def test_the_ratio_of_the_paper_at_uniform_predictions() -> None:
    entry = find("reyes2020.pseudo-condition")
    assert entry.derived is not None
    assert "mu_{1}" in latex.latex(entry.derived.right)
    assert "mu_{2}" in latex.latex(entry.derived.right)


def test_the_derivation_reaches_latex() -> None:
    text = latex.document([find("reyes2020.last-layer-hessian")], "Equations")
    assert r"\textbf{Derivation}" in text and r"\delta_{l m}" in text
