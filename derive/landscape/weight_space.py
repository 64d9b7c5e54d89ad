"""The Hessian of eps_g in the weights J_i (and gains g_i) at the symmetric fixed point, by sector.

All students are one vector J* along the sum of the teachers.  Displace J_i by s c_i e and g_i by u c_i: the
symmetry under independent permutations of students and teachers, and under rotations orthogonal to the
teachers, leaves two kinds of c (all alike; summing to zero) times three kinds of e (along J*; a difference
of teachers; orthogonal to all).  By Schur's lemma each sector has one eigenvalue, or one 2 x 2 block where
the gains take part.  Second derivatives need only the sums of c_i, c_i^2, e_n, e_n^2: K, M, N stay symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from sympy import Add, Expr, ImmutableMatrix, Indexed, Mul, S, Symbol, factorial, sqrt

from derive import symbols
from derive.closing import close_averages
from derive.indexed import Summand, summands
from derive.landscape.fixed_point import FixedPoint
from derive.landscape.radicals import canonical
from derive.online import Flow
from derive.sites import Q_, R_, g_
from derive.symbols import K, M, N

step, turn = Symbol("s", real=True), Symbol("u", real=True)
STUDENTS = {"common": (sqrt(K), S.One), "different": (S.Zero, K - 1)}
"""Sum of c_i, for c of norm one, and how many such c there are."""
DIRECTIONS = ("along", "between teachers", "orthogonal")


@dataclass(frozen=True)
class WeightSector:
    """A block of the weight-space Hessian over orthonormal directions, and how often it occurs.

    ``block`` is 1 x 1, or 2 x 2 over (J_i along J*, g_i) where the gains take part.
    """

    students: str
    direction: str
    block: ImmutableMatrix
    multiplicity: Expr

    @property
    def cause(self) -> str:
        """What makes the block singular, where it is."""
        if all(self.block[0, k] != 0 for k in range(self.block.cols)):
            return ""
        if self.block.cols == 2 and self.block[1, 1] != 0:
            return "a symmetry: under a normalization the norm of J_i does not enter"
        if self.direction == "orthogonal":
            return "a property of erf: phi''(x) = -x phi'(x) makes <(t - s) phi''(x)> the radial gradient"
        return (
            "a property of erf: smoothed by a Gaussian it is an erf, so that with as many students as "
            "teachers the error has no mean left given the student's field, E[t - s | x] = 0"
        )


def weight_hessian(flow: Flow, fixed_point: FixedPoint, paired: bool = True) -> tuple[WeightSector, ...]:
    """The sectors of d^2 eps_g / dJ dJ for N inputs, orthonormal teachers and unit second layers.

    ``paired``: as many teachers as students; otherwise M is a symbol, as in ``symmetric_fixed_point``.
    """
    teachers = K if paired else M
    counts = {"along": S.One, "between teachers": teachers - 1, "orthogonal": N - teachers}
    closed = [Summand(s.limits, close_averages(s.body)) for s in summands(flow.error_averages)]
    out = []
    for (students, (total, number)), direction in product(STUDENTS.items(), DIRECTIONS):
        displacement = _Displacement(total, direction, teachers)
        moved = (step, turn) if direction == "along" and g_ in fixed_point.values else (step,)
        block = displacement.block(closed, moved, fixed_point)
        out.append(WeightSector(students, direction, block, number * counts[direction]))
    return tuple(out)


@dataclass(frozen=True)
class _Displacement:
    """J_i = J* + s c_i e and g_i = g + u c_i with sum c_i = ``total``, sum c_i^2 = 1 and |e| = 1."""

    total: Expr
    direction: str
    teachers: Expr

    def block(
        self, closed: Sequence[Summand], moved: Sequence[Symbol], fixed_point: FixedPoint
    ) -> ImmutableMatrix:
        paths = [Summand(s.limits, self.along(s.body)) for s in closed]
        return ImmutableMatrix(
            [
                [canonical(Add(*(self.second(p, a, b, fixed_point) for p in paths))) for b in moved]
                for a in moved
            ]
        )

    def along(self, body: Expr) -> Expr:
        return body.xreplace({atom: self.value(atom) for atom in body.atoms(Indexed)})

    def value(self, atom: Indexed) -> Expr:
        """An order parameter as a function of s, u, the c and the e_n = e.B_n."""
        base, indices = atom.base, atom.indices
        if base == symbols.g:
            return g_ + turn * _c(indices[0])
        if base == symbols.Q:
            shared = sqrt(self.teachers) * R_ if self.direction == "along" else S.Zero  # e.J*
            a, b = map(_c, indices)
            return Q_ + step * (a + b) * shared + step**2 * a * b
        if base == symbols.R:
            shared = {"along": 1 / sqrt(self.teachers), "orthogonal": S.Zero}.get(
                self.direction, _e(indices[1])
            )
            return R_ + step * _c(indices[0]) * shared
        if base == symbols.T:
            return S.One if indices[0] == indices[1] else S.Zero
        return S.One

    def second(self, path: Summand, a: Symbol, b: Symbol, fixed_point: FixedPoint) -> Expr:
        """d^2/da db at no displacement, summed over the units: a polynomial in c and e, done by moments."""
        curved = path.body.diff(a).diff(b).xreplace({step: S.Zero, turn: S.Zero})
        if curved == 0:
            return S.Zero
        moments = {
            (_c if size == K else _e)(index): (size, self.total, S.One)
            if size == K
            else (self.teachers, S.Zero, S.One)
            for index, size in path.limits
        }
        total: Expr = S.Zero
        for powers in product(range(3), repeat=len(moments)):
            coefficient = curved
            for symbol, power in zip(moments, powers, strict=True):
                coefficient = coefficient.diff(symbol, power).xreplace({symbol: S.Zero}) / factorial(power)
            weight = Mul(*(table[power] for power, table in zip(powers, moments.values(), strict=True)))
            total += weight * coefficient.xreplace(fixed_point.values)
        return total


def _c(index: Symbol) -> Symbol:
    return Symbol(f"c_{index}", real=True)


def _e(index: Symbol) -> Symbol:
    return Symbol(f"e_{index}", real=True)
