"""Replica-symmetric matrices of a symbolic number n of replicas: determinant, inverse, the limit n to 0."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, ImmutableMatrix, log, simplify, sympify

from derive.errors import DerivationError
from derive.replica.symbols import replicas as n


@dataclass(frozen=True)
class ReplicaSymmetric:
    """The n x n matrix with ``diagonal`` on its diagonal and ``off`` everywhere else.

    Permuting replicas leaves it as it is, so its eigenvectors are (1, ..., 1) and the n - 1 directions whose
    entries sum to zero.
    """

    diagonal: Expr
    off: Expr

    @property
    def uniform(self) -> Expr:
        """The eigenvalue of (1, ..., 1): the sum of a row."""
        return self.diagonal + (n - 1) * self.off

    @property
    def transverse(self) -> Expr:
        """The eigenvalue, n - 1 times, of vectors such as (1, -1, 0, ...): a difference within a row."""
        return self.diagonal - self.off

    @property
    def log_determinant(self) -> Expr:
        return log(self.uniform) + (n - 1) * log(self.transverse)

    @property
    def inverse(self) -> ReplicaSymmetric:
        """Has the same eigenvectors and inverse eigenvalues, which fix its two entries."""
        off = (1 / self.uniform - 1 / self.transverse) / n
        return ReplicaSymmetric(simplify(1 / self.transverse + off), simplify(off))

    def without(self, overlap: Expr) -> ReplicaSymmetric:
        """What is left when every replica's component along one more unit vector is taken out (Schur)."""
        return ReplicaSymmetric(self.diagonal - overlap**2, self.off - overlap**2)

    def __add__(self, other: ReplicaSymmetric) -> ReplicaSymmetric:
        return ReplicaSymmetric(self.diagonal + other.diagonal, self.off + other.off)


@dataclass(frozen=True)
class ReplicaSymmetricBlocks:
    """n x n blocks: the symmetric matrix ``diagonal`` on the diagonal and ``off`` everywhere else.

    In the replicas' eigenvectors of ReplicaSymmetric it falls apart into one block ``uniform`` and n - 1 blocks
    ``transverse``.
    """

    diagonal: ImmutableMatrix
    off: ImmutableMatrix

    @property
    def uniform(self) -> ImmutableMatrix:
        return self.diagonal + (n - 1) * self.off

    @property
    def transverse(self) -> ImmutableMatrix:
        return self.diagonal - self.off

    @property
    def log_determinant(self) -> Expr:
        return log(self.uniform.det()) + (n - 1) * log(self.transverse.det())

    def without(self, overlaps: ImmutableMatrix) -> ReplicaSymmetricBlocks:
        """What is left when the components along orthogonal unit vectors, (units, vectors), are taken out."""
        along = overlaps * overlaps.T
        return ReplicaSymmetricBlocks(self.diagonal - along, self.off - along)


def per_replica(expression: Expr) -> Expr:
    """The limit n to 0 of expression / n, for an expression that vanishes at n = 0.

    Raises DerivationError where it does not vanish.
    """
    expression = sympify(expression)
    if simplify(expression.subs(n, 0)) != 0:
        raise DerivationError(f"{expression} does not vanish with the number of replicas")
    return expression.diff(n).subs(n, 0)
