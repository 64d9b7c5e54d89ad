"""The replica-symmetric free energy of two fields: replicate, average, take n to 0.

(1/N) <ln Z> = extremum over q, R, Delta of  entropic + alpha energetic, with matrices q, R, Delta
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sympy import (
    Expr,
    Function,
    ImmutableMatrix,
    Integer,
    Limit,
    Matrix,
    Poly,
    Symbol,
    eye,
    hessian,
    log,
    oo,
)

from derive.equation import Equation, Step
from derive.gaussian.unevaluated import GaussianAverage
from derive.replica.matrices import ReplicaSymmetricBlocks, per_replica
from derive.replica.pair.energy import PairEnergy, Targets
from derive.replica.pair.symbols import PAIR_MEANING, Delta, R, chi, m, q, x
from derive.replica.symbols import alpha, beta, ridge

LOG_PARTITION = Function("phi")
"""phi(m, t, Delta): the logarithm of the inner average of exp(-beta loss) over x around m with covariance Delta."""


@dataclass(frozen=True)
class PairFreeEnergy:
    """-beta f = (1/N) <ln Z> as a function of q, R, Delta, before the extremum is taken.

    Z integrates dJ_1 dJ_2 / (2 pi)^N, or averages over two spheres.  ``energetic`` is closed for a loss that is
    quadratic in the students' fields and in what it knows of the teachers.
    """

    energy: PairEnergy
    entropic: Expr
    energetic: Expr
    steps: tuple[Step, ...]

    @property
    def value(self) -> Expr:
        return self.entropic + alpha * self.energetic

    @property
    def closed(self) -> bool:
        return not self.energetic.has(GaussianAverage)

    @property
    def equation(self) -> Equation:
        left = -beta * Symbol("f", real=True)
        name = f"free energy of {self.energy.name}"
        return Equation(name, left, self.value, PAIR_MEANING, "the replica method", self.steps)


def overlaps(energy: PairEnergy) -> Matrix:
    """R, one column a teacher."""
    return R[:, : energy.teachers]


def log_partition(targets: Targets) -> Expr:
    return LOG_PARTITION(*m, *targets.fields, Delta[0, 0], Delta[0, 1], Delta[1, 1])


def covariance(energy: PairEnergy) -> ImmutableMatrix:
    """Of m and t."""
    targets = energy.targets
    across = overlaps(energy) * targets.mixing.T
    upper = Matrix.hstack(q, across)
    return ImmutableMatrix(Matrix.vstack(upper, Matrix.hstack(across.T, Matrix(targets.variance))))


def volume(teachers: int) -> tuple[Expr, Step]:
    """The logarithm of the volume of weights with replica-symmetric overlaps."""
    blocks = ReplicaSymmetricBlocks(ImmutableMatrix(q + Delta), ImmutableMatrix(q))
    log_volume = blocks.without(ImmutableMatrix(R[:, :teachers])).log_determinant / 2
    found = per_replica(log_volume)
    why = "Half the log-determinant of the overlaps without the teachers' directions, block by block; then n to 0."
    return found, Step("volume of weights with given overlaps", log_volume, found, why)


@cache
def entropic_part(energy: PairEnergy) -> Expr:
    """The volume, less what prior and ridge cost."""
    found, _ = volume(energy.teachers)
    if energy.prior == "spherical":
        return found
    return found + 1 - (energy.precision + beta * ridge) * (q + Delta).trace() / 2


@cache
def ground_energy(energy: PairEnergy) -> Expr:
    """What the entropic part becomes per beta as beta goes to infinity with Delta = chi/beta, negated."""
    small = dict(zip(Delta, chi / beta, strict=True))
    scaled = (entropic_part(energy).xreplace(small) / beta).together().expand(force=True)
    return -sum((Limit(term, beta, oo).doit() for term in scaled.as_ordered_terms()), Integer(0))


def quadratic_form(targets: Targets) -> tuple[Matrix, Matrix, Expr] | None:
    """A, b, c of a loss x.A x/2 + b.x + c, with A a matrix of numbers and b, c polynomials; else None."""
    everything = (*x, *targets.fields)
    if not targets.loss.is_polynomial(*everything) or Poly(targets.loss, *everything).total_degree() > 2:
        return None
    at_zero = dict.fromkeys(x, 0)
    slope = Matrix([targets.loss.diff(u) for u in x]).subs(at_zero)
    return hessian(targets.loss, x), slope, targets.loss.subs(at_zero)


def free_energy(energy: PairEnergy) -> PairFreeEnergy:
    """The replica-symmetric free energy of an energy, with its derivation."""
    targets = energy.targets
    fields = (*m, *targets.fields)
    _, step = volume(energy.teachers)
    inert = GaussianAverage(log_partition(targets), fields, covariance(energy))
    form = quadratic_form(targets)
    if form is None:
        return PairFreeEnergy(energy, entropic_part(energy), inert, (step,))
    A, b, c = form
    at = Matrix(m)
    rigid = eye(2) + beta * Delta * A
    slope = A * at + b
    # ln <exp(-beta loss(m + z))> over z of covariance Delta, by completing the square.
    gained = beta**2 * (slope.T * rigid.inv() * Delta * slope)[0] / 2
    inner = -log(rigid.det()) / 2 - beta * (c + (b.T * at)[0] + (at.T * A * at)[0] / 2) + gained
    averaged = GaussianAverage(inner.expand(), fields, covariance(energy))
    closed = averaged.doit()
    steps = (
        step,
        Step("complete the square", inert, averaged),
        Step("average over the fields", averaged, closed),
    )
    return PairFreeEnergy(energy, entropic_part(energy), closed, steps)


__all__ = [
    "LOG_PARTITION", "PairFreeEnergy", "covariance", "entropic_part", "free_energy", "ground_energy",
    "log_partition", "overlaps", "quadratic_form", "volume",
]  # fmt: skip
