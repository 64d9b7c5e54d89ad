"""The Tracy-Widom laws: the largest eigenvalue of large random matrices, scaled, at a soft edge.

Of real matrices F_1(s) = det(1 - A_s), of complex ones F_2(s) = det(1 - A_s) det(1 + A_s), with the kernel
A_s(x, y) = Ai((x + y)/2 + s)/2 on the half line (Ferrari and Spohn 2005).  The determinants are those of the
kernel on Gauss-Legendre nodes, which converges exponentially (Bornemann 2010).
"""

from __future__ import annotations

from functools import cache

import numpy as np

NODES = 80
REACH = 18.0
"""Where the Airy function is below 1e-22."""
LOWEST, HIGHEST = -10.0, 14.0
"""Beyond these both tails are below 1e-15."""


def distribution(s: np.ndarray | float, symmetry: int) -> np.ndarray:
    """F_symmetry(s), for 1 (real matrices) or 2 (complex ones), to some 1e-13."""
    from scipy.special import airy

    values = np.asarray(s, dtype=float)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    result = np.empty(values.shape)
    for place, value in np.ndenumerate(values):
        length = 2 * (REACH - value)  # (x + y)/2 + s up to REACH
        x, root = (nodes + 1) * length / 2, np.sqrt(weights * length / 2)
        kernel = root[:, None] * airy((x[:, None] + x) / 2 + value)[0] / 2 * root
        eigenvalues = np.linalg.eigvalsh(kernel)
        result[place] = np.prod(1 - eigenvalues) * (np.prod(1 + eigenvalues) if symmetry == 2 else 1.0)
    return result


@cache
def mean_and_deviation(symmetry: int) -> tuple[float, float]:
    """Of the law, by integrating its distribution function."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    half = (HIGHEST - LOWEST) / 2
    s, F = half * (nodes + 1) + LOWEST, distribution(half * (nodes + 1) + LOWEST, symmetry)
    mean = HIGHEST - half * float(weights @ F)
    square = HIGHEST**2 - half * float(weights @ (2 * s * F))
    return mean, float(np.sqrt(square - mean**2))
