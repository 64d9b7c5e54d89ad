"""The dual Gram matrix of the Fisher information, by the chain rule.

F = (1/T) sum_k sum_t grad f_k(t) grad f_k(t)^T has the nonzero eigenvalues of the T C x T C matrix
F*_(ks),(k't) = (1/T) grad f_k(s) . grad f_k'(t).  With df_k/dW_ij^l = delta_i^l h_j^(l-1) and
df_k/db_i^l = delta_i^l, the sum over the parameters of a layer is a product of two overlaps; backward signals
of different outputs have none in the limit, so F* is C equal blocks a I + b 11^T.
"""

from __future__ import annotations

from functools import cache

from sympy import Expr, IndexedBase, S, Sum, Symbol, expand_mul

from derive.equation import Equation, Step
from derive.wide.blocks import Blocks
from derive.wide.network import Network
from derive.wide.signals import Signals
from derive.wide.symbols import (
    MEANING,
    L,
    M,
    T,
    alpha,
    hat_st,
    hat_t,
    kappa_1,
    kappa_2,
    l,
    tilde_st,
    tilde_t,
    widths,
)


@cache
def layer_product() -> tuple[Expr, tuple[Step, ...]]:
    """What one layer adds to grad f(s) . grad f(t), in overlaps ``hat`` and ``tilde`` and the size below."""
    i, j = Symbol("i", integer=True), Symbol("j", integer=True)
    above, below = (Symbol(name, positive=True, integer=True) for name in ("M_l", "M_{l-1}"))
    hat, tilde = Symbol("qhat", real=True), Symbol("qtilde", real=True)
    delta_s, delta_t = IndexedBase("delta(s)", real=True), IndexedBase("delta(t)", real=True)
    h_s, h_t = IndexedBase("h(s)", real=True), IndexedBase("h(t)", real=True)
    weights = Sum(delta_s[i] * h_s[j] * delta_t[i] * h_t[j], (i, 1, above), (j, 1, below))
    backward = Sum(delta_s[i] * delta_t[i], (i, 1, above))
    forward = Sum(h_s[j] * h_t[j], (j, 1, below))
    named = tilde * (below * hat) + tilde
    steps = (
        Step("chain rule", weights + backward, None, "df/dW_ij = delta_i h_j and df/db_i = delta_i"),
        Step("the double sum factors", weights + backward, backward * forward + backward),
        Step("overlaps", backward * forward + backward, named),
    )
    return named.xreplace({below: M * widths[l - 1]}), steps


def kappa_equations() -> dict[str, Equation]:
    """kappa_1 and kappa_2: the entries of grad f . grad f over alpha M, to leading order in M."""
    product, steps = layer_product()
    hat, tilde = Symbol("qhat", real=True), Symbol("qtilde", real=True)
    found = {}
    for symbol, h, d in ((kappa_1, hat_t, tilde_t), (kappa_2, hat_st, tilde_st)):
        entry = product.xreplace({hat: h[l - 1], tilde: d[l]})
        leading = expand_mul(entry).coeff(M, 1) / alpha
        right = Sum(leading, (l, 1, L))
        order = Step("leading order in M", Sum(entry, (l, 1, L)) / (alpha * M), right)
        found[symbol.name] = Equation(
            symbol.name, symbol, right, MEANING, "derived from the chain rule", (*steps, order)
        )
    return found


def spelled(expression: Expr, depth: int) -> Expr:
    """An expression in sums over layers for a number of layers: q_t[2] becomes the symbol q_t_2."""
    explicit = expression.xreplace({L: S(depth)}).doit()
    named = {
        atom: Symbol(f"{atom.base.label}_{atom.indices[0]}", real=True)
        for atom in explicit.atoms(widths[l].__class__)
    }
    return explicit.xreplace(named)


def layer_values(network: Network, found: Signals) -> dict[Symbol, Expr]:
    """The symbols of ``spelled`` with their values: order parameters and widths."""
    columns = (
        (hat_t, found.hat_t, 0),
        (hat_st, found.hat_st, 0),
        (tilde_t, found.tilde_t, 1),
        (tilde_st, found.tilde_st, 1),
        (widths, network.widths, 0),
    )
    values = {alpha: network.alpha}
    for base, column, first in columns:
        for number, value in enumerate(column, first):
            values[Symbol(f"{base.label}_{number}", real=True)] = value
    return values


def kappas(network: Network, found: Signals) -> tuple[Expr, Expr]:
    """kappa_1 and kappa_2 of a network, from its order parameters."""
    values = layer_values(network, found)
    one, two = (spelled(e.right, network.depth).xreplace(values) for e in kappa_equations().values())
    return one, two


def bias_gradients(found: Signals) -> tuple[Expr, Expr]:
    """What the gradients with respect to the biases add to alpha M kappa_1 and alpha M kappa_2: order one."""
    product, _ = layer_product()
    hat, tilde = Symbol("qhat", real=True), Symbol("qtilde", real=True)
    bias = expand_mul(product).coeff(M, 0)
    assert not bias.has(hat)
    return (
        sum((bias.xreplace({tilde: d}) for d in found.tilde_t), start=S.Zero),
        sum((bias.xreplace({tilde: d}) for d in found.tilde_st), start=S.Zero),
    )


def gram_blocks() -> Blocks:
    """One of the C equal blocks of the dual Gram matrix, without normalization, to leading order in M."""
    return Blocks.of_entries(alpha * M * kappa_1 / T, alpha * M * kappa_2 / T, T)
