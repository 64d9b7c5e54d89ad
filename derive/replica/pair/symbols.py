"""The symbols of two fields, as matrices over the units a, b = 1, 2 and the teachers n = 1, 2.

Q_ab = J_a.J_b/N within one student, q_ab = J_a.J'_b/N between two students drawn from one posterior (replicas),
R_an = J_a.B_n/N, Delta = Q - q.
"""

from __future__ import annotations

from sympy import Matrix, Symbol

from derive.replica.symbols import MEANING


def _symmetric(name: str) -> Matrix:
    diagonal = [Symbol(f"{name}{a}{a}", positive=True) for a in (1, 2)]
    across = Symbol(f"{name}12", real=True)
    return Matrix([[diagonal[0], across], [across, diagonal[1]]])


x = (Symbol("x1", real=True), Symbol("x2", real=True))
y = (Symbol("y1", real=True), Symbol("y2", real=True))
m = (Symbol("m1", real=True), Symbol("m2", real=True))
"""The parts of the students' fields that replicas share: x = m + a Gaussian of covariance Delta."""
t = (Symbol("t1", real=True), Symbol("t2", real=True), Symbol("t3", real=True))
"""What the loss knows of the teachers and the noise."""

q = _symmetric("q")
Delta = _symmetric("Delta")
chi = _symmetric("chi")
"""beta Delta, which stays finite where the posterior shrinks to the minimum of the energy."""
R = Matrix(2, 2, lambda a, n: Symbol(f"R{a + 1}{n + 1}", real=True))
p = (Symbol("p1", real=True), Symbol("p2", real=True))
"""What the prior and the ridge cost: precision + beta lambda, or the multipliers of fixed norms."""

PAIR_MEANING = {
    **MEANING,
    "q": "overlaps of the units of two replicas",
    "Delta": "overlaps within a replica less q",
    "R": "overlaps of units and teachers",
    "p": "precision + beta lambda, or the multiplier of a fixed norm, of each unit",
    "m": "the parts of the students' fields that replicas share",
    "t": "what the loss knows of the teachers and the noise",
}

__all__ = ["PAIR_MEANING", "Delta", "R", "chi", "m", "p", "q", "t", "x", "y"]
