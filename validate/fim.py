"""The command ``fim``: the eigenvalue statistics of the Fisher information, predicted and measured."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

import numpy as np

from derive.activation import activation
from derive.errors import DerivationError
from derive.wide import Layer as TheoryLayer
from derive.wide import Network
from numerics.runtime.progress import progress
from numerics.wide.commands import fim_theory, networks
from validate import statistics
from validate.simulate.deep import Architecture, Ensemble, Layer, measure
from validate.simulate.deep.architecture import PLACES


def fim(arguments: Namespace) -> int:
    """``orderparams fim``: one row of predictions for a network, a width and a number of samples.

    With ``--simulate`` also what random networks of these very sizes have, with standard errors over them.
    """
    row = fim_theory(arguments)
    if arguments.simulate:
        row |= measured(arguments)
    if arguments.format == "json":
        print(json.dumps(row, allow_nan=False))
        return 0
    for name, value in row.items():
        print(f"{name:{max(map(len, row))}} {'-' if value is None else format(value, '.10g')}")
    return 0


def measured(arguments: Namespace) -> dict[str, Any]:
    """Means over networks of m_lambda, lambda_max and the mean of the C largest eigenvalues, and their errors."""
    ((_, model),) = networks(arguments)
    shape = built(model, arguments.width)
    parts = [
        measure(shape, arguments.samples, 1, seed=(arguments.seed, replica))
        for replica in progress(range(arguments.replicas), "networks")
    ]
    found = Ensemble(
        *(np.concatenate(arrays) for arrays in zip(*(vars(p).values() for p in parts), strict=True))
    )
    samples = {
        "m_lambda": found.mean_eigenvalue, "lambda_max": found.largest, "top": found.eigenvalues.mean(axis=1),
    }  # fmt: skip
    columns: dict[str, Any] = {"replicas": arguments.replicas}
    for name, values in samples.items():
        estimate = statistics.estimate(values)
        columns[f"measured_{name}"] = float(estimate.value)
        columns[f"measured_{name}_error"] = float(estimate.error)
    return columns


def built(model: Network, width: int) -> Architecture:
    """The network of M = ``width`` that a theory is about, layer by layer."""
    hidden, last = PLACES[model.normalization]
    counts = [max(1, round(float(alpha) * width)) for alpha in model.widths]
    layers = [
        Layer(units, _activation(layer), float(layer.weight_variance), float(layer.bias_variance), hidden)
        for units, layer in zip(counts[1:], model.layers[:-1], strict=True)
    ]
    readout = model.layers[-1]
    variances = float(readout.weight_variance), float(readout.bias_variance)
    layers.append(Layer(int(model.outputs), "identity", *variances, last))
    return Architecture(counts[0], tuple(layers))


def _activation(layer: TheoryLayer) -> Any:
    """By its name, or a user's own as an expression."""
    phi = layer.activation
    try:
        return phi.name if activation(phi.name) == phi else phi.expression
    except DerivationError:
        return phi.expression
