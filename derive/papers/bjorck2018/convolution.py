"""Equations (1), (3), (4), what Table 1 says by itself, and the signs of output gradients."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import product

from sympy import (
    Add,
    Expr,
    Function,
    Idx,
    IndexedBase,
    Rational,
    Sum,
    Symbol,
    diff,
    exp,
    factor,
    log,
    sqrt,
    together,
)

from derive.equation import LedgerEntry, Verdict
from derive.ledger import Point, judge_equation
from derive.papers.bjorck2018.setting import PAPER, paper

IMAGES, IN, OUT, WIDTH, HEIGHT = 2, 2, 2, 3, 3
"""Of the small layer at which (4) is tested, with every index that there can be."""
STENCIL = tuple(product((-1, 0, 1), repeat=2))
"""The set S of (3)."""

Entry = Callable[..., Expr]


def _array(name: str) -> Entry:
    return lambda *place: Symbol("_".join((name, *(str(p).replace("-", "m") for p in place))))


inputs, kernel, pull = _array("I"), _array("K"), _array("G")
"""I, K and dL/dO."""
EVERYWHERE = tuple(product(range(IMAGES), range(WIDTH), range(HEIGHT)))


def _input(b: int, c: int, x: int, y: int) -> Expr:
    """Zero beyond the border."""
    return inputs(b, c, x, y) if 0 <= x < WIDTH and 0 <= y < HEIGHT else Rational(0)


def _output(b: int, c: int, x: int, y: int) -> Expr:
    """(3), from the definition of a convolution."""
    return Add(*(_input(b, i, x + s, y + t) * kernel(c, i, s, t) for i in range(IN) for s, t in STENCIL))


def _sum_of_terms(o: int, i: int, s: int, t: int) -> Expr:
    """(4) as printed: the sum of d over images and places."""
    return Add(*(pull(b, o, x, y) * _input(b, i, x + s, y + t) for b, x, y in EVERYWHERE))


def _points() -> Iterable[Point]:
    draw = random.Random(4)
    names = [inputs(b, c, x, y) for b, x, y in EVERYWHERE for c in range(IN)]
    names += [pull(b, c, x, y) for b, x, y in EVERYWHERE for c in range(OUT)]
    return [{n.name: Rational(draw.randint(-90, 90), 100) for n in names} for _ in range(3)]


@paper.entry
def eq1() -> LedgerEntry:
    b, c, x, y = (Idx(name) for name in "bcxy")
    source = IndexedBase("I")[b, c, x, y]
    mean, variance, gain, shift = (IndexedBase(name)[c] for name in ("mu", "sigma^2", "gamma", "beta"))
    right = gain * (source - mean) / sqrt(variance + Symbol("epsilon", positive=True)) + shift
    return paper.definition(
        "eq1", "batch normalization, with mean and variance of a channel over images and places",
        IndexedBase("O")[b, c, x, y], right, "bjorck2018, (1)",
    )  # fmt: skip


@paper.entry
def eq3() -> LedgerEntry:
    b, c, x, y, i, s, t = (Idx(name) for name in ("b", "c", "x", "y", "i", "s", "t"))
    channels = Symbol("channels", integer=True, positive=True)
    term = IndexedBase("I")[b, i, x + s, y + t] * IndexedBase("K")[c, i, s, t]
    return paper.definition(
        "eq3", "a convolution with a 3 x 3 kernel", IndexedBase("O")[b, c, x, y],
        Sum(term, (s, -1, 1), (t, -1, 1), (i, 1, channels)), "bjorck2018, (3)",
    )  # fmt: skip


@paper.entry
def eq4() -> LedgerEntry:
    """The loss enters through its slope in every output: differentiate sum G O by one weight of the kernel."""
    weight = (1, 0, -1, 1)
    loss = Add(*(pull(b, o, x, y) * _output(b, o, x, y) for b, x, y in EVERYWHERE for o in range(OUT)))
    return judge_equation(
        f"{PAPER}.eq4", "a kernel's gradient is the sum of d over images and places (tested on two images of "
        "3 x 3, two channels)", Function("dL/dK")(*weight), _sum_of_terms(*weight), diff(loss, kernel(*weight)),
        source="bjorck2018, (4)", points=list(_points()),
    )  # fmt: skip


TABLE1 = (
    ("layer 18 with BN", "7.5e-05", "3.0e-07", "251.8"),
    ("layer 54 with BN", "1.9e-05", "1.7e-07", "112.8"),
    ("layer 90 with BN", "6.6e-06", "1.6e-07", "40.7"),
    ("layer 18 w/o BN", "6.3e-05", "3.6e-05", "1.7"),
    ("layer 54 w/o BN", "2.2e-04", "8.4e-05", "2.6"),
    ("layer 90 w/o BN", "2.6e-04", "1.2e-04", "2.1"),
)
"""Layer, a, b and a/b as printed."""


def _interval(text: str) -> tuple[Fraction, Fraction]:
    """What rounds to a printed number."""
    mantissa, _, power = text.partition("e")
    digits = len(mantissa.partition(".")[2])
    value, half = Fraction(text), Fraction(1, 2) * Fraction(10) ** (int(power or 0) - digits)
    return value - half, value + half


@paper.entry
def table1_ratios() -> LedgerEntry:
    """Whether a/b, as far as a and b are printed, can be what the last column says."""
    off = []
    for layer, a, b, ratio in TABLE1:
        (a_low, a_high), (b_low, b_high), (low, high) = map(_interval, (a, b, ratio))
        if a_high / b_low < low or a_low / b_high > high:
            off.append(layer)
    return paper.claim(
        "table1-ratios", "the last column of Table 1 is the ratio of the two before it",
        Verdict(
            "misprint" if off else "confirmed",
            f"not within rounding at {', '.join(off)}" if off else "within the rounding of all six rows",
        ),
    )  # fmt: skip


@paper.entry
def table1_factor_two() -> LedgerEntry:
    above = {layer: ratio for layer, *_, ratio in TABLE1 if "w/o" in layer and _interval(ratio)[0] > 2}
    return paper.claim(
        "table1-factor-two",
        "in Table 1 the two sums generally agree within a factor of 2 or less without normalization",
        Verdict(
            "refuted" if above else "confirmed",
            f"the table itself has {', '.join(f'{r} at {layer}' for layer, r in above.items())}"
            if above else "so it is in all three rows",
            evidence={"above 2": above},
        ),
    )  # fmt: skip


@paper.entry
def table1_explains() -> LedgerEntry:
    """|gradient| b = a / (a/b): how much of the ratio of b between the networks is due to cancellation."""
    numbers = {layer: tuple(map(float, row)) for layer, *row in TABLE1}
    shares = {}
    for layer in ("layer 18", "layer 54", "layer 90"):
        (_, b, ratio), (_, b_free, ratio_free) = (numbers[f"{layer} {net}"] for net in ("with BN", "w/o BN"))
        shares[layer] = float(log(ratio / ratio_free) / log(b_free / b))
    words = ", ".join(f"{share:.0%} at {layer}" for layer, share in shares.items())
    everywhere = all(share > 0.9 for share in shares.values())
    somewhere = any(share > 0.9 for share in shares.values())
    return paper.claim(
        "table1-explains",
        "that terms cancel with normalization and do not without it explains how much larger gradients are",
        Verdict(
            "confirmed" if everywhere else "conditional" if somewhere else "refuted",
            f"by the printed table, cancellation accounts for {words} of the logarithm of the ratio of gradients; "
            "the rest is the size of the terms, which grows with depth only without normalization",
            evidence={"share of the logarithm": shares, "criterion": "confirmed above 90 % in every layer, "
                      "conditional in some"},
        ),
    )  # fmt: skip


@paper.entry
def claim_one_negative() -> LedgerEntry:
    """The output gradients of softmax cross-entropy, from its definition, for any logits."""
    logits = [Symbol(f"o_{j}", real=True) for j in range(1, 11)]
    loss = log(Add(*map(exp, logits))) - logits[0]
    true, other = (factor(together(diff(loss, logits[j]))) for j in (0, 1))
    right = bool(true.is_negative) and bool(other.is_positive)
    return paper.claim(
        "claim-one-negative",
        "in every row of Figure 6 one entry is negative, that of the true class, and all others are positive",
        Verdict(
            "confirmed" if right else "refuted",
            "the signs of the derivatives of softmax cross-entropy, differentiated from its definition, at any logits",
            evidence={"true class": true, "another class": other},
        ),
    )  # fmt: skip
