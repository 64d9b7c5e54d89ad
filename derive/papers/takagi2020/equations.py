"""Equations (1) to (13) as printed, judged."""

from __future__ import annotations

from sympy import Add, Derivative, Expr, Function, S, Sum, Symbol, asin, expand_mul, pi, sqrt

from derive.activation import Activation, activation
from derive.closing import close_averages
from derive.equation import Equation, LedgerEntry, Verdict
from derive.fields import i, j, n
from derive.gradient import gradient_amplitude
from derive.indexed import derivative
from derive.ledger import committee_points, compare, judge, judge_equation
from derive.model import committee
from derive.online import time
from derive.papers.takagi2020.setting import (
    ASSUMED,
    GENERIC,
    I2,
    I3,
    I4,
    LARGE_BATCH,
    PAPER,
    SHARED_SCALE,
    UNIT_SCALE,
    entry,
    flow,
    hat,
    p,
    paper,
    q,
    sigma,
)  # fmt: skip
from derive.symbols import K, M, Q, R, T, batch, eta, g, v, w, x, y


@entry
def eq1() -> LedgerEntry:
    """The outputs of student and teacher."""
    phi = Function("phi")
    student = Sum(w[i] * phi(hat(i)), (i, 1, K))
    statement = "the student's output, with preactivations normalized by their population deviation"
    return paper.definition("eq1", statement, Function("s")(x), student, source="takagi2020 (1)")


def _printed_gradient(phi: Activation) -> Expr:
    """The coefficient of xi in the gradient of (2): minus (t - s) w_i phi'(hat x_i) g_i/(sigma sqrt Q_ii)."""
    error = Sum(v[p] * phi(y[p]), (p, 1, M)) - Sum(w[p] * phi(hat(p)), (p, 1, K))
    return -error * w[i] * phi.derivative(hat(i)) * g[i] / (sigma * sqrt(Q[i, i]))


@entry
def eq2() -> LedgerEntry:
    """The gradient with respect to J_i, followed through the normalization or not."""
    phi = activation("erf")
    exact = committee(phi, "batch")
    along_input = judge(_printed_gradient(phi), gradient_amplitude(exact)(i))
    along_weight = 2 * derivative(exact.loss, Q, (i, i))
    radial = compare(S.Zero, along_weight)
    xi, own = Function("xi")(i), Function("J")(i)
    left = Derivative(Function("epsilon")(own), own, evaluate=False)
    printed = Equation(f"{PAPER}.eq2 as printed", left, _printed_gradient(phi) * xi, source="takagi2020 (2)")
    derived = Equation(
        f"{PAPER}.eq2", left, gradient_amplitude(exact)(i) * xi + along_weight * own, source="the chain rule"
    )
    if along_input.kind == "confirmed" and not radial.equal:
        verdict = Verdict(
            "conditional",
            "the component along the input is right; the component along J_i is dropped, so it holds "
            "only for the gradient map without the radial term",
            corrected=derived.right,
            counterexample=radial.counterexample,
            evidence=along_input.evidence,
        )
    else:
        verdict = along_input
    return LedgerEntry(
        f"{PAPER}.eq2", PAPER, "the update of the first-layer weights", verdict, printed, derived
    )


@entry
def eq3() -> LedgerEntry:
    """The gradient with respect to the gain."""
    phi = activation("erf")
    error = Sum(v[p] * phi(y[p]), (p, 1, M)) - Sum(w[p] * phi(hat(p)), (p, 1, K))
    printed = -error * w[i] * phi.derivative(hat(i)) * x[i] / (sigma * sqrt(Q[i, i]))
    derived = derivative(committee(phi, "batch").loss, g, (i,))
    left = Derivative(Function("epsilon")(g[i]), g[i], evaluate=False)
    return judge_equation(
        f"{PAPER}.eq3", "the update of the gains", left, printed, derived, source="takagi2020 (3)"
    )


_left_Q = Derivative(Q[i, j], time)
_left_R = Derivative(R[i, n], time)
_left_g = Derivative(g[i], time)


def _printed_eq4(phi: Activation) -> Expr:
    """As printed, the y_p in the fourth sum over p = 1..K included."""
    first = (
        Sum(I3(phi, hat(i), hat(j), y[p]), (p, 1, M))
        - Sum(I3(phi, hat(i), hat(j), hat(p)), (p, 1, K))
        + Sum(I3(phi, hat(j), hat(i), y[p]), (p, 1, M))
        - Sum(I3(phi, hat(j), hat(i), y[p]), (p, 1, K))
    )
    second = (
        Sum(I4(phi, hat(i), hat(j), hat(p), hat(q)), (p, 1, K), (q, 1, K))
        + Sum(I4(phi, hat(i), hat(j), y[p], y[q]), (p, 1, M), (q, 1, M))
        - Sum(I4(phi, hat(i), hat(j), hat(p), y[q]), (p, 1, K), (q, 1, M))
        - Sum(I4(phi, hat(i), hat(j), y[p], hat(q)), (p, 1, M), (q, 1, K))
    )
    return eta * first + eta**2 / batch * second


@entry
def eq4() -> LedgerEntry:
    """dQ_ij/dt in averages, for a general activation (here a generic polynomial)."""
    return judge_equation(
        f"{PAPER}.eq4",
        "the dynamics of Q_ij in the averages I3 and I4, with the eta^2/b term",
        _left_Q,
        _printed_eq4(GENERIC),
        flow("batch-without-radial", GENERIC)["Q"].averages,
        ASSUMED,
        (SHARED_SCALE, UNIT_SCALE),
        source="takagi2020 (4)",
        # The printed y_p with p up to K has no meaning for K > M.
        points=committee_points(((1, 1), (2, 2), (2, 3))),
    )


@entry
def eq5() -> LedgerEntry:
    """dR_in/dt in averages."""
    phi = GENERIC
    printed = eta * (
        Sum(I3(phi, hat(i), y[n], y[p]), (p, 1, M)) - Sum(I3(phi, hat(i), y[n], hat(p)), (p, 1, K))
    )
    return judge_equation(
        f"{PAPER}.eq5",
        "the dynamics of R_in in the averages I3",
        _left_R,
        printed,
        flow("batch-without-radial", phi)["R"].averages,
        ASSUMED,
        (SHARED_SCALE, UNIT_SCALE),
        source="takagi2020 (5)",
    )


@entry
def eq6() -> LedgerEntry:
    """dg_i/dt in averages."""
    phi = GENERIC
    printed = eta * (
        Sum(I3(phi, hat(i), x[i], y[p]), (p, 1, M)) - Sum(I3(phi, hat(i), x[i], hat(p)), (p, 1, K))
    )
    return judge_equation(
        f"{PAPER}.eq6",
        "the dynamics of g_i in the averages I3",
        _left_g,
        printed,
        flow("batch-without-radial", phi)["g"].averages,
        ASSUMED,
        (SHARED_SCALE, UNIT_SCALE),
        source="takagi2020 (6)",
    )


@entry
def eq7() -> LedgerEntry:
    """The generalization error in averages."""
    phi = GENERIC
    printed = (
        Sum(I2(phi, y[p], y[q]), (p, 1, M), (q, 1, M))
        + Sum(I2(phi, hat(p), hat(q)), (p, 1, K), (q, 1, K))
        - 2 * Sum(I2(phi, hat(p), y[q]), (p, 1, K), (q, 1, M))
    ) / 2
    return judge_equation(
        f"{PAPER}.eq7",
        "the generalization error in the averages I2",
        Symbol("epsilon_g"),
        printed,
        flow("batch-without-radial", phi).error_averages,
        ASSUMED,
        source="takagi2020 (7)",
    )


def Qp(a: Symbol, b: Symbol) -> Expr:
    """Q'_lk = sigma^2 g_l g_k Q_lk / (sigma_x_l sigma_x_k), with sigma_x_l = sigma sqrt(Q_ll)."""
    return sigma**2 * g[a] * g[b] / (sigma * sqrt(Q[a, a]) * sigma * sqrt(Q[b, b])) * Q[a, b]


def Rp(a: Symbol, b: Symbol) -> Expr:
    """R'_lk = sigma^2 g_l R_lk / sigma_x_l."""
    return sigma**2 * g[a] / (sigma * sqrt(Q[a, a])) * R[a, b]


def Tp(a: Symbol, b: Symbol) -> Expr:
    """T'_lk = sigma^2 T_lk."""
    return sigma**2 * T[a, b]


def _printed_eq9() -> Expr:
    return Sum(
        (Rp(j, p) * (1 + Qp(i, i)) - Qp(i, j) * Rp(i, p))
        / ((1 + Qp(i, i)) * sqrt((1 + Qp(i, i)) * (1 + Tp(p, p)) - Rp(i, p) ** 2))
        + (Rp(i, p) * (1 + Qp(j, j)) - Qp(j, i) * Rp(j, p))
        / ((1 + Qp(j, j)) * sqrt((1 + Qp(j, j)) * (1 + Tp(p, p)) - Rp(j, p) ** 2)),
        (p, 1, M),
    )


def _printed_eq10() -> Expr:
    return Sum(
        (Qp(j, p) * (1 + Qp(i, i)) - Qp(i, j) * Qp(i, p))
        / ((1 + Qp(i, i)) * sqrt((1 + Qp(i, i)) * (1 + Qp(p, p)) - Qp(i, p) ** 2))
        + (Qp(i, p) * (1 + Qp(j, j)) - Qp(j, i) * Qp(j, p))
        / ((1 + Qp(j, j)) * sqrt((1 + Qp(j, j)) * (1 + Qp(p, p)) - Qp(j, p) ** 2)),
        (p, 1, K),
    )


def _printed_eq11() -> Expr:
    return Sum(
        (Tp(n, p) * (1 + Qp(i, i)) - Rp(i, n) * Rp(i, p))
        / ((1 + Qp(i, i)) * sqrt((1 + Qp(i, i)) * (1 + Tp(p, p)) - Rp(i, p) ** 2)),
        (p, 1, M),
    ) - Sum(
        (Rp(p, n) * (1 + Qp(i, i)) - Rp(i, n) * Qp(i, p))
        / ((1 + Qp(i, i)) * sqrt((1 + Qp(i, i)) * (1 + Qp(p, p)) - Qp(i, p) ** 2)),
        (p, 1, K),
    )


def _printed_eq12() -> Expr:
    return Sum(
        (Rp(i, p) * (1 + Qp(i, i)) - Qp(i, i) * Rp(i, p))
        / ((1 + Qp(i, i)) * sqrt((1 + Qp(i, i)) * (1 + Tp(p, p)) - Rp(i, p) ** 2)),
        (p, 1, M),
    ) - Sum(
        (Qp(i, p) * (1 + Qp(i, i)) - Qp(i, i) * Qp(i, p))
        / ((1 + Qp(i, i)) * sqrt((1 + Qp(i, i)) * (1 + Qp(p, p)) - Qp(i, p) ** 2)),
        (p, 1, K),
    )


def _printed_eq13() -> Expr:
    return (
        Sum(asin(Tp(p, q) / sqrt((1 + Tp(p, p)) * (1 + Tp(q, q)))), (p, 1, M), (q, 1, M))
        + Sum(asin(Qp(p, q) / sqrt((1 + Qp(p, q)) * (1 + Qp(p, q)))), (p, 1, K), (q, 1, K))
        - 2 * Sum(asin(Rp(p, q) / sqrt((1 + Qp(p, q)) * (1 + Tp(p, q)))), (p, 1, K), (q, 1, M))
    ) / pi


def _drift(variable: str, factor: Expr) -> tuple[Expr, Expr]:
    """The rate of the printed dynamics at b = infinity times a factor: teacher's part, student's part."""
    derived = flow("batch-without-radial")
    rate = derived.drift if variable == "Q" else derived[variable].averages
    terms = Add.make_args(expand_mul(rate * factor, deep=False))
    teacher = Add(*(term for term in terms if term.has(v)))
    return close_averages(teacher), close_averages(Add(*terms) - teacher)


def _judge_closed(name: str, statement: str, left: Expr, printed: Expr, derived: Expr) -> LedgerEntry:
    return judge_equation(
        f"{PAPER}.{name}",
        statement,
        left,
        printed,
        derived,
        (*ASSUMED, LARGE_BATCH),
        (SHARED_SCALE, UNIT_SCALE),
        source=f"takagi2020 ({name[2:]})",
    )


@entry
def eq8() -> LedgerEntry:
    """dQ_ij/dt = (2 eta/pi)(Q_1 - Q_2), with Q_1 and Q_2 as printed in (9) and (10)."""
    printed = 2 * eta / pi * (_printed_eq9() - _printed_eq10())
    teacher, student = _drift("Q", S.One)
    return _judge_closed(
        "eq8", "the closed dynamics of Q_ij for erf and large b", _left_Q, printed, teacher + student
    )


@entry
def eq9() -> LedgerEntry:
    """The teacher's part of dQ_ij/dt."""
    teacher, _ = _drift("Q", pi / (2 * eta))
    return _judge_closed(
        "eq9", "the part of dQ_ij/dt due to the teacher", Symbol("Q_1"), _printed_eq9(), teacher
    )


@entry
def eq10() -> LedgerEntry:
    """The student's part of dQ_ij/dt."""
    _, student = _drift("Q", -pi / (2 * eta))
    return _judge_closed(
        "eq10", "the part of dQ_ij/dt due to the student", Symbol("Q_2"), _printed_eq10(), student
    )


@entry
def eq11() -> LedgerEntry:
    """dR_in/dt = (2 eta/pi) g_i/(sigma sqrt Q_ii) R with (11)."""
    derived = sum(_drift("R", pi / (2 * eta) * sigma * sqrt(Q[i, i]) / g[i]), S.Zero)
    return _judge_closed(
        "eq11",
        "the closed dynamics of R_in for erf and large b",
        Symbol("Rcal"),
        _printed_eq11(),
        derived,
    )


@entry
def eq12() -> LedgerEntry:
    """dg_i/dt = (2 eta/(pi g_i)) G with (12)."""
    derived = sum(_drift("g", pi * g[i] / (2 * eta)), S.Zero)
    return _judge_closed(
        "eq12",
        "the closed dynamics of g_i for erf and large b",
        Symbol("Gcal"),
        _printed_eq12(),
        derived,
    )


@entry
def eq13() -> LedgerEntry:
    """The closed generalization error for erf."""
    return judge_equation(
        f"{PAPER}.eq13",
        "the closed generalization error for erf",
        Symbol("epsilon_g"),
        _printed_eq13(),
        close_averages(flow("batch-without-radial").error_averages),
        ASSUMED,
        (SHARED_SCALE,),
        source="takagi2020 (13)",
        # The printed Q'_pq and T'_pq over p in 1..K, q in 1..M need K = M.
        points=committee_points(((1, 1), (2, 2), (3, 3))),
    )
