"""The spectrum of F after mean subtraction for samples in proportion to the width: T = M / rho, one output.

With the uniform vector gone, fluctuations of the overlaps of order M^(-1/2) make the bulk.  To leading order

    T F* = sum_l qtilde_st^l H_(l-1) H_(l-1)^T + M_(l-1) qhat_st^(l-1) D_l D_l^T + const I,

with rows over samples of H (activations less their means) and D (backward signals less theirs): a sample
covariance of features.  Given what samples share, the preactivation is c + g with g of variance Delta, and

    h = a g + n,   phi' = a + s g + n',   a = <phi'>,  s = <phi''>     (Stein),
    delta sqrt(M) = zbar (s g + n') + a zeta + n'',

with noise (n, n', n'') that is independent over units and samples; zbar is the shared part of the backward signal from
above, zeta the rest, of variance Delta_zeta, and n'' = (phi' - a) zeta.  For a vector v over samples with
|v|^2 / T = tau, put eta = h.v, mu = g.v, d = delta.v, each over sqrt T.  Given the layers around it a unit is
Gaussian,

    mu ~ N(0, V),  V_l = sigma_w^2 E[eta_(l-1)^2],
    zeta.v ~ N(0, U),  U_l = sigma_w^2 (alpha_(l+1)/alpha_l) E[d_(l+1)^2].

The annealed average of exp(-v^T (z - F*) v / 2) is stationary in tau and these; tau is then tr (z - F*)^(-1) / T, and
z, explicit in tau, has its minimum at the edge of the bulk.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, Matrix, Symbol, diag, expand, eye, log

from derive.wide.symbols import rho

tau = Symbol("tau", positive=True)
slope, bend = Symbol("a", real=True), Symbol("s", real=True)
noise, slope_noise, mixed_noise = Symbol("v_n", real=True), Symbol("v_n'", real=True), Symbol("c_nn'", real=True)
product_noise = Symbol("v_n''", real=True)
shared = Symbol("zbar", real=True)
V, U = Symbol("V", nonnegative=True), Symbol("U", nonnegative=True)
A, B = Symbol("A", real=True), Symbol("B", real=True)
"""Multipliers of eta^2 and d^2: what the layers above and below, and the Gram matrix itself, put on them."""
value, gradient_, delta = Symbol("Var(phi)"), Symbol("Var(phi')"), Symbol("Delta", positive=True)
mixed, backward_spread = Symbol("Cov(phi, phi')"), Symbol("Delta_zeta", nonnegative=True)


def noises() -> dict[Symbol, Expr]:
    """Variances and covariance of n, n', n'', from those of phi and phi' given what samples share."""
    total = Matrix([[value, mixed], [mixed, gradient_]])
    linear = Matrix([slope, bend])
    left = total - linear * linear.T * delta
    return {
        noise: left[0, 0], slope_noise: left[1, 1], mixed_noise: left[0, 1],
        product_noise: gradient_ * backward_spread,
    }  # fmt: skip


def unit_covariance() -> Matrix:
    """Of (eta, d), linear in the independent (mu, zeta, (n, n'), n'')."""
    of_eta, of_d = [slope, 0, 1, 0, 0], [shared * bend, slope, 0, shared, 1]
    pair = Matrix([[noise, mixed_noise], [mixed_noise, slope_noise]]) * tau
    given = diag(V, U, pair, product_noise * tau)
    coefficients = Matrix([of_eta, of_d])
    return (coefficients * given * coefficients.T).applyfunc(expand)


def unit_weight() -> Expr:
    """log E exp((A eta^2 + B d^2)/2) of one unit, for given zbar and shared preactivation."""
    return -log((eye(2) - unit_covariance() * diag(A, B)).det()) / 2


def input_weight() -> Expr:
    """The same for an input: eta ~ N(0, tau), no backward signal."""
    return -log(1 - tau * A) / 2


@dataclass(frozen=True)
class Derivatives:
    """Twice the derivatives of a log-weight: E[eta^2], E[d^2], and what stationarity in V, U, tau needs."""

    eta: Expr
    d: Expr
    by_V: Expr
    by_U: Expr
    by_tau: Expr
    determinant: Expr
    """Positive, as is 1 - A <eta^2>: otherwise the average does not exist, and z lies inside the spectrum."""
    eta_prior: Expr


def derivatives(weight: Expr) -> Derivatives:
    """By differentiation of ``unit_weight()`` or ``input_weight()``."""
    eta, d, by_V, by_U, by_tau = (2 * weight.diff(x) for x in (A, B, V, U, tau))
    (inside,) = (term.args[0] for term in weight.atoms(log))
    prior = unit_covariance()[0, 0] if weight.has(V) else tau
    return Derivatives(eta, d, by_V, by_U, by_tau, inside, prior)


def constant_diagonal() -> Expr:
    """What one layer puts on the diagonal beyond qtilde_st H H^T and qhat_st D D^T, over its alpha_(l-1)/rho.

    A diagonal entry less an entry for two samples is qtilde_t qhat_t - qtilde_st qhat_st.
    """
    hat_t, hat_st, tilde_t, tilde_st = (Symbol(name) for name in ("hat_t", "hat_st", "tilde_t", "tilde_st"))
    whole = tilde_t * hat_t - tilde_st * hat_st
    features = tilde_st * (hat_t - hat_st) + hat_st * (tilde_t - tilde_st)
    return expand(whole - features).factor()


def resolvent_inverse(constant: Expr, layers: Expr) -> Expr:
    """z(tau), from stationarity in tau of T (log tau - (z - rho constant) tau)/2 + sum of the layers' log-weights.

    ``layers`` is the sum of alpha_l times twice the derivative by tau of a layer's log-weight.
    """
    return rho * constant + 1 / tau + rho * layers


