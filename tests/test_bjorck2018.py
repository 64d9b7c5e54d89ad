"""The ledger of bjorck2018: what is claimed is judged, what is printed wrong is noticed, what is open says why."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sympy import Symbol, lambdify

from derive import ledger
from derive.papers.bjorck2018 import convolution, noise, theorem
from derive.papers.bjorck2018.conditioning import claim_single_matrix
from derive.products import M
from derive.products.density import phi, spectral_law
from numerics.products import ProductLaw

EXPECTED = {
    "definition": {"eq1", "eq3"},
    "misprint": {"theorem1-variable"},
    "refuted": {"table1-factor-two"},
    "conditional": {
        "eq2-epochs", "claim-unbiased", "claim-noise-alike", "table1-explains", "theorem1-support",
        "theorem1-scale", "claim-origin", "claim-largest", "claim-kappa-rate", "claim-single-matrix",
    },
    "confirmed": {
        "eq2", "eq4", "eq5-x", "eq5", "table1-ratios", "claim-one-negative", "claim-heavier-tails",
        "claim-pathological", "claim-exponent", "claim-scale-factors", "claim-condition-depth",
        "claim-kappa-convergence", "claim-kappa-gradients",
    },
}  # fmt: skip


def entry(name: str):
    return ledger.find(f"bjorck2018.{name}")


def test_verdicts():
    entries = ledger.entries("bjorck2018")
    found = {
        kind: {e.name.partition(".")[2] for e in entries if e.verdict.kind == kind} for kind in EXPECTED
    }
    assert found == EXPECTED


def test_every_open_claim_names_an_experiment_or_what_it_lacks():
    for each in ledger.entries("bjorck2018"):
        if each.verdict.kind == "open":
            assert each.verdict.evidence.keys() & {"experiment", "needs"}, each.name


@pytest.mark.parametrize("factors", [1, 3])
def test_the_corrected_density_is_that_of_singular_values(factors):
    """By quadrature along phi: mass 1, mean square 1; the printed one has the mean M + 1 for a mean square."""
    law = spectral_law()
    corrected = entry("theorem1-variable").verdict.corrected
    along = lambdify(phi, [law.x.subs(M, factors), law.density.subs(M, factors), corrected.subs(M, factors)])
    end = math.pi / (factors + 1)
    angle = end * (1 - np.linspace(1e-6, 1 - 1e-6, 400_001) ** 3)  # towards x = 0, where the mass is, last
    x, printed, density = along(angle)
    sigma = np.sqrt(x)
    assert np.trapezoid(density, sigma) == pytest.approx(1, abs=2e-3)
    assert np.trapezoid(density * sigma**2, sigma) == pytest.approx(1, abs=1e-5)
    assert np.trapezoid(printed * x**2, x) == pytest.approx(factors + 1, abs=1e-4)


def test_the_counterexample_is_on_the_derived_curve():
    point = entry("theorem1-variable").verdict.counterexample
    law, sigma = ProductLaw(point["M"]), 1.5
    assert float(point["printed"]) == pytest.approx(float(law.density(sigma)), rel=1e-12)
    assert float(point["derived"]) == pytest.approx(2 * sigma * float(law.density(sigma**2)), rel=1e-12)


def test_largest_singular_value_against_the_law_at_many_factors():
    ends = np.array([ProductLaw(m).support_end for m in (100, 400)])
    assert ends / np.array([100, 400]) == pytest.approx([math.e] * 2, rel=0.01)
    assert "e M" in entry("claim-largest").verdict.reason


@pytest.mark.parametrize(
    ("module", "name", "make"),
    [
        (theorem, "PRINTED_DENSITY", theorem.eq5),
        (theorem, "PRINTED_X", theorem.eq5_x),
        (noise, "PRINTED_BOUND", noise.eq2),
    ],
)
def test_a_wrong_printed_form_is_a_misprint(monkeypatch, module, name, make):
    monkeypatch.setattr(module, name, getattr(module, name) * (1 + Symbol("M") / 1000 if module is theorem else 2))
    judged = make.__wrapped__()
    assert judged.verdict.kind == "misprint" and judged.verdict.counterexample


def test_a_kernel_gradient_with_swapped_places_is_a_misprint(monkeypatch):
    right = convolution._sum_of_terms
    monkeypatch.setattr(convolution, "_sum_of_terms", lambda o, i, s, t: right(o, i, t, s))
    assert convolution.eq4.__wrapped__().verdict.kind == "misprint"


def test_table_that_does_not_hold_together_is_noticed(monkeypatch):
    rows = (("layer 18 with BN", "7.5e-05", "3.0e-07", "260.8"), *convolution.TABLE1[1:])
    monkeypatch.setattr(convolution, "TABLE1", rows)
    judged = convolution.table1_ratios.__wrapped__()
    assert judged.verdict.kind == "misprint" and "layer 18" in judged.verdict.reason


def test_one_factor_of_a_linear_network_numerically():
    """The Hessian by finite differences has the eigenvalues that the claim's verdict names."""
    rng = np.random.default_rng(2)
    left, right, x, y = rng.standard_normal((3, 3)), rng.standard_normal((3, 3)), *rng.standard_normal((2, 3))

    def loss(flat):
        return ((left @ flat.reshape(3, 3) @ right @ x - y) ** 2).sum() / 2

    eye = np.eye(9)
    centre = rng.standard_normal(9)
    hessian = np.array(
        [[sum(a * b * loss(centre + a * u + b * v) for a in (1, -1) for b in (1, -1)) / 4 for u in eye] for v in eye]
    )
    claimed = np.linalg.svd(left, compute_uv=False) ** 2 * ((right @ x) ** 2).sum()
    assert np.linalg.eigvalsh(hessian)[::-1][:3] == pytest.approx(claimed, rel=1e-9)
    assert claim_single_matrix().verdict.kind == "conditional"
