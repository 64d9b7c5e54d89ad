"""What the paper assumes, and its notation: the setting in which its formulas are judged.

Its inputs x have variance 1/N and its weights w the norm sqrt(N) L; in the engine's convention, xi = sqrt(N) x
and J = w / sqrt(N), the update is J -= (eta/N) gradient with the same eta.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import mpmath
from sympy import Expr, Rational, Symbol

from derive.activation import Activation, u
from derive.ledger import Condition, Point
from derive.papers.paper import Paper
from derive.perceptron import Perceptron, angle, gamma, norm, perceptron
from derive.symbols import eta, gain_decay

paper = Paper("luo2019")
PAPER = paper.name

zeta = gain_decay
h, t = Symbol("h", real=True), Symbol("t", real=True)
"""The fields of one sample: the student's preactivation, and the teacher's."""
delta = Symbol("delta", real=True)
I1, I2, I3 = Symbol("I_1", real=True), Symbol("I_2", real=True), Symbol("I_3", real=True)

GENERIC = Activation("a generic polynomial", u + u**2 / 3)
"""Stands for an activation the paper leaves general."""


@cache
def relu() -> Perceptron:
    return perceptron("relu")


def point(seed: int) -> Point:
    """One unit on each side, consistent in the paper's variables and in the engine's."""
    draw = random.Random(seed)
    gain, length = (Rational(draw.randint(30, 200), 100) for _ in range(2))
    cosine = Rational(draw.randint(-80, 95), 100)
    student, teacher = (Rational(draw.randint(-150, 150), 100) for _ in range(2))
    return {
        "K": 1, "M": 1, "N": 1000, "i": 1, "j": 1, "n": 1, "b": 1, "sigma_0": 0, "noise": 0, "tau": 1,
        "gamma": gain, "L": length, "R": cosine, "h": student, "t": teacher,
        "g": [gain], "Q": [[length**2]], "x": [length * student / gain], "y": [teacher],
        "delta": (1 + 2 * student / 3) * (teacher + teacher**2 / 3 - student - student**2 / 3),
        **{name: Rational(draw.randint(20, 200), 100) for name in ("eta", "zeta", "x.x")},
    }  # fmt: skip


POINTS: Sequence[Point] = tuple(point(seed) for seed in range(1, 6))

ONE_RATE = Condition("one learning rate for weights and gain", lambda p: p | {"eta_g": p["eta"]})
LARGE_N = Condition("N is infinite", lambda p: p | {"N": mpmath.inf})
NO_DECAY = Condition("zeta = 0", lambda p: p | {"zeta": 0})


def in_averages(expression: Expr) -> Expr:
    """A printed right-hand side in I_1, I_2, I_3 with the derived averages of the ReLU perceptron."""
    return expression.xreplace({I1: relu().I1, I2: relu().I2, I3: relu().I3})


def in_words(expression: Expr) -> str:
    """A short expression as a sentence holds it: 2 (zeta + 1)^2."""
    return str(expression).replace("**", "^").replace("*", " ")


__all__ = [
    "GENERIC", "I1", "I2", "I3", "LARGE_N", "NO_DECAY", "ONE_RATE", "PAPER", "POINTS", "angle", "delta", "eta",
    "gamma", "h", "in_averages", "in_words", "norm", "paper", "relu", "t", "zeta",
]  # fmt: skip
