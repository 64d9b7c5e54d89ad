"""Sec. 4.1: the generalization of a linear student, by least squares and with gamma decay."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import mpmath
from sympy import Expr, Symbol, sqrt

from derive.equation import LedgerEntry, Verdict, VerdictKind
from derive.evaluate import evaluate
from derive.ledger import DIGITS, compare, judge_equation
from derive.papers.luo2019.replica_setting import (
    OVERLOADED,
    POINTS,
    UNDERLOADED,
    S,
    alpha,
    chi_at,
    linear_error,
    zeta,
)
from derive.papers.luo2019.setting import paper
from derive.replica import symbols as engine

PAPER = paper.name
_error = Symbol("epsilon_gen", positive=True)


@paper.entry
def curve_sgd_underloaded() -> LedgerEntry:
    from sympy import limit, oo

    derived = limit(linear_error(), engine.chi, oo)
    return judge_equation(
        f"{PAPER}.curve-sgd-underloaded", "vanilla SGD, linear student, alpha < 1: the shortest least squares",
        _error, 1 - alpha + alpha * S / (1 - alpha), derived, given=(UNDERLOADED,), source="luo2019, Sec. 4.1",
        points=POINTS,
    )  # fmt: skip


@paper.entry
def curve_sgd_overloaded() -> LedgerEntry:
    derived = linear_error().subs(engine.chi, 1 / (alpha - 1)).cancel()
    return judge_equation(
        f"{PAPER}.curve-sgd-overloaded", "vanilla SGD, linear student, alpha > 1: least squares", _error,
        S / (alpha - 1), derived, given=(OVERLOADED,), source="luo2019, Sec. 4.1", points=POINTS,
    )  # fmt: skip


def _printed_decay() -> Expr:
    edges = sqrt(zeta + (1 + sqrt(alpha)) ** 2) * sqrt(zeta + (1 - sqrt(alpha)) ** 2)
    G = (1 - alpha - zeta + edges) / (2 * zeta)
    return S * (zeta * G).diff(zeta) - zeta**2 * G.diff(zeta)


@cache
def _decay_error(penalty: str) -> Expr:
    ridge = zeta if penalty == "sum" else alpha * zeta
    return linear_error().subs(engine.chi, chi_at(ridge))


@paper.entry
def curve_gamma_decay() -> LedgerEntry:
    """The same penalty beside the sum of the squared errors, and beside their mean, as the loss is printed."""
    beside_mean = judge_equation(
        f"{PAPER}.curve-gamma-decay", "weight normalization with gamma decay, linear student", _error,
        _printed_decay(), _decay_error("mean"), source="luo2019, Sec. 4.1", points=POINTS,
    )  # fmt: skip
    beside_sum = compare(_printed_decay(), _decay_error("sum"), points=POINTS)
    if beside_mean.verdict.kind == "confirmed" or not beside_sum.equal:
        return beside_mean
    found = beside_mean.verdict
    verdict = Verdict(
        "conditional",
        "holds if zeta multiplies |w|^2 beside the sum of the squared errors; beside their mean, as the loss is "
        "printed, zeta gamma^2 is a ridge alpha zeta",
        found.corrected, found.counterexample, found.evidence,
    )  # fmt: skip
    return replace(beside_mean, verdict=verdict)


@paper.entry
def claim_best_decay() -> LedgerEntry:
    """d error / d zeta at zeta = S, for both penalties, and at zeta = S/alpha."""
    slopes = {
        "beside the sum, zeta = S": (_decay_error("sum"), S),
        "beside the mean, zeta = S": (_decay_error("mean"), S),
        "beside the mean, zeta = S/alpha": (_decay_error("mean"), S / alpha),
    }
    largest = {
        name: max(abs(evaluate(error.diff(zeta).xreplace({zeta: at}), point, DIGITS)) for point in POINTS)
        for name, (error, at) in slopes.items()
    }
    flat = {name: slope < mpmath.mpf(10) ** -40 for name, slope in largest.items()}
    both = flat["beside the sum, zeta = S"] and flat["beside the mean, zeta = S"]
    kind: VerdictKind = (
        "confirmed" if both else "conditional" if flat["beside the sum, zeta = S"] else "refuted"
    )
    return paper.claim(
        "claim-best-decay",
        "no strength of the decay is better than one equal to the variance of the noise",
        Verdict(
            kind,
            "holds for a penalty beside the sum of the squared errors; beside their mean the best strength is S/alpha",
            evidence={name: mpmath.nstr(slope, 5) for name, slope in largest.items()},
        ),
    )


@paper.entry
def claim_bn_equals_decay() -> LedgerEntry:
    return paper.claim(
        "claim-bn-equals-decay",
        "linear student: batch normalization of batches of M generalizes as gamma decay of strength 1/(2M)",
        paper.needs("regression"),
    )
