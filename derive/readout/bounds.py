"""Traces of the readout's Hessian in closed form, and what bounds its eigenvalues.

The curvature in the classes lies between multiples of I - 11^T/K, so that every eigenvalue of the Hessian lies
between multiples of the one for uniform predictions.
"""

from __future__ import annotations

from functools import cache

from sympy import Expr, IndexedBase, KroneckerDelta, S, Sum, Symbol, expand, factor, log, solve

from derive.equation import Equation, Step
from derive.errors import DerivationError
from derive.readout.loss import curvature
from derive.readout.structure import quadratic_form
from derive.readout.symbols import K, a, k, l, m, over_classes, p

q = IndexedBase("q", real=True)
"""Probabilities of another sample."""

right = Symbol("p", positive=True)
"""The predicted probability of the right class."""

MEANING = {"p_k": "predicted probability of class k", "h_i": "feature i"}


@cache
def trace() -> Equation:
    """tr A: the trace of a sample's Hessian is this times |h|^2."""
    diagonal = curvature().value.subs(m, l)
    value = over_classes(diagonal, l)
    return Equation(
        "readout.trace", Symbol(r"\mathrm{tr} A"), value, meaning=MEANING, source="derived from the curvature", steps=(
            Step("sum over classes", Sum(diagonal, (l, 1, K)), value),
        ),
    )  # fmt: skip


@cache
def uniform_trace() -> Expr:
    """tr A at p_k = 1/K."""
    return trace().right.replace(Sum, lambda term, limits: Sum(term.xreplace({p[k]: 1 / K}), limits).doit())


@cache
def trace_of_square() -> Equation:
    """tr A(p) A(q) for two samples; times (h.h')^2 and averaged over pairs it is the trace of the square."""
    other = curvature().value.subs({p[l]: q[l], p[m]: q[m]}, simultaneous=True)
    # delta_lm^2 = delta_lm
    product = expand(curvature().value * other).replace(
        lambda e: e.is_Pow and isinstance(e.base, KroneckerDelta), lambda e: e.base
    )
    value = over_classes(over_classes(product, m), l)
    return Equation(
        "readout.trace-of-square", Symbol(r"\mathrm{tr} A A^{\prime}"), value,
        meaning={**MEANING, "q_k": "predicted probability of class k for another sample"},
        source="derived from the curvature",
        steps=(Step("sum over classes", Sum(product, (l, 1, K), (m, 1, K)), value),),
    )  # fmt: skip


@cache
def steepest() -> Expr:
    """What no eigenvalue of A exceeds: twice p_k (1 - p_k) at its largest, by the circles of Gershgorin.

    The eigenvalues of the Hessian are at most this times those of the second moments of the features.
    """
    off = (
        over_classes(-curvature().value.subs(KroneckerDelta(l, m), 0), m) - p[l] ** 2
    )  # the absolute row sum, m != l
    circle = factor(expand(curvature().value.subs(m, l) + off).subs(p[l], right))
    (top,) = solve(circle.diff(right), right)
    if circle.diff(right, 2).subs(right, top) >= 0:
        raise DerivationError("the circles have no largest radius")
    return circle.subs(right, top)


@cache
def sandwich() -> Equation:
    """sum_k p_k (a_k - c)^2 = variance + (mean - c)^2 for every c.

    With c the mean of a_k under p, the variance is at least min p_k times sum_k (a_k - c)^2, and that at least
    its value for the plain mean; with c the plain mean it is at most max p_k times the same.  So

        min p_k (I - 11^T/K) <= A <= max p_k (I - 11^T/K)

    as quadratic forms, and each eigenvalue of the Hessian is between K min p_k and K max p_k (over samples and
    classes) times that of the same rank at uniform predictions.
    """
    c = Symbol("c", real=True)
    left = over_classes(p[k] * (a[k] - c) ** 2, k)
    rest = (Sum(a[k] * p[k], (k, 1, K)) - c) ** 2
    if expand(left - quadratic_form().right - rest) != 0:
        raise DerivationError("the mean square about c is not variance plus square")
    return Equation(
        "readout.sandwich", Sum(p[k] * (a[k] - c) ** 2, (k, 1, K)), quadratic_form().right + rest,
        meaning={"a_k": "change of the logit of class k", "c": "any number"}, source="derived from the quadratic form",
        steps=(Step("expand", Sum(p[k] * (a[k] - c) ** 2, (k, 1, K)), left, "probabilities sum to one"),),
    )  # fmt: skip


@cache
def loss_bound() -> Equation:
    """tr A <= 2 (1 - p) <= 2 L for a sample whose right class is predicted with p = exp(-L): what is learned is flat.

    The Hessian's trace, and its largest eigenvalue, are at most twice the mean of L |h|^2.
    """
    whole = trace().right
    others = whole - (1 - right**2)  # what is left of -sum_k p_k^2 without the right class: not positive
    if expand(others + Sum(p[k] ** 2, (k, 1, K)) - right**2) != 0:
        raise DerivationError("the trace is not one less the sum of squares")
    kept = factor(1 - right**2)
    twice = 2 * (1 - right)
    if factor(twice - kept).subs(right, S.Half) <= 0 or solve(twice - kept, right) != [1]:
        raise DerivationError("the bound fails inside (0, 1)")
    steps = (
        Step("trace", whole, None, "the next lines are at least as large"),
        Step("the right class alone", kept, None, "the squares of the others are not negative"),
        Step("p <= 1", twice, None, "for 1 + p <= 2"),
        Step("concavity", -2 * log(right), None, "log p lies below its tangent at 1, which is p - 1"),
    )
    return Equation(
        "readout.loss-bound", Symbol("bound"), -2 * log(right),
        meaning={"bound": "of tr A", "p": "predicted probability of the right class"},
        source="derived from the trace", steps=steps,
    )  # fmt: skip
