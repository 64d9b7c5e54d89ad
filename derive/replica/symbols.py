"""The symbols of the replica method.

Q = |J|^2/N is a student's self-overlap, q = J_a.J_b/N the overlap of two students drawn from one posterior
(replicas), R = J.B/N that with the teacher, Delta = Q - q.  alpha = P/N is the load, beta the inverse
temperature, lambda the ridge, S the variance of the label noise.
"""

from __future__ import annotations

from sympy import Symbol

from derive.symbols import noise

alpha = Symbol("alpha", positive=True)
beta = Symbol("beta", positive=True)
ridge = Symbol("lambda", nonnegative=True)
noise_variance = Symbol("S", nonnegative=True)

q = Symbol("q", positive=True)
R = Symbol("R", real=True)
Delta = Symbol("Delta", positive=True)
chi = Symbol("chi", positive=True)
"""beta Delta, which stays finite where the posterior shrinks to the minimum of the energy."""

replicas = Symbol("n", positive=True)

x = Symbol("x", real=True)
y = Symbol("y", real=True)
m = Symbol("m", real=True)
"""The part of the student's field that replicas share: x = m + sqrt(Delta) z."""
t = Symbol("t", real=True)
"""What the loss knows of the teacher: y, or y + noise."""

MEANING = {
    "alpha": "load, examples per weight",
    "beta": "inverse temperature",
    "lambda": "ridge: the energy holds lambda |J|^2 / 2",
    "S": "variance of the label noise",
    "q": "overlap of two replicas of the student",
    "R": "overlap of student and teacher",
    "Delta": "self-overlap of the student minus q",
    "chi": "beta Delta",
    "m": "the part of the student's field that replicas share",
    "t": "the teacher's field with its noise",
    "n": "number of replicas",
}

__all__ = [
    "MEANING", "Delta", "R", "alpha", "beta", "chi", "m", "noise", "noise_variance", "q", "replicas", "ridge",
    "t", "x", "y",
]  # fmt: skip
