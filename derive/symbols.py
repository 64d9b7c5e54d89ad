"""The symbols every derivation shares, named as in the literature on online learning.

Sizes K (students' hidden units) and M (teacher's); fields x_i = J_i.xi and y_n = B_n.xi; overlaps
Q_ij = J_i.J_j, R_in = J_i.B_n, T_nm = B_n.B_m; gains g_i; second layers w_i and v_n.  Unit indices run
from 1 to K or M.  Inputs have variance tau; time is steps / N.
"""

from __future__ import annotations

from sympy import IndexedBase, Symbol

K = Symbol("K", integer=True, positive=True)
M = Symbol("M", integer=True, positive=True)
N = Symbol("N", integer=True, positive=True)

x = IndexedBase("x", real=True)
y = IndexedBase("y", real=True)
Q = IndexedBase("Q", real=True)
R = IndexedBase("R", real=True)
T = IndexedBase("T", real=True)
g = IndexedBase("g", real=True)
w = IndexedBase("w", real=True)
v = IndexedBase("v", real=True)

noise = Symbol("noise", real=True)
"""Label noise of one sample: Gaussian with zero mean and standard deviation ``label_noise``."""

eta = Symbol("eta", positive=True)
eta_g = Symbol("eta_g", nonnegative=True)
eta_w = Symbol("eta_w", nonnegative=True)
tau = Symbol("tau", positive=True)
batch = Symbol("b", positive=True)
label_noise = Symbol("sigma_0", nonnegative=True)
weight_decay = Symbol("lambda", nonnegative=True)
gain_decay = Symbol("zeta", nonnegative=True)

PARAMETERS = {
    "learning_rate": eta,
    "gain_learning_rate": eta_g,
    "second_layer_learning_rate": eta_w,
    "input_variance": tau,
    "batch_size": batch,
    "label_noise": label_noise,
    "weight_decay": weight_decay,
    "gain_decay": gain_decay,
}
"""The parameters of a run file, by their names there."""
