"""What batch statistics do to the loss of a network above two units of a layer, as a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sympy import Expr, Matrix, S, Symbol, hessian, lambdify

from derive.batch_layer import layer_parts
from derive.batch_statistics import skewness
from numerics.batch_statistics import Correction

NODES = 80
"""Gauss-Hermite nodes of each preactivation."""


def layer_correction(
    loss: Expr, inputs: Sequence[Symbol], fields: Sequence[Symbol], gains: Sequence[float], shifts: Sequence[float],
    correlation: float, kind: str = "batch", independent: bool = False, coupled: bool = True,
) -> Correction:  # fmt: skip
    """M times the change of <loss>, a smooth function of the layer's two ``inputs`` gamma_k t_k + shift_k and, as
    targets are, of the normalized preactivations t_k, its ``fields``.

    Without ``coupled`` the Hessian is replaced by its diagonal.
    """
    bend = hessian(loss, inputs)
    if not coupled:
        bend = Matrix.diag(*bend.diagonal())
    parts = layer_parts(
        [loss.diff(h) for h in inputs], bend, fields, [S(g) for g in gains],
        Matrix([[1, correlation], [correlation, 1]]), kind, independent,
    )  # fmt: skip
    values = {h: g * f + s for h, g, f, s in zip(inputs, gains, fields, shifts, strict=True)}
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    first, second = nodes[:, None], correlation * nodes[:, None] + np.sqrt(1 - correlation**2) * nodes[None, :]

    def mean(integrand: Expr) -> float:
        at = lambdify(fields, integrand.subs(skewness, 0).xreplace(values), ["scipy", "numpy"], cse=True)(first, second)
        return float(weights @ np.broadcast_to(at, (NODES, NODES)) @ weights / weights.sum() ** 2)

    return Correction(*map(mean, parts))
