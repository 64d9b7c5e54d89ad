"""Equations (5), (6), (8) to (15): the dynamics of the perceptron with weight normalization and gamma decay."""

from __future__ import annotations

from sympy import Derivative, Expr, Function, S, Symbol, asin, pi, sqrt

from derive.equation import LedgerEntry
from derive.fields import i
from derive.gradient import gradient_amplitude
from derive.indexed import derivative
from derive.ledger import judge_equation
from derive.online import time
from derive.papers.luo2019.setting import (
    GENERIC,
    I1,
    I2,
    I3,
    LARGE_N,
    ONE_RATE,
    PAPER,
    POINTS,
    Condition,
    angle,
    delta,
    eta,
    gamma,
    h,
    in_averages,
    norm,
    paper,
    relu,
    t,
    zeta,
)
from derive.perceptron import perceptron_model
from derive.symbols import N, Q, eta_g, g, x

xx = Symbol("x.x", positive=True)
"""x.x of one sample, of mean one."""


def _judge(
    name: str, statement: str, left: Expr, printed: Expr, derived: Expr, *conditions: Condition
) -> LedgerEntry:
    return judge_equation(
        f"{PAPER}.{name}", statement, left, printed, derived, (ONE_RATE,), conditions,
        source=f"luo2019 ({name.partition('-')[0][2:]})", points=POINTS,
    )  # fmt: skip


def _along_input() -> Expr:
    """The gradient of the sample loss along xi: d loss / d x."""
    return gradient_amplitude(perceptron_model(GENERIC))(i)


def _along_weight() -> Expr:
    """The gradient along J: 2 d loss / d Q."""
    return 2 * derivative(perceptron_model(GENERIC).loss, Q, (i, i))


def _gain_slope() -> Expr:
    model = perceptron_model(GENERIC)
    return derivative(model.loss + model.penalty, g, (i,))


@paper.entry
def eq5_weights() -> LedgerEntry:
    """Along xi plus along J: with J a random number in place of the vector both coefficients are judged."""
    left = Derivative(Function("l")(norm), norm, evaluate=False)
    printed = -delta * gamma / norm + delta * h / norm**2 * Symbol("J")
    derived = _along_input() + _along_weight() * Symbol("J")
    return judge_equation(
        f"{PAPER}.eq5-weights",
        "the gradient by the weights: -delta gamma/L along the input, delta h/L^2 along the weights",
        left,
        printed,
        derived,
        source="luo2019 (5)",
        points=[p | {"J": k + 2} for k, p in enumerate(POINTS)],
    )


@paper.entry
def eq5_gain() -> LedgerEntry:
    """Printed without the 1/N that (6) and (8) need."""
    faster = Condition(
        "the learning rate of gamma is N eta, which contradicts (6) and (8)",
        lambda p: p | {"eta_g": p["N"] * p["eta"]},
    )
    return judge_equation(
        f"{PAPER}.eq5-gain",
        "the update of gamma, with the learning rate of the weights: eta (delta h/gamma - zeta gamma)",
        Symbol("Delta_gamma"),
        eta * (delta * h / gamma - zeta * gamma),
        -eta_g / N * _gain_slope(),
        (ONE_RATE,),
        (faster,),
        source="luo2019 (5)",
        points=POINTS,
    )


@paper.entry
def eq6_gamma() -> LedgerEntry:
    printed = in_averages(eta * I1 / gamma - eta * zeta * gamma)
    return _judge("eq6-gamma", "the dynamics of gamma", _rate(gamma), printed, relu().rates[gamma])


@paper.entry
def eq6_R() -> LedgerEntry:
    printed = in_averages(
        eta * gamma / norm**2 * I3
        - eta * angle / norm**2 * I1
        - eta**2 * gamma**2 * angle / (2 * norm**4) * I2
    )
    return _judge("eq6-R", "the dynamics of R", _rate(angle), printed, relu().rates[angle])


@paper.entry
def eq6_L() -> LedgerEntry:
    printed = in_averages(eta**2 * gamma**2 / (2 * norm**3) * I2)
    return _judge("eq6-L", "the dynamics of L", _rate(norm), printed, relu().rates[norm])


def _rate(variable: Symbol) -> Expr:
    return Derivative(variable, time)


def _step(along: Expr, onto: Expr) -> Expr:
    """-(eta/N) times a gradient's overlap with a vector, from the field and the overlap with J."""
    return -eta / N * (_along_input() * along + _along_weight() * onto)


@paper.entry
def eq8_gain() -> LedgerEntry:
    """The change of Q^2 = gamma^2 in one step, times N."""
    change = -eta_g * _gain_slope()
    return _judge(
        "eq8-gain", "the change of Q^2 in one step, times N", N * Symbol("Delta_Q2"),
        2 * eta * delta * h - 2 * eta * zeta * gamma**2, 2 * gamma * change + change**2 / N, LARGE_N,
    )  # fmt: skip


@paper.entry
def eq8_overlap() -> LedgerEntry:
    """The change of R L in one step, times N."""
    return _judge(
        "eq8-overlap", "the change of R L in one step, times N", N * Symbol("Delta_RL"),
        eta * gamma / norm * delta * t - eta * angle / norm * delta * h,
        N * _step(t, angle * norm),
    )  # fmt: skip


@paper.entry
def eq8_norm() -> LedgerEntry:
    """The change of L^2 in one step, times N, exactly: a first order that cancels, and a second."""
    student = x[i]
    along, own = _along_input(), _along_weight()
    square = along**2 * N * xx + 2 * along * own * student + own**2 * norm**2
    return _judge(
        "eq8-norm", "the change of L^2 in one step, times N", N * Symbol("Delta_L2"),
        eta**2 * gamma**2 / norm**2 * delta**2 * xx - eta**2 / norm**2 * delta**2 * h**2 / N,
        N * (2 * _step(student, norm**2) + eta**2 / N**2 * square),
    )  # fmt: skip


@paper.entry
def eq9_gain() -> LedgerEntry:
    return _judge(
        "eq9-gain", "the dynamics of Q^2", Derivative(gamma**2, time),
        in_averages(2 * eta * I1 - 2 * eta * zeta * gamma**2), 2 * gamma * relu().rates[gamma],
    )  # fmt: skip


@paper.entry
def eq9_overlap() -> LedgerEntry:
    rates = relu().rates
    return _judge(
        "eq9-overlap", "the dynamics of R L", Derivative(angle * norm, time),
        in_averages(eta * gamma / norm * I3 - eta * angle / norm * I1),
        norm * rates[angle] + angle * rates[norm],
    )  # fmt: skip


@paper.entry
def eq9_norm() -> LedgerEntry:
    return _judge(
        "eq9-norm", "the dynamics of L^2", Derivative(norm**2, time),
        in_averages(eta**2 * gamma**2 / norm**2 * I2), 2 * norm * relu().rates[norm],
    )  # fmt: skip


@paper.entry
def eq10() -> LedgerEntry:
    """(6) again, with Q for gamma; the third of its rates, the first two being those of (6)."""
    return _judge(
        "eq10", "the dynamics (6) in the appendix, Q for gamma: dR/dt", _rate(angle),
        in_averages(
            eta * gamma / norm**2 * I3
            - eta * angle / norm**2 * I1
            - eta**2 * gamma**2 * angle / (2 * norm**4) * I2
        ),
        relu().rates[angle],
    )  # fmt: skip


@paper.entry
def eq11() -> LedgerEntry:
    return _judge(
        "eq11", "the condition on gamma at first order in eta: this vanishes at a fixed point", S.Zero,
        in_averages(eta * I1 / gamma - eta * zeta * gamma), relu().drift[gamma],
    )  # fmt: skip


@paper.entry
def eq12() -> LedgerEntry:
    return _judge(
        "eq12", "the condition on R at first order in eta: this vanishes at a fixed point", S.Zero,
        in_averages(eta * gamma / norm**2 * I3 - eta * angle / norm**2 * I1), relu().drift[angle],
    )  # fmt: skip


_root = sqrt(1 - angle**2)
_cosine = pi * angle + 2 * _root + 2 * angle * asin(angle)


def printed_I1() -> Expr:
    return gamma * _cosine / (4 * pi) - gamma**2 / 2


def printed_I2() -> Expr:
    """With pi R in the second term."""
    second = (pi * angle + 2 * angle * _root + 2 * asin(angle)) / (4 * pi)
    return gamma**2 / 2 + second - gamma * _cosine / (2 * pi)


def printed_I3() -> Expr:
    return (pi + 2 * angle * _root + 2 * asin(angle)) / (4 * pi) - gamma * angle / 2


@paper.entry
def eq13() -> LedgerEntry:
    return _judge("eq13", "I1 of the ReLU perceptron", I1, printed_I1(), relu().I1)


@paper.entry
def eq14() -> LedgerEntry:
    return _judge("eq14", "I3 of the ReLU perceptron", I3, printed_I3(), relu().I3)


@paper.entry
def eq15() -> LedgerEntry:
    return _judge("eq15", "I2 of the ReLU perceptron", I2, printed_I2(), relu().I2)
