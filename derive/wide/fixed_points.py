"""Very deep networks: the recursions as maps of one layer, their slopes, and the edge of chaos.

    V(q) = sigma_w^2 <phi(u)^2> + sigma_b^2,        R(r) = (sigma_w^2 <phi(u) phi(v)> + sigma_b^2) / q*

for the variance q of a preactivation and, at a fixed point q* of V, the correlation r of two.  r = 1 is fixed;
its slope chi_1 = sigma_w^2 <phi'^2> is also the factor of backward signals from layer to layer.  Above one
(chaos) samples that were close come apart and gradients explode; below one correlations tend to one and
gradients vanish.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, Symbol

from derive.activation import Activation
from derive.equation import Equation, Step
from derive.gaussian import Average, average
from derive.wide.propagation import SAME, c, propagation, q, u
from derive.wide.signals import backward_step, forward_step
from derive.wide.symbols import MEANING, bias_variance, weight_variance

chi_1 = Symbol("chi_1", positive=True)
slope = Symbol("V'", real=True)


@dataclass(frozen=True)
class LayerMaps:
    """What the maps and their slopes are made of: averages over one or two preactivations."""

    power: Average
    overlap: Average
    weighted_power: Average
    """<u^2 phi(u)^2>."""
    slope_power: Average
    slope_overlap: Average


def layer_maps(phi: Activation) -> LayerMaps:
    """The averages for an activation."""
    rule = propagation(phi)
    weighted = average(u**2 * phi.expression**2, SAME)
    return LayerMaps(rule.power, rule.overlap, weighted, rule.slope_power, rule.slope_overlap)


def variance_slope(power: Expr, weighted_power: Expr, variance: Expr, weight: Expr) -> Expr:
    """V'(q): the derivative of the Gaussian density with respect to its variance is (u^2/q - 1)/(2q) times it."""
    return weight * (weighted_power - variance * power) / (2 * variance**2)


def equations(phi: Activation) -> dict[str, Equation]:
    """V, V', sigma_w^2 <phi' phi'> (the slope of q* R by Price's rule) and chi_1, for a generic layer."""
    maps = layer_maps(phi)
    power, overlap = maps.power.expression, maps.overlap.expression
    forward = forward_step().expression
    below = next(s for s in forward.free_symbols if s not in (weight_variance, bias_variance))
    back = backward_step().expression
    score = Step("density of variance q", power, None, "d/dq <f> = <f (u^2/q - 1)> / (2q)")
    price = Step("Price's rule", overlap, None, "d/dc <f(u) g(v)> = <f'(u) g'(v)>")
    gain = variance_slope(power, maps.weighted_power.expression, q, weight_variance)

    def equation(left: Symbol, right: Expr, *steps: Step) -> Equation:
        meaning = {**MEANING, "q": "variance of a preactivation", "c": "covariance of two"}
        return Equation(left.name, left, right, meaning, "derived from the recursions", steps)

    return {
        "variance": equation(Symbol("V"), forward.xreplace({below: power}), *forward_step().steps),
        "variance_slope": equation(slope, gain, score),
        "covariance_slope": equation(Symbol("dV/dc"), back.xreplace({below: maps.slope_overlap.expression}), price),
        "chi_1": equation(chi_1, back.xreplace({below: maps.slope_power.expression}), price),
    }


__all__ = ["LayerMaps", "c", "chi_1", "equations", "layer_maps", "variance_slope"]
