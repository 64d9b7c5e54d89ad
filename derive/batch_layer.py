"""A layer of units under batch statistics inside a network, to first order in 1/M.

F is the loss of one sample as a function of the layer's inputs h_k = gamma_k t_k (+ shifts) to what stands above it,
with gradient F_k and Hessian F_kl.  With the statistics of a batch in place of the population's its mean changes by

    (1/M) <sum_k F_k gamma_k shift(t_k) + 1/2 sum_kl F_kl gamma_k gamma_l spread(t_k, t_l)>.

Preactivations are Gaussian, of variance one and given correlations: the fluctuations of two units are as correlated
as their preactivations (means) and as the square of that (mean squares).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from sympy import Add, Expr, MatrixBase, Symbol

from derive.batch_statistics import cosine, fluctuation, joint_fluctuation, kurtosis, t, y


def layer_parts(
    gradient: Sequence[Expr], hessian: MatrixBase, fields: Sequence[Symbol], gains: Sequence[Expr],
    correlation: MatrixBase, kind: str = "batch", independent: bool = False,
) -> tuple[Expr, Expr]:  # fmt: skip
    """The two sums above, given the normalized preactivations ``fields``; ``independent``: statistics of another
    batch.  The skewness of one unit's preactivation is left in; zero for Gaussian ones."""
    units = range(len(fields))
    of_one = fluctuation(kind, independent)
    pair = joint_fluctuation(kind)

    def spread(k: int, l: int) -> Expr:
        if k == l:
            return of_one.spread.subs(kurtosis, 0).subs(t, fields[k])
        return pair.subs({t: fields[k], y: fields[l], cosine: correlation[k, l]}, simultaneous=True)

    shift = of_one.shift.subs(kurtosis, 0)
    first = Add(*(gradient[k] * gains[k] * shift.subs(t, fields[k]) for k in units))
    second = Add(*(hessian[k, l] * gains[k] * gains[l] * spread(k, l) / 2 for k, l in product(units, units)))
    return first, second
