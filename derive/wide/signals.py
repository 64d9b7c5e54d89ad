"""Forward and backward recursions of the order parameters, from the definition of a layer.

In the limit of infinite width the preactivations of a layer are independent Gaussians over its units, so an
overlap is an average over one pair (u, v) of them.  Forward:

    q^l = Var[sum_j W_ij h_j + b_i],   qhat^l = <phi(u) phi(v)>,

backward, with delta^l = df/du^l and the weights of the next layer independent of it,

    delta_i^l = phi'(u_i) sum_j W_ji delta_j^(l+1),   qtilde^l = sigma_w^2 qtilde^(l+1) <phi'(u) phi'(v)>.

That independence is a theorem for activations with a polynomially bounded weak derivative (Yang, 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from sympy import Expr, IndexedBase, KroneckerDelta, S, Sum, Symbol

from derive.equation import Equation, Step
from derive.gaussian import Average, GaussianAverage
from derive.wide.network import Layer, Network
from derive.wide.propagation import Propagation, c, propagation, q
from derive.wide.symbols import (
    MEANING,
    bias_variance,
    hat_st,
    hat_t,
    l,
    q_st,
    q_t,
    tilde_st,
    tilde_t,
    weight_variance,
)

_above = Symbol("overlap", real=True)
"""The overlap of what enters a layer: qhat^(l-1) forward, qtilde^(l+1) backward."""


@dataclass(frozen=True)
class LinearStep:
    """What the random weights of one layer do to an overlap, with the steps that show it."""

    expression: Expr
    steps: tuple[Step, ...]

    def __call__(self, overlap: Expr, layer: Layer) -> Expr:
        """At an overlap and the variances of a layer."""
        values = {
            _above: overlap,
            weight_variance: layer.weight_variance,
            bias_variance: layer.bias_variance,
        }
        return self.expression.xreplace(values)


def _weighted(size: Symbol, variance: Expr, entries: tuple[IndexedBase, IndexedBase]) -> tuple[Expr, Step]:
    """E[sum_j W_j a_j sum_k W_k b_k] for independent W of this variance, as one sum."""
    j, k = Symbol("j", integer=True), Symbol("k", integer=True)
    a, b = entries
    double = Sum(variance * KroneckerDelta(j, k) * a[j] * b[k], (j, 1, size), (k, 1, size))
    single = Sum(variance * a[j] * b[j], (j, 1, size))
    return single, Step("independent weights", double, single, "E[W_ij W_ik] vanishes unless j = k")


@cache
def forward_step() -> LinearStep:
    """The covariance of a preactivation from the overlap of the activations below."""
    size, j = Symbol("M_{l-1}", integer=True, positive=True), Symbol("j", integer=True)
    a, b = IndexedBase("h(s)", real=True), IndexedBase("h(t)", real=True)
    total, independent = _weighted(size, weight_variance / size, (a, b))
    overlap = Sum(a[j] * b[j], (j, 1, size)) / size
    named = weight_variance / size * (size * _above) + bias_variance
    return LinearStep(
        named,
        (
            independent,
            Step(
                "overlap", total + bias_variance, named, f"the overlap is {overlap}; biases are independent"
            ),
        ),
    )


@cache
def backward_step() -> LinearStep:
    """The covariance of sum_j W_ji delta_j over M_l units i, times M_l: what their squares add up to."""
    size, above = (Symbol(name, integer=True, positive=True) for name in ("M_l", "M_{l+1}"))
    j = Symbol("j", integer=True)
    a, b = IndexedBase("delta(s)", real=True), IndexedBase("delta(t)", real=True)
    total, independent = _weighted(above, weight_variance / size, (a, b))
    overlap = Sum(a[j] * b[j], (j, 1, above))
    named = size * (weight_variance / size * _above)
    return LinearStep(
        named, (independent, Step("sum over units", size * total, named, f"the overlap is {overlap}"))
    )


@dataclass(frozen=True)
class Signals:
    """Order parameters by layer: ``hat`` for l = 0 .. L-1, ``q`` and ``tilde`` for l = 1 .. L (first entry l = 1).

    The variance and covariance of preactivations are ``q_t`` and ``q_st``.
    """

    hat_t: tuple[Expr, ...]
    hat_st: tuple[Expr, ...]
    q_t: tuple[Expr, ...]
    q_st: tuple[Expr, ...]
    tilde_t: tuple[Expr, ...]
    tilde_st: tuple[Expr, ...]


Evaluate = Callable[[Average, Expr, Expr], Expr]
"""The value of an average of ``Propagation`` at a variance and a covariance."""


def closed(given: Average, variance: Expr, covariance: Expr) -> Expr:
    """An average's closed form, or the inert average, at any variance and covariance."""
    at = {q: variance, c: covariance}
    return given.expression.xreplace(at)


def signals(network: Network, evaluate: Evaluate = closed) -> Signals:
    """The order parameters of every layer; batch normalization in the middle changes them and is refused here.

    ``evaluate`` puts a variance and a covariance into an average: as expressions by default, or as numbers.
    """
    forward, backward = forward_step(), backward_step()
    hat, variances = [(S.One, S.Zero)], []
    rules: list[Propagation] = []
    for layer in network.layers:
        variances.append((forward(hat[-1][0], layer), forward(hat[-1][1], layer)))
        rules.append(propagation(layer.activation))
        if len(variances) < network.depth:
            own = variances[-1]
            hat.append((evaluate(rules[-1].power, *own), evaluate(rules[-1].overlap, *own)))
    tilde = [(S.One, S.One)]
    for k in reversed(range(network.depth - 1)):
        slopes = (rules[k].slope_power, rules[k].slope_overlap)
        above = network.layers[k + 1]
        tilde.insert(
            0,
            tuple(
                backward(overlap, above) * evaluate(slope, *variances[k])
                for overlap, slope in zip(tilde[0], slopes, strict=True)
            ),  # type: ignore[arg-type]
        )
    columns = [tuple(column) for pairs in (hat, variances, tilde) for column in zip(*pairs, strict=True)]
    return Signals(*columns)


def recursions(layer: Layer) -> dict[str, Equation]:
    """The recursions as equations for a generic layer l, by the name of what they give."""
    rule = propagation(layer.activation)
    forward, backward = forward_step(), backward_step()
    at = {q: q_t[l], c: q_st[l]}

    def averaged(given: Average, factor: Expr = S.One) -> tuple[Expr, tuple[Step, ...]]:
        inert = GaussianAverage(given.argument, given.fields, given.covariance).xreplace(at)
        steps = (Step("law of large numbers", inert * factor, None, "over the independent units of a layer"),)
        used = tuple(Step(s.rule, s.before, None, f"gives {s.after}") for s in given.steps)
        return factor * given.expression.xreplace(at), (*steps, *used)

    def equation(name: str, left: Expr, right: Expr, steps: tuple[Step, ...]) -> Equation:
        return Equation(name, left, right, MEANING, "derived from the definition of a layer", steps)

    found = {}
    for name, left, below in (("q_t", q_t, hat_t), ("q_st", q_st, hat_st)):
        found[name] = equation(name, left[l], forward(below[l - 1], layer), forward.steps)
    for name, left, given in (("q_hat_t", hat_t, rule.power), ("q_hat_st", hat_st, rule.overlap)):
        found[name] = equation(name, left[l], *averaged(given))
    for name, left, given in (
        ("q_tilde_t", tilde_t, rule.slope_power),
        ("q_tilde_st", tilde_st, rule.slope_overlap),
    ):
        right, steps = averaged(given, backward(left[l + 1], layer))
        found[name] = equation(name, left[l], right, (*backward.steps, *steps))
    return found
