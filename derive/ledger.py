"""The ledger: printed forms and claims of papers, each judged by computation.

An identity is tested at random admissible points, exact rationals evaluated to 50 digits.  The points of a
committee are the default, for several sizes K and M; a paper on another model draws its own.  Two
expressions that agree to 45 digits there are equal for every practical purpose; one point where they differ
is a counterexample.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

import mpmath
from sympy import Expr, Rational

from derive.closing import close_averages
from derive.equation import Equation, LedgerEntry, Verdict
from derive.errors import DerivationError
from derive.evaluate import evaluate

DIGITS = 50
AGREEMENT = mpmath.mpf(10) ** -45
SIZES = ((1, 1), (2, 2), (2, 3), (3, 2))
PAPERS = ("takagi2020", "luo2019", "karakida2019", "reyes2020", "bjorck2018")

Point = dict[str, Any]


@dataclass(frozen=True)
class Condition:
    """An assumption under which a printed form may hold: words, and what it does to a random point."""

    statement: str
    impose: Callable[[Point], Point]


@dataclass(frozen=True)
class Comparison:
    """How two expressions differ over random points; ``worst`` is the largest relative difference."""

    equal: bool
    points: int
    worst: mpmath.mpf
    counterexample: Mapping[str, Any] | None


def random_point(seed: int, students: int, teachers: int) -> Point:
    """An admissible point: overlaps of random rational weight vectors, and positive random parameters."""
    draw = random.Random(seed)
    size = students + teachers

    def positive() -> Rational:
        return Rational(draw.randint(20, 200), 100)

    weights = [[Rational(draw.randint(-90, 90), 100) for _ in range(size + 2)] for _ in range(size)]
    gram = [[sum(a * b for a, b in zip(u, z, strict=True)) for z in weights] for u in weights]
    return {
        "K": students,
        "M": teachers,
        "N": 1000,
        "Q": [row[:students] for row in gram[:students]],
        "R": [row[students:] for row in gram[:students]],
        "T": [row[students:] for row in gram[students:]],
        "g": [positive() for _ in range(students)],
        "w": [positive() for _ in range(students)],
        "v": [positive() for _ in range(teachers)],
        "x": [Rational(draw.randint(-150, 150), 100) for _ in range(students)],
        "y": [Rational(draw.randint(-150, 150), 100) for _ in range(teachers)],
        "noise": 0,
        "i": 1,
        "j": min(2, students),
        "n": teachers,
        **{name: positive() for name in ("tau", "eta", "eta_g", "eta_w", "sigma_0", "lambda", "zeta")},
        "b": draw.randint(2, 9),
    }


def committee_points(sizes: Iterable[tuple[int, int]] = SIZES) -> tuple[Point, ...]:
    """A random point for each pair of sizes K, M, its number the seed."""
    return tuple(random_point(seed, students, teachers) for seed, (students, teachers) in enumerate(sizes, 1))


def compare(
    printed: Expr,
    derived: Expr,
    conditions: Sequence[Condition] = (),
    points: Iterable[Point] | None = None,
) -> Comparison:
    """Evaluate both expressions at ``points`` (default: ``committee_points()``), under all the conditions.

    A point maps the names of symbols to exact numbers and those of indexed bases to nested lists.
    """
    ours, theirs = close_averages(derived), close_averages(printed)
    worst, counterexample, count = mpmath.mpf(0), None, 0
    for point in committee_points() if points is None else points:
        for condition in conditions:
            point = condition.impose(point)
        a, b = evaluate(theirs, point, DIGITS), evaluate(ours, point, DIGITS)
        count += 1
        difference = abs(a - b) / max(abs(a), abs(b), mpmath.mpf(1))
        if difference > worst:
            worst = difference
            used = {s.name for s in (ours + theirs).free_symbols if hasattr(s, "name")}
            counterexample = {
                "point": {name: value for name, value in point.items() if name in used},
                "printed": mpmath.nstr(a, DIGITS),
                "derived": mpmath.nstr(b, DIGITS),
            }
    equal = worst < AGREEMENT
    return Comparison(equal, count, worst, None if equal else counterexample)


def judge(
    printed: Expr,
    derived: Expr,
    given: Sequence[Condition] = (),
    conditions: Sequence[Condition] = (),
    points: Sequence[Point] | None = None,
) -> Verdict:
    """The verdict on a printed form.

    ``given`` is what the paper assumes throughout.  If the forms are equal under it the printed one is
    confirmed; if they are equal only under one of ``conditions`` it is conditional; else it is a misprint,
    and the derived form corrects it.
    """
    plain = compare(printed, derived, given, points)
    evidence = {
        "method": f"evaluated to {DIGITS} digits at {plain.points} random rational points",
        "given": [c.statement for c in given],
        "largest relative difference": mpmath.nstr(plain.worst, 5),
    }
    if plain.equal:
        return Verdict("confirmed", "the printed form equals the derived one", evidence=evidence)
    for condition in conditions:
        if compare(printed, derived, (*given, condition), points).equal:
            return Verdict(
                "conditional",
                f"holds only if {condition.statement}",
                corrected=derived,
                counterexample=plain.counterexample,
                evidence=evidence,
            )
    return Verdict(
        "misprint",
        "the printed form differs from the derived one",
        corrected=derived,
        counterexample=plain.counterexample,
        evidence=evidence,
    )


def judge_equation(
    name: str,
    statement: str,
    left: Expr,
    printed: Expr,
    derived: Expr | Equation,
    given: Sequence[Condition] = (),
    conditions: Sequence[Condition] = (),
    source: str = "",
    points: Sequence[Point] | None = None,
) -> LedgerEntry:
    """A ledger entry for a printed equation, of which ``left`` is the left-hand side.

    ``derived`` is a right-hand side that follows from the sample loss, or an Equation of its own with its
    steps; the entry then shows it under the ledger's name.
    """
    if isinstance(derived, Equation):
        ours = replace(derived, name=name)
    else:
        ours = Equation(name, left, derived, source="derived from the definitions")
    return LedgerEntry(
        name=name,
        paper=name.split(".")[0],
        statement=statement,
        verdict=judge(printed, ours.right, given, conditions, points),
        printed=Equation(f"{name} as printed", left, printed, source=source),
        derived=ours,
    )


@cache
def entries(paper: str) -> tuple[LedgerEntry, ...]:
    """Every entry of a paper, judged.

    Raises DerivationError for a paper that is not in the ledger.
    """
    if paper not in PAPERS:
        raise DerivationError(f"unknown paper {paper!r}; known: {', '.join(PAPERS)}")
    return tuple(make() for make in import_module(f"derive.papers.{paper}").LEDGER.values())


def find(name: str) -> LedgerEntry:
    """One entry by its name, such as ``takagi2020.eq13``; only that one is derived.

    Raises DerivationError for an unknown name, with the nearest known one.
    """
    paper = name.split(".")[0]
    names = [n for p in PAPERS for n in import_module(f"derive.papers.{p}").LEDGER]
    if name not in names:
        near = get_close_matches(name, names, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]!r}?" if near else f"papers: {', '.join(PAPERS)}"
        raise DerivationError(f"the ledger has no {name!r}; {hint}")
    return import_module(f"derive.papers.{paper}").LEDGER[name]()


def with_evidence(entry: LedgerEntry, findings: Mapping[str, Mapping[str, Any]]) -> LedgerEntry:
    """The entry with a measurement's verdict, where it was open and a report has measured it.

    ``findings`` maps names of claims to ``verdict``, ``reason`` and ``evidence``, as in a report's JSON.
    """
    found = findings.get(entry.name)
    if found is None:
        return entry
    evidence = {**entry.verdict.evidence, "measured": dict(found)}
    if entry.verdict.kind != "open":
        return replace(entry, verdict=replace(entry.verdict, evidence=evidence))
    return replace(entry, verdict=Verdict(found["verdict"], found["reason"], evidence=evidence))
