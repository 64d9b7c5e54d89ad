"""Single numbers that tell how the gradients of one network are distributed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Record = Mapping[str, np.ndarray]
"""What ``networks.gradients`` measured, stacked over seeds."""


def geometric(values: np.ndarray) -> np.ndarray:
    """Geometric means over seeds, the first axis."""
    return np.asarray(np.exp(np.log(values).mean(axis=0)))


def ratio(record: Record) -> np.ndarray:
    """a/b of Table 1, by seed and layer."""
    return record["a"] / record["b"]


def kurtosis(record: Record) -> np.ndarray:
    """<x^4>/<x^2>^2 of the entries of the middle kernel's gradient, by seed; 3 for a Gaussian."""
    x = record["middle"].reshape(len(record["middle"]), -1).astype(float)
    return (x**4).mean(axis=1) / (x**2).mean(axis=1) ** 2


def common_share(record: Record) -> np.ndarray:
    """|mean over images|^2 over mean |.|^2 of the gradients in the logits, by seed."""
    rows = record["rows"]
    return (rows.mean(axis=2) ** 2).sum(axis=1) / (rows**2).sum(axis=1).mean(axis=1)


def rank_one_share(record: Record) -> np.ndarray:
    """What the best product of two vectors leaves unexplained of the matrix of Figure 7, by seed: its squared
    residue over the squared deviation from a constant matrix."""
    left = []
    for matrix in record["channels"].astype(float):
        values = np.linalg.svd(matrix, compute_uv=False)
        left.append((values[1:] ** 2).sum() / ((matrix - matrix.mean()) ** 2).sum())
    return 1 - np.array(left)
