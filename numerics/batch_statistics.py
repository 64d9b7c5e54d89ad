"""Numbers for the corrections that batch statistics make to an expected loss."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from sympy import Expr, lambdify

from derive.batch_statistics import correction, cosine, gain, perceptron_loss, t, y
from derive.gaussian import GaussianAverage

NODES = 80
"""Gauss-Hermite nodes of each field: softplus at gains up to two to 1e-10."""


def expected_correction(phi: str, kind: str, independent: bool, scale: float, overlap: float) -> float:
    """M times the correction to <(phi(y) - phi(gamma t))^2>/2 at gamma = ``scale`` and R = ``overlap``."""
    form = _correction(phi, kind, independent)
    at = {gain: scale, cosine: overlap}
    inert = {a: _average(a.expression.subs(at), overlap) for a in form.atoms(GaussianAverage)}
    return float(form.xreplace(inert).subs(at).evalf())


@cache
def _correction(phi: str, kind: str, independent: bool) -> Expr:
    return correction(perceptron_loss(phi), kind, independent)


def _average(expression: Expr, overlap: float) -> Any:
    """A smooth function of t and y, averaged by Gauss-Hermite quadrature in two independent fields."""
    from sympy import Float

    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    first, second = nodes[:, None], nodes[None, :]
    values = lambdify((t, y), expression, "numpy")(first, overlap * first + np.sqrt(1 - overlap**2) * second)
    return Float(float(weights @ np.broadcast_to(values, (NODES, NODES)) @ weights / weights.sum() ** 2))
