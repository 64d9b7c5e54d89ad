"""Layer normalization in every layer: mean and variance over the units of a layer, sample by sample.

In the wide layers the mean vanishes and the variance is q_t, so preactivations get variance one and covariance
q_st / q_t, and backward signals a factor 1/q_t; the projections that differentiation adds are of rank two in
M_l dimensions and drop out.  The last layer has C units: the projection P_t = I - 11^T/C - f_t f_t^T/C stays, and
F*_(ks),(k't) = (alpha M / T) kappa'_st (P_s P_t)_kk' / (sigma_s sigma_t).
"""

from __future__ import annotations

from sympy import Expr, Matrix, S, Symbol, eye, factor, ones, sqrt

from derive.equation import Equation, Step
from derive.wide.network import Layer, Network
from derive.wide.propagation import propagation
from derive.wide.signals import Evaluate, Signals, backward_step, closed, forward_step
from derive.wide.spectrum import lambda_max, m_lambda
from derive.wide.symbols import MEANING, C, M, T, alpha, kappa_1, kappa_2

eta_1, eta_2, eta_3 = (Symbol(f"eta_{k}", positive=True) for k in (1, 2, 3))
overlap = Symbol("o", real=True)
"""f_s . f_t / C of two samples."""

WORDS = {
    **MEANING,
    "eta_1": "the mean over samples of 1/sigma(t)^2 in the last layer",
    "eta_2": "the mean over samples of 1/sigma(t)^4",
    "eta_3": "the root of the mean over pairs (s, t) of (f_s.f_t/C)^2 / (sigma(s) sigma(t))^2",
    "o": "f_s.f_t/C",
}


def signals(network: Network, evaluate: Evaluate = closed) -> Signals:
    """Order parameters; ``tilde`` counts gradients with respect to u^l, those of the last before normalization."""
    forward, backward = forward_step(), backward_step()
    hat, variances = [(S.One, S.Zero)], []
    for layer in network.layers:
        variances.append((forward(hat[-1][0], layer), forward(hat[-1][1], layer)))
        if len(variances) < network.depth:
            rule = propagation(layer.activation)
            at = (S.One, variances[-1][1] / variances[-1][0])
            hat.append((evaluate(rule.power, *at), evaluate(rule.overlap, *at)))
    tilde = [(S.One, S.One)]
    for k in reversed(range(network.depth - 1)):
        above: Layer = network.layers[k + 1]
        rule = propagation(network.layers[k].activation)
        at = (S.One, variances[k][1] / variances[k][0])
        slopes = (evaluate(rule.slope_power, *at), evaluate(rule.slope_overlap, *at))
        tilde.insert(0, tuple(backward(d, above) * e / variances[k][0] for d, e in zip(tilde[0], slopes, strict=True)))  # type: ignore[arg-type]  # fmt: skip
    columns = [tuple(column) for pairs in (hat, variances, tilde) for column in zip(*pairs, strict=True)]
    return Signals(*columns)


def jacobian(outputs: int) -> tuple[Matrix, Matrix]:
    """d f_k/d u_k' by differentiation, and P / sigma, for explicit u of so many outputs."""
    u = Matrix([Symbol(f"u_{k}", real=True) for k in range(outputs)])
    mean = sum(u) / outputs
    sigma = sqrt(sum(x**2 for x in u) / outputs - mean**2)
    f = (u - ones(outputs, 1) * mean) / sigma
    return f.jacobian(u), (eye(outputs) - ones(outputs) / outputs - f * f.T / outputs) / sigma


def projection_traces() -> tuple[Expr, Expr]:
    """tr P_t, and tr P_s P_t = tr (I - U U^T)(I - V V^T) with orthonormal columns (1, f) / sqrt C."""
    products = Matrix([[1, 0], [0, overlap]])
    return C - 2, C - 4 + (products.T * products).trace()


def square_sum() -> Expr:
    """s = tr F^2 / (alpha M)^2, in kappa', eta_1, eta_2, eta_3.

    Pairs s != t are the sum over all pairs, T^2 times a mean, less the T equal ones, where o = 1.
    """
    trace, product = projection_traces()
    at_pairs = product.subs(overlap, 0) * eta_1**2 + product.coeff(overlap, 2) * eta_3**2
    equal = product.subs(overlap, 1) * eta_2
    pairs = T**2 * at_pairs - T * equal
    return factor((kappa_1**2 * T * trace * eta_2 + kappa_2**2 * pairs) / T**2)


def layer_normalization() -> dict[str, Equation]:
    """m_lambda, the two bounds, and lambda_max itself for many samples, given eta and the overlap with z.

    For T to infinity the nonzero eigenvalues of order M are kappa'_2 alpha M times those of the C x C matrix
    <P_t / sigma_t^2> over samples.  The samples share the direction z of the preactivations' common part; the
    matrix eta_1 I - <f f^T/(C sigma^2)>, orthogonal to 1, has one eigenvalue along z and C - 2 larger ones.
    """
    trace, _ = projection_traces()
    s = square_sum()
    total = alpha * M * kappa_1 * trace * eta_1
    steps = (
        Step("through the statistics", total, None, "df_k/du_k' = P_kk'/sigma, P orthogonal to 1 and f"),
        Step("trace", total, None, "tr P = C - 2"),
    )

    def equation(name: str, left: Symbol, right: Expr) -> Equation:
        return Equation(name, left, right, WORDS, "derived from the Gram matrix", steps)

    return {
        "m_lambda": equation("m_lambda", m_lambda, total / (alpha * M**2)),
        "lower": equation("lower", lambda_max, (alpha * M) ** 2 * s / total),
        "upper": equation("upper", lambda_max, alpha * M * sqrt(s)),
    }
