"""What a layer normalization of the outputs does to gradients: averages of its projections over samples.

Differentiating f = (u - mean u)/sigma over C outputs gives P_t/sigma(t), with P_t = I - 11^T/C - f_t f_t^T/C.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numerics.runtime.devices import to_host
from validate.simulate.arrays import Array


def projection_averages(outputs: Array, sigma: Array) -> np.ndarray:
    """Of normalized outputs f (T, C) and sigma (T, 1): three numbers.

    The mean of 1/sigma^2; with A = <P/sigma^2> over samples, the sum of its C - 2 largest eigenvalues a_i; and
    the sum of w_i^T <P/sigma^4> w_i / a_i over their eigenvectors w_i.
    """
    f, inverse = to_host(outputs), 1 / to_host(sigma) ** 2
    samples, C = f.shape

    def average(weights: np.ndarray) -> Any:
        scaled = f * weights / C
        return weights.mean() * (np.eye(C) - np.ones((C, C)) / C) - scaled.T @ f / samples

    values, vectors = np.linalg.eigh(average(inverse))
    a, w = values[2:], vectors[:, 2:]
    squares = np.einsum("ik,ij,jk->k", w, average(inverse**2), w)
    return np.array([inverse.mean(), a.sum(), (squares / a).sum()])
