"""Propositions 1 to 4: fixed point, eigenvalues, maximal and effective learning rates.

Judged for the ReLU perceptron at gamma_0 = 1/(2 zeta + 1), R_0 = 1, with the derived I_2; what the printed
(15) would make of them stands in the evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import mpmath
from sympy import Expr, Rational, S, Symbol, factor, fraction, simplify, solve

from derive.equation import LedgerEntry, Verdict
from derive.ledger import Point, compare, judge, judge_equation
from derive.papers.luo2019.dynamics import printed_I2
from derive.papers.luo2019.setting import (
    PAPER,
    POINTS,
    Condition,
    angle,
    eta,
    gamma,
    in_words,
    norm,
    paper,
    relu,
    zeta,
)
from derive.perceptron import at_alignment, long_time, perceptron, slope
from derive.symbols import batch, label_noise

Q0, L0 = gamma, norm
"""gamma_0 is called Q_0 in the appendix."""
_ORDER = (gamma, angle, norm)


def _fixed(point: Point) -> Point:
    return point | {"gamma": 1 / (1 + 2 * point["zeta"]), "R": 1}


FIXED: Sequence[Point] = tuple(_fixed(p) for p in POINTS)
WEIGHT_NORMALIZATION = Condition("zeta = 0", lambda p: _fixed(p | {"zeta": 0}))
"""Without decay, at its own fixed point."""


@cache
def eigenvalues() -> tuple[Expr, Expr]:
    """The diagonal of the complete Jacobian at (gamma_0, 1, L): along gamma, along R."""
    matrix = relu().jacobian.subs(gamma, relu().gain)
    return factor(matrix[0, 0]), factor(matrix[1, 1])


@cache
def maximal_rate() -> Expr:
    """The effective learning rate eta gamma_0/L^2 at which the derived lambda_R vanishes, in zeta."""
    effective = Symbol("eta_eff", positive=True)
    rate = simplify(eigenvalues()[1].subs(eta, effective * norm**2 / relu().gain) * norm**2)
    # lambda_R is -c eta_eff + d eta_eff^2.
    polynomial = rate.expand()
    above, below = fraction(factor(-polynomial.coeff(effective, 1) / polynomial.coeff(effective, 2)))
    sign = 1 if below.subs(zeta, 0) > 0 else -1
    return sign * above / (sign * below).expand()


def printed_maximal(second: Expr) -> Expr:
    """eta_max of batch normalization as Table 1 has it, for an I_2 of which ``second`` is the R derivative."""
    first = slope(gamma * relu().I3 - relu().I1, angle) / gamma - zeta * gamma
    return simplify((first / (second / 2)).subs(gamma, relu().gain))


@paper.entry
def proposition1() -> LedgerEntry:
    """The fixed point of the first order in eta; with the second there is none for zeta > 0."""
    first_order = judge(1 / (2 * zeta + 1), relu().gain, points=POINTS)
    growth = at_alignment(relu().rates[norm].xreplace({batch: S.One, label_noise: S.Zero}))
    growth = factor(growth.subs(gamma, relu().gain))
    still = compare(S.Zero, growth, points=FIXED)
    evidence = {
        "gamma_0 from the first order in eta": relu().gain,
        "dL/dt at (gamma_0, 1, L)": growth,
        "gamma_0 for a linear unit": perceptron("identity").gain,
        "L^4 / t at late times, gamma the gain at rest": long_time(relu()).norm4,
        "(1 - R) sqrt(t) at late times": long_time(relu()).misalignment,
    }
    statement = "the ReLU perceptron has the fixed point gamma_0 = 1/(2 zeta + 1), R_0 = 1, L_0 arbitrary"
    if first_order.kind != "confirmed" or still.equal:
        return paper.claim("proposition1", statement, first_order)
    return paper.claim(
        "proposition1",
        statement,
        Verdict(
            "conditional",
            "holds at first order in eta, or for zeta = 0: with the eta^2 terms of (6) kept, delta does not "
            "vanish at gamma_0 < 1, L grows without bound, and no point is at rest at any eta > 0",
            counterexample=still.counterexample,
            evidence=evidence,
        ),
    )


@paper.entry
def proposition2_gamma() -> LedgerEntry:
    """Printed with eta zeta Q_0 where its own proof has 2 eta zeta."""
    printed = eta / Q0 * slope(relu().I1, gamma) - eta * zeta * Q0
    return judge_equation(
        f"{PAPER}.proposition2-gamma", "the eigenvalue along gamma, (eta/Q_0) dI_1/dQ - eta zeta Q_0",
        Symbol("lambda_Q"), printed, eigenvalues()[0], source="luo2019, proposition 2", points=FIXED,
    )  # fmt: skip


@paper.entry
def proposition2_R() -> LedgerEntry:
    """The derivative of R I_2 has the term I_2, which vanishes at gamma_0 = 1 only."""
    second = slope(relu().I2, angle)
    printed = second * eta * Q0 / (2 * L0**2) * (printed_maximal(second) - eta * Q0 / L0**2)
    judged = judge_equation(
        f"{PAPER}.proposition2-R",
        "the eigenvalue along R, dI_2/dR (eta Q_0/(2 L_0^2)) (eta_max - eta_eff)",
        Symbol("lambda_R"), printed, eigenvalues()[1], conditions=(WEIGHT_NORMALIZATION,),
        source="luo2019, proposition 2", points=FIXED,
    )  # fmt: skip
    return judged


@paper.entry
def proposition2_jacobian() -> LedgerEntry:
    """Whether R and gamma decide alone: the entries that couple them to L, printed as zero."""
    matrix = relu().jacobian.subs(gamma, relu().gain).applyfunc(factor)
    entries = {
        f"d(d{a}/dt)/d{b}": matrix[m, n]
        for m, a in enumerate(_ORDER)
        for n, b in enumerate(_ORDER)
        if m != n and (b == norm or (a, b) == (angle, gamma))
    }
    statement = "the Jacobian at the fixed point is triangular, its last column is zero"
    apart = [name for name, e in entries.items() if not compare(S.Zero, e, points=FIXED).equal]
    without = all(compare(S.Zero, e, (WEIGHT_NORMALIZATION,), points=FIXED).equal for e in entries.values())
    evidence = {"entries": entries}
    if not apart:
        verdict = Verdict("confirmed", "these entries vanish", evidence=evidence)
    elif without:
        verdict = Verdict(
            "conditional",
            f"holds only if zeta = 0; else {', '.join(apart)} do not vanish",
            evidence=evidence,
        )
    else:
        verdict = Verdict("refuted", f"{', '.join(apart)} do not vanish", evidence=evidence)
    return paper.claim("proposition2-jacobian", statement, verdict)


@paper.entry
def proposition3() -> LedgerEntry:
    """The sign of lambda_Q, and of the factor that turns eta_max > eta_eff into lambda_R < 0."""
    negative = judge(-eta * (zeta + S.Half), eigenvalues()[0], points=POINTS)
    true, printed = slope(relu().I2, angle), slope(printed_I2(), angle)
    factor_found = judge(-gamma, true, points=POINTS)
    agrees = compare(
        eigenvalues()[1], true * eta * Q0 / (2 * L0**2) * (printed_maximal(true) - eta * Q0 / L0**2),
        points=FIXED,
    )  # fmt: skip
    evidence = {
        "lambda_Q": eigenvalues()[0],
        "lambda_R": eigenvalues()[1],
        "dI_2/dR at R = 1": true,
        "dI_2/dR at R = 1 with the printed (15)": printed,
        "positive with the printed (15) for": "gamma_0 < 1/4, zeta > 3/2"
        if simplify(printed.subs(gamma, Rational(1, 4))) == 0
        else "another range",
        "eta_eff at which lambda_R vanishes": maximal_rate(),
    }
    statement = "lambda_Q < 0, and lambda_R < 0 if and only if eta_max > eta_eff"
    sound = negative.kind == "confirmed" and factor_found.kind == "confirmed"
    if sound and not agrees.equal:
        verdict = Verdict(
            "conditional",
            "the eigenvalue lambda_Q is - eta (zeta + 1/2), negative, and I_2 as derived has the slope - Q_0 in R; the "
            "equivalence holds for zeta = 0, since lambda_R has a further term in I_2: for zeta > 0 it is "
            "negative up to a larger eta_eff, and R = 1 is not at rest at all",
            evidence=evidence,
        )
    else:
        verdict = Verdict("confirmed" if sound else "refuted", "the signs as derived", evidence=evidence)
    return paper.claim("proposition3", statement, verdict)


@paper.entry
def proposition4() -> LedgerEntry:
    """The exact value of what is bounded."""
    exact = printed_maximal(slope(relu().I2, angle))
    excess = factor(exact - exact.xreplace({zeta: S.Zero}) - 2 * zeta)
    holds = all(excess.subs(zeta, p["zeta"]) >= 0 for p in POINTS)
    derived = maximal_rate()
    return paper.claim(
        "proposition4",
        "eta_max with gamma decay is at least that of weight normalization plus 2 zeta",
        Verdict(
            "confirmed" if holds else "refuted",
            f"for Table 1's eta_max the exact value is {in_words(exact)}, beyond the bound by {in_words(excess)}; "
            f"where the derived lambda_R vanishes it is {in_words(derived)}, larger still",
            evidence={"eta_max of Table 1": exact, "eta_eff where lambda_R vanishes": derived},
        ),
    )


@paper.entry
def claim_maximal_rate() -> LedgerEntry:
    """Larger, but not a boundary: for zeta > 0 nothing diverges, as L grows until the step is small."""
    gain = mpmath.mpf(1)
    values = {}
    denominator = fraction(maximal_rate())[1]
    for decay in (Rational(1, 10), Rational(1, 2), Rational(1)):
        values[f"zeta = {decay}"] = maximal_rate().subs(zeta, decay)
        gain = min(gain, mpmath.mpmathify(values[f"zeta = {decay}"].evalf(20)) / 2 - 1)
    return paper.claim(
        "claim-maximal-rate",
        "gamma decay enlarges the maximal learning rate",
        Verdict(
            "conditional" if gain > 0 else "refuted",
            "holds for the sign of lambda_R only: "
            f"the effective rate at which it vanishes is {in_words(maximal_rate())}, against 2 for zeta = 0, and "
            f"from zeta = {in_words(max(solve(denominator, zeta)))} on there is none; but it bounds nothing, as R = 1 "
            "is not at rest and L grows until the step is small",
            evidence=values,
        ),
    )


@paper.entry
def claim_effective_rate() -> LedgerEntry:
    """eta gamma_0/L^2 against eta/L^2: gamma_0 < 1, and L grows faster."""
    ratio = relu().gain
    larger = all(ratio.subs(zeta, p["zeta"]) > 1 for p in POINTS)
    return paper.claim(
        "claim-effective-rate",
        "gamma decay enlarges the effective learning rate",
        Verdict(
            "confirmed" if larger else "refuted",
            f"at the same eta and L it is {in_words(ratio)} times that of weight normalization, so smaller, and L "
            "grows where there is decay",
            evidence={"eta_eff with decay / without": ratio},
        ),
    )


__all__ = ["FIXED", "Q0", "eigenvalues", "maximal_rate", "printed_maximal"]
