"""What one layer does to Gaussian preactivations: four averages of its activation.

u and v are the preactivations of one unit for two samples s != t: zero mean, variance q, covariance c.  The
forward signals need <phi^2> and <phi phi>, the backward ones <phi'^2> and <phi' phi'>.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from sympy import DiracDelta, Expr, S, Symbol

from derive.activation import Activation, u
from derive.errors import DerivationError
from derive.gaussian import Average, average

v = Symbol("v", real=True)
q = Symbol("q", positive=True)
c = Symbol("c", real=True)

SAME = {(u, u): q}
PAIR = {(u, u): q, (u, v): c, (v, u): c, (v, v): q}


@dataclass(frozen=True)
class Propagation:
    """The averages of one activation, in the variance q and the covariance c of its preactivations."""

    activation: Activation

    @cached_property
    def power(self) -> Average:
        """<phi(u)^2>."""
        return average(self._value(u) ** 2, SAME)

    @cached_property
    def overlap(self) -> Average:
        """<phi(u) phi(v)>."""
        return average(self._value(u) * self._value(v), PAIR)

    @cached_property
    def slope_power(self) -> Average:
        """<phi'(u)^2>."""
        return average(self._slope(u) ** 2, SAME)

    @cached_property
    def slope_overlap(self) -> Average:
        """<phi'(u) phi'(v)>."""
        return average(self._slope(u) * self._slope(v), PAIR)

    @property
    def closed(self) -> bool:
        """Whether all four have closed forms; what has none is left to quadrature."""
        return all(a.closed for a in (self.power, self.overlap, self.slope_power, self.slope_overlap))

    def _value(self, field: Symbol) -> Expr:
        return self.activation(field)

    def _slope(self, field: Symbol) -> Expr:
        return gradient(self.activation).xreplace({u: field})


@cache
def propagation(phi: Activation) -> Propagation:
    """The propagation of an activation, each average derived once."""
    return Propagation(phi)


def gradient(phi: Activation) -> Expr:
    """phi'(u) as a function: where phi has a kink, u delta(u) = 0.

    Raises DerivationError for an activation that jumps: it has no gradient.
    """
    slope = phi.expression.diff(u).replace(
        lambda e: e.is_Mul and u in e.args and e.has(DiracDelta), lambda e: S.Zero
    )
    if slope.has(DiracDelta):
        raise DerivationError(
            f"the activation {phi.name} jumps: its gradient is a delta function, and the Fisher information "
            "does not exist; take one without jumps"
        )
    return slope
