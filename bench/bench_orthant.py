"""Cost and accuracy of the four-sign function, against scipy's multivariate normal distribution function.

    python bench/bench_orthant.py [points]

Nanoseconds of CPU time a point, one thread, best of several rounds; scipy at its default accuracy of 1e-5.
Errors are against the any-precision evaluation on a subset, in excess of what rounding the correlations to
float64 alone does.  "C - numpy" is large only where rounding made a matrix indefinite, so that it has no one
value.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from mpmath import mp
from scipy.stats import multivariate_normal

from numerics.runtime.compiler import compile_shared, find_compiler
from numerics.special import any_precision
from numerics.special.orthant import FOUR_SIGNS_C, four_signs

ROUNDS = 5
SUBSET = 60
PAIRS = list(combinations(range(4), 2))
LOOP = """
void fill(long n, const double *c, double *s) {
    for (long i = 0; i < n; i++)
        s[i] = four_signs(c[i], c[n + i], c[2 * n + i], c[3 * n + i], c[4 * n + i], c[5 * n + i]);
}
"""


def ensembles(points: int) -> dict[str, np.ndarray]:
    """Vectors (points, 4, 4) of four fields."""
    v = np.random.default_rng(0).standard_normal((points, 4, 4))
    found = {"generic": v, "weakly correlated": np.eye(4) + 0.05 * v, "nearly singular": v * [1, 1, 1, 1e-5]}
    for size in (1e-4, 1e-8, 1e-12):
        pair, triple = v.copy(), v.copy()
        pair[:, 1] = v[:, 0] + size * v[:, 1]
        triple[:, 1:3] = v[:, :1] + size * v[:, 1:3]
        found |= {f"two fields within {size:g}": pair, f"three fields within {size:g}": triple}
    return found


def correlations(vectors: np.ndarray) -> np.ndarray:
    dot = np.einsum("nai,nbi->abn", vectors, vectors)
    return np.array([np.clip(dot[a, b] / np.sqrt(dot[a, a] * dot[b, b]), -1, 1) for a, b in PAIRS])


def excess_error(vectors: np.ndarray, evaluate: Callable[[np.ndarray], np.ndarray]) -> float:
    """The largest error over some vectors beyond the effect of rounding their correlations."""
    worst = 0.0
    with mp.workdps(110):
        for v in vectors:
            rows = [[mp.mpf(float(x)) for x in row] for row in v]
            norms = [mp.sqrt(mp.fdot(row, row)) for row in rows]
            exact = [mp.fdot(rows[a], rows[b]) / norms[a] / norms[b] for a, b in PAIRS]
            rounded = np.array([float(c) for c in exact])
            inherent = (
                2 / mp.pi * sum(abs(mp.asin(c) - mp.asin(r)) for c, r in zip(exact, rounded, strict=True))
            )
            error = abs(evaluate(rounded[:, None])[0] - any_precision.four_signs(*exact, digits=18))
            worst = max(worst, float(error - inherent))
    return worst


def best_time(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times)


def through_c(library: ctypes.CDLL, c: np.ndarray) -> np.ndarray:
    c, out = np.ascontiguousarray(c), np.empty(c.shape[1])
    pointer = ctypes.POINTER(ctypes.c_double)
    library.fill(ctypes.c_long(c.shape[1]), c.ctypes.data_as(pointer), out.ctypes.data_as(pointer))
    return out


def scipy_time(c: np.ndarray) -> float:
    """Seconds a point of scipy's orthant probability at its default accuracy, over ten points."""
    matrices = []
    for column in c[:, :10].T:
        matrix = np.eye(4)
        for (a, b), value in zip(PAIRS, column, strict=True):
            matrix[a, b] = matrix[b, a] = value
        matrices.append(matrix)

    def work() -> None:
        for matrix in matrices:
            multivariate_normal.cdf(np.zeros(4), cov=matrix, allow_singular=True, rng=0)

    return best_time(work) / len(matrices)


def main() -> None:
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    library = compile_shared(FOUR_SIGNS_C + LOOP, "bench_orthant") if find_compiler() else None
    titles = f"{'C':>8}{'numpy':>8}{'scipy':>11}{'scipy/C':>9}{'excess error':>14}{'C - numpy':>11}"
    print(f"{'ns a point':27}{titles}")
    for name, vectors in ensembles(points).items():
        c = correlations(vectors)
        by_numpy = best_time(lambda c=c: four_signs(*c)) / points
        by_c, apart = np.nan, np.nan
        if library is not None:
            by_c = best_time(lambda c=c: through_c(library, c)) / points
            apart = float(np.abs(through_c(library, c) - four_signs(*c)).max())
        by_scipy = scipy_time(c)
        error = excess_error(vectors[:SUBSET], lambda c: four_signs(*c))
        print(
            f"{name:27}{1e9 * by_c:8.0f}{1e9 * by_numpy:8.0f}{1e9 * by_scipy:11.0f}{by_scipy / by_c:9.0f}"
            f"{max(error, 0):14.1e}{apart:11.1e}"
        )


if __name__ == "__main__":
    main()
