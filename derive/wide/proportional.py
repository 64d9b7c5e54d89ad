"""The spectrum of F after mean subtraction for samples in proportion to the width, T = M / rho, and C outputs.

With the uniform vectors gone, fluctuations of the overlaps of order M^(-1/2) make the bulk.  To leading order

    T F*_kk' = delta_kk' (sum_l qtilde_st^l H_(l-1) H_(l-1)^T + const I) + sum_l M_(l-1) qhat_st^(l-1) D_lk D_lk'^T,

with rows over samples of H (activations less their means) and D_k (backward signals of output k less theirs): a
sample covariance of features.  Overlaps of backward signals of two outputs have no mean, so H comes with k = k' alone.
Given what samples share, the preactivation is c + g with g of variance Delta, and

    h = a g + n,   phi' = a + s g + n',   a = <phi'>,  s = <phi''>     (Stein),
    delta_k sqrt(M) = zbar_k (s g + n') + a zeta_k + n''_k,

with noise (n, n', n'') that is independent over units and samples; zbar_k is the shared part of the backward signal
from above, zeta_k the rest, of variance Delta_zeta, and n''_k = (phi' - a) zeta_k.  For vectors v_k over samples, one
an output, with v_k.v_k' / T = tau delta_kk', put eta_k = h.v_k, mu_k = g.v_k, d = sum_k delta_k.v_k, each over sqrt T.
Given the layers around it a unit is Gaussian,

    mu_k ~ N(0, V),  V_l = sigma_w^2 E[eta_k,(l-1)^2],
    sum_k zeta_k.v_k ~ N(0, U),  U_l = sigma_w^2 (alpha_(l+1)/alpha_l) E[d_(l+1)^2].

The law of all this is invariant under rotations of the outputs.  Rotated so that zbar lies along the first of them, a
unit's d has to do with eta_1 alone, and |zbar|^2 is a chi-square with C degrees of freedom times a variance.

The annealed average of exp(-v^T (z - F*) v / 2) is stationary in tau and these; tau is then tr (z - F*)^(-1) / (T C),
and z, explicit in tau, has its minimum at the edge of the bulk.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, Matrix, Symbol, diag, expand, eye, log

from derive.wide.symbols import C, rho

tau = Symbol("tau", positive=True)
slope, bend = Symbol("a", real=True), Symbol("s", real=True)
noise, slope_noise, mixed_noise = Symbol("v_n", real=True), Symbol("v_n'", real=True), Symbol("c_nn'", real=True)
product_noise = Symbol("v_n''", real=True)
shared = Symbol("zbar", real=True)
"""|zbar|, over outputs."""
V, U = Symbol("V", nonnegative=True), Symbol("U", nonnegative=True)
A, B = Symbol("A", real=True), Symbol("B", real=True)
"""Multipliers of eta^2 and d^2: what the layers above and below, and the Gram matrix itself, put on them."""
value, gradient_, delta = Symbol("Var(phi)"), Symbol("Var(phi')"), Symbol("Delta", positive=True)
mixed, backward_spread = Symbol("Cov(phi, phi')"), Symbol("Delta_zeta", nonnegative=True)


def noises() -> dict[Symbol, Expr]:
    """Variances and covariance of n, n' and sum_k n''_k, from those of phi and phi' given what samples share."""
    total = Matrix([[value, mixed], [mixed, gradient_]])
    linear = Matrix([slope, bend])
    left = total - linear * linear.T * delta
    return {
        noise: left[0, 0], slope_noise: left[1, 1], mixed_noise: left[0, 1],
        product_noise: C * gradient_ * backward_spread,
    }  # fmt: skip


def unit_covariance() -> Matrix:
    """Of (eta_1, d), linear in the independent (mu_1, zeta, (n, n'), n'')."""
    of_eta, of_d = [slope, 0, 1, 0, 0], [shared * bend, slope, 0, shared, 1]
    pair = Matrix([[noise, mixed_noise], [mixed_noise, slope_noise]]) * tau
    given = diag(V, U, pair, product_noise * tau)
    coefficients = Matrix([of_eta, of_d])
    return (coefficients * given * coefficients.T).applyfunc(expand)


def unit_weight() -> Expr:
    """log E exp((A sum_k eta_k^2 + B d^2)/2) of one unit, for given zbar and shared preactivation."""
    covariance = unit_covariance()
    along = -log((eye(2) - covariance * diag(A, B)).det()) / 2
    return along - (C - 1) * log(1 - A * covariance[0, 0]) / 2


def input_weight() -> Expr:
    """The same for an input: eta_k ~ N(0, tau), no backward signal."""
    return -C * log(1 - tau * A) / 2


@dataclass(frozen=True)
class Derivatives:
    """Twice the derivatives of a log-weight: E[eta_k^2], E[d^2], and what stationarity in V, U, tau needs.

    Of an output: those in A, V and tau are divided by C.
    """

    eta: Expr
    d: Expr
    by_V: Expr
    by_U: Expr
    by_tau: Expr
    determinant: Expr
    """Positive, as is 1 - A <eta_k^2>: otherwise the average does not exist, and z lies inside the spectrum."""
    eta_prior: Expr


def derivatives(weight: Expr) -> Derivatives:
    """By differentiation of ``unit_weight()`` or ``input_weight()``."""
    eta, d, by_V, by_U, by_tau = (2 * weight.diff(x) for x in (A, B, V, U, tau))
    prior = unit_covariance()[0, 0] if weight.has(V) else tau
    inside = (eye(2) - unit_covariance() * diag(A, B)).det() if weight.has(V) else 1 - tau * A
    return Derivatives(eta / C, d, by_V / C, by_U, by_tau / C, inside, prior)


def constant_diagonal() -> Expr:
    """What one layer puts on the diagonal beyond qtilde_st H H^T and qhat_st D D^T, over its alpha_(l-1)/rho.

    A diagonal entry less an entry for two samples is qtilde_t qhat_t - qtilde_st qhat_st.
    """
    hat_t, hat_st, tilde_t, tilde_st = (Symbol(name) for name in ("hat_t", "hat_st", "tilde_t", "tilde_st"))
    whole = tilde_t * hat_t - tilde_st * hat_st
    features = tilde_st * (hat_t - hat_st) + hat_st * (tilde_t - tilde_st)
    return expand(whole - features).factor()


def resolvent_inverse(constant: Expr, layers: Expr) -> Expr:
    """z(tau), from stationarity in tau of T C (log tau - (z - rho constant) tau)/2 + the layers' log-weights.

    ``layers`` is the sum of alpha_l times twice the derivative by tau of a layer's log-weight, over C.
    """
    return rho * constant + 1 / tau + rho * layers
