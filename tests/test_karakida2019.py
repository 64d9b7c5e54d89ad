"""The ledger of karakida2019: verdicts, and counterexamples and constants against direct arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sympy import Symbol, lambdify

from derive.ledger import entries, find, judge
from derive.papers.karakida2019.last_layer import eq18_lower
from derive.papers.karakida2019.setting import points
from derive.wide.batch_last import jacobian as batch_jacobian
from derive.wide.layer_normalization import jacobian as layer_jacobian
from derive.wide.layer_normalization import square_sum

CONDITIONAL = {
    "eq5", "eq5-power", "eq7", "eq12", "theorem-2-2", "theorem-3-1", "theorem-4-1", "claim-kappas-positive",
    "claim-centered-kappa-2-zero", "claim-gamma-is-a-scale", "claim-constants-positive",
}  # fmt: skip
MEASURED = {
    "assumption-3-2", "claim-q-half", "claim-order-one", "claim-figure-1", "claim-loose-bounds",
    "claim-rate-predicts", "claim-larger-rate", "claim-rate-independent-of-width", "claim-trials",
    "claim-centered-order-one", "claim-last-layer-is-vital",
}  # fmt: skip


def test_verdicts() -> None:
    found = {e.name.partition(".")[2]: e.verdict for e in entries("karakida2019")}
    assert {name for name, v in found.items() if v.kind == "conditional"} == CONDITIONAL
    assert {name for name, v in found.items() if v.kind == "open"} == MEASURED
    assert {v.kind for v in found.values()} == {"definition", "confirmed", "conditional", "open"}
    assert all(found[name].evidence["experiment"] for name in MEASURED)


def test_every_numbered_equation_is_there() -> None:
    names = {e.name.partition(".")[2] for e in entries("karakida2019")}
    for number in range(1, 28):
        assert any(name == f"eq{number}" or name.startswith(f"eq{number}-") for name in names), number


def test_entries_answer_to_their_names() -> None:
    for entry in entries("karakida2019"):
        assert find(entry.name) is entry


@pytest.mark.parametrize("factor", [2, Symbol("rho", positive=True)])
def test_a_wrong_factor_would_be_a_misprint(factor: object) -> None:
    entry = eq18_lower()
    assert entry.printed is not None
    assert entry.derived is not None
    wrong = judge(entry.printed.right * factor, entry.derived.right, points=points())
    assert wrong.kind == "misprint"
    assert wrong.counterexample is not None


def test_non_centered_by_definition_with_no_kappa_2() -> None:
    """|u| - 2/sqrt(pi), sigma_w^2 = 2, L = 2: uncorrelated inputs stay so after the first layer, against 2 M units."""
    rng = np.random.default_rng(1)
    u, v = math.sqrt(2) * rng.standard_normal((2, 2_000_000))
    shift = 2 / math.sqrt(math.pi)
    product = (np.abs(u) - shift) * (np.abs(v) - shift)
    deviation = product.std() / math.sqrt(len(u))
    assert abs(product.mean()) < 4 * deviation
    unit = np.abs(u / math.sqrt(2)) - shift  # Definition 2.1 looks here, at variance one
    assert abs(unit.mean()) > 100 * unit.std() / math.sqrt(len(u))


def test_projections_are_the_jacobians() -> None:
    for exact, projected in (batch_jacobian(4), layer_jacobian(4)):
        point = {s: value for s, value in zip(sorted(exact.free_symbols, key=str), (0.3, -1.2, 0.8, 2.1), strict=True)}
        difference = np.array((exact - projected).subs(point).tolist(), dtype=float)
        assert np.abs(difference).max() < 1e-14


@pytest.mark.parametrize("outputs", [3, 4, 7])
def test_the_sum_of_squares_under_layer_normalization(outputs: int) -> None:
    """s from explicit blocks kappa'_st P_s P_t / (sigma_s sigma_t) of random outputs, against (27)."""
    samples, one, two = 5, 1.7, 0.6
    rng = np.random.default_rng(outputs)
    u = rng.standard_normal((samples, outputs)) + rng.standard_normal(outputs)
    centered = u - u.mean(1, keepdims=True)
    sigma = np.sqrt((centered**2).mean(1))
    f = centered / sigma[:, None]
    P = np.eye(outputs) - 1 / outputs - np.einsum("sk,sl->skl", f, f) / outputs
    kappa = np.where(np.eye(samples, dtype=bool), one, two)
    gram = np.einsum("st,skl,tlm,s,t->sktm", kappa, P, P, 1 / sigma, 1 / sigma) / samples
    overlaps = (f @ f.T / outputs) ** 2 / np.outer(sigma, sigma) ** 2
    values = {
        "C": outputs, "T": samples, "kappa_1": one, "kappa_2": two, "eta_1": (sigma**-2).mean(),
        "eta_2": (sigma**-4).mean(), "eta_3": math.sqrt(overlaps.mean()),
    }  # fmt: skip
    expression = square_sum()
    names = sorted(expression.free_symbols, key=str)
    predicted = lambdify(names, expression)(*(values[s.name] for s in names))
    assert (gram**2).sum() == pytest.approx(predicted, rel=1e-12)
