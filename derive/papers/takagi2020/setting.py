"""What the paper assumes, and its notation: the setting in which its formulas are judged."""

from __future__ import annotations

from functools import cache

import mpmath
from sympy import Expr, Integer, Symbol, sqrt

from derive.activation import Activation, u
from derive.fields import average_of_fields
from derive.indexed import index_symbol
from derive.ledger import Condition, Point
from derive.model import committee
from derive.online import Flow, derive_flow
from derive.papers.paper import Paper
from derive.symbols import Q, g, tau, x

paper = Paper("takagi2020")
PAPER = paper.name
p, q = index_symbol("p"), index_symbol("q")
sigma = sqrt(tau)

LEDGER, entry, claim, needs = paper.ledger, paper.entry, paper.claim, paper.needs


def _ones(point: Point) -> Point:
    return point | {"w": [1] * point["K"], "v": [1] * point["M"], "sigma_0": 0, "lambda": 0, "zeta": 0}


def _one_rate(point: Point) -> Point:
    return point | {"eta_g": point["eta"]}


def _shared_scale(point: Point) -> Point:
    """Give every unit the same g_i / sqrt(Q_ii), exactly: equal norms and equal gains."""
    size = point["K"] + point["M"]
    diagonal = [[1 if a == b else Integer(a + b) / 37 for b in range(size)] for a in range(size)]
    k = point["K"]
    return point | {
        "Q": [row[:k] for row in diagonal[:k]],
        "R": [row[k:] for row in diagonal[:k]],
        "T": [row[k:] for row in diagonal[k:]],
        "g": [point["g"][0]] * k,
    }


ASSUMED = (
    Condition("second layers fixed at one, no label noise, no decay", _ones),
    Condition("one learning rate for weights and gains", _one_rate),
)
LARGE_BATCH = Condition("the batch is infinite", lambda point: point | {"b": mpmath.inf})
SHARED_SCALE = Condition("every unit has the same g_i / sqrt(Q_ii)", _shared_scale)
UNIT_SCALE = Condition(
    "every unit has g_i = sigma sqrt(Q_ii), so that normalization does nothing",
    lambda point: _shared_scale(point) | {"g": [sqrt(point["tau"])] * point["K"]},
)

GENERIC = Activation("a generic polynomial", u + u**2 / 3)
"""Closes every average by Wick's theorem: it stands for an activation the paper leaves general."""


@cache
def flow(normalization: str, phi: str | Activation = "erf") -> Flow:
    return derive_flow(committee(phi, normalization))


def hat(index: Symbol) -> Expr:
    """The normalized preactivation of (1), g_i x_i / (sigma sqrt(Q_ii))."""
    return g[index] * x[index] / (sigma * sqrt(Q[index, index]))


def I2(phi: Activation, a: Expr, b: Expr) -> Expr:
    return average_of_fields(phi(a) * phi(b))


def I3(phi: Activation, a: Expr, b: Expr, c: Expr) -> Expr:
    return average_of_fields(phi.derivative(a) * b * phi(c))


def I4(phi: Activation, a: Expr, b: Expr, c: Expr, d: Expr) -> Expr:
    return average_of_fields(phi.derivative(a) * phi.derivative(b) * phi(c) * phi(d))
