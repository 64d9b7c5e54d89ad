"""Matrices that permutations of the samples leave as they are: a I + b 11^T, with symbolic size.

The vectors that such a matrix can tell apart are the uniform one and those orthogonal to it; that gives every
eigenvalue.  A projection P onto the complement of some of these vectors keeps the form of P (a I + b 11^T) P.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, IndexedBase, KroneckerDelta, S, Sum, Symbol, expand, factor, simplify

from derive.equation import Step


@dataclass(frozen=True)
class Eigenspace:
    """An eigenvalue, how often it occurs, and its eigenvectors in words."""

    value: Expr
    multiplicity: Expr
    vectors: str


@dataclass(frozen=True)
class Blocks:
    """diagonal * (I - 11^T/T) + uniform * 11^T/T, of size T: the two eigenvalues are the data.

    ``lost`` counts further directions orthogonal to 1 that a projection has removed.
    """

    uniform: Expr
    rest: Expr
    size: Expr
    lost: int = 0

    @staticmethod
    def of_entries(diagonal: Expr, other: Expr, size: Expr) -> Blocks:
        """From the entry X_tt and the entry X_st, s != t."""
        return Blocks(factor(expand(diagonal + (size - 1) * other)), factor(diagonal - other), size)

    def centered(self) -> Blocks:
        """G X G with G = I - 11^T/T: the uniform vector is projected out."""
        return Blocks(S.Zero, self.rest, self.size, self.lost)

    def without(self, directions: int) -> Blocks:
        """P X P for a projection that removes so many directions orthogonal to the uniform one."""
        return Blocks(self.uniform, self.rest, self.size, self.lost + directions)

    @property
    def eigenspaces(self) -> tuple[Eigenspace, ...]:
        spaces = [
            Eigenspace(self.uniform, S.One, "(1, ..., 1)"),
            Eigenspace(self.rest, self.size - 1 - self.lost, "orthogonal to (1, ..., 1)"),
        ]
        if self.lost:
            spaces.append(Eigenspace(S.Zero, S(self.lost), "projected out"))
        return tuple(spaces)

    @property
    def trace(self) -> Expr:
        return sum((e.value * e.multiplicity for e in self.eigenspaces), start=S.Zero)

    @property
    def trace_of_square(self) -> Expr:
        return sum((e.value**2 * e.multiplicity for e in self.eigenspaces), start=S.Zero)


def symmetry_steps(size: Symbol) -> tuple[Step, ...]:
    """(a I + b 11^T) x for x = 1 and for x orthogonal to 1, row by row."""
    a, b = Symbol("a", real=True), Symbol("b", real=True)
    s, t = Symbol("s", integer=True), Symbol("t", integer=True)
    x = IndexedBase("x", real=True)
    row = Sum((a * KroneckerDelta(s, t) + b) * x[t], (t, 1, size))
    total = Sum(x[t], (t, 1, size))
    ones = simplify(a + b * Sum(1, (t, 1, size)).doit())
    return (
        Step("sum over samples", row, a * x[s] + b * total),
        Step("x = 1", a * x[s] + b * total, ones, "the uniform vector is an eigenvector"),
        Step("x orthogonal to 1", a * x[s] + b * total, a * x[s], "T - 1 times the same eigenvalue"),
    )
