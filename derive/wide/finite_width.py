"""The squared gradient of one output to order 1/M: what finite layers add to alpha M kappa_1.

Given the activations below, the preactivations of a layer are exactly independent Gaussians of variance q, itself
random through the layers below: a Markov chain.  D_l(q) is the mean of |delta^l|^2 given q^l = q.  Weights between
h^l and u^(l+1) are known along h^l once u^(l+1) is, W h = u - b; across it they are fresh, so with g standard normal

    (W^T delta)_j = h_j ((u - b) . delta) / |h|^2 + (sigma_w / sqrt M_l) |delta| (g across h)_j,
    |delta^l|^2 = sum_j phi'(u_j)^2 (W^T delta)_j^2.

Means over the units of a layer, A = <phi'^2>, P = <phi^2>, fluctuate with their covariance over M_l.
"""

from __future__ import annotations

from functools import cache

from sympy import Expr, Function, Subs, Symbol

from derive.wide.symbols import bias_variance, weight_variance

A, P, R = Symbol("A", positive=True), Symbol("P", positive=True), Symbol("R", positive=True)
"""Means over units of phi'^2, phi^2 and phi'^2 phi^2."""
size = Symbol("M_l", positive=True)
power_variance, mixed_covariance = Symbol("Var(phi^2)", nonnegative=True), Symbol("Cov(phi^2, phi'^2)", real=True)
D, D1, D2 = Symbol("D", positive=True), Symbol("D'", real=True), Symbol("D''", real=True)
"""D_(l+1) and its derivatives at the mean of q^(l+1)."""
E = Symbol("E", nonnegative=True)
"""The mean of ((u - b) . delta)^2 of layer l + 1."""
q, below = Symbol("q", positive=True), Symbol("b", nonnegative=True)
U2, UF = Symbol("<u^2 phi'^2>", nonnegative=True), Symbol("<u phi' phi>", real=True)


def squared_norm() -> Expr:
    """|delta^l|^2 averaged over g, for given means over units; D and E are functions of q^(l+1)."""
    variance = weight_variance * P + bias_variance
    across = weight_variance * (A - R / (size * P)) * Function("D")(variance)
    return across + R / (size * P**2) * Function("E")(variance)


@cache
def backward_correction() -> Expr:
    """What the fluctuations of one layer and the direction of h add to D_l, times M_l."""
    whole = squared_norm().expand()
    direction, smooth = whole.coeff(size, -1), whole.coeff(size, 0)
    spread = smooth.diff(P, 2) * power_variance / 2 + smooth.diff(P, A) * mixed_covariance
    return _named(direction + spread)


def _named(expression: Expr) -> Expr:
    """D(..), D'(..), D''(..), E(..) as symbols."""
    found = expression.doit()
    by_order = {0: D, 1: D1, 2: D2}
    found = found.replace(
        lambda e: isinstance(e, Subs), lambda e: by_order[e.expr.derivative_count]
    )
    return found.replace(Function("D"), lambda x: D).replace(Function("E"), lambda x: E)


def along() -> Expr:
    """E_l, the mean of ((u - b) . delta^l)^2, from D and E of layer l + 1, to leading order.

    Given u, u - b has mean k u and variance k b with k = 1 - b/q.  With c_j = (u - b)_j phi'(u_j) it is the square
    of c . W^T delta, of which the part along h is known and the rest has what c has across h.
    """
    share = 1 - below / q
    whole, common = share**2 * U2 + share * below * A, share * UF
    return (whole - common**2 / P) * weight_variance * D + (common / P) ** 2 * E
