"""Batch normalization in the last layer: f_k = (u_k - mu_k)/sigma_k over all T samples.

Differentiating through mu_k and sigma_k gives grad f_k(t) = (1/sigma_k) sum_s P_ts grad u_k(s), with P the
projection onto what is orthogonal to 1 and to f_k: a block a I + b 11^T becomes (a/sigma_k^2) P.
"""

from __future__ import annotations

from sympy import Derivative, Expr, Function, Matrix, Symbol, eye, factor, ones, simplify, sqrt

from derive.equation import Equation, Step
from derive.wide.blocks import symmetry_steps
from derive.wide.gram import gram_blocks
from derive.wide.spectrum import PARAMETERS, Statistics, lambda_max, m_lambda
from derive.wide.symbols import MEANING, C, T

Q_1 = Symbol("Q_1", positive=True)
Q_2 = Symbol("Q_2", positive=True)
spread = Symbol("Delta", positive=True)
"""q_t - q_st of the last layer: the variance of u_k over samples, for many of them."""

WORDS = {**MEANING, "Q_1": "sum_k 1/sigma_k^2", "Q_2": "sum_k 1/sigma_k^4", "Delta": "q_t - q_st of layer L"}


def jacobian(samples: int) -> tuple[Matrix, Matrix]:
    """d f(t)/d u(s) by differentiation, and P / sigma, for explicit u of so many samples."""
    u = Matrix([Symbol(f"u_{t}", real=True) for t in range(samples)])
    mean = sum(u) / samples
    sigma = sqrt(sum(x**2 for x in u) / samples - mean**2)
    f = (u - ones(samples, 1) * mean) / sigma
    projection = eye(samples) - ones(samples) / samples - f * f.T / samples
    return f.jacobian(u), projection / sigma


def mean_over_weights() -> dict[Symbol, Expr]:
    """E[Q_1] and E[Q_2]: u_k(t) are Gaussian, so sigma_k^2 is Delta/T times a chi-square with T - 1 degrees.

    They exist for T > 3 and T > 5.
    """
    degrees = T - 1
    inverse = 1 / (degrees - 2)
    inverse_square = 1 / ((degrees - 2) * (degrees - 4))
    return {Q_1: C * inverse * T / spread, Q_2: C * inverse_square * (T / spread) ** 2}


def batch_last() -> Statistics:
    """Bounds for given sigma_k; ``largest`` is for sigma_k all alike, where Q_1 / C = 1 / sigma^2."""
    block = gram_blocks().centered().without(1)
    multiplicity = block.eigenspaces[1].multiplicity
    trace, square = Q_1 * block.rest * multiplicity, Q_2 * block.rest**2 * multiplicity
    u, t = Symbol("u"), Symbol("t", integer=True)
    f = Function("f")
    rule = Step(
        "through the statistics", Derivative(f(t), u, evaluate=False), None,
        "df(t)/du(s) = P_ts / sigma, P the projection orthogonal to 1 and f",
    )  # fmt: skip
    steps = (rule, *symmetry_steps(T))

    def equation(name: str, left: Symbol, right: Expr) -> Equation:
        return Equation(name, left, right, WORDS, "derived from the Gram matrix", steps)

    return Statistics(
        equation("m_lambda", m_lambda, factor(trace / PARAMETERS)),
        equation("lambda_max", lambda_max, block.rest * Q_1 / C),
        equation("lower", lambda_max, simplify(square / trace)),
        equation("upper", lambda_max, sqrt(factor(square))),
        block,
        "orthogonal to every E[grad u_k]",
    )


__all__ = ["Q_1", "Q_2", "batch_last", "jacobian", "mean_over_weights", "spread"]
