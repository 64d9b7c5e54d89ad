"""The saddle point of two fields, and the stability of replica symmetry.

The derivatives of the energetic part hold averages over m and t, the *moments* of the inner problem:

    square   A_ab = < (<x> - m)_a (<x> - m)_b >          teacher   B_ak = < (<x> - m)_a t_k >
    stiffness C_ab = < (Delta^-1 (1 - d<x>/dm))_ab >, which is symmetric
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from sympy import Dummy, Expr, ImmutableMatrix, Integer, Matrix, Symbol, hessian

from derive.equation import Step
from derive.gaussian.unevaluated import GaussianAverage
from derive.replica.pair.energy import PairEnergy
from derive.replica.pair.free_energy import covariance, log_partition, overlaps, volume
from derive.replica.pair.symbols import PAIR_MEANING, Delta, m, p, q
from derive.replica.symbols import alpha

_A12 = Symbol("A12", real=True)
square = Matrix([[Symbol("A11", nonnegative=True), _A12], [_A12, Symbol("A22", nonnegative=True)]])
teacher = Matrix(2, 3, lambda a, k: Symbol(f"B{a + 1}{k + 1}", real=True))
stiffness = Matrix(2, 2, lambda a, b: Symbol(f"C{min(a, b) + 1}{max(a, b) + 1}", real=True))
whitened = Matrix(2, 2, lambda a, b: Symbol(f"W{min(a, b) + 1}{max(a, b) + 1}", real=True))

MOMENTS = {
    **PAIR_MEANING,
    "A": "<(<x> - m)(<x> - m)^T>",
    "B": "<(<x> - m) t^T>",
    "C": "<Delta^-1 (1 - d<x>/dm)>",
}


@dataclass(frozen=True)
class PairSaddlePoint:
    """Matrices that vanish at the saddle point, in q, R, Delta, the costs p and the moments.

    ``overlap`` (2 x 2) comes from Delta, ``norm`` (2 x 2) from q, ``teacher`` (2 x teachers) from R.
    """

    overlap: ImmutableMatrix
    norm: ImmutableMatrix
    teacher: ImmutableMatrix
    steps: tuple[Step, ...]


@cache
def saddle_point(energy: PairEnergy) -> PairSaddlePoint:
    """Differentiate the free energy and write the derivatives by the moments of the inner problem.

    The conditions are multiplied by Delta, so that they hold no inverse of it.
    """
    targets = energy.targets
    along = overlaps(energy)
    entropy, _ = volume(energy.teachers)
    phi = log_partition(targets)
    cost = sum((p[a] * (q + Delta)[a, a] for a in range(2)), Integer(0)) / 2
    free = entropy - cost + alpha * GaussianAverage(phi, (*m, *targets.fields), covariance(energy))
    steps: list[Step] = []

    def derivative(variable: Symbol) -> Expr:
        before = free.diff(variable)
        after = _in_moments(_stein(_heat(before, phi), energy, phi), energy, phi)
        steps.append(
            Step(f"derivative with respect to {variable}", before, after, "Price; heat equation; Stein")
        )
        return after

    slope_q, slope_Delta = (_symmetric(s, derivative) for s in (q, Delta))
    slope_R = along.applyfunc(derivative)
    overlap = 2 * Delta * (slope_q - slope_Delta) * Delta
    norm, teaching = 2 * Delta * slope_q, Delta * slope_R
    return PairSaddlePoint(_plain(overlap), _plain(norm), _plain(teaching), tuple(steps))


def replicon() -> ImmutableMatrix:
    """The 4 x 4 matrix whose eigenvalues are positive where replica symmetry is stable, in W and alpha.

    W = D^T phi'' D, with Delta = D D^T, is what its entries average: W11*W12 stands for <W11 W12>.  A
    perturbation e (x) D E D^T of the overlaps, e symmetric between replicas with rows that sum to zero, E between
    units, changes half the log-determinant by -tr e^2 tr E^T E/4, and the energetic part, pair by pair of
    replicas, by alpha tr e^2 tr <E^T W E W>/4; an antisymmetric E comes with an antisymmetric e.
    """
    E = Matrix(2, 2, lambda a, b: Symbol(f"E{a + 1}{b + 1}", real=True))
    form = (E.T * E).trace() - alpha * (E.T * whitened * E * whitened).trace()
    return ImmutableMatrix(hessian(form.expand(), list(E)) / 2)


def _symmetric(matrix: Matrix, derivative: Callable[[Symbol], Expr]) -> Matrix:
    """The gradient with respect to a symmetric matrix: its off-diagonal entry stands in two places."""
    across = derivative(matrix[0, 1]) / 2
    return Matrix([[derivative(matrix[0, 0]), across], [across, derivative(matrix[1, 1])]])


def _heat(expression: Expr, phi: Expr) -> Expr:
    """exp(phi) is a Gaussian convolution of covariance Delta, so it obeys the heat equation."""
    grown = {}
    for a in range(2):
        for b in range(a, 2):
            rate = phi.diff(m[a], m[b]) + phi.diff(m[a]) * phi.diff(m[b])
            grown[phi.diff(Delta[a, b])] = rate / 2 if a == b else rate
    return _averages(expression, lambda inside: inside.xreplace(grown).expand())


def _stein(expression: Expr, energy: PairEnergy, phi: Expr) -> Expr:
    """<t phi'> = <dphi'/dt> V + <phi''> R c^T, solved for d^2 phi/dm dt."""
    targets = energy.targets
    slope = Matrix([[phi.diff(a) for a in m]]).T
    bend = Matrix(2, 2, lambda a, b: phi.diff(m[a], m[b]))
    shared = overlaps(energy) * targets.mixing.T
    crossed = (slope * Matrix([targets.fields]) - bend * shared) * Matrix(targets.variance).inv()
    values = {
        phi.diff(m[a], field): crossed[a, k] for a in range(2) for k, field in enumerate(targets.fields)
    }
    return _averages(expression, lambda inside: inside.xreplace(values).expand())


def _in_moments(expression: Expr, energy: PairEnergy, phi: Expr) -> Expr:
    """phi' = Delta^-1 (<x> - m), its derivative phi'', and averages of products by their names."""
    fields = energy.targets.fields
    shift = Matrix([Dummy("shift1"), Dummy("shift2")])
    slope = Delta.inv() * shift
    values = {phi.diff(m[a]): slope[a] for a in range(2)}
    stiff: list[Expr] = []
    known: dict[Expr, Expr] = {}
    for a in range(2):
        for b in range(a, 2):
            stiff.append(Dummy(f"stiff{a}{b}"))
            values[phi.diff(m[a], m[b])] = -stiff[-1]
            known |= {stiff[-1]: stiffness[a, b], shift[a] * shift[b]: square[a, b]}
        known |= {shift[a] * field: teacher[a, k] for k, field in enumerate(fields)}

    def moments(average: Expr) -> Expr:
        total: Expr = Integer(0)
        inside = average.expression.xreplace(values).expand()
        for term in inside.as_ordered_terms():
            factor, variable = term.as_independent(*shift, *stiff, *fields)
            total += factor * known[variable]
        return total

    return expression.replace(lambda e: isinstance(e, GaussianAverage), moments)


def _averages(expression: Expr, change: Callable[[Expr], Expr]) -> Expr:
    return expression.replace(
        lambda e: isinstance(e, GaussianAverage),
        lambda e: GaussianAverage(change(e.expression), e.fields, e.covariance),
    )


def _plain(matrix: Matrix) -> ImmutableMatrix:
    return ImmutableMatrix(matrix.applyfunc(lambda entry: entry.cancel().expand()))


__all__ = ["PairSaddlePoint", "replicon", "saddle_point", "square", "stiffness", "teacher", "whitened"]
