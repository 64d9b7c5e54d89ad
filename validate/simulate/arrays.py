"""The array module a simulation runs on: numpy, or cupy with the same names."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""An array of the module in use."""


def special_functions(xp: Any) -> ModuleType:
    """scipy.special, or its counterpart for cupy arrays."""
    if xp is np:
        import scipy.special

        return scipy.special
    import cupyx.scipy.special

    return cupyx.scipy.special


def semidefinite_cholesky(matrices: Array, xp: Any) -> Array:
    """Lower triangular L with L L^T = matrices (..., n, n), for positive semidefinite matrices of any rank.

    A pivot below 1e-14 of its diagonal element is rounding: its column is set to zero. What that leaves out
    of L L^T is below 1e-14 of the diagonal.
    """
    n = matrices.shape[-1]
    factor = xp.zeros_like(matrices)
    for j in range(n):
        column = matrices[..., j:, j] - xp.matmul(factor[..., j:, :j], factor[..., j, :j, None])[..., 0]
        pivot = column[..., 0]
        # NaN (a replica that diverged) must stay NaN, hence "not below" rather than "above".
        kept = ~(pivot <= 1e-14 * matrices[..., j, j])
        scale = xp.where(kept, 1 / xp.sqrt(xp.where(kept, pivot, 1)), 0)
        factor[..., j:, j] = column * scale[..., None]
    return factor
