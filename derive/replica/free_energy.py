"""The replica-symmetric free energy of an energy: replicate, average, take n to 0, step by step.

(1/N) <ln Z> = extremum over q, R, Delta of  entropic + alpha energetic
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from sympy import Expr, Function, Integer, Limit, Mul, Rational, Symbol, exp, log, oo, sqrt

from derive.equation import Equation, Step
from derive.gaussian.unevaluated import GaussianAverage
from derive.replica.energy import Energy
from derive.replica.matrices import ReplicaSymmetric, per_replica
from derive.replica.pieces import Piece, partition, pieces
from derive.replica.symbols import (
    MEANING,
    Delta,
    R,
    alpha,
    beta,
    chi,
    m,
    noise,
    noise_variance,
    q,
    replicas,
    ridge,
    t,
    x,
)

LOG_PARTITION = Function("phi")
"""phi(m, t, Delta): the logarithm of the inner average of exp(-beta loss) over x = m + sqrt(Delta) z."""

_z = Symbol("z", real=True)


@dataclass(frozen=True)
class FreeEnergy:
    """-beta f = (1/N) <ln Z> as a function of q, R, Delta, before the extremum is taken.

    Z integrates dJ / (2 pi)^(N/2), or averages over the sphere.  ``entropic`` counts weights with these
    overlaps, less what prior and ridge cost; ``inner`` is the inner average in closed form where the loss is
    quadratic on pieces, ``energetic`` the average of its logarithm over m and t.
    """

    energy: Energy
    entropic: Expr
    energetic: Expr
    inner: Expr
    found: tuple[Piece, ...] | None
    steps: tuple[Step, ...]

    @property
    def value(self) -> Expr:
        return self.entropic + alpha * self.energetic

    @property
    def closed(self) -> bool:
        """Whether no average is left."""
        return not self.energetic.has(GaussianAverage)

    @property
    def equation(self) -> Equation:
        left = -beta * Symbol("f", real=True)
        return Equation(
            f"free energy of {self.energy.name}", left, self.value, MEANING, "the replica method", self.steps
        )

    @cached_property
    def ground_state(self) -> Expr | None:
        """The energy per weight at beta to infinity, with Delta = chi / beta: a function of q, R, chi.

        None where an average is left: the limit is then taken of the inner problem, in numbers.
        """
        if not self.closed:
            return None
        scaled = (self.value.xreplace({Delta: chi / beta}) / beta).expand(force=True)
        return -Limit(scaled, beta, oo).doit().simplify()


def covariance(variance: Expr) -> list[list[Expr]]:
    """Of m and t."""
    return [[q, R], [R, variance]]


def entropic_part(energy: Energy) -> tuple[Expr, list[Step]]:
    """The logarithm of the volume of weights with replica-symmetric overlaps, and of their prior."""
    overlaps = ReplicaSymmetric(q + Delta, q)
    rest = overlaps.without(R)
    log_volume = rest.log_determinant / 2
    volume = per_replica(log_volume).expand()
    steps = [
        Step(
            "volume of weights with given overlaps",
            log_volume,
            volume,
            "Half the log-determinant of the replica-symmetric overlap matrix without the teacher's direction, "
            "for symbolic n; then n to 0.",
        )
    ]
    if energy.prior == "spherical":
        steps.append(
            Step("spherical prior", q + Delta, Integer(1), "The self-overlap is fixed, not extremized.")
        )
        return volume, steps
    return volume + Rational(1, 2) - (energy.precision + beta * ridge) * (q + Delta) / 2, steps


@cache
def ground_energy(energy: Energy) -> Expr:
    """What the entropic part becomes per beta as beta goes to infinity with Delta = chi / beta, negated: the
    cost of the ridge less that of the overlaps."""
    volume, _ = entropic_part(energy)
    scaled = (volume.xreplace({Delta: chi / beta}) / beta).expand(force=True)
    return (-Limit(scaled, beta, oo).doit()).expand()


def free_energy(energy: Energy) -> FreeEnergy:
    """The replica-symmetric free energy of an energy, with its derivation.

    The inner average closes for losses quadratic on pieces, the outer one where the average engine closes it;
    what does not close stays an average, or an undefined function, that numerics integrates.
    """
    entropic, steps = entropic_part(energy)
    loss, variance, separate = energy.target
    found = pieces(loss)
    weight = exp(-beta * loss.xreplace({x: m + sqrt(Delta) * _z}))
    replicated = GaussianAverage(LOG_PARTITION(m, t, Delta), (m, t), covariance(variance))
    steps.append(
        Step(
            "average over the examples",
            GaussianAverage(exp(replicas * LOG_PARTITION(m, t, Delta)), (m, t), covariance(variance)),
            replicated,
            "Given m and t the n fields x_a = m + sqrt(Delta) z_a are independent; then n to 0.",
        )
    )
    if found is None:
        inner: Expr = exp(LOG_PARTITION(m, t, Delta))
        return FreeEnergy(energy, entropic, replicated, inner, found, tuple(steps))
    inner = partition(found)
    steps.append(Step("complete the square on every piece", GaussianAverage(weight, (_z,), [[1]]), inner))
    fields: tuple[Symbol, ...] = (m, t)
    matrix = covariance(variance)
    if separate:
        fields = (m, t, noise)
        matrix = [[q, R, 0], [R, variance, 0], [0, 0, noise_variance]]
    energetic: Expr = GaussianAverage(_logarithm(inner), fields, matrix)
    if len(found) == 1:
        closed = energetic.doit()
        if not closed.has(GaussianAverage):
            steps.append(Step("average over the fields", energetic, closed))
            energetic = closed
    return FreeEnergy(energy, entropic, energetic, inner, found, tuple(steps))


def _logarithm(inner: Expr) -> Expr:
    """ln of a product of an exponential and the rest, or of a sum."""
    exponents = [f.exp for f in Mul.make_args(inner) if isinstance(f, exp)]
    rest = Mul(*(f for f in Mul.make_args(inner) if not isinstance(f, exp)))
    if not isinstance(inner, Mul) or not exponents:
        return log(inner)
    return log(rest).expand(force=True) + sum(exponents)
