"""Order parameters and kappas over many points (sigma_w^2, sigma_b^2, L) at once, on any backend.

Two kernels, both lowered from the derived recursions: of one layer, called layer by layer, and of a whole
network of small depth in closed form, which saves the calls.  Read forward, the sums of (11) need no backward
pass: one more layer multiplies every backward signal by the same factor,

    S_(L+1) = S_L sigma_w^2 <phi'(u) phi'(v)>_L + alpha_L qhat^L,   kappa = S_L / alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from sympy import Symbol

from derive.activation import Activation
from derive.wide import Layer, network, signals
from derive.wide.gram import kappas
from derive.wide.propagation import propagation
from derive.wide.signals import backward_step, closed, forward_step
from numerics.kernel import Kernel, Output, compile_kernel
from numerics.runtime.errors import InputError

WEIGHT, BIAS = Symbol("weight_variance", positive=True), Symbol("bias_variance", nonnegative=True)
HAT_T, HAT_ST = Symbol("hat_t", positive=True), Symbol("hat_st", real=True)
FUSED = 4
"""The largest depth that is compiled as one expression: compile time grows with every layer."""


@cache
def layer_kernel(phi: Activation, backend: str = "auto") -> Kernel:
    """q_t, q_st of a layer from the overlaps below, its own overlaps, and the factors of backward signals."""
    layer, rule = Layer(phi, WEIGHT, BIAS, Symbol("alpha")), propagation(phi)
    forward, backward = forward_step(), backward_step()
    own = forward(HAT_T, layer), forward(HAT_ST, layer)
    one = Symbol("one")
    given = {
        "q_t": own[0],
        "q_st": own[1],
        "q_hat_t": closed(rule.power, *own),
        "q_hat_st": closed(rule.overlap, *own),
        "gain_t": backward(one, layer).xreplace({one: closed(rule.slope_power, *own)}),
        "gain_st": backward(one, layer).xreplace({one: closed(rule.slope_overlap, *own)}),
    }
    return compile_kernel([Output(name, (), (), e) for name, e in given.items()], backend)


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
        return {name: found[name].reshape(weight.shape) for name in ("kappa_1", "kappa_2")}
    return _layer_by_layer(
        layer_kernel(phi, backend),
        weight.ravel(),
        bias.ravel(),
        layers.ravel(),
        alphas,
        weight.shape,
        parameters,
    )


def _layer_by_layer(
    kernel: Kernel,
    weight: np.ndarray,
    bias: np.ndarray,
    layers: np.ndarray,
    alphas: np.ndarray,
    shape: tuple[int, ...],
    parameters: dict[str, Any],
) -> dict[str, np.ndarray]:
    """The recursion of the sums of (11); a point leaves when its depth is reached."""
    order = np.argsort(-layers, kind="stable")
    layers, weight, bias = layers[order], weight[order], bias[order]
    hat_t, hat_st = np.ones(len(layers)), np.zeros(len(layers))
    sums = np.full(len(layers), alphas[0]), np.zeros(len(layers))
    done = np.empty(len(layers)), np.empty(len(layers))
    for l in range(1, int(layers[0]) + 1):
        leaving = layers == l
        alpha = float(alphas[1:l] @ alphas[: l - 1])
        for total, out in zip(sums, done, strict=True):
            out[: len(layers)][leaving] = total[leaving] / alpha if l > 1 else 0
        stay = int((~leaving).sum())
        if stay == 0:
            break
        layers, weight, bias, hat_t, hat_st = (a[:stay] for a in (layers, weight, bias, hat_t, hat_st))
        found = kernel(
            {"weight_variance": weight, "bias_variance": bias, "hat_t": hat_t, "hat_st": hat_st, **parameters}
        )
        # A constant output (a gain of the identity) has no axis of points of its own.
        values = {name: np.broadcast_to(value, (stay,)) for name, value in found.items()}
        hat_t, hat_st = values["q_hat_t"], values["q_hat_st"]
        sums = (
            sums[0][:stay] * values["gain_t"] + alphas[l] * hat_t if l < len(alphas) else sums[0][:stay],
            sums[1][:stay] * values["gain_st"] + alphas[l] * hat_st if l < len(alphas) else sums[1][:stay],
        )
    back = np.empty(len(order), dtype=np.intp)
    back[order] = np.arange(len(order))
    return {name: out[back].reshape(shape) for name, out in zip(("kappa_1", "kappa_2"), done, strict=True)}
