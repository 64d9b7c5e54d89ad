"""Gradient and Hessians of eps_g in the order parameters, at the symmetric fixed point.

The order parameters are coordinates, not weights: these matrices depend on the choice (R, S, Q, C), on how
many entries each parameter stands for, and on whether C follows Q.  What does not is the weight-space Hessian
(``weight_space``) and the Jacobian of the flow (``stability``).
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, ImmutableMatrix, Symbol

from derive.landscape.fixed_point import FixedPoint
from derive.landscape.radicals import canonical
from derive.sites import C_, Q_, R_, S_, SiteFlow
from derive.symbols import K


@dataclass(frozen=True)
class Curvature:
    """First and second derivatives of eps_g with respect to ``variables``."""

    variables: tuple[Symbol, ...]
    gradient: tuple[Expr, ...]
    hessian: ImmutableMatrix

    @property
    def breaking(self) -> Expr:
        """The curvature of eps_g along R against S, per squared length of the change of all K^2 overlaps.

        R counts K times and S K(K-1) times in that length; with it the direction (K-1, -1) of (R, S) is an
        eigenvector for every K, and its eigenvalue closed.
        """
        r, s = self.variables.index(R_), self.variables.index(S_)
        h = self.hessian
        along = (K - 1) ** 2 * h[r, r] - 2 * (K - 1) * h[r, s] + h[s, s]
        return canonical(along / (K * (K - 1) ** 2 + K * (K - 1)))


def error_of(site: SiteFlow, c_free: bool) -> Expr:
    """eps_g as a function of its coordinates: C replaced by Q *before* any derivative, unless it is free."""
    return site.generalization_error if c_free else site.generalization_error.xreplace({C_: Q_})


def coordinates(site: SiteFlow, c_free: bool) -> tuple[Symbol, ...]:
    """(R, S, Q[, C][, g])."""
    return tuple(s for s in site.state if c_free or s != C_)


def curvature(site: SiteFlow, fixed_point: FixedPoint, c_free: bool = False) -> Curvature:
    """Gradient and Hessian of eps_g in (R, S, Q[, g]), or with ``c_free`` in (R, S, Q, C[, g])."""
    error, variables = error_of(site, c_free), coordinates(site, c_free)
    slopes = [error.diff(a) for a in variables]

    def at(expression: Expr) -> Expr:
        return canonical(expression.xreplace(fixed_point.values))

    upper = {
        (a, b): at(slopes[a].diff(variables[b])) for a in range(len(slopes)) for b in range(a, len(slopes))
    }
    size = range(len(variables))
    matrix = ImmutableMatrix([[upper[min(a, b), max(a, b)] for b in size] for a in size])
    return Curvature(variables, tuple(map(at, slopes)), matrix)
