"""The command ``fim``: the eigenvalue statistics of the Fisher information, predicted and measured."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

import numpy as np

from numerics.runtime import userfile
from numerics.runtime.progress import progress
from numerics.wide.commands import fim_theory, named_activation, networks
from validate import statistics
from validate.simulate.deep import Ensemble, architecture, measure


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
    widths = [max(1, round(float(alpha) * arguments.width)) for alpha in model.widths]
    shape = architecture(
        [*widths, arguments.outputs], _simulated_activation(arguments), arguments.weight_variance,
        arguments.bias_variance, arguments.normalization,
    )  # fmt: skip
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


def _simulated_activation(arguments: Namespace) -> Any:
    if arguments.slope is not None:
        return f"leaky-relu({arguments.slope})"
    if userfile.is_reference(arguments.activation):
        return named_activation(arguments.activation).expression
    return arguments.activation
