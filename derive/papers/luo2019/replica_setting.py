"""The replica method in the paper's notation.

Its q^2 is the self-overlap of a student, gamma^2 the overlap of two replicas, gamma R that with the teacher, S
the variance of the noise; in the engine's notation these are q + Delta, q and R.
"""

from __future__ import annotations

import random
from functools import cache

from sympy import Dummy, Expr, Heaviside, Rational, Symbol, log

from derive.gaussian import average
from derive.ledger import Condition, Point
from derive.replica import free_energy, known
from derive.replica import symbols as engine
from derive.replica.free_energy import entropic_part
from derive.replica.pieces import partition, pieces

alpha, beta, S = engine.alpha, engine.beta, engine.noise_variance
gamma = Symbol("gamma", positive=True)
R = Symbol("R", real=True)
q = Symbol("q", positive=True)
a = Symbol("a", positive=True)
"""(1 + beta (q^2 - gamma^2)) / (beta (q^2 - gamma^2))."""
zeta = Symbol("zeta", positive=True)
gap = q**2 - gamma**2


def point(seed: int) -> Point:
    draw = random.Random(seed)

    def positive() -> Rational:
        return Rational(draw.randint(20, 200), 100)

    overlap = positive()
    return {
        "gamma": overlap, "q": overlap + positive(), "R": Rational(draw.randint(-90, 90), 100),
        "a": 1 + positive(), "alpha": positive(), "beta": positive(), "S": positive(), "zeta": positive(),
        "M": draw.randint(4, 64),
    }  # fmt: skip


POINTS = tuple(point(seed) for seed in range(1, 6))
COLD = Condition("a = 1, as beta goes to infinity at fixed q^2 - gamma^2", lambda p: p | {"a": 1})
UNDERLOADED = Condition("alpha < 1", lambda p: p | {"alpha": p["alpha"] / 3})
OVERLOADED = Condition("alpha > 1", lambda p: p | {"alpha": p["alpha"] + 1})


def in_the_papers_notation(expression: Expr) -> Expr:
    """From q, R, Delta of the engine."""
    overlap, along = Dummy("q", positive=True), Dummy("R", real=True)
    held = expression.xreplace({engine.q: overlap, engine.R: along})
    return held.xreplace({engine.Delta: gap, overlap: gamma**2, along: gamma * R})


@cache
def volume() -> Expr:
    """The entropic part without the cost of a prior: weights of fixed norm q."""
    return entropic_part(known("sign"))[0]


@cache
def replaced_free_energy() -> Expr:
    """-beta f of the ReLU student with the paper's replacement, in the engine's notation.

    For a positive target the student counts as linear; for a negative one the inner average is the largest
    value of the weight, that of output zero.
    """
    linear = pieces(known("linear").target[0])
    assert linear is not None
    positive = log(partition(linear)).expand(force=True)
    negative = -beta * engine.t**2 / 2
    covariance = {
        (engine.m, engine.m): engine.q, (engine.m, engine.t): engine.R,
        (engine.t, engine.m): engine.R, (engine.t, engine.t): 1 + S,
    }  # fmt: skip
    target = Heaviside(engine.t) * positive + Heaviside(-engine.t) * negative
    return volume() + alpha * average(target, covariance).expression


@cache
def linear_error() -> Expr:
    """1 + q - 2 R of the linear student at the saddle point, for given chi, at beta to infinity."""
    from sympy import solve

    ground = free_energy(known("linear")).ground_state
    assert ground is not None
    found = solve([ground.diff(engine.R), ground.diff(engine.chi)], [engine.q, engine.R], dict=True)[0]
    return (1 + found[engine.q] - 2 * found[engine.R]).factor()


def chi_at(ridge: Expr) -> Expr:
    """chi of the linear student: the positive root of the condition from q."""
    from sympy import solve

    ground = free_energy(known("linear")).ground_state
    assert ground is not None
    condition = (ground.diff(engine.q) * engine.chi * (1 + engine.chi)).expand()
    roots = solve(condition.subs(engine.ridge, ridge), Symbol("chi", positive=True))
    probe = {s: Rational(1, 3) for s in (alpha, zeta, S)}
    return next(root for root in roots if root.subs(probe).evalf() > 0)


__all__ = [
    "COLD", "OVERLOADED", "POINTS", "UNDERLOADED", "R", "S", "a", "alpha", "beta",
    "chi_at", "gamma", "gap", "in_the_papers_notation", "linear_error", "q", "replaced_free_energy",
    "volume", "zeta",
]  # fmt: skip
