"""What the paper's formulas are judged at: random networks, as points of named exact numbers."""

from __future__ import annotations

import random

from sympy import Expr, Rational, S, Symbol, sqrt

from derive.activation import Activation, u
from derive.equation import Verdict
from derive.gaussian import GaussianAverage
from derive.ledger import Point
from derive.papers.paper import Paper
from derive.wide.propagation import gradient

paper = Paper("karakida2019")
PAPER = paper.name
LEDGER, entry, claim, needs, definition = paper.ledger, paper.entry, paper.claim, paper.needs, paper.definition

DEPTHS = (2, 3, 5)
GENERIC = Activation("a generic polynomial", u + u**2 / 3)
"""Closes every average by Wick's theorem: it stands for an activation the paper leaves general."""


def points(depth: int = 3) -> tuple[Point, ...]:
    """Three random networks: free order parameters by layer, widths, kappas, M, T, C, all exact."""
    found = []
    for seed in (1, 2, 3):
        draw = random.Random(100 * depth + seed)

        def positive(draw: random.Random = draw) -> Rational:
            return Rational(draw.randint(20, 200), 100)

        names = ("qhat_t", "qhat_st", "qtilde_t", "qtilde_st", "alpha")
        layers = {f"{name}_{l}": positive() for name in names for l in range(depth + 1)}
        variance = positive()
        found.append({
            **layers, "q": variance, "c": variance * Rational(draw.randint(10, 90), 100),
            "alpha": sum(layers[f"alpha_{l}"] * layers[f"alpha_{l - 1}"] for l in range(1, depth)),
            "sigma_w^2": positive(), "sigma_b^2": positive(), "overlap": positive(),
            "kappa_2": positive(), "kappa_1": 2 + positive(), "rho": positive(), "Q_1": positive(),
            "Q_2": positive(), "eta_1": positive(), "eta_2": positive(), "eta_3": positive(),
            "M": S(draw.randint(100, 999)), "T": S(draw.randint(7, 99)), "C": S(draw.randint(3, 9)),
        })  # fmt: skip
    return tuple(found)


def I_phi(phi: Expr, a: Expr, b: Expr) -> Expr:
    """The paper's I_phi[a, b], an integral over two independent standard normal variables."""
    x, y = Symbol("x", real=True), Symbol("y", real=True)
    c = b / a
    other = sqrt(a) * (c * x + sqrt(1 - c**2) * y)
    return GaussianAverage(phi.xreplace({u: sqrt(a) * x}) * phi.xreplace({u: other}), (x, y), [[1, 0], [0, 1]])


def D_phi(phi: Expr, a: Expr) -> Expr:
    """The paper's integral of phi^2(sqrt(a) u) over Du."""
    x = Symbol("x", real=True)
    return GaussianAverage(phi.xreplace({u: sqrt(a) * x}) ** 2, (x,), [[1]])


def slope(phi: Activation) -> Expr:
    return gradient(phi)


def settled(holds: bool, yes: str, no: str, **evidence: object) -> Verdict:
    """Confirmed or refuted, by a computation."""
    return Verdict("confirmed" if holds else "refuted", yes if holds else no, evidence=evidence)
