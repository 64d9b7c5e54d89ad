"""Sec. 5, Theorem 1 and equation (5): what the printed density is a density of, and what follows from it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import mpmath
from sympy import Expr, Integer, Rational, S, Symbol, cancel, limit, oo, pi, sin, sqrt

from derive.equation import LedgerEntry, Verdict
from derive.evaluate import evaluate
from derive.ledger import DIGITS, Condition, Point, compare, judge, judge_equation
from derive.papers.bjorck2018.setting import PAPER, paper, words
from derive.products import M, finite_moment, moment, spectral_law, upper_end
from derive.products.density import phi

scale = Symbol("Sigma", positive=True)
"""The product of all sigma_i^2."""


def _point(seed: int) -> Point:
    draw = random.Random(seed)
    factors = draw.randint(1, 9)
    # phi runs up to pi/(M + 1).
    return {
        "M": Integer(factors), "phi": Rational(draw.randint(10, 300), 100 * (factors + 1)),
        "Sigma": Rational(draw.randint(30, 300), 100),
    }  # fmt: skip


POINTS: Sequence[Point] = tuple(_point(seed) for seed in range(1, 9))
UNIT_SCALE = Condition("the product of all sigma_i is one", lambda p: p | {"Sigma": 1})

PRINTED_X = sin((M + 1) * phi) ** (M + 1) / (sin(phi) * sin(M * phi) ** M)
PRINTED_DENSITY = sin((M + 1) * phi) / sin(M * phi) * sin(phi) / (pi * PRINTED_X)
PRINTED_END = (M + 1) ** (M + 1) / M**M


@paper.entry
def eq5_x() -> LedgerEntry:
    return judge_equation(
        f"{PAPER}.eq5-x", "the argument of the density along the parameter phi", Symbol("x"), PRINTED_X,
        spectral_law().equations()[0], source="bjorck2018, (5)", points=POINTS,
    )  # fmt: skip


@paper.entry
def eq5() -> LedgerEntry:
    return judge_equation(
        f"{PAPER}.eq5", "the density at that argument, of squared singular values", Symbol("rho_M"),
        PRINTED_DENSITY, spectral_law().equations()[1], source="bjorck2018, (5)", points=POINTS,
    )  # fmt: skip


@paper.entry
def theorem1_variable() -> LedgerEntry:
    """The theorem calls (5) the density of singular values; their mean square decides."""
    # (1/N) tr X X^T has the mean 1, at any N; under the printed density the mean square is its second moment.
    printed, exact = moment(2), finite_moment(1)
    right = compare(printed, exact, points=[p | {"N": 1000} for p in POINTS])
    law = spectral_law()
    corrected = 2 * sqrt(law.x) * law.density
    return paper.claim(
        "theorem1-variable",
        "(5) is the density of the singular values of X",
        Verdict(
            "confirmed" if right.equal else "misprint",
            f"as singular values, x would have the mean square {words(printed)}; by the definition it is {exact}. "
            "x is a squared singular value, an eigenvalue of X X^T; the density of the singular value sigma = "
            "sqrt(x) is 2 sigma rho_M(sigma^2), on (0, sqrt((M + 1)^(M + 1)/M^M))",
            corrected=corrected,
            counterexample=_density_at_one_value(3, Rational(3, 2)),
            evidence={"mean square as printed": printed, "mean square by the definition": exact},
        ),
    )


def _density_at_one_value(factors: int, sigma: Rational) -> dict[str, Any]:
    """The printed density and that of singular values at one singular value, to 50 digits."""
    printed = evaluate(PRINTED_DENSITY, _on_curve(factors, sigma), DIGITS)
    with mpmath.workdps(DIGITS + 10):
        jacobian = 2 * mpmath.mpf(sigma.p) / sigma.q
        derived = jacobian * evaluate(spectral_law().density, _on_curve(factors, sigma**2), DIGITS)
    return {
        "M": factors, "sigma": str(sigma), "printed": mpmath.nstr(printed, DIGITS),
        "derived": mpmath.nstr(derived, DIGITS),
    }  # fmt: skip


def _on_curve(factors: int, x: Rational) -> Point:
    """The point of the derived curve with this x, which falls along phi."""
    with mpmath.workdps(DIGITS + 10):
        found = mpmath.findroot(
            lambda angle: evaluate(spectral_law().x, {"M": factors, "phi": angle}, DIGITS + 10) - x,
            (mpmath.mpf(1) / 1000, (mpmath.pi - mpmath.mpf(1) / 1000) / (factors + 1)),
            solver="anderson", tol=mpmath.mpf(10) ** (-2 * DIGITS),
        )  # fmt: skip
    return {"M": factors, "phi": found}


@paper.entry
def theorem1_support() -> LedgerEntry:
    entry = judge_equation(
        f"{PAPER}.theorem1-support", "for entries of variances sigma_i^2/N the support ends at this x",
        Symbol("x_end"), PRINTED_END, scale * upper_end(), conditions=(UNIT_SCALE,),
        source="bjorck2018, Theorem 1", points=POINTS,
    )  # fmt: skip
    return _scaled(entry, "x ends")


@paper.entry
def theorem1_scale() -> LedgerEntry:
    """The density for entries of variances sigma_i^2/N, at the scaled argument x Sigma."""
    law = spectral_law()
    entry = judge_equation(
        f"{PAPER}.theorem1-scale", "the density holds for any variances sigma_i^2/N of the entries",
        Symbol("rho_M"), PRINTED_DENSITY, law.density / scale, conditions=(UNIT_SCALE,),
        source="bjorck2018, Theorem 1", points=POINTS,
    )  # fmt: skip
    return _scaled(entry, "x is distributed")


def _scaled(entry: LedgerEntry, what: str) -> LedgerEntry:
    """A reason that says what the printed form lacks, where it holds for unit scale only."""
    if entry.verdict.kind != "conditional":
        return entry
    reason = (
        f"{what} as printed only if {UNIT_SCALE.statement}; otherwise the product Sigma of all sigma_i^2 multiplies x"
    )
    return replace(entry, verdict=replace(entry.verdict, reason=reason))


@paper.entry
def claim_origin() -> LedgerEntry:
    """x^a for squared singular values is sigma^(2 a + 1) for singular values."""
    printed = -M / (M + 1)
    squared = spectral_law().origin_exponent
    plain = cancel(2 * squared + 1)
    verdict = judge(printed, plain, points=POINTS)
    if judge(printed, squared, points=POINTS).kind == "confirmed" and verdict.kind != "confirmed":
        verdict = Verdict(
            "conditional",
            "near the origin it is the density of the squared singular value that goes as x^(-M/(M + 1)); that of "
            f"the singular value goes as sigma^({words(plain)}), which does not blow up for M = 1",
            corrected=plain, counterexample=verdict.counterexample,
            evidence={"exponent of squared singular values": squared, "of singular values": plain},
        )  # fmt: skip
    return paper.claim(
        "claim-origin", "near the origin the distribution of singular values blows up as x^(-M/(M+1))", verdict
    )


@cache
def _growth() -> tuple[Expr, Expr]:
    """The limits of the largest x over M, and of its root, the largest singular value, over M."""
    end = upper_end() / M
    real = Symbol("y", positive=True)
    squared = limit(end.subs(M, real), real, oo)
    return squared, limit(sqrt(end / M).subs(M, real), real, oo)


@paper.entry
def claim_largest() -> LedgerEntry:
    squared, plain = _growth()
    if plain != 0:
        verdict = Verdict("confirmed", f"sigma_max/M tends to {plain}")
    else:
        verdict = Verdict(
            "conditional" if squared.is_positive and squared.is_finite else "refuted",
            f"it is the largest squared singular value that grows as {words(squared)} M; the largest singular value "
            f"grows as sqrt({words(squared)} M)",
            corrected=sqrt(upper_end()),
            evidence={"limit of x_max/M": squared, "limit of sigma_max/M": plain},
        )  # fmt: skip
    return paper.claim("claim-largest", "the largest singular value scales as O(M) for large matrices", verdict)


@paper.entry
def claim_heavier_tails() -> LedgerEntry:
    """Every moment over the power of the mean grows with M, but the support stays bounded."""
    kurtosis = cancel(moment(2) / moment(1) ** 2)
    growing = all(_grows(moment(order) / moment(1) ** order) for order in range(2, 7))
    return paper.claim(
        "claim-heavier-tails",
        "the distribution becomes more heavy-tailed the more matrices are multiplied (Figure 8)",
        Verdict(
            "confirmed" if growing else "refuted",
            f"<sigma^4>/<sigma^2>^2 is {words(kurtosis)}, and every scaled moment of order 2 to 6 grows with M; at any "
            f"M the support is bounded, and ends at {words(_growth()[0])} M times the mean for large M",
            evidence={"<x^2>/<x>^2": kurtosis, "orders tested": [2, 6]},
        ),
    )  # fmt: skip


def _grows(polynomial: Expr) -> bool:
    """A polynomial in M without negative coefficients and not constant."""
    coefficients = polynomial.expand().as_poly(M).all_coeffs()
    return len(coefficients) > 1 and all(c >= S.Zero for c in coefficients)


@paper.entry
def claim_practical_size() -> LedgerEntry:
    return paper.claim(
        "claim-practical-size",
        "matrices of practical size (N = 1000) are distributed alike, and single runs look similar (Figure 9)",
        paper.needs("products"),
    )


@paper.entry
def claim_condition_measured() -> LedgerEntry:
    return paper.claim(
        "claim-condition-measured",
        "the condition number of a product grows with the number of factors (Figure 20, not given)",
        paper.needs("products"),
    )
