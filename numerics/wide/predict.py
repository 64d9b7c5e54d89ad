"""One network at a width and a number of samples: everything the theory says about its Fisher information."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath

from derive.wide import Network
from derive.wide.gram import bias_gradients, kappas
from derive.wide.signals import Signals, signals
from derive.wide.spectrum import BY_NORMALIZATION, Statistics
from derive.wide.symbols import C, M, T, alpha, kappa_1, kappa_2
from numerics.runtime.errors import InputError
from numerics.wide.values import DOUBLE, at_precision, numeric


@dataclass(frozen=True)
class Prediction:
    """Predictions for the eigenvalues of F = (1/T) sum_k sum_t grad f_k(t) grad f_k(t)^T.

    ``lambda_max`` comes from the blocks of the dual Gram matrix alone, to leading order in M unless the
    corrections were asked for; ``lower`` and ``upper`` are bounds where fluctuations matter (T of order M),
    else None; ``learning_rate`` is 2 / lambda_max.  ``parameters`` counts every weight and bias;
    ``m_lambda`` is the trace over it.  Numbers are floats, or mpmath numbers for more than 15 digits.
    """

    network: Network
    width: int
    samples: int
    order_parameters: Signals
    kappa_1: Any
    kappa_2: Any
    alpha: Any
    parameters: int
    m_lambda: Any
    lambda_max: Any
    lower: Any
    upper: Any
    learning_rate: Any


def order_parameters(network: Network, digits: int = DOUBLE) -> tuple[Signals, Any, Any]:
    """The order parameters of every layer, kappa_1 and kappa_2, as mpmath numbers.

    Raises InputError where an average is infinite or its quadrature does not converge.
    """
    found = signals(network, at_precision(digits))
    one, two = kappas(network, found)
    return found, _number(one, digits), _number(two, digits)


def predict(network: Network, width: int, samples: int, corrections: bool = False) -> Prediction:
    """The prediction for M = ``width`` and T = ``samples``.

    ``corrections`` adds the gradients with respect to the biases, which are 1/M of the leading order, and
    divides the trace by the number of parameters itself instead of its leading order alpha M^2.
    """
    if width < 1:
        raise InputError(f"the width must be at least 1, not {width}")
    if samples < 1 or (network.normalization != "none" and samples < 2):
        raise InputError(f"statistics over samples need at least 2 of them, not {samples}")
    found, one, two = order_parameters(network)
    statistics: Statistics = BY_NORMALIZATION[network.normalization]()  # type: ignore[operator]
    size = network.alpha
    counted = int(network.parameters(width))
    if corrections:
        first, second = bias_gradients(found)
        one += first / (size * width)
        two += second / (size * width)
    values = {C: network.outputs, M: width, T: samples, alpha: size, kappa_1: one, kappa_2: two}

    def at(equation: Any) -> Any:
        if equation is None:
            return None
        return float(numeric(equation.right, tuple(values))(*(mpmath.mpmathify(v) for v in values.values())))

    mean = at(statistics.mean)
    if corrections:
        mean *= float(size) * width**2 / counted
    floats = Signals(*(tuple(float(x) for x in column) for column in vars(found).values()))
    return Prediction(
        network, width, samples, floats, float(one), float(two), float(size), counted,
        mean, at(statistics.largest), at(statistics.lower), at(statistics.upper), at(statistics.learning_rate),
    )  # fmt: skip


def _number(value: Any, digits: int) -> Any:
    with mpmath.workdps(digits + 10):
        return mpmath.mpmathify(value.evalf(digits + 10) if hasattr(value, "evalf") else value)
