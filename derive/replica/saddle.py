"""The saddle point of a replica-symmetric free energy, and the stability of replica symmetry.

The derivatives of the energetic part hold four averages over m and t, the *moments* of the inner problem
whose mean <x> and response d<x>/dm depend on m and t:

    square       < (<x> - m)^2 >         teacher      < (<x> - m) t >
    response     < 1 - d<x>/dm >         square_response   < (1 - d<x>/dm)^2 >
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from sympy import Dummy, Expr, Integer, Symbol, solve

from derive.equation import Equation, Step
from derive.gaussian.unevaluated import GaussianAverage
from derive.replica.energy import Energy
from derive.replica.free_energy import LOG_PARTITION, covariance, entropic_part
from derive.replica.matrices import ReplicaSymmetric
from derive.replica.symbols import MEANING, Delta, R, alpha, m, q, t

square = Symbol("A", nonnegative=True)
teacher = Symbol("B", real=True)
response = Symbol("C", real=True)
square_response = Symbol("E", nonnegative=True)
multiplier = Symbol("eta", real=True)
"""Delta times the derivative of the prior's cost: (precision + beta lambda) Delta for a Gaussian prior, Delta
times the multiplier of |J|^2 = N for a spherical one."""

MOMENTS = {
    **MEANING,
    "A": "<(<x> - m)^2>",
    "B": "<(<x> - m) t>",
    "C": "<1 - d<x>/dm>",
    "E": "<(1 - d<x>/dm)^2>",
    "eta": "(precision + beta lambda) Delta, or the multiplier of the norm times Delta",
}

_phi = LOG_PARTITION(m, t, Delta)
_slope, _curvature = _phi.diff(m), _phi.diff(m, 2)


@dataclass(frozen=True)
class SaddlePoint:
    """Conditions that vanish at the saddle point, in q, R, Delta, eta and the moments, and the replicon.

    ``overlap`` comes from Delta, ``norm`` from q, ``teacher`` from R; ``stability`` is positive where replica
    symmetry is stable (de Almeida and Thouless).
    """

    overlap: Equation
    norm: Equation
    teacher: Equation
    stability: Equation

    @property
    def equations(self) -> tuple[Equation, ...]:
        return (self.overlap, self.norm, self.teacher, self.stability)


@cache
def saddle_point(energy: Energy) -> SaddlePoint:
    """Differentiate the free energy and write the derivatives by the moments of the inner problem."""
    _, variance, _ = energy.target
    volume, _ = entropic_part(energy)
    cost = Symbol("p", real=True)
    free = volume.subs({s: 0 for s in volume.free_symbols - {q, R, Delta}}) - cost * (q + Delta) / 2
    free += alpha * GaussianAverage(_phi, (m, t), covariance(variance))
    conditions, steps = {}, {}
    for variable in (q, R, Delta):
        before = free.diff(variable)
        price = _heat(before)
        steins = _stein(price, variance)
        found = _in_moments(steins).xreplace({cost: multiplier / Delta})
        conditions[variable] = found
        steps[variable] = (
            Step(f"derivative with respect to {variable}, by Price's theorem", free, before),
            Step("heat equation: d phi/d Delta = (phi'' + phi'^2)/2", before, price),
            Step("Stein: <t phi'> = <t^2> <d phi'/dt> + R <phi''>", price, steins),
            Step("d phi/dm = (<x> - m)/Delta", steins, found),
        )
    norm = (2 * Delta * conditions[q]).expand()
    overlap = (2 * Delta**2 * (conditions[q] - conditions[Delta])).expand()
    along = (variance * Delta * conditions[R]).cancel()
    zero = Integer(0)

    def equation(name: str, right: Expr, chain: tuple[Step, ...]) -> Equation:
        return Equation(name, zero, right, MOMENTS, "derivatives of the free energy", chain)

    return SaddlePoint(
        equation("overlap of replicas", overlap, steps[Delta]),
        equation("response", norm, steps[q]),
        equation("overlap with the teacher", along, steps[R]),
        replicon(),
    )


def replicon() -> Equation:
    """The eigenvalue of the replicated free energy against breaking replica symmetry, times Delta^2.

    A perturbation e of the overlap matrix within (1, -1, 0, ...) directions, whose rows sum to zero, changes
    half its log-determinant by -tr (C^-1 e C^-1 e)/4 = -tr e^2 / (4 transverse^2), and the energetic part,
    pair by pair, by tr e^2 <phi''^2>/4.
    """
    transverse = ReplicaSymmetric(q + Delta, q).transverse
    curvature = GaussianAverage(_curvature**2, (m, t), [[q, R], [R, Symbol("V", positive=True)]])
    before = 1 / transverse**2 - alpha * curvature
    after = _in_moments(before)
    found = (Delta**2 * after).expand()
    return Equation(
        "stability of replica symmetry",
        Symbol("Lambda", real=True),
        found,
        MOMENTS,
        "de Almeida and Thouless",
        (
            Step("a perturbation whose rows sum to zero", before, after, "d phi/dm = (<x> - m)/Delta"),
            Step("times Delta^2", after, found),
        ),
    )


def _heat(expression: Expr) -> Expr:
    """phi is the logarithm of a Gaussian convolution of variance Delta, so exp(phi) obeys the heat equation."""
    grown = _phi.diff(Delta)
    return _averages(
        expression, lambda inside: inside.xreplace({grown: (_curvature + _slope**2) / 2}).expand()
    )


def _stein(expression: Expr, variance: Expr) -> Expr:
    """Replace d^2 phi/dm dt by Stein's identity for t."""
    crossed = _phi.diff(m, t)

    def replaced(inside: Expr) -> Expr:
        return inside.xreplace({crossed: (t * _slope - R * _curvature) / variance}).expand()

    return _averages(expression, replaced)


def _in_moments(expression: Expr) -> Expr:
    """The averages of products of phi' and phi'' by the moments: phi' = (<x> - m)/Delta, and its derivative."""
    shift, rigid = Dummy("shift"), Dummy("rigid")
    values = {_curvature: -rigid / Delta, _slope: shift / Delta}
    known: Mapping[Expr, Expr] = {
        shift**2: square, shift * t: teacher, rigid: response, rigid**2: square_response,
    }  # fmt: skip

    def moment(average: Expr) -> Expr:
        total: Expr = Integer(0)
        for term in average.expression.xreplace(values).expand().as_ordered_terms():
            factor, inside = term.as_independent(shift, rigid, t)
            total += factor * known[inside]
        return total

    return expression.replace(lambda e: isinstance(e, GaussianAverage), moment)


def _averages(expression: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Apply ``change`` to what is averaged."""
    return expression.replace(
        lambda e: isinstance(e, GaussianAverage),
        lambda e: GaussianAverage(change(e.expression), e.fields, e.covariance),
    )


def stationary(value: Expr) -> dict[Symbol, Expr]:
    """q and R where a closed -beta f is stationary along R, and along Delta at fixed q + Delta.

    Both hold for a Gaussian as for a spherical prior: what either adds depends on q + Delta alone.
    """
    along_norm = value.diff(q) - value.diff(Delta)
    found = solve([value.diff(R), along_norm], [q, R], dict=True)
    return {symbol: e.factor() for symbol, e in found[0].items()}


__all__ = [
    "SaddlePoint", "multiplier", "replicon", "response", "saddle_point", "square", "square_response",
    "stationary", "teacher",
]  # fmt: skip
