"""Batch normalization in the last layer: Assumption 3.2, Theorem 3.3, equations (13) to (19)."""

from __future__ import annotations

from sympy import Expr, Function, Min, Rational, S, Symbol, limit, oo, simplify, sqrt, true

from derive.equation import LedgerEntry, Verdict
from derive.ledger import judge_equation
from derive.papers.karakida2019.setting import PAPER, claim, definition, entry, needs, points, settled
from derive.wide.batch_last import Q_1, Q_2, batch_last, jacobian
from derive.wide.gram import gram_blocks
from derive.wide.spectrum import lambda_max, m_lambda, mean_subtraction, proportional, without_normalization
from derive.wide.symbols import C, M, T, alpha, kappa_1, kappa_2, rho

f, u_, mu, sigma = (Function(name) for name in ("f", "u", "mu", "sigma"))
k, t = Symbol("k", integer=True), Symbol("t", integer=True)
gamma, beta = Symbol("gamma_k"), Symbol("beta_k")


@entry
def assumption_3_2() -> LedgerEntry:
    return claim(
        "assumption-3-2", "backward overlaps may be computed with weights drawn anew",
        needs("backward_overlaps"),
    )  # fmt: skip


@entry
def eq13() -> LedgerEntry:
    right = (u_(k, t) - mu(k)) / sigma(k) * gamma + beta
    return definition("eq13", "batch normalization of an output", f(k, t), right, "karakida2019 (13)")


@entry
def eq14() -> LedgerEntry:
    right = sqrt(Symbol("E[u^2]") - mu(k) ** 2)
    return definition("eq14", "mean and deviation over all samples", sigma(k), right, "karakida2019 (14)")


@entry
def eq15() -> LedgerEntry:
    right = (u_(k, t) - mu(k)) * gamma + beta
    return definition("eq15", "mean subtraction", f(k, t), right, "karakida2019 (15)")


def _equation(name: str, statement: str, left: Expr, printed: Expr, derived: Expr) -> LedgerEntry:
    number = name[2:4]
    return judge_equation(
        f"{PAPER}.{name}", statement, left, printed, derived, source=f"karakida2019 ({number})", points=points()
    )


@entry
def eq16() -> LedgerEntry:
    printed = (1 - 1 / T) * (kappa_1 - kappa_2) * C / M
    return _equation("eq16", "the mean eigenvalue with mean subtraction", m_lambda, printed, mean_subtraction().mean)


@entry
def eq17() -> LedgerEntry:
    printed = alpha * (kappa_1 - kappa_2) / T * M
    return _equation(
        "eq17", "lambda_max with mean subtraction, T of order one", lambda_max, printed, mean_subtraction().largest
    )


def _leading(bound: object) -> Expr:
    assert bound is not None
    return proportional(bound.right)  # type: ignore[attr-defined]


@entry
def eq18_lower() -> LedgerEntry:
    """tr F^2 / tr F for T = M/rho; fluctuations of the entries only add to tr F^2, so c_1 >= 0."""
    printed = rho * alpha * (kappa_1 - kappa_2)
    return _equation("eq18-lower", "a lower bound of lambda_max, T of order M (c_1 = 0)", lambda_max, printed,
                     _leading(mean_subtraction().lower))  # fmt: skip


@entry
def eq18_upper() -> LedgerEntry:
    printed = sqrt(C * alpha**2 * rho * (kappa_1 - kappa_2) ** 2 * M)
    return _equation("eq18-upper", "an upper bound of lambda_max, T of order M (c_2 = 0)", lambda_max, printed,
                     _leading(mean_subtraction().upper))  # fmt: skip


@entry
def theorem_3_3() -> LedgerEntry:
    parts = {e().name: e().verdict.kind for e in (eq16, eq17, eq18_lower, eq18_upper)}
    return claim(
        "theorem-3-3", "mean subtraction in the last layer: m_lambda and lambda_max in two regimes",
        settled(set(parts.values()) == {"confirmed"}, "each of its equations follows", "an equation fails", **parts),
    )  # fmt: skip


@entry
def eq19_mean() -> LedgerEntry:
    """Exact in T it has a factor 1 - 2/T: two directions are projected out."""
    printed = Q_1 * (kappa_1 - kappa_2) / M
    return _equation("eq19-mean", "the mean eigenvalue with batch normalization, T of order M", m_lambda, printed,
                     limit(batch_last().mean.right, T, oo))  # fmt: skip


@entry
def eq19_lower() -> LedgerEntry:
    printed = rho * alpha * Q_2 / Q_1 * (kappa_1 - kappa_2)
    return _equation("eq19-lower", "a lower bound with batch normalization (c'_1 = 0)", lambda_max, printed,
                     _leading(batch_last().lower))  # fmt: skip


@entry
def eq19_upper() -> LedgerEntry:
    printed = sqrt(Q_2 * alpha**2 * rho * (kappa_1 - kappa_2) ** 2 * M)
    return _equation("eq19-upper", "an upper bound with batch normalization (c'_2 = 0)", lambda_max, printed,
                     _leading(batch_last().upper))  # fmt: skip


@entry
def claim_variance_is_a_factor() -> LedgerEntry:
    """The order in M is that of mean subtraction."""
    orders = [
        limit(_leading(a.lower) / _leading(b.lower), M, oo) for a, b in ((batch_last(), mean_subtraction()),)
    ]
    exact, projected = jacobian(3)
    holds = not orders[0].has(M) and simplify(exact - projected).is_zero_matrix
    return claim(
        "claim-variance-is-a-factor", "dividing by sigma_k changes the largest eigenvalue by a factor only",
        settled(holds, "the bounds of both have the same order in M", "the order changes", ratio=str(orders[0])),
    )  # fmt: skip


@entry
def claim_gamma_is_a_scale() -> LedgerEntry:
    """gamma_k multiplies the block of output k by gamma_k^2: an overall factor if all are equal."""
    first, second = Symbol("gamma_1", positive=True), Symbol("gamma_2", positive=True)
    block = mean_subtraction().blocks
    mean = block.trace * (first**2 + second**2) / 2
    ratio = simplify(first**2 * block.rest / mean / (block.rest / block.trace))
    free = ratio.subs(second, first) == 1 and ratio != 1
    return claim(
        "claim-gamma-is-a-scale", "gamma_k changes the Fisher information by a constant factor only",
        Verdict(
            "conditional" if free else "confirmed",
            "holds if all gamma_k are equal, or C = 1; otherwise the outputs' blocks are scaled apart "
            "(and gamma_k is held fixed: its own gradient is left out)",
            evidence={"lambda_max/m_lambda over its value at equal gamma, C = 2, gamma_1 > gamma_2": str(ratio)},
        ),
    )  # fmt: skip


@entry
def claim_eigenvectors_vanish() -> LedgerEntry:
    uniform = mean_subtraction().blocks.uniform
    return claim(
        "claim-eigenvectors-vanish", "mean subtraction removes the eigenspace of the largest eigenvalues",
        settled(uniform == 0, "the uniform dual vector is projected out", "it stays"),
    )  # fmt: skip


@entry
def claim_same_order_for_few_samples() -> LedgerEntry:
    before, after = without_normalization().largest.right, mean_subtraction().largest.right
    ratio = simplify(after / before)
    return claim(
        "claim-same-order-for-few-samples", "for T of order one mean subtraction leaves lambda_max of order M",
        settled(not ratio.has(M), "the ratio does not depend on M", "the ratio depends on M", ratio=str(ratio)),
    )  # fmt: skip


@entry
def claim_lower_order_for_many_samples() -> LedgerEntry:
    """The upper bound already falls behind the unnormalized value by sqrt M."""
    ratio = limit(_leading(mean_subtraction().upper) / proportional(without_normalization().largest.right), M, oo)
    return claim(
        "claim-lower-order-for-many-samples", "for T of order M mean subtraction lowers the order of lambda_max",
        settled(ratio == 0, "at most sqrt M against M", "no lower order"),
    )  # fmt: skip


@entry
def claim_coefficient_only() -> LedgerEntry:
    ratio = simplify(mean_subtraction().mean.right / without_normalization().mean.right)
    return claim(
        "claim-coefficient-only", "mean subtraction changes m_lambda in its coefficient only",
        settled(not ratio.has(M), "the ratio does not depend on M", "the ratio depends on M", ratio=str(ratio)),
    )  # fmt: skip


@entry
def claim_convergence_rate() -> LedgerEntry:
    """Entries off by M^-q: tr F^2 ~ (M/T)^2 T^2 M^(-2 q*), tr F ~ M; exponents for T of order M."""
    q_star = Symbol("q*", positive=True)
    square, trace = 2 - 2 * q_star, S.One
    lower, upper = square - trace, square / 2
    holds = simplify(lower - (1 - 2 * q_star)) == 0 and simplify(upper - (1 - q_star)) == 0
    return claim(
        "claim-convergence-rate",
        "overlaps that converge as M^-q bound lambda_max between orders M^(1-2q*) and M^(1-q*), q* = min(1/2, q)",
        settled(holds, "tr F^2/tr F and sqrt tr F^2 have these exponents; the diagonal gives q* <= 1/2", "not so",
                lower=str(lower), upper=str(upper)),
    )  # fmt: skip


@entry
def claim_any_rate() -> LedgerEntry:
    """The exponent of the upper bound against the 1 of the unnormalized network."""
    q = Symbol("q", positive=True)
    exponent = 1 - Min(Rational(1, 2), q)
    return claim(
        "claim-any-rate", "mean subtraction lowers the order of lambda_max for any rate q > 0, T of order M",
        settled((exponent < 1) == true, "1 - min(1/2, q) < 1", "not for every q", exponent=str(exponent)),
    )  # fmt: skip


@entry
def claim_neglected_mean() -> LedgerEntry:
    """With mu_k held constant df(t)/du(s) is diagonal: no projection, so the uniform direction stays."""
    kept, through = gram_blocks().uniform, gram_blocks().centered().uniform
    return claim(
        "claim-neglected-mean", "a chain rule that neglects the mean subtraction stays pathologically sharp",
        settled(kept != 0 and through == 0, "only the derivative of the mean projects the uniform direction out",
                "the uniform direction is gone either way", eigenvalue=str(kept)),
    )  # fmt: skip


@entry
def claim_loose_bounds() -> LedgerEntry:
    return claim(
        "claim-loose-bounds", "both bounds (18) are loose: lambda_max at T = M lies well between them",
        needs("proportional"),
    )  # fmt: skip


@entry
def claim_q_half() -> LedgerEntry:
    return claim(
        "claim-q-half", "backward overlaps of random networks converge as M^(-1/2)", needs("backward_overlaps")
    )


@entry
def claim_order_one() -> LedgerEntry:
    return claim(
        "claim-order-one", "lambda_max is of order one after mean subtraction at T = M", needs("sharpness")
    )

