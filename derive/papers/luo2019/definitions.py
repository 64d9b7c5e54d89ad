"""Equations (1), (2), (4), (7), (16), (17): what the paper defines, and what it rewrites."""

from __future__ import annotations

import random

import mpmath
from sympy import Expr, Function, Idx, Indexed, IndexedBase, Integer, Rational, S, Sum, Symbol, log, sqrt

from derive.activation import u
from derive.equation import LedgerEntry, Verdict
from derive.gaussian import average
from derive.ledger import Condition, Point, compare, judge_equation
from derive.model import committee
from derive.online import derive_flow
from derive.papers.luo2019.setting import GENERIC, PAPER, angle, gamma, paper, relu, zeta
from derive.papers.luo2019.setting import POINTS as DYNAMICS
from derive.perceptron import polar_rates
from derive.sites import reduce_flow
from derive.symbols import batch, label_noise, weight_decay

field, mean, deviation = Symbol("w.x", real=True), Symbol("mu_B", real=True), Symbol("sigma_B", positive=True)
shift = Symbol("beta", real=True)
population_mean, variance, length = Symbol("mu_P", real=True), Symbol("a", positive=True), Symbol("W", positive=True)
"""mu_P, the variance of an input, and |w|."""


@paper.entry
def eq1() -> LedgerEntry:
    return paper.definition(
        "eq1", "batch normalization of one unit", Function("g")(Symbol("h")),
        Function("g")(gamma * (field - mean) / deviation + shift), "luo2019 (1)",
    )  # fmt: skip


@paper.entry
def eq2() -> LedgerEntry:
    j, P = Idx("j"), Symbol("P", integer=True, positive=True)
    likelihood = log(Indexed(IndexedBase("p"), j))
    return paper.definition(
        "eq2", "the loss: negative log likelihood and weight decay", Symbol("loss"),
        -Sum(likelihood, (j, 1, P)) / P + zeta * Symbol("theta") ** 2, "luo2019 (2)",
    )  # fmt: skip


@paper.entry
def eq7() -> LedgerEntry:
    i, layer = Idx("i"), Idx("l")

    def of_unit(name: str) -> Expr:
        return Indexed(IndexedBase(name), i, layer)

    right = of_unit("gamma") * (of_unit("h") - of_unit("mu_B")) / of_unit("sigma_B") + of_unit("beta")
    return paper.definition("eq7", "one layer of a deep network", of_unit("h"), right, "luo2019 (7)")


def _point(seed: int) -> Point:
    draw = random.Random(seed)
    names = ("w.x", "mu_P", "beta", "a", "W", "gamma", "R")
    return {name: Rational(draw.randint(20, 95), 100) for name in names}


POINTS = tuple(_point(seed) for seed in range(1, 6))


@paper.entry
def eq4() -> LedgerEntry:
    """Of uncorrelated inputs with variance a, w.x has the deviation sqrt(a) |w|."""
    printed = gamma / variance * field / length + shift - gamma * population_mean / (variance * length)
    derived = gamma * (field - population_mean) / (sqrt(variance) * length) + shift
    unit = Condition(
        "inputs have variance one; else a must be their standard deviation", lambda p: p | {"a": S.One}
    )
    return judge_equation(
        f"{PAPER}.eq4", "population normalization as weight normalization, of scale gamma/a", Symbol("h"), printed,
        derived, (), (unit,), source="luo2019 (4)", points=POINTS,
    )  # fmt: skip


@paper.entry
def claim_population_normalization() -> LedgerEntry:
    """The flow of the committee under exact batch normalization, K = M = 1, against that of the perceptron."""
    theirs = polar_rates(reduce_flow(derive_flow(committee("relu", "batch"))))
    zero = {zeta: S.Zero, weight_decay: S.Zero, label_noise: S.Zero, batch: S.One}
    apart = {
        str(s): compare(theirs[s].xreplace(zero), rate.xreplace(zero), points=DYNAMICS)
        for s, rate in relu().rates.items()
    }
    same = all(c.equal for c in apart.values())
    return paper.claim(
        "claim-population-normalization",
        "a unit under the population's normalization learns as under weight normalization",
        Verdict(
            "confirmed" if same else "refuted",
            "the flow of gamma, R and L is the same for ReLU units, inputs of variance one and no decay" if same
            else "the flows differ",
            evidence={"largest relative difference": {s: mpmath.nstr(c.worst, 5) for s, c in apart.items()}},
        ),
    )  # fmt: skip


@paper.entry
def eq16() -> LedgerEntry:
    student, teacher = Symbol("y", real=True), Symbol("y_star", real=True)
    return paper.definition(
        "eq16", "the generalization error, averaged over inputs", Symbol("epsilon_gen"),
        Function("mean")((student - teacher) ** 2), "luo2019 (16)",
    )  # fmt: skip


@paper.entry
def eq17() -> LedgerEntry:
    """For a polynomial in place of g, averaged over the two fields and over the printed independent ones."""
    h1, h2 = Symbol("h_1", real=True), Symbol("h_2", real=True)
    x, y = Symbol("x", real=True), Symbol("y", real=True)

    def error(student: Expr, teacher: Expr) -> Expr:
        apart = GENERIC(teacher) - GENERIC(student)
        return apart**2

    independent = {(a, b): Integer(a == b) for a in (h1, h2) for b in (h1, h2)}
    correlated = {(x, x): gamma**2, (x, y): gamma * angle, (y, x): gamma * angle, (y, y): S.One}
    printed = average(error(gamma * angle * h1 + gamma * sqrt(1 - angle**2) * h2, h1), independent).expression
    derived = average(error(x, y), correlated).expression
    return judge_equation(
        f"{PAPER}.eq17", f"the generalization error in gamma and R, judged for g = {GENERIC(u)}",
        Symbol("epsilon_gen"), printed, derived, source="luo2019 (17)", points=POINTS,
    )  # fmt: skip
