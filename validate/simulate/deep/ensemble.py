"""Ensembles: the Fisher information of many networks, each with its own weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numerics.runtime.devices import to_host
from numerics.runtime.errors import InputError
from validate.simulate.arrays import Array
from validate.simulate.deep.architecture import Architecture
from validate.simulate.deep.gram import GramOperator, gram_matrix
from validate.simulate.deep.network import (
    PARAMETERS,
    PROBES,
    Network,
    Trace,
    draw,
    gaussian_inputs,
)
from validate.simulate.deep.projections import projection_averages
from validate.simulate.deep.spectrum import eigenvalues, largest, mean_gradient_overlap, trace_of
from validate.simulate.streams import Seed, replica_generator


@dataclass(frozen=True)
class Ensemble:
    """Measured on S networks; the replica axis comes first."""

    eigenvalues: np.ndarray
    """The largest of F, descending (S, count)."""
    mean_eigenvalue: np.ndarray
    """m_lambda, the trace of F over its P parameters (S)."""
    overlap: np.ndarray
    """cos^2 between each of these eigenvectors of F and the span of E[grad f_k] (S, count); NaN where the
    last layer subtracts the mean, since E[grad f_k] = 0 then."""
    scales: np.ndarray
    """sigma_k, the standard deviation over samples of each output before a normalization of the last layer (S, C)."""

    projections: np.ndarray
    """The averages over samples of ``projection_averages`` (S, 3); NaN without a layer normalization of the outputs."""

    @property
    def largest(self) -> np.ndarray:
        """lambda_max (S)."""
        return self.eigenvalues[:, 0]


def measure(
    shape: Architecture,
    samples: int,
    replicas: int,
    *,
    seed: Seed = 0,
    count: int | None = None,
    whole: bool = False,
    xp: Any = np,
    dtype: Any = np.float64,
    each: Callable[[int], None] = lambda replica: None,
) -> Ensemble:
    """The ``count`` largest eigenvalues (default: one an output; ``whole``: all) on ``replicas`` networks.

    Inputs are N(0, 1), ``samples`` of them, drawn anew for each network.  ``each`` is told of every replica
    that is done.  The mean eigenvalue is exact where the Gram matrix is formed; where statistics over samples
    mix them and not the whole spectrum is wanted, products alone are, and it is an unbiased estimate.
    """
    if samples < 1 or replicas < 1:
        raise InputError(f"an ensemble needs at least 1 sample and 1 replica, not {samples} and {replicas}")
    if samples < 2 and any(layer.normalization in ("mean", "batch") for layer in shape.layers):
        raise InputError("statistics over samples need at least 2 samples")
    size = samples * shape.outputs
    count = size if whole else min(count or shape.outputs, size)
    found = []
    for replica in range(replicas):
        network = Network(shape, draw(shape, seed, replica, PARAMETERS, xp, dtype), xp)
        trace = network.forward(gaussian_inputs(shape, samples, seed, replica, xp, dtype))
        found.append(_measure_one(network, trace, count, whole, replica_generator(seed, replica, PROBES)))
        each(replica)
    return Ensemble(*(np.stack(arrays) for arrays in zip(*found, strict=True)))


def _measure_one(
    network: Network, trace: Trace, count: int, whole: bool, generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    shape, xp = network.shape, network.xp
    operator: Array | GramOperator
    if shape.mixes_samples and not whole:
        operator = GramOperator(network, trace)
        values, vectors = largest(operator, count, xp)
        total = trace_of(operator, vectors, generator, xp)
    else:
        operator = gram_matrix(network, trace)
        total = float(xp.trace(operator))
        if whole:
            values, vectors = eigenvalues(operator, xp), None
        else:
            values, vectors = largest(operator, count, xp)
    overlap = np.full(count, np.nan)
    if vectors is not None and shape.layers[-1].normalization not in ("mean", "batch"):
        overlap = mean_gradient_overlap(operator, values, vectors, shape.outputs, xp)
    mean = np.array(total / shape.parameters)
    return values, mean, overlap, _output_scales(network, trace), _projections(network, trace)


def _output_scales(network: Network, trace: Trace) -> np.ndarray:
    """The standard deviation over samples of every output before its normalization."""
    u = trace.inputs[-1] @ network.parameters.weights[-1].T + network.parameters.biases[-1]
    return to_host(u.std(axis=0))


def _projections(network: Network, trace: Trace) -> np.ndarray:
    if network.shape.layers[-1].normalization != "layer":
        return np.full(3, np.nan)
    return projection_averages(trace.fields[-1], trace.scales[-1])
