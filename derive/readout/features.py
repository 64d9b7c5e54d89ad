"""What centring and scaling the features do to the Hessian, the bias or the weights making up for it.

A unit h_i becomes (h_i - c_i) s_i, its weight W_ki / s_i, and the bias takes up sum_i W_ki c_i: no logit changes,
and with the logits the curvature in the classes stays what it was.  These are statements about the block of the
weights; the bias's own feature is 1 throughout.
"""

from __future__ import annotations

from functools import cache

from sympy import Expr, IndexedBase, Sum, Symbol, expand, factor, solve

from derive.equation import Equation, Step
from derive.readout.bounds import uniform_trace
from derive.readout.symbols import i
from derive.wide.blocks import Blocks

M = Symbol("M", integer=True, positive=True)
"""The number of hidden units."""

t = Symbol("t", positive=True)
"""The mean over samples of tr A."""

c = IndexedBase("c", real=True)
"""What is subtracted from each unit."""

u = IndexedBase("u", real=True)
"""The mean over samples of tr A times the unit, a weighted mean of it."""

variance, covariance, mean = Symbol("v", positive=True), Symbol("s", real=True), Symbol("m", real=True)
gain, shift, epsilon = (
    Symbol("gamma", real=True),
    Symbol("beta", real=True),
    Symbol("epsilon", nonnegative=True),
)


@cache
def centred_trace() -> Equation:
    """The change of the Hessian's trace when c_i is subtracted from unit i."""
    weight, unit, by = Symbol("w"), Symbol("h"), Symbol("b")
    change = expand(weight * (unit - by) ** 2 - weight * unit**2)
    # Averaged over samples: w alone, and w h, whose averages are t and u_i.
    averaged = change.coeff(unit, 0).subs(weight, t) + change.coeff(unit, 1) / weight * u[i]
    right = Sum(averaged.subs(by, c[i]), (i, 1, M))
    steps = (
        Step(
            "expand",
            weight * (unit - by) ** 2 - weight * unit**2,
            change,
            "of one unit in one sample, w being tr A",
        ),
        Step("average over samples", averaged, None, "of the change of one unit"),
        Step("sum over units", right),
    )
    return Equation(
        "readout.centred-trace", Symbol("Delta"), right,
        meaning={"Delta": "change of the trace of the Hessian", "c_i": "what is subtracted from unit i",
                 "t": "mean of tr A over the samples", "u_i": "mean of tr A times unit i"},
        source="derived from the trace", steps=steps,
    )  # fmt: skip


@cache
def flattest_centre() -> Expr:
    """The c_i at which the trace is least: the mean of the unit, weighted with tr A."""
    (best,) = solve(centred_trace().right.function.diff(c[i]), c[i])
    return best


@cache
def uniform_centred_trace() -> Expr:
    """The change for uniform predictions and c_i the mean of unit i: less by this, unless the mean is zero."""
    return factor(centred_trace().right.function.subs(u[i], t * c[i]).subs(t, uniform_trace()))


@cache
def batch_normalized_trace() -> Equation:
    """The trace at uniform predictions for units gamma (h - mean)/sqrt(v + epsilon) + beta, a unit's part."""
    # The mean square of the normalized unit: its variance, and its mean.
    square = gain**2 * variance / (variance + epsilon) + shift**2
    return Equation(
        "readout.batch-normalized-trace", Symbol("tr"), uniform_trace() * square,
        meaning={"gamma": "gain", "beta": "shift", "v": "variance of the unit", "epsilon": "what is added to it"},
        source="derived for uniform predictions",
        steps=(
            Step("uniform predictions", uniform_trace(), None, "the trace in the classes"),
            Step("mean square", square, None, "of the normalized unit: its variance, and the square of its mean"),
        ),
    )  # fmt: skip


@cache
def exchangeable() -> dict[str, Blocks]:
    """Second moments of M units that are alike, of mean m, variance v and covariance s between any two.

    At uniform predictions the Hessian's eigenvalues are these over K, K - 1 times each.
    """
    return {
        "as they are": Blocks.of_entries(variance + mean**2, covariance + mean**2, M),
        "centred": Blocks.of_entries(variance, covariance, M),
        "scaled": Blocks.of_entries(1 + mean**2 / variance, (covariance + mean**2) / variance, M),
        "centred and scaled": Blocks.of_entries(1, covariance / variance, M),
    }
