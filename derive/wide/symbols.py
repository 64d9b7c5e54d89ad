"""Symbols of wide networks, named as in the literature: l counts layers, s and t are two samples.

``hat`` marks overlaps of activations, ``tilde`` those of backward signals; index t stands for one sample, st
for two.  Layer indices run from 0 (the inputs) or 1 to L.
"""

from __future__ import annotations

from sympy import IndexedBase, Symbol

L = Symbol("L", integer=True, positive=True)
l = Symbol("l", integer=True)
C = Symbol("C", integer=True, positive=True)
M = Symbol("M", positive=True)
T = Symbol("T", integer=True, positive=True)
alpha = Symbol("alpha", positive=True)
rho = Symbol("rho", positive=True)
weight_variance = Symbol("sigma_w^2", positive=True)
bias_variance = Symbol("sigma_b^2", nonnegative=True)
kappa_1 = Symbol("kappa_1", positive=True)
kappa_2 = Symbol("kappa_2", nonnegative=True)

widths = IndexedBase("alpha", real=True)
hat_t = IndexedBase("qhat_t", real=True)
hat_st = IndexedBase("qhat_st", real=True)
q_t = IndexedBase("q_t", real=True)
q_st = IndexedBase("q_st", real=True)
tilde_t = IndexedBase("qtilde_t", real=True)
tilde_st = IndexedBase("qtilde_st", real=True)

MEANING = {
    "L": "depth, the linear readout included",
    "C": "outputs",
    "M": "width",
    "T": "samples",
    "alpha": "sum of alpha_l alpha_(l-1) over l = 1 .. L-1; with an index: M_l / M",
    "rho": "M / T",
    "sigma_w^2": "variance of the weights times the width they come from",
    "sigma_b^2": "variance of the biases",
    "qhat_t": "mean square of a layer's activations",
    "qhat_st": "overlap of a layer's activations for two samples",
    "q_t": "variance of a preactivation",
    "q_st": "covariance of a preactivation for two samples",
    "qtilde_t": "squared norm of the backward signal of a layer",
    "qtilde_st": "overlap of the backward signals of a layer for two samples",
    "kappa_1": "the coefficient of a diagonal entry of the dual Gram matrix",
    "kappa_2": "the coefficient of an entry for two samples",
}
