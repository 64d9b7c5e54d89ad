"""The Jacobian of the flow at the symmetric fixed point, and its eigenvalues by sector.

The fixed point is unchanged when students and teachers are permuted independently, so that the linearized
flow splits.  A flag of invariant subspaces makes it triangular, and every eigenvalue is an entry:

    amplitude        J_i -> (1 + s) J_i, the common vector along the sum of the teachers
    gain             g_i -> g + s, together with it
    orthogonal       Q, C -> Q + s, C + s: the common vector leaves the span of the teachers
    splitting        Q - C: the students part, orthogonally to the teachers
    specialization   R - S: student i turns to teacher i; the way out of the plateau
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Expr, ImmutableMatrix, Matrix, Rational, S, Symbol

from derive.errors import DerivationError
from derive.landscape.fixed_point import FixedPoint
from derive.landscape.radicals import canonical
from derive.sites import C_, Q_, R_, S_, SiteFlow, g_
from derive.symbols import K, gain_decay, weight_decay

UNDECAYED = {weight_decay: S.Zero, gain_decay: S.Zero}
CAUSES = {
    "amplitude": "a symmetry: under a normalization the norm of J does not enter, and the fixed points are a "
    "family",
    "splitting": "a property of the activation: erf has phi''(x) = -x phi'(x), so that the curvature "
    "<(t - s) phi''(x)> along which students part is the radial gradient, which vanishes here",
}
"""Why an eigenvalue can be zero."""


@dataclass(frozen=True)
class Mode:
    """One sector of the linearized flow: its growth rate, and its direction modulo the sectors before it."""

    sector: str
    eigenvalue: Expr
    direction: Mapping[Symbol, Expr]

    @property
    def cause(self) -> str:
        """Why the eigenvalue is zero, where it is."""
        return CAUSES.get(self.sector, "unknown") if self.eigenvalue == 0 else ""


@dataclass(frozen=True)
class Jacobian:
    """d(rate of a)/d b in the order of ``variables``; perturbations grow as exp(eigenvalue t).

    ``triangular`` is the same matrix in the directions of the ``modes``.
    """

    variables: tuple[Symbol, ...]
    matrix: ImmutableMatrix
    triangular: ImmutableMatrix
    modes: tuple[Mode, ...]

    def __getitem__(self, sector: str) -> Mode:
        return next(mode for mode in self.modes if mode.sector == sector)


def jacobian(site: SiteFlow, fixed_point: FixedPoint) -> Jacobian:
    """The Jacobian of the drift (infinite batch size, no decay), with C free.

    Raises DerivationError if the sectors do not make it triangular.
    """
    at = fixed_point.values
    rates = [site.drift[a].xreplace(UNDECAYED) for a in site.state]
    matrix = ImmutableMatrix([[canonical(rate.diff(b).xreplace(at)) for b in site.state] for rate in rates])
    directions = flag(at)
    basis = Matrix([[d.get(s, S.Zero) for d in directions.values()] for s in site.state])
    triangular = ImmutableMatrix((basis.inv() * matrix * basis).applyfunc(canonical))
    if not triangular.is_upper:
        raise DerivationError("the sectors do not split the Jacobian: this is not the symmetric fixed point")
    modes = (Mode(s, triangular[k, k], d) for k, (s, d) in enumerate(directions.items()))
    return Jacobian(site.state, matrix, triangular, tuple(modes))


def flag(at: Mapping[Symbol, Expr]) -> dict[str, dict[Symbol, Expr]]:
    """The directions that span the invariant subspaces, each together with those before it."""
    directions: dict[str, dict[Symbol, Expr]] = {
        "amplitude": {R_: at[R_], S_: at[S_], Q_: 2 * at[Q_], C_: 2 * at[C_]}
    }
    if g_ in at:
        directions["gain"] = {g_: S.One}
    directions["orthogonal"] = {Q_: S.One, C_: S.One}
    directions["splitting"] = {Q_: K - 1, C_: S.NegativeOne}
    directions["specialization"] = {R_: K - 1, S_: S.NegativeOne}
    return directions


def slow_manifold(
    site: SiteFlow, fixed_point: FixedPoint, linear: Jacobian
) -> tuple[dict[Symbol, Expr], Expr]:
    """Where Q - C is marginal: the direction of its center manifold, and a in d(Q - C)/dt = a (Q - C)^2.

    Along the manifold the other parameters follow Q - C linearly; to second order the flow of Q - C is then
    its own.  A negative a means that it decays as 1/(|a| t), not exponentially.

    Raises DerivationError where the mode is not marginal.
    """
    sectors = [mode.sector for mode in linear.modes]
    own = sectors.index("splitting")
    if linear.triangular[own, own] != 0:
        raise DerivationError("Q - C is not marginal here: its eigenvalue is not zero")
    weights = {own: S.One / K}  # the splitting direction has Q - C = K
    for row in reversed(range(own)):
        push = sum((linear.triangular[row, k] * c for k, c in weights.items()), S.Zero)
        rate = linear.triangular[row, row]
        weights[row] = S.Zero if rate == 0 else canonical(-push / rate)
        if rate == 0 and canonical(push) != 0:
            raise DerivationError(f"Q - C drives the neutral {sectors[row]}: it has no center direction")
    direction = {
        s: canonical(sum((c * linear.modes[k].direction.get(s, S.Zero) for k, c in weights.items()), S.Zero))
        for s in site.state
    }
    gap = (site.drift[Q_] - site.drift[C_]).xreplace(UNDECAYED)
    second = _second_along(gap, site.state, direction)
    return direction, canonical(second.xreplace(fixed_point.values) * Rational(1, 2))


def _second_along(function: Expr, variables: tuple[Symbol, ...], direction: Mapping[Symbol, Expr]) -> Expr:
    """direction . (second derivative) . direction."""
    moving = [s for s in variables if direction[s] != 0]
    slopes = {s: function.diff(s) for s in moving}
    return sum((slopes[a].diff(b) * direction[a] * direction[b] for a in moving for b in moving), S.Zero)
