"""Eigenvalues in closed form: of the curvature in the classes, and of the Hessian for uniform predictions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sympy import (
    Expr,
    IndexedBase,
    KroneckerDelta,
    Product,
    S,
    Sum,
    Symbol,
    cancel,
    ceiling,
    expand,
    factor,
    simplify,
    solve,
)

from derive.equation import Equation, Step
from derive.errors import DerivationError
from derive.readout.loss import curvature
from derive.readout.symbols import K, k, l, m, p
from derive.wide.blocks import Blocks, Eigenspace

eigenvalue = Symbol("lambda")

mu = IndexedBase("mu", positive=True)
"""Eigenvalues of the second moments <h_i h_j> of the features over the samples, the largest first."""

right = Symbol("p", positive=True)
"""The probability of one class where all others are alike."""


@dataclass(frozen=True)
class UniformSpectrum:
    """The readout's Hessian at p_k = 1/K is A times the second moments of the features, a Kronecker product:
    ``scale`` mu_s for every eigenvalue mu_s of these, ``multiplicity`` times each; the rest is zero."""

    scale: Expr
    multiplicity: Expr
    steps: tuple[Step, ...]

    def eigenvalue(self, rank: Expr | int) -> Expr:
        """The eigenvalue of that rank, the largest having 1."""
        return self.scale * mu[ceiling(rank / self.multiplicity)]

    def equation(self) -> Equation:
        s = Symbol("s", integer=True, positive=True)
        return Equation(
            "readout.uniform-spectrum", Symbol("lambda"), self.scale * mu[s],
            meaning={"lambda": f"eigenvalue of the Hessian, {self.multiplicity} times for every s; all others vanish",
                     "mu_s": "eigenvalue of the second moments of the features"},
            source="derived for uniform predictions", steps=self.steps,
        )  # fmt: skip


@cache
def uniform_classes() -> Blocks:
    """A_lm at p_k = 1/K, by its eigenvalues on 1 and on the rest."""
    entry = curvature().value.subs({p[l]: 1 / K, p[m]: 1 / K})
    return Blocks.of_entries(entry.subs(KroneckerDelta(l, m), 1), entry.subs(KroneckerDelta(l, m), 0), K)


@cache
def uniform_spectrum() -> UniformSpectrum:
    """Eigenvalues of the Hessian where every class is predicted with the same probability."""
    blocks = uniform_classes()
    spaces: list[Eigenspace] = [e for e in blocks.eigenspaces if e.value != 0]
    if len(spaces) != 1:
        raise DerivationError("uniform predictions have more than one eigenvalue in the classes")
    even = curvature().value.subs({p[l]: 1 / K, p[m]: 1 / K})
    steps = (
        Step("p = 1/K", even, None, "the curvature in the classes l and m"),
        Step("eigenvalue in the classes", spaces[0].value, None,
             f"for vectors {spaces[0].vectors}, {spaces[0].multiplicity} of them; 0 for (1, ..., 1)"),
        Step("Kronecker product", spaces[0].value * mu[Symbol("s")], None,
             "the curvature does not depend on the sample, so that the mean reaches the features alone"),
    )  # fmt: skip
    return UniformSpectrum(spaces[0].value, spaces[0].multiplicity, steps)


@cache
def secular_equation() -> Equation:
    """What eigenvalues of A_lm other than zero solve: sum_k p_k/(p_k - lambda) = 0.

    A = diag(p) - p p^T; by the determinant of a matrix with a rank-one part, det(A - lambda) =
    prod_k (p_k - lambda) (1 - sum_k p_k^2/(p_k - lambda)).
    """
    off = expand(curvature().value.subs(KroneckerDelta(l, m), 0))
    if off != -p[l] * p[m]:
        raise DerivationError("the curvature is not diagonal but for -p p^T")
    diagonal = cancel(curvature().value.subs(KroneckerDelta(l, m), 1).subs(p[m], p[l]) + p[l] ** 2)
    before = 1 - Sum(diagonal.subs(l, k) ** 2 / (p[k] - eigenvalue), (k, 1, K))
    # p^2/(p - lambda) = p + lambda p/(p - lambda), and the p_k sum to one.
    kept = cancel((p[k] ** 2 / (p[k] - eigenvalue) - p[k]) / eigenvalue)
    after = Sum(kept, (k, 1, K))
    steps = (
        Step(
            "rank one",
            Product(p[k] - eigenvalue, (k, 1, K)) * before,
            None,
            "det(A - lambda), for A = diag(p) - p p^T",
        ),
        Step("probabilities sum to one", before, -eigenvalue * after, "the second factor"),
    )
    return Equation(
        "readout.secular-equation", S.Zero, after,
        meaning={"lambda": "eigenvalue of the curvature in the classes; one lies between each two neighbouring p_k"},
        source="derived from the curvature of softmax cross-entropy", steps=steps,
    )  # fmt: skip


@cache
def lopsided_classes() -> tuple[Eigenspace, ...]:
    """Eigenvalues of A_lm where one class has probability p and the others share the rest evenly."""
    other = (1 - right) / (K - 1)
    term = secular_equation().right.function
    equation = term.subs(p[k], right) + (K - 1) * term.subs(p[k], other)
    (apart,) = (factor(s) for s in solve(simplify(equation), eigenvalue) if simplify(s) != 0)
    trace = 1 - right**2 - (K - 1) * other**2  # of p_k (1 - p_k) over the classes
    return (
        Eigenspace(apart, S.One, "the class against all others"),
        Eigenspace(factor(other), factor(simplify((trace - apart) / other)), "between the others"),
        Eigenspace(S.Zero, S.One, "(1, ..., 1)"),
    )
