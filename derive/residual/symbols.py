"""Names of the theory of residual networks, and their meanings."""

from __future__ import annotations

from sympy import Expr, Symbol

fan_in, fan_out = Symbol("n_in", positive=True), Symbol("n_out", positive=True)
first_gain, second_gain = Symbol("sigma_1^2", positive=True), Symbol("sigma_2^2", positive=True)
chi, overlap = Symbol("chi", positive=True), Symbol("chi_st", real=True)
n = Symbol("n", integer=True, positive=True)
k, j = Symbol("k", integer=True, positive=True), Symbol("j", integer=True, positive=True)

MEANING: dict[Expr | str, str] = {
    chi: "mean square of the stream over channels, for one input",
    overlap: "mean product of the stream over channels, for two inputs",
    first_gain: "variance of a weight of the block's first convolution times its number of inputs",
    second_gain: "the same of the second convolution",
    n: "steps of the walk since the channel was zero",
}
