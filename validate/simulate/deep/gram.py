"""The dual Gram matrix (1/T) J J^T of the Fisher information matrix F = (1/T) J^T J.

Rows are outputs: index k T + t for output k and sample t.  Both have the same nonzero eigenvalues.
"""

from __future__ import annotations

from validate.simulate.arrays import Array
from validate.simulate.deep.network import Network, Trace

BLOCK_NUMBERS = 1 << 24
"""Numbers in one temporary array, about: 128 MiB in double precision."""


def gram_matrix(network: Network, trace: Trace) -> Array:
    """The (C T, C T) matrix itself, in blocks of samples."""
    return _by_columns(network, trace) if network.shape.mixes_samples else _by_layers(network, trace)


def _by_layers(network: Network, trace: Trace) -> Array:
    """Where a sample's hidden fields are its own:

        (J J^T)_(ks)(k't) = sum_l delta^l_k(s).delta^l_k'(t) (h^(l-1)(s).h^(l-1)(t) + 1),

    and a normalization of the last layer over samples is applied to both sides.
    """
    xp, C, T = network.xp, network.shape.outputs, len(trace.outputs)
    across = network.shape.layers[-1].normalization in ("mean", "batch")
    unit = xp.zeros((C, T, C), trace.outputs.dtype)
    for k in range(C):
        unit[k, :, k] = 1
    deltas = network.deltas(trace, unit, last=not across)
    gram = xp.zeros((C, T, C, T), trace.outputs.dtype)
    rows = max(1, BLOCK_NUMBERS // T)
    for start in range(0, T, rows):
        block = slice(start, start + rows)
        for delta, h in zip(deltas, trace.inputs, strict=True):
            inner = h[block] @ h.T + 1
            for k in range(C):
                for m in range(C):
                    gram[k, block, m] += (delta[k, block] @ delta[m].T) * inner
    if across:
        standardization = network.standardizations[-1]
        assert standardization is not None
        v, sigma = trace.fields[-1], trace.scales[-1]
        for _ in range(2):  # the derivative on one side, then on the other
            for k in range(C):
                own = None if sigma is None else sigma[:, k : k + 1]
                rest = gram[k].reshape(T, C * T)
                gram[k] = standardization.derivative(v[:, k : k + 1], own, rest).reshape(T, C, T)
            gram = gram.transpose(2, 3, 0, 1).copy()
    return gram.reshape(C * T, C * T) / T


def _by_columns(network: Network, trace: Trace) -> Array:
    """Where statistics over samples mix them: columns J (J^T e), a block of unit cotangents at a time."""
    xp, C, T = network.xp, network.shape.outputs, len(trace.outputs)
    gram = xp.empty((C * T, C * T), trace.outputs.dtype)
    largest = max(max(network.shape.widths) ** 2, T * max(network.shape.widths))
    columns = max(1, BLOCK_NUMBERS // largest)
    operator = GramOperator(network, trace)
    for start in range(0, C * T, columns):
        stop = min(start + columns, C * T)
        unit = xp.zeros((stop - start, C * T), trace.outputs.dtype)
        unit[xp.arange(stop - start), xp.arange(start, stop)] = 1
        gram[start:stop] = operator.apply(unit)
    return gram


class GramOperator:
    """v -> (1/T) J J^T v by one backward and one forward pass, without any matrix."""

    def __init__(self, network: Network, trace: Trace) -> None:
        self.network, self.trace = network, trace
        self.samples, self.outputs = trace.outputs.shape
        self.size = self.samples * self.outputs
        self.dtype = trace.outputs.dtype

    def apply(self, vectors: Array) -> Array:
        """For vectors (..., C T) in the order of the matrix."""
        shape = vectors.shape
        cotangent = vectors.reshape(*shape[:-1], self.outputs, self.samples).swapaxes(-1, -2)
        change = self.network.push(self.trace, self.network.pull(self.trace, cotangent))
        return change.swapaxes(-1, -2).reshape(shape) / self.samples
