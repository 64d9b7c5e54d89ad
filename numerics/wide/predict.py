"""One network at a width and a number of samples: everything the theory says about its Fisher information."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from sympy import Integer, Symbol, lambdify

from derive.equation import Equation
from derive.wide import Network
from derive.wide import layer_normalization as layerwise
from derive.wide.batch_last import Q_1, Q_2, batch_last, mean_over_weights, spread
from derive.wide.batch_middle import batch_middle
from derive.wide.gram import bias_gradients, kappas
from derive.wide.signals import Signals, signals
from derive.wide.spectrum import Statistics, mean_subtraction, without_normalization
from derive.wide.symbols import C, M, T, alpha, kappa_1, kappa_2
from numerics.runtime.errors import InputError
from numerics.wide.finite_width import gradient_correction
from numerics.wide.layer_constants import check_outputs, constants
from numerics.wide.values import DOUBLE, at_precision

LEAST_SAMPLES = {"none": 1, "mean": 2, "batch-last": 6, "batch-middle": 4, "layer": 1}
"""Fewer leave a statistic undefined: a mean over samples needs two; E[1/sigma^2] over T samples exists for
T > 3, E[1/sigma^4] for T > 5."""


@dataclass(frozen=True)
class Prediction:
    """Predictions for the eigenvalues of F = (1/T) sum_k sum_t grad f_k(t) grad f_k(t)^T, as floats.

    ``lambda_max`` comes from the blocks of the dual Gram matrix alone, to leading order in M; ``lower`` and
    ``upper`` are bounds by the traces of F and F^2, None where there are none; ``learning_rate`` is
    2 / lambda_max.  ``parameters`` counts every weight and bias.  Random statistics of the last layer
    (normalizations ``batch-last``, ``layer``) are averaged over the weights.
    """

    network: Network
    width: int
    samples: int
    order_parameters: Signals
    kappa_1: float
    kappa_2: float
    alpha: float
    parameters: int
    m_lambda: float
    lambda_max: float
    lower: float | None
    upper: float | None

    @property
    def learning_rate(self) -> float:
        """The largest stable one of gradient descent."""
        return 2 / self.lambda_max


def order_parameters(network: Network, digits: int = DOUBLE) -> tuple[Signals, Any, Any]:
    """The order parameters of every layer, kappa_1 and kappa_2, as mpmath numbers.

    With layer normalization they are those of the normalized network (kappa'_1, kappa'_2).

    Raises InputError for batch normalization in the middle layers, which has no kappas, and where an average
    is infinite or its quadrature does not converge.
    """
    if network.normalization == "batch-middle":
        raise InputError("batch normalization in the middle layers mixes samples: it has no kappa_1, kappa_2")
    forward = layerwise.signals if network.normalization == "layer" else signals
    with mpmath.workdps(2 * digits + 20):
        found = forward(network, at_precision(digits))
        one, two = (mpmath.mpmathify(k.evalf(digits + 10)) for k in kappas(network, found))
        columns = [tuple(mpmath.mpmathify(x) for x in column) for column in vars(found).values()]
    return Signals(*columns), one, two


def predict(network: Network, width: int, samples: int, corrections: bool = False) -> Prediction:
    """The prediction for M = ``width`` and T = ``samples``.

    ``corrections`` adds the gradients with respect to the biases, which are 1/M of the leading order (they
    are none under ``batch-middle`` but in the last layer), and divides the trace by the number of parameters
    itself instead of its leading order alpha M^2; without normalization ``m_lambda`` also has what finite layers
    add to the squared gradient, and is right to relative order 1/M.

    Raises InputError for too few samples or outputs for a statistic to exist.
    """
    if width < 1:
        raise InputError(f"the width must be at least 1, not {width}")
    least = LEAST_SAMPLES[network.normalization]
    if samples < least:
        raise InputError(
            f"the normalization {network.normalization!r} needs at least {least} samples, not {samples}: "
            "below, a moment of its statistics does not exist"
        )
    counted = int(network.parameters(width))
    share = float(network.alpha) * width**2 / counted if corrections else 1.0
    if network.normalization == "batch-middle":
        return _batch_middle(network, width, samples, counted, share, corrections)
    if network.normalization == "layer":
        check_outputs(int(network.outputs))
    found, one, two = order_parameters(network)
    if corrections:
        first, second = bias_gradients(found)
        one, two = (k + b / (network.alpha * width) for k, b in ((one, first), (two, second)))
    values = {
        C: int(network.outputs), M: width, T: samples, alpha: float(network.alpha),
        kappa_1: float(one), kappa_2: float(two),
    }  # fmt: skip
    floats = Signals(*(tuple(float(x) for x in column) for column in vars(found).values()))
    mean, largest, lower, upper = _BY_NORMALIZATION[network.normalization](values, floats)
    if corrections and network.normalization == "none" and all(x.weight_variance > 0 for x in network.layers):
        mean += values[C] * gradient_correction(network) / (values[alpha] * width**2)
    return Prediction(
        network, width, samples, floats, float(one), float(two), float(network.alpha), counted,
        mean * share, largest, lower, upper,
    )  # fmt: skip


Values = Mapping[Symbol, Any]
Numbers = tuple[float, float, float | None, float | None]
"""m_lambda, lambda_max, and the bounds."""


def _at(equation: Equation | None, values: Values) -> Any:
    if equation is None:
        return None
    return lambdify(tuple(values), equation.right, "numpy")(*values.values())


def _statistics(given: Statistics, values: Values) -> Numbers:
    equations = (given.mean, given.largest, given.lower, given.upper)
    return tuple(None if e is None else float(_at(e, values)) for e in equations)  # type: ignore[return-value]


def inverse_variances(found: Signals, samples: int) -> tuple[float, float]:
    """E[1/sigma^2] and E[1/sigma^4] over the weights of the last layer, sigma^2 the variance of one of its units.

    They exist for more than three and more than five ``samples``.
    """
    at = {spread: float(found.q_t[-1] - found.q_st[-1]), T: samples, C: 1}
    means = mean_over_weights()
    return float(means[Q_1].xreplace(at)), float(means[Q_2].xreplace(at))


def _batch_last(values: Values, found: Signals) -> Numbers:
    """The lower bound is a mean over Q_2/Q_1 >= Q_1/C, whose mean is known."""
    one, two = (values[C] * mean for mean in inverse_variances(found, values[T]))
    mean, largest, _, upper = _statistics(batch_last(), {**values, Q_1: one, Q_2: two})
    lower = _at(batch_last().lower, {**values, Q_1: one, Q_2: one**2 / values[C]})
    return mean, largest, float(lower), upper


def _layer(values: Values, found: Signals) -> Numbers:
    """Averages over z of what holds given z; lambda_max with its correction of order 1/T."""
    k = constants(values[C], float(found.q_t[-1]), float(found.q_st[-1]))
    given = {
        **values,
        layerwise.eta_1: k.inverse,
        layerwise.eta_2: k.square,
        layerwise.eta_3: np.sqrt(k.eta_3_squared),
    }
    by_name = {name: k.mean(_at(e, given)) for name, e in layerwise.layer_normalization().items()}
    one, two = values[kappa_1], values[kappa_2]
    top = two * k.top + (one - two) / values[T] * k.top_square / k.top
    return by_name["m_lambda"], values[alpha] * values[M] * k.mean(top), by_name["lower"], by_name["upper"]


_BY_NORMALIZATION: dict[str, Callable[[Values, Signals], Numbers]] = {
    "none": lambda values, found: _statistics(without_normalization(), values),
    "mean": lambda values, found: _statistics(mean_subtraction(), values),
    "batch-last": _batch_last,
    "layer": _layer,
}


def _batch_middle(
    network: Network, width: int, samples: int, counted: int, share: float, corrections: bool
) -> Prediction:
    blocks = batch_middle(network, Integer(samples), at_precision())
    at = {M: Integer(width)}
    uniform, rest, trace, lower = (
        float(e.xreplace(at)) for e in (blocks.uniform, blocks.rest, blocks.trace, blocks.lower)
    )
    if corrections:  # the last layer's bias: 11^T/T
        uniform, trace, lower = uniform + 1, trace + 1, lower + 1
    none = Signals((), (), (), (), (), ())
    mean = int(network.outputs) * trace / (float(network.alpha) * width**2)
    return Prediction(
        network, width, samples, none, np.nan, np.nan, float(network.alpha), counted,
        mean * share, max(uniform, rest), lower, None,
    )  # fmt: skip
