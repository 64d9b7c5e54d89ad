"""Whether two formulas are the same: the ledger's test, for formulas of one's own."""

from __future__ import annotations

import random
import re
from itertools import count
from typing import Any

from sympy import Expr, Rational, Symbol

from derive.errors import DerivationError
from derive.grammar import parse
from derive.ledger import DIGITS, Comparison, Condition, Point, compare, find

_COVARIANCE = re.compile(r"C_(?:(\w)(\w)|\{(\w+),(\w+)\})")
_LEDGER_NAME = re.compile(r"[a-z]+\d{4}\..*")


def read(text: str) -> Expr:
    """The derived right-hand side of the ledger's equation of that name, or the expression ``text`` writes.

    Raises DerivationError for an unknown name, an entry without an equation, and what does not parse.
    """
    if not _LEDGER_NAME.fullmatch(text.strip()):
        return parse(text).expression
    entry = find(text.strip())
    if entry.derived is None:
        raise DerivationError(f"{entry.name} has no derived form to compare with")
    return entry.derived.right


def same(one: Expr, other: Expr) -> Comparison:
    """Compare at random admissible points, to 50 digits.

    Symbols C_uv are covariances of Gaussian fields: entries of a random positive definite matrix.  Overlaps
    and the parameters of learning are drawn as the ledger draws them; every other symbol is positive.
    """
    symbols = sorted({s.name for s in one.free_symbols | other.free_symbols if isinstance(s, Symbol)})
    seeds = count(1)
    return compare(one, other, [Condition("", lambda point: _values(symbols, next(seeds)) | point)])


def _values(names: list[str], seed: int) -> Point:
    """Random values for the symbols ``names``."""
    draw = random.Random(seed)
    pairs = {name: _fields(name) for name in names}
    fields = sorted({field for pair in pairs.values() if pair for field in pair})
    vectors = {
        field: [Rational(draw.randint(-90, 90), 100) for _ in range(len(fields) + 1)] for field in fields
    }

    def value(name: str) -> Any:
        pair = pairs[name]
        if pair is None:
            return Rational(draw.randint(20, 200), 100)
        return sum(a * b for a, b in zip(vectors[pair[0]], vectors[pair[1]], strict=True))

    return {name: value(name) for name in names}


def _fields(name: str) -> tuple[str, str] | None:
    match = _COVARIANCE.fullmatch(name)
    if match is None:
        return None
    return match[1] or match[3], match[2] or match[4]


__all__ = ["DIGITS", "read", "same"]
