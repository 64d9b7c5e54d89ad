"""Order parameters and kappas over many points (sigma_w^2, sigma_b^2, L) at once, on any backend.

Two kernels, both lowered from the derived recursions: of one layer, called layer by layer, and of a whole
network of small depth in closed form, which saves the calls.  Read forward, the sums of (11) need no backward
pass: one more layer multiplies every backward signal by the same factor,

    S_(L+1) = S_L sigma_w^2 <phi'(u) phi'(v)>_L + alpha_L qhat^L,   kappa = S_L / alpha.

Layer by layer the gap qhat_t - qhat_st is carried instead of qhat_st: near full correlation a kinked activation
turns an error eps of the correlation into sqrt(eps).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from sympy import Expr, Symbol, asin, atan2, expand, pi, sqrt

from derive.activation import Activation, u
from derive.wide import Layer, network, signals
from derive.wide.gram import kappas
from derive.wide.propagation import c, propagation, q
from derive.wide.signals import backward_step, forward_step
from numerics.kernel import Kernel, Output, compile_kernel
from numerics.runtime.devices import to_host
from numerics.runtime.errors import InputError
from numerics.wide.predict import order_parameters

WEIGHT, BIAS = Symbol("weight_variance", positive=True), Symbol("bias_variance", nonnegative=True)
HAT_T, GAP = Symbol("hat_t", positive=True), Symbol("hat_gap", nonnegative=True)
AGREEMENT = 1e-13
"""Relative, of a kernel's quadrature with an adaptive one; of a hundredth of kappa_1 where kappa_2 is less."""
FUSED = 4
"""The largest depth that is compiled as one expression: compile time grows with every layer."""


@cache
def layer_kernel(phi: Activation, backend: str = "auto") -> Kernel:
    """qhat_t of a layer and its gap qhat_t - qhat_st from those below, and the factors of backward signals."""
    layer, rule = Layer(phi, WEIGHT, BIAS, Symbol("alpha")), propagation(phi)
    forward, backward = forward_step(), backward_step()
    variance = forward(HAT_T, layer)
    gap = expand(variance - forward(HAT_T - GAP, layer))
    power, overlap = (_by_gap(e.expression) for e in (rule.power, rule.overlap))
    given = {
        "q_hat_t": power,
        "q_hat_gap": expand(power - overlap) if rule.closed else power - overlap,
        "gain_t": backward(_by_gap(rule.slope_power.expression), layer),
        "gain_st": backward(_by_gap(rule.slope_overlap.expression), layer),
    }
    at = {q: variance, _gap: gap}
    return compile_kernel([Output(name, (), (), e.xreplace(at)) for name, e in given.items()], backend)


_gap = Symbol("gap", nonnegative=True)
"""q - c."""


def _by_gap(average: Expr) -> Expr:
    """An average in q and q - c, without cancellation: 1 - cos x = 2 sin^2(x/2) for the angle x of two fields."""
    sine, rest = sqrt(_gap), sqrt(2 * q - _gap)
    kinked = average.xreplace({asin(c / q): pi / 2 - 2 * atan2(sine, rest), sqrt(q**2 - c**2): sine * rest})
    return kinked.xreplace({c: q - _gap})


@cache
def network_kernel(phi: Activation, widths: tuple[float, ...], backend: str = "auto") -> Kernel:
    """Both kappas of a network of layers that are alike but for their widths alpha_0 .. alpha_(L-1).

    Its scalars are weight_variance, bias_variance, and the activation's parameters.
    """
    model = network(len(widths), phi, WEIGHT, BIAS, widths)
    one, two = kappas(model, signals(model))
    return compile_kernel([Output("kappa_1", (), (), one), Output("kappa_2", (), (), two)], backend)


def kappa_sweep(
    phi: Activation,
    weight_variance: Any,
    bias_variance: Any,
    depth: Any,
    widths: Sequence[float] | None = None,
    backend: str = "auto",
    **parameters: Any,
) -> dict[str, np.ndarray]:
    """kappa_1 and kappa_2 at every point; the arguments broadcast, ``depth`` may differ from point to point.

    ``widths`` are alpha_0, alpha_1, ... to the largest depth, default all 1; ``parameters`` those of the
    activation (a = slope of leaky-relu).  Networks have no normalization.

    Raises InputError for depths below 2, negative variances, too few widths.
    """
    weight, bias, layers = np.broadcast_arrays(weight_variance, bias_variance, depth)
    if layers.size == 0 or layers.min() < 2 or not np.issubdtype(layers.dtype, np.integer):
        raise InputError("depths are whole numbers of at least 2, the linear readout included")
    if weight.min() < 0 or bias.min() < 0 or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise InputError("variances are finite numbers of at least 0")
    most = int(layers.max())
    alphas = np.ones(most) if widths is None else np.asarray(widths, dtype=np.float64)
    if len(alphas) < most or alphas.min() <= 0:
        raise InputError(f"a network of depth {most} needs {most} positive widths; got {alphas.tolist()}")
    if most <= FUSED and layers.min() == most and propagation(phi).closed:
        kernel = network_kernel(phi, tuple(alphas[:most].tolist()), backend)
        found = kernel({"weight_variance": weight.ravel(), "bias_variance": bias.ravel(), **parameters})
        return {name: to_host(found[name]).reshape(weight.shape) for name in ("kappa_1", "kappa_2")}
    points = weight.ravel(), bias.ravel(), layers.ravel()
    one, two, widest = _layer_by_layer(layer_kernel(phi, backend), *points, alphas, parameters)
    if not propagation(phi).closed:
        numbers = {a: parameters[a.name] for a in phi.expression.free_symbols - {u}}
        _refine(Activation(phi.name, phi.expression.xreplace(numbers)), *points, alphas, widest, one, two)
    return {"kappa_1": one.reshape(weight.shape), "kappa_2": two.reshape(weight.shape)}


def _refine(
    phi: Activation,
    weight: np.ndarray,
    bias: np.ndarray,
    layers: np.ndarray,
    alphas: np.ndarray,
    widest: np.ndarray,
    one: np.ndarray,
    two: np.ndarray,
) -> None:
    """Put adaptive quadrature where a kernel's fixed nodes are too few, which is at large variances.

    Points are computed again, the largest variance of a preactivation first, until both agree.

    Raises InputError where adaptive quadrature does not converge either.
    """
    for k in np.argsort(-widest):
        model = network(int(layers[k]), phi, float(weight[k]), float(bias[k]), alphas[: layers[k]].tolist())
        _, *exact = order_parameters(model)
        before = one[k], two[k]
        one[k], two[k] = (float(x) for x in exact)
        if abs(before[0] - one[k]) <= AGREEMENT * one[k] and abs(before[1] - two[k]) <= AGREEMENT * max(
            abs(two[k]), 0.01 * one[k]
        ):
            break


def _layer_by_layer(
    kernel: Kernel,
    weight: np.ndarray,
    bias: np.ndarray,
    layers: np.ndarray,
    alphas: np.ndarray,
    parameters: dict[str, Any],
) -> tuple[np.ndarray, ...]:
    """Both kappas, by the recursion of the sums of (11), and the largest variance of a preactivation.

    A point leaves when its depth is reached.
    """
    order = np.argsort(-layers, kind="stable")
    layers, weight, bias = layers[order], weight[order], bias[order]
    hat_t, gap = np.ones(len(layers)), np.ones(len(layers))
    sums = np.full(len(layers), alphas[0]), np.zeros(len(layers))
    done = np.empty(len(layers)), np.empty(len(layers))
    widest = np.zeros(len(layers))
    for l in range(1, int(layers[0]) + 1):
        leaving = layers == l
        alpha = float(alphas[1:l] @ alphas[: l - 1])
        for total, out in zip(sums, done, strict=True):
            out[: len(layers)][leaving] = total[leaving] / alpha if l > 1 else 0
        stay = int((~leaving).sum())
        if stay == 0:
            break
        layers, weight, bias, hat_t, gap = (a[:stay] for a in (layers, weight, bias, hat_t, gap))
        widest[:stay] = np.maximum(widest[:stay], weight * hat_t + bias)
        found = kernel(
            {"weight_variance": weight, "bias_variance": bias, "hat_t": hat_t, "hat_gap": gap, **parameters}
        )
        # A constant output (a gain of the identity) has no axis of points of its own.
        values = {name: np.broadcast_to(to_host(value), (stay,)) for name, value in found.items()}
        hat_t, gap = values["q_hat_t"], np.maximum(values["q_hat_gap"], 0)
        sums = (
            sums[0][:stay] * values["gain_t"] + alphas[l] * hat_t if l < len(alphas) else sums[0][:stay],
            sums[1][:stay] * values["gain_st"] + alphas[l] * (hat_t - gap) if l < len(alphas) else sums[1][:stay],
        )
    back = np.empty(len(order), dtype=np.intp)
    back[order] = np.arange(len(order))
    return done[0][back], done[1][back], widest[back]
