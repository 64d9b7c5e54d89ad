"""Batch normalization in every layer but the last, over all T samples and differentiated through.

Over the samples a preactivation of layer l is Gaussian with covariance s^2 I + (anything) 11^T; normalized, it
is uniform on a sphere orthogonal to 1.  For functions of homogeneous degree 0 or 2 in (u, v), which is all that
ReLU and its kin need, averages on the sphere equal Gaussian ones with variance 1 and covariance -1/(T-1),
exactly; for other activations that is right to order 1/T.

Backward: df/du_i = (1/sigma_i) P_i diag(phi'(u_i)) df/dh_i with P_i orthogonal to 1 and u_i.  What the sum over
units keeps of two such T-vectors is invariant under permutations of the samples and orthogonal to 1, a
multiple a (I - 11^T/T); one number a per layer for the trace over samples of the output, another for their
sum.  sigma_i^2 is s^2/T times a chi-square with T - 1 degrees of freedom, so E[1/sigma^2] needs T > 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sympy import Add, Expr, S, Symbol

from derive.gaussian import Average, average
from derive.wide.network import Network
from derive.wide.propagation import PAIR, SAME, Propagation, gradient, propagation, u, v
from derive.wide.signals import Evaluate, backward_step, closed
from derive.wide.symbols import M, T


@dataclass(frozen=True)
class Moments:
    """Averages over the normalized preactivations of two samples, as numbers or expressions in T."""

    power: Expr
    overlap: Expr
    slope_power: Expr
    slope_overlap: Expr
    radial_power: Expr
    radial_overlap: Expr


@cache
def radial(rule: Propagation) -> tuple[Average, Average]:
    """<u^2 phi'(u)^2> and <u phi'(u) v phi'(v)>."""
    slope = gradient(rule.activation)
    other = slope.xreplace({u: v})
    return average(u**2 * slope**2, SAME), average(u * slope * v * other, PAIR)


def moments(rule: Propagation, samples: Expr, evaluate: Evaluate = closed) -> Moments:
    """The averages for a number of samples."""
    at = (S.One, -1 / (samples - 1))
    given = (rule.power, rule.overlap, rule.slope_power, rule.slope_overlap, *radial(rule))
    return Moments(*(evaluate(each, *at) for each in given))


@dataclass(frozen=True)
class BatchMiddle:
    """One of the C blocks of T F*, by the eigenvalue of the uniform vector and the trace.

    ``hat_t`` and ``hat_st`` are the overlaps below the last layer; ``last`` and ``middle`` what the last layer and
    each middle layer l = 1 .. L-1 adds to (uniform eigenvalue, trace), over M.
    """

    hat_t: Expr
    hat_st: Expr
    last: tuple[Expr, Expr]
    middle: tuple[tuple[Expr, Expr], ...]
    samples: Expr

    @property
    def uniform(self) -> Expr:
        """The eigenvalue of F on (1, ..., 1)."""
        return M * Add(self.last[0], *(pair[0] for pair in self.middle)) / self.samples

    @property
    def trace(self) -> Expr:
        """The trace of a block of F*."""
        return M * Add(self.last[1], *(pair[1] for pair in self.middle)) / self.samples

    @property
    def rest(self) -> Expr:
        """The other T - 1 eigenvalues of F, all alike to leading order in M."""
        return (self.trace - self.uniform) / (self.samples - 1)

    @property
    def lower(self) -> Expr:
        """What the last layer's weights alone give: a bound from below."""
        return M * self.last[0] / self.samples


def batch_middle(network: Network, samples: Expr = T, evaluate: Evaluate = closed) -> BatchMiddle:
    """The Gram matrix with batch normalization in the middle layers, for a symbolic or given T."""
    hats = [(S.One, S.Zero)]
    found = []
    for layer in network.layers[:-1]:
        own = moments(propagation(layer.activation), samples, evaluate)
        found.append(own)
        hats.append((own.power, own.overlap))
    backward = backward_step()
    # What enters a layer from above: x I + y 11^T, for the trace over output samples and for their sum.
    entering = {"uniform": (S.Zero, S.One), "trace": (S.One, S.Zero)}
    middle = []
    for k in reversed(range(network.depth - 1)):
        layer, above = network.layers[k], network.layers[k + 1]
        spread = layer.weight_variance * (hats[k][0] - hats[k][1])
        inverse = samples / (spread * (samples - 3))
        own = found[k]
        added = {}
        for name, (x, y) in entering.items():
            same = (samples - 1) * own.slope_power - own.radial_power
            pairs = (samples - 1) * (own.slope_power - own.slope_overlap - own.radial_overlap)
            through = backward(x, above) * same + backward(y, above) * (pairs - own.radial_power)
            a = inverse * through / (samples - 1)
            gradient_norm = network.widths[k] * (hats[k][0] - hats[k][1]) * a * (samples - 1)
            added[name] = gradient_norm
            entering[name] = (a, -a / samples)
        middle.append((added["uniform"] / samples, added["trace"]))
    top_t, top_st = hats[-1]
    width = network.widths[-1]
    last = (width * (top_t + (samples - 1) * top_st), width * samples * top_t)
    return BatchMiddle(top_t, top_st, last, tuple(middle[::-1]), samples)


arc_cosine_argument = Symbol("x", real=True)


def arc_cosine_kernel() -> Expr:
    """J(x) = <relu(u) relu(v)> / <relu(u)^2> for unit variances and correlation x, from the average engine."""
    from derive.activation import activation

    rule = propagation(activation("relu"))
    return closed(rule.overlap, S.One, arc_cosine_argument) / closed(rule.power, S.One, S.Zero)
