"""Definition 2.1, Theorems 2.2 and 3.1, equations (10) to (12): the network without normalization."""

from __future__ import annotations

from functools import cache

import mpmath
from sympy import Abs, Expr, Rational, S, Sum, Symbol, exp, factor, limit, oo, pi, simplify, solve, sqrt

from derive.activation import Activation, activation, u
from derive.equation import Equation, LedgerEntry, Verdict
from derive.evaluate import evaluate
from derive.gaussian import average
from derive.ledger import compare, judge_equation
from derive.papers.karakida2019.setting import DEPTHS, PAPER, claim, entry, needs, points, settled
from derive.wide import network, signals
from derive.wide.gram import gram_blocks, kappa_equations, kappas, spelled
from derive.wide.spectrum import lambda_max, m_lambda, without_normalization
from derive.wide.symbols import (
    C,
    L,
    M,
    T,
    alpha,
    hat_st,
    hat_t,
    kappa_1,
    kappa_2,
    l,
    tilde_st,
    tilde_t,
    widths,
)


@entry
def definition_2_1() -> LedgerEntry:
    return claim(
        "definition-2-1",
        "non-centered: biases, or an activation whose mean over a standard normal variable is not zero",
        Verdict("definition", "a property of activation and biases"),
    )


def _mean(phi: Expr, variance: Expr) -> Expr:
    """<phi(u)> over a centered Gaussian u, in closed form."""
    return average(phi, {(u, u): variance}).expression


@entry
def claim_usual_activations() -> LedgerEntry:
    """The sigmoid is 1/2 and an odd function, whose mean vanishes."""
    slope = Symbol("a", real=True)
    sigmoid = 1 / (1 + exp(-u))
    odd = simplify(sigmoid - Rational(1, 2) + (sigmoid - Rational(1, 2)).subs(u, -u)) == 0
    relu = _mean(activation("relu").expression, S.One)
    leaky = _mean(activation("leaky-relu").expression, S.One)
    holds = odd and relu != 0 and solve(leaky, slope) == [1]
    return claim(
        "claim-usual-activations", "the sigmoid and (leaky) rectified linear units have a nonzero Gaussian mean",
        settled(holds, "1/2, and proportional to 1 - slope: it vanishes only for the identity", "one of them has none",
                relu=str(relu), leaky_relu=str(leaky), sigmoid="1/2 plus an odd function"),
    )  # fmt: skip


@entry
def eq10() -> LedgerEntry:
    printed = alpha * ((T - 1) / T * kappa_2 + kappa_1 / T) * M
    return judge_equation(
        f"{PAPER}.eq10", "the largest eigenvalue without normalization", lambda_max, printed,
        without_normalization().largest, source="karakida2019 (10)", points=points(),
    )  # fmt: skip


@entry
def eq10_mean() -> LedgerEntry:
    return judge_equation(
        f"{PAPER}.eq10-mean", "the mean eigenvalue without normalization", m_lambda, kappa_1 * C / M,
        without_normalization().mean, source="karakida2019 (10)", points=points(),
    )  # fmt: skip


def _kappa(name: str, symbol: Symbol, printed: Expr) -> LedgerEntry:
    """Sums over layers, spelled out for several depths."""
    derived = kappa_equations()[symbol.name]
    compared = [
        compare(spelled(printed, depth), spelled(derived.right, depth), points=points(depth)) for depth in DEPTHS
    ]
    equal = all(c.equal for c in compared)
    verdict = Verdict(
        "confirmed" if equal else "misprint",
        "the printed sum is the chain rule's" if equal else "the printed sum differs from the chain rule's",
        corrected=None if equal else derived.right,
        counterexample=next((c.counterexample for c in compared if not c.equal), None),
        evidence={"method": "50 digits at random order parameters", "depths": list(DEPTHS)},
    )
    as_printed = Equation(f"{PAPER}.{name} as printed", symbol, printed, source="karakida2019 (11)")
    return LedgerEntry(
        f"{PAPER}.{name}", PAPER, f"{symbol.name} in order parameters", verdict, as_printed, derived
    )


@entry
def eq11_kappa_1() -> LedgerEntry:
    return _kappa("eq11-kappa-1", kappa_1, Sum(widths[l - 1] / alpha * tilde_t[l] * hat_t[l - 1], (l, 1, L)))


@entry
def eq11_kappa_2() -> LedgerEntry:
    return _kappa("eq11-kappa-2", kappa_2, Sum(widths[l - 1] / alpha * tilde_st[l] * hat_st[l - 1], (l, 1, L)))


def shifted(shift: Expr) -> Activation:
    """|u| - shift: its mean vanishes at one variance of u only, pi shift^2 / 2."""
    return Activation(f"|u| - {shift}", Abs(u) - shift)


@cache
def counterexamples() -> dict[str, dict[str, object]]:
    """Two activations for which Definition 2.1 and kappa_2 > 0 part, at sigma_w^2 = 2, no biases, L = 2.

    The mean of |u| is sqrt(2 q/pi): 2/sqrt(pi) at the variance q = 2 of the first layer, sqrt(2/pi) at 1.
    """
    found = {}
    for name, shift in (("non-centered by definition", 2 / sqrt(pi)), ("centered by definition", sqrt(2 / pi))):
        phi = shifted(shift)
        mean = _mean(phi.expression, S.One)
        model = network(2, phi, 2)
        _, two = kappas(model, signals(model))
        found[name] = {
            "activation": phi.name,
            "mean over a standard normal": mpmath.nstr(evaluate(mean, {}, 20), 10),
            "kappa_2": mpmath.nstr(evaluate(two, {}, 50), 50),
        }
    return found


def _vanishes(name: str, key: str) -> bool:
    return abs(mpmath.mpf(str(counterexamples()[name][key]))) < mpmath.mpf(10) ** -8


@entry
def theorem_2_2() -> LedgerEntry:
    """The blocks are right; what the theorem asks of the network is not enough for kappa_2 > 0."""
    name = "non-centered by definition"
    misses = not _vanishes(name, "mean over a standard normal") and _vanishes(name, "kappa_2")
    verdict = Verdict(
        "conditional" if misses else "confirmed",
        "lambda_max ~ M for all T needs kappa_2 > 0: the Gaussian mean must not vanish at the variance q_t^l of "
        "some layer's preactivations (or biases), while Definition 2.1 takes it at variance one"
        if misses
        else "kappa_2 > 0 for every non-centered network tried",
        counterexample=counterexamples()[name] if misses else None,
        evidence={"sigma_w^2": "2", "sigma_b^2": "0", "L": 2},
    )
    return claim("theorem-2-2", "m_lambda ~ kappa_1 C/M and lambda_max ~ M for non-centered networks", verdict)


@entry
def claim_kappas_positive() -> LedgerEntry:
    name = "non-centered by definition"
    fails = _vanishes(name, "kappa_2")
    return claim(
        "claim-kappas-positive", "kappa_1 and kappa_2 are positive in non-centered networks",
        Verdict(
            "conditional" if fails else "confirmed",
            "kappa_2 > 0 only if some layer's activation has a mean at its own variance, or there are biases"
            if fails else "no counterexample",
            counterexample=counterexamples()[name] if fails else None,
        ),
    )  # fmt: skip


@entry
def claim_centered_kappa_2_zero() -> LedgerEntry:
    name = "centered by definition"
    fails = not _vanishes(name, "kappa_2")
    return claim(
        "claim-centered-kappa-2-zero", "in a centered network (no biases, zero Gaussian mean) kappa_2 = 0",
        Verdict(
            "conditional" if fails else "confirmed",
            "the mean must vanish at the variance of every layer; odd activations do that, zero mean at variance "
            "one does not" if fails else "no counterexample",
            counterexample=counterexamples()[name] if fails else None,
        ),
    )  # fmt: skip


@entry
def eq12() -> LedgerEntry:
    """J^T 1 is T E[grad f_k]; the gap to the other eigenvalues is alpha M kappa_2."""
    blocks = gram_blocks()
    gap = (blocks.uniform - blocks.rest).simplify()
    return claim(
        "eq12", "the eigenvectors of the largest eigenvalues are E[grad f_k], k = 1 .. C",
        Verdict(
            "conditional",
            "C equal eigenvalues to leading order: for C > 1 the vectors span the eigenspace, a single eigenvector "
            "is some mixture of them; and the gap alpha M kappa_2 must not vanish",
            evidence={"dual eigenvector": blocks.eigenspaces[0].vectors, "gap": str(gap), "multiplicity": "C"},
        ) if gap == alpha * M * kappa_2 else Verdict("refuted", "the uniform vector is not apart"),
    )  # fmt: skip


@entry
def theorem_3_1() -> LedgerEntry:
    return claim("theorem-3-1", "the eigenspace of the largest eigenvalues", eq12().verdict)


@entry
def claim_small_mean() -> LedgerEntry:
    found = without_normalization()
    mean, largest = limit(found.mean.right, M, oo), limit(found.largest.right / M, M, oo)
    holds = mean == 0 and largest != 0
    return claim(
        "claim-small-mean", "the mean eigenvalue vanishes with width, the largest grows with it",
        settled(holds, "of orders 1/M and M", "not of orders 1/M and M",
                m_lambda=str(found.mean.right), lambda_max=str(found.largest.right)),
    )  # fmt: skip


@entry
def claim_expected_fisher() -> LedgerEntry:
    largest = without_normalization().largest.right
    expected = limit(largest, T, oo)
    return claim(
        "claim-expected-fisher", "the empirical Fisher information tends to the expected one for many samples",
        settled(simplify(expected - alpha * kappa_2 * M) == 0, "lambda_max does, with a gap of order 1/T",
                "lambda_max has no limit", limit=str(expected), gap=str(factor(largest - expected))),
    )  # fmt: skip


@entry
def claim_figure_1() -> LedgerEntry:
    return claim(
        "claim-figure-1", "lambda_max of random networks at T = M follows (10), and falls by far without the mean",
        needs("sharpness"),
    )  # fmt: skip
