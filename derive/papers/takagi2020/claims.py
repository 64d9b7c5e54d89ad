"""The paper's claims that need no Hessian: what may be neglected, the fixed point, what is conserved."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
from sympy import Expr, Integer, S, sqrt

from derive.closing import close_averages
from derive.equation import LedgerEntry, Verdict
from derive.evaluate import evaluate
from derive.fields import field_covariance, i, j
from derive.ledger import Point, compare, judge, random_point
from derive.papers.takagi2020.setting import ASSUMED, LARGE_BATCH, claim, entry, flow, needs
from derive.symbols import Q, g, tau, x


@entry
def claim_population_variance() -> LedgerEntry:
    verdict = judge(tau * Q[i, i], field_covariance(x[i], x[i]))
    return claim(
        "claim-population-variance",
        "the standard deviation of a preactivation is sigma sqrt(Q_ii)",
        Verdict(
            verdict.kind,
            "<x_i^2> = tau J_i.J_i for independent inputs of variance tau",
            evidence=verdict.evidence,
        ),
    )


@entry
def claim_mean_negligible() -> LedgerEntry:
    return claim(
        "claim-mean-negligible",
        "leaving out the batch mean and the shift makes a negligible error for large b",
        needs("real_normalization"),
    )


@entry
def claim_radial_negligible() -> LedgerEntry:
    """Per weight component the dropped term is O(1/sqrt N) smaller; in the overlaps it is not."""
    kept, dropped = flow("batch")["R"], flow("batch-without-radial")["R"]
    comparison = compare(dropped.averages, kept.averages, (*ASSUMED, LARGE_BATCH))
    evidence = {
        "method": "dR_in/dt at N = infinity with and without the term",
        "largest relative difference": mpmath.nstr(comparison.worst, 5),
    }
    statement = "the component of the gradient along J_i is O(1/sqrt N) and may be dropped"
    if comparison.equal:
        return claim(
            "claim-radial-negligible",
            statement,
            Verdict("confirmed", "it leaves the flow unchanged", evidence=evidence),
        )
    return claim(
        "claim-radial-negligible",
        statement,
        Verdict(
            "refuted",
            "its components are small but it is parallel to J_i: it changes the flow of the overlaps "
            "at leading order, for any N",
            counterexample=comparison.counterexample,
            evidence=evidence,
        ),
    )


@entry
def claim_eta2_negligible() -> LedgerEntry:
    """The eta^2 tau/b term vanishes with 1/b; its partner from pairs of samples grows to eta^2/N."""
    derived = flow("batch-without-radial")
    diffusion = compare(S.Zero, derived.diffusion, (*ASSUMED, LARGE_BATCH))
    pairs = compare(S.Zero, derived.finite_batch, (*ASSUMED, LARGE_BATCH))
    evidence = {
        "eta^2 tau/b term at b = infinity": mpmath.nstr(diffusion.worst, 5),
        "u != v term at b = infinity, N = 1000": mpmath.nstr(pairs.worst, 5),
    }
    statement = "the term of order eta^2/b is negligible when b is large"
    if diffusion.equal and not pairs.equal:
        verdict = Verdict(
            "conditional",
            "holds for 1 << b << N: the pairs of different samples in a batch leave a term "
            "eta^2 (1 - 1/b)/N that b does not remove",
            evidence=evidence,
        )
    else:
        verdict = Verdict(
            "confirmed" if diffusion.equal else "refuted", "the limit b to infinity", evidence=evidence
        )
    return claim("claim-eta2-negligible", statement, verdict)


@entry
def claim_input_law() -> LedgerEntry:
    return claim(
        "claim-input-law",
        "inputs i.i.d. from any law of mean 0 and variance sigma^2 lead to the same dynamics",
        needs("input_laws"),
    )


def _symmetric_point(students: int, variance: Expr, normalization: str) -> Point:
    """The printed symmetric fixed point, as full arrays."""
    norm = (students + (students - 1) * variance) / variance
    overlap, gain = sqrt(norm / students), sqrt(1 / norm)
    units = range(students)
    return random_point(1, students, students) | {
        "Q": [[norm] * students for _ in units],
        "R": [[overlap] * students for _ in units],
        "T": [[Integer(a == b) for b in units] for a in units],
        "g": [gain] * students,
        "w": [1] * students,
        "v": [1] * students,
        "tau": variance,
        "eta_g": 1,
        "eta": 1,
        "b": mpmath.inf,
        "lambda": 0,
        "zeta": 0,
        "sigma_0": 0,
    }


@entry
def claim_fixed_point() -> LedgerEntry:
    """The printed R*, S*, Q*, g* put into every rate, for several K and tau."""
    rates = {}
    for normalization in ("batch-without-radial", "batch"):
        largest = mpmath.mpf(0)
        for students, variance in ((2, Integer(1)), (3, Integer(2)), (4, Integer(1) / 2)):
            point = _symmetric_point(students, variance, normalization)
            for variable in flow(normalization).state:
                if variable.name == "w":
                    continue  # the paper fixes the second layer
                for at in ({"i": 1, "j": 1, "n": 1}, {"i": 1, "j": 2, "n": 2}):
                    largest = max(largest, abs(evaluate(close_averages(variable.averages), point | at, 50)))
        rates[normalization] = largest
    evidence = {f"largest rate, {name}": mpmath.nstr(rate, 5) for name, rate in rates.items()}
    fixed = rates["batch-without-radial"] < mpmath.mpf(10) ** -45
    return claim(
        "claim-fixed-point",
        "R* = S* = sqrt((K + (K-1) tau)/(tau K)), Q* = (K + (K-1) tau)/tau, "
        "g* = sqrt(tau/(K + (K-1) tau)) is the symmetric fixed point",
        Verdict(
            "confirmed" if fixed else "refuted",
            "every rate vanishes there" if fixed else "a rate does not vanish there",
            evidence=evidence,
        ),
    )


@entry
def claim_q_inverse_g2() -> LedgerEntry:
    """What the flows conserve at first order in eta: Q_ii - g_i^2 as printed, Q_ii if exact."""
    conditions = (*ASSUMED, LARGE_BATCH)
    same_unit = {j: i}

    def conserved(normalization: str, combination: Callable[[Expr, Expr], Expr]) -> bool:
        derived = flow(normalization)
        norm_rate = close_averages(derived["Q"].averages).xreplace(same_unit)
        gain_rate = close_averages(derived["g"].averages)
        return compare(S.Zero, combination(norm_rate, gain_rate), conditions).equal

    checks = {
        "Q_ii - g_i^2, printed dynamics": conserved("batch-without-radial", lambda a, b: a - 2 * g[i] * b),
        "Q_ii g_i^2, printed dynamics": conserved(
            "batch-without-radial", lambda a, b: a * g[i] ** 2 + 2 * Q[i, i] * g[i] * b
        ),
        "Q_ii, exact gradient": conserved("batch", lambda a, b: a),
        "Q_ii g_i^2, exact gradient": conserved("batch", lambda a, b: a * g[i] ** 2 + 2 * Q[i, i] * g[i] * b),
    }
    evidence = {f"{name} conserved": truth for name, truth in checks.items()}
    holds = checks["Q_ii g_i^2, printed dynamics"] or checks["Q_ii g_i^2, exact gradient"]
    return claim(
        "claim-q-inverse-g2",
        "Q = 1/g^2 through training",
        Verdict(
            "confirmed" if holds else "refuted",
            "Q g^2 is conserved"
            if holds
            else "Q g^2 moves; conserved at first order in eta are "
            + " and ".join(name for name, truth in checks.items() if truth)
            + ", so the relation can hold at isolated times only",
            evidence=evidence,
        ),
    )


@entry
def claim_escape_slower() -> LedgerEntry:
    return claim(
        "claim-escape-slower",
        "with batch normalization training stays longer on the plateau, for large K and for large tau",
        needs("escape"),
    )


@entry
def claim_hessian_sets_escape() -> LedgerEntry:
    return claim(
        "claim-hessian-sets-escape",
        "a small negative eigenvalue of the Hessian in the order parameters means a long escape",
        needs("spectra"),
    )


@entry
def claim_infinitesimal_rate() -> LedgerEntry:
    return claim(
        "claim-infinitesimal-rate",
        "the analysis relies on an infinitesimal learning rate; finite rates may change the ranking",
        needs("learning_rate"),
    )
