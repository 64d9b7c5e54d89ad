"""Layer normalization: Theorem 4.1, equations (24) to (27)."""

from __future__ import annotations

from sympy import Expr, Function, Symbol, gamma, oo, simplify, sqrt, symbols
from sympy import limit as limit_of

from derive.equation import Equation, LedgerEntry, Verdict
from derive.ledger import judge_equation
from derive.papers.karakida2019.setting import PAPER, claim, definition, entry, points, settled
from derive.wide.layer_normalization import (
    WORDS,
    eta_1,
    eta_2,
    eta_3,
    jacobian,
    layer_normalization,
    square_sum,
)
from derive.wide.spectrum import lambda_max, m_lambda
from derive.wide.symbols import C, M, T, alpha, kappa_1, kappa_2

i, t = symbols("i t", integer=True)
s = Symbol("s", positive=True)

PRINTED_S = (
    ((eta_3**2 - eta_1**2) * T + (C - 2) * (eta_1**2 * T - eta_2)) / T * kappa_2**2 + (C - 2) * eta_2 * kappa_1**2 / T
)  # fmt: skip


@entry
def eq24() -> LedgerEntry:
    u_, mu, sigma = (Function(name) for name in ("u", "mu", "sigma"))
    right = (u_(i, t) - mu(t)) / sigma(t) * Symbol("gamma_i") + Symbol("beta_i")
    return definition("eq24", "layer normalization", Function("ubar")(i, t), right, "karakida2019 (24)")


@entry
def eq25() -> LedgerEntry:
    right = sqrt(Symbol("mean of u^2") - Function("mu")(t) ** 2)
    return definition("eq25", "mean and deviation over the units", Function("sigma")(t), right, "karakida2019 (25)")


@entry
def eq26_mean() -> LedgerEntry:
    """eta_1 is the mean over samples of 1/sigma(t)^2 of the last layer."""
    return judge_equation(
        f"{PAPER}.eq26-mean", "the mean eigenvalue with layer normalization", m_lambda,
        (C - 2) * eta_1 * kappa_1 / M, layer_normalization()["m_lambda"], source="karakida2019 (26)", points=points(),
    )  # fmt: skip


@entry
def eq26_lower() -> LedgerEntry:
    return judge_equation(
        f"{PAPER}.eq26-lower", "the lower bound with layer normalization", lambda_max,
        alpha * PRINTED_S / ((C - 2) * eta_1 * kappa_1) * M, layer_normalization()["lower"],
        source="karakida2019 (26)", points=points(),
    )  # fmt: skip


@entry
def eq26_upper() -> LedgerEntry:
    return judge_equation(
        f"{PAPER}.eq26-upper", "the upper bound with layer normalization", lambda_max,
        alpha * sqrt(PRINTED_S) * M, layer_normalization()["upper"], source="karakida2019 (26)", points=points(),
    )  # fmt: skip


@entry
def eq27() -> LedgerEntry:
    """eta_2 is the mean of 1/sigma^4, eta_3^2 that over pairs of (f_s.f_t/C)^2/(sigma_s sigma_t)^2."""
    derived = Equation("s", s, square_sum(), WORDS, "derived from the Gram matrix")
    return judge_equation(
        f"{PAPER}.eq27", "s = tr F^2/(alpha M)^2", s, PRINTED_S, derived, source="karakida2019 (27)", points=points(),
    )  # fmt: skip


def inverse_moment(power: int):  # type: ignore[no-untyped-def]
    """E[(C sigma^2/q)^-power], C sigma^2/q a chi-square with C - 1 degrees of freedom: where is it finite?"""
    half = (C - 1) / 2
    return gamma(half - power) / gamma(half) / 2**power


def _words(moment: Expr) -> str:
    return str(moment) if moment.is_finite else "diverges"


@entry
def theorem_4_1() -> LedgerEntry:
    """The constants are random and heavy-tailed for few outputs: their means over weights diverge."""
    parts = {e().name: e().verdict.kind for e in (eq26_mean, eq26_lower, eq26_upper, eq27)}
    first = inverse_moment(1).subs(C, 3)
    second = inverse_moment(2).subs(C, 5)
    diverges = not first.is_finite and not second.is_finite
    finite = inverse_moment(1).subs(C, 4).is_finite and inverse_moment(2).subs(C, 6).is_finite
    return claim(
        "theorem-4-1", "with layer normalization and C > 2 the eigenvalue statistics are (26), (27)",
        Verdict(
            "conditional" if diverges and finite else "confirmed",
            "the equations follow for given constants, but E[eta_1] = E[1/sigma^2] exists only for C >= 4 and "
            "E[eta_2] = E[1/sigma^4] only for C >= 6: for C = 3, 4, 5 ensemble means diverge, and with C fixed the "
            "constants depend on the weights drawn",
            counterexample={"C": 3, "E[1/sigma^2]": _words(first)},
            evidence={**parts, "E[1/sigma^4] at C = 5": _words(second)},
        ),
    )  # fmt: skip


@entry
def claim_layer_cannot() -> LedgerEntry:
    lower = layer_normalization()["lower"].right
    order = limit_of(lower / M, M, oo)
    return claim(
        "claim-layer-cannot", "layer normalization leaves lambda_max of order M",
        settled(simplify(order) != 0, "the lower bound of (26) is of order M", "the bound is of lower order"),
    )  # fmt: skip


@entry
def claim_two_outputs() -> LedgerEntry:
    exact, _ = jacobian(2)
    return claim(
        "claim-two-outputs", "for C = 2 the Fisher information is zero",
        settled(simplify(exact).is_zero_matrix, "the outputs are +1 and -1, whatever the parameters", "it is not"),
    )  # fmt: skip

