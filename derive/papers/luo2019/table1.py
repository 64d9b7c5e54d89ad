"""Table 1, for ReLU units: fixed points, maximal and effective learning rates of three methods."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sympy import Expr, S, Symbol, factor, simplify

from derive.equation import LedgerEntry, Verdict
from derive.ledger import judge_equation
from derive.model import committee
from derive.online import derive_flow
from derive.papers.luo2019.dynamics import printed_I2
from derive.papers.luo2019.propositions import FIXED, Q0, eigenvalues, maximal_rate, printed_maximal
from derive.papers.luo2019.setting import (
    NO_DECAY,
    PAPER,
    Condition,
    angle,
    eta,
    gamma,
    norm,
    paper,
    relu,
    zeta,
)
from derive.perceptron import at_alignment, polar_rates, slope
from derive.sites import reduce_flow
from derive.symbols import batch, label_noise, weight_decay

ONLINE = {batch: S.One, label_noise: S.Zero, weight_decay: S.Zero}


def _table(name: str, statement: str, printed: Expr, derived: Expr, *conditions: Condition) -> LedgerEntry:
    return judge_equation(
        f"{PAPER}.table1-{name}", statement, Symbol("eta_max"), printed, derived, (), conditions,
        source="luo2019, Table 1", points=FIXED,
    )  # fmt: skip


@cache
def unnormalized_rates() -> Mapping[Symbol, Expr]:
    """dR/dt and dL/dt of gradient descent without normalization."""
    rates = polar_rates(reduce_flow(derive_flow(committee("relu", "none"))))
    return {s: rate.xreplace(ONLINE) for s, rate in rates.items()}


@paper.entry
def table1_fixed_points() -> LedgerEntry:
    """Of weight normalization and of gradient descent; that of batch normalization is Proposition 1."""
    free = {s: rate.xreplace({**ONLINE, zeta: S.Zero}) for s, rate in relu().rates.items()}
    found = {
        "weight normalization at (1, 1, L)": [simplify(at_alignment(r).subs(gamma, 1)) for r in free.values()],
        "gradient descent at R = L = 1": [
            simplify(at_alignment(r).subs(norm, 1)) for r in unnormalized_rates().values()
        ],
    }
    still = all(rate == 0 for rates in found.values() for rate in rates)
    return paper.claim(
        "table1-fixed-points",
        "weight normalization is at rest at (1, 1, L) for any L, gradient descent at R = L = 1",
        Verdict(
            "confirmed" if still else "refuted",
            "all rates vanish there at every learning rate, as delta does" if still else "a rate does not vanish",
            evidence={name: [str(r) for r in rates] for name, rates in found.items()},
        ),
    )


@paper.entry
def table1_bn() -> LedgerEntry:
    """For batch normalization: 2 + 4 zeta as printed."""
    printed = printed_maximal(slope(relu().I2, angle))
    return _table(
        "bn", "the maximal effective learning rate with gamma decay, for the derived I_2", printed,
        maximal_rate(), NO_DECAY,
    )  # fmt: skip


@paper.entry
def table1_bn_printed_I2() -> LedgerEntry:
    """The same with I_2 as (15) prints it."""
    printed = printed_maximal(slope(printed_I2(), angle))
    return _table(
        "bn-printed-I2", "the maximal effective learning rate with gamma decay, for the printed (15)", printed,
        maximal_rate(), NO_DECAY,
    )  # fmt: skip


@paper.entry
def table1_wn() -> LedgerEntry:
    """For weight normalization: 2."""
    ratio = slope(relu().I3 - relu().I1, angle) / (slope(relu().I2, angle) / 2)
    derived = maximal_rate().xreplace({zeta: S.Zero})
    return _table(
        "wn", "the maximal effective learning rate of weight normalization", ratio.subs(gamma, 1), derived
    )


@cache
def sgd_eigenvalue() -> Expr:
    """lambda_R of gradient descent without normalization, at Q = R = 1."""
    return simplify(slope(unnormalized_rates()[angle], angle).subs(norm, 1))


@paper.entry
def table1_sgd() -> LedgerEntry:
    """For gradient descent without normalization: the same ratio, at L = 1."""
    ratio = slope(relu().I3 - relu().I1, angle) / (slope(relu().I2, angle) / 2)
    polynomial = sgd_eigenvalue().expand()
    derived = -polynomial.coeff(eta, 1) / polynomial.coeff(eta, 2)
    return _table("sgd", "the maximal learning rate without normalization", ratio.subs(gamma, 1), derived)


def _effective(name: str, method: str, printed: Expr, eigenvalue: Expr) -> LedgerEntry:
    """A rate of learning: how fast 1 - R decays at first order in eta."""
    return judge_equation(
        f"{PAPER}.table1-{name}", f"the effective learning rate {method} is the rate at which 1 - R decays",
        Symbol("eta_eff"), printed, factor(-eigenvalue.expand().coeff(eta, 1)) * eta, source="luo2019, Table 1",
        points=FIXED,
    )  # fmt: skip


@paper.entry
def table1_effective_bn() -> LedgerEntry:
    return _effective("effective-bn", "with gamma decay", eta * Q0 / norm**2, eigenvalues()[1])


@paper.entry
def table1_effective_wn() -> LedgerEntry:
    free = eigenvalues()[1].xreplace({zeta: S.Zero})
    return _effective("effective-wn", "of weight normalization", eta / norm**2, free)


@paper.entry
def table1_effective_sgd() -> LedgerEntry:
    return _effective("effective-sgd", "without normalization", eta, sgd_eigenvalue())


@paper.entry
def claim_bn_maximal_rate() -> LedgerEntry:
    """Of batch normalization itself, for which Table 1 has weight normalization with gamma decay."""
    return paper.claim(
        "claim-bn-maximal-rate", "batch normalization learns with a larger maximal rate than weight normalization",
        paper.needs("boundary"),
    )


__all__ = ["sgd_eigenvalue"]
