"""Normalization by the statistics of the batch itself, to first order in 1/b.

A loss F under the population's normalization is a function of the fields x_i = s_i t_i, s_i^2 = tau Q_ii.  Under
the batch's, t_i becomes z_i(t_i, m_i, q_i), with m_i the mean over the batch and 1 + q_i the mean square.  The other
samples averaged out, to first order in 1/b and for any numbers of units,

    F + (1/b) [sum_k F_k s_k shift(t_k) + 1/2 sum_kl F_kl s_k s_l spread(t_k, t_l)],      F_k = dF/dx_k,

is a sample loss again.  The mean gradient is the gradient of its average, because every sample of a batch is like
every other: all drifts follow from it.  The noise of the gradient is already of order 1/b.  To leading order, what
multiplies an input is A_i = F_i and what the statistics of the batch hand back to it,

    A_i + <A_i dz/dm> + 2 t_i <A_i dz/dq>.
"""

from __future__ import annotations

from dataclasses import replace

from sympy import Add, DiracDelta, Expr, Mul, S, Sum, Symbol, expand, sqrt

from derive.batch_statistics import cosine, fluctuation, joint_fluctuation, kurtosis, response, skewness, t, y
from derive.closing import close_averages
from derive.errors import DerivationError
from derive.fields import expectation, i, j, overlap
from derive.gradient import amplitude_slopes, gradient_amplitude, regular_part
from derive.indexed import derivative, index_symbol
from derive.model import Model
from derive.symbols import K, Q, batch, g, tau, x

GAUSSIAN = {kurtosis: S.Zero, skewness: S.Zero}
_k, _l = index_symbol("k_1"), index_symbol("k_2")


def expected_over_batch(model: Model) -> Model:
    """The model whose sample loss is the one above, under the population's normalization.

    Raises DerivationError for kinked units, whose second derivative is a delta function.
    """
    return replace(
        model, loss=model.loss + _correction(model) / batch, statistics="population",
        parameters=model.parameters | {batch},
    )  # fmt: skip


def decay_of_gains(model: Model) -> Expr:
    """b zeta_i of the decays zeta_i g_i^2 that have, beside the population's loss, the slopes in the gains which the
    statistics of the batch add to it: in Q, R, T and g, for any K and M.

    Raises DerivationError for kinked units.
    """
    slope = regular_part(derivative(_correction(model), g, (i,)))
    return close_averages(expectation(slope) / (2 * g[i]))


def _correction(model: Model) -> Expr:
    """b times what the statistics of the batch add to the sample loss."""
    amplitude, (explicit, pairs) = gradient_amplitude(model), amplitude_slopes(model, x, _l)
    if explicit.has(DiracDelta):
        raise DerivationError(
            f"{model.name}: the expansion in 1/b needs a smooth activation; derive.batch_statistics has the "
            "first order of one kinked unit"
        )
    of_one = fluctuation(model.statistics)
    shift, spread = of_one.shift.subs(GAUSSIAN), of_one.spread.subs(GAUSSIAN)
    own = amplitude(_k) * _scaled(shift, _k) + explicit.xreplace({i: _k}) * _scaled(spread, _k, _k) / 2
    other = pairs.xreplace({i: _k}) * _scaled(joint_fluctuation(model.statistics), _k, _l) / 2
    return Sum(own, (_k, 1, K)) + Sum(other, (_l, 1, K), (_k, 1, K))


def gradient_noise(model: Model) -> Expr:
    """<product of what multiplies an input in the gradients along J_i and J_j>, statistics of the batch and all."""
    amplitude = gradient_amplitude(model)
    of_mean, of_square = response(model.statistics)

    def back(index: Symbol) -> tuple[Expr, Expr]:
        """What comes back through mean and mean square, of unit ``index``."""
        field = x[index] / _size(index)
        return tuple(
            expectation(expand(amplitude(index) * factor.subs(t, field)) if factor != 0 else S.Zero)
            for factor in (of_mean, 2 * of_square)
        )  # type: ignore[return-value]

    (a, b), (c, d) = back(i), back(j)
    # The fields have mean zero, the squares of the normalized ones mean one.
    correlation = overlap(Q, i, j) / sqrt(Q[i, i] * Q[j, j])
    return Add(
        expectation(amplitude(i) * amplitude(j)),
        c * expectation(amplitude(i)) + a * expectation(amplitude(j)) + a * c,
        d * expectation(amplitude(i) * x[j] / _size(j)) + b * expectation(x[i] / _size(i) * amplitude(j)),
        b * d * correlation,
    )


def _size(index: Symbol) -> Expr:
    return sqrt(tau * Q[index, index])


def _scaled(coefficient: Expr, *indices: Symbol) -> Expr:
    """A coefficient in t (and y) as one in the fields of the units, times their sizes."""
    first, second = indices[0], indices[-1]
    at = {
        t: x[first] / _size(first), y: x[second] / _size(second),
        cosine: Q[first, second] / (sqrt(Q[first, first]) * sqrt(Q[second, second])),
    }  # fmt: skip
    return expand(coefficient.subs(at, simultaneous=True) * Mul(*map(_size, indices)))
