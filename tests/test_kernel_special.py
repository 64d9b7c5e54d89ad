"""The special functions of compiled kernels against mpmath at 40 digits; the bounds are stated here."""

from __future__ import annotations

import ctypes
import math

import mpmath
import numpy as np
import pytest

from numerics.kernel.emit_c import FUNCTIONS, PRELUDE
from numerics.kernel.special import arrays
from numerics.runtime.compiler import compile_shared, find_compiler

WRAPPERS = """
void arcsines(long n, const double *a, const double *d1, const double *d2, const double *s, double *out)
{
    for (long i = 0; i < n; ++i) out[i] = op_ratio_arcsine(a[i], d1[i], d2[i], s[i]);
}
void unary(int which, long n, const double *x, double *out)
{
    for (long i = 0; i < n; ++i)
        out[i] = which == 0 ? op_exp(x[i]) : which == 1 ? op_tanh(x[i])
                 : which == 2 ? op_erf(x[i]) : op_erfc(x[i]);
}
"""


def library() -> ctypes.CDLL:
    if find_compiler() is None:
        pytest.skip("no C compiler")
    return compile_shared("\n".join([PRELUDE, FUNCTIONS, WRAPPERS]), "special")


def pointers(*values: np.ndarray) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(v.ctypes.data) for v in values]


def ratios() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numerators and variances with ratios over (-1, 1), many of them within 1e-3 to 1e-15 of the ends."""
    rng = np.random.default_rng(2)
    close = 1 - 10 ** rng.uniform(-15, -3, 1500)
    rho = np.concatenate([rng.uniform(-1, 1, 1500), close, -close, 10 ** rng.uniform(-12, 0, 500)])
    d1, d2 = 10 ** rng.uniform(-3, 3, (2, len(rho)))
    return rho * np.sqrt(d1 * d2), d1, d2, 1 / np.sqrt(d1) / np.sqrt(d2)


def arcsine_errors(found: np.ndarray, n: np.ndarray, d1: np.ndarray, d2: np.ndarray) -> np.ndarray:
    """Errors in units of the last place of the angle, the doubles n, d1, d2 taken as exact."""
    errors = []
    with mpmath.workdps(40):
        for value, a, b, c in zip(found, n, d1, d2, strict=True):
            ratio = mpmath.mpf(float(a)) / mpmath.sqrt(mpmath.mpf(float(b)) * mpmath.mpf(float(c)))
            want = mpmath.asin(max(-1, min(1, ratio)))
            errors.append(float(abs(mpmath.mpf(float(value)) - want)) / math.ulp(float(want)))
    return np.array(errors)


def test_the_compiled_arcsine_is_good_to_five_ulp() -> None:
    """1/sqrt(d1) and 1/sqrt(d2) bring one ulp each, the two products half of one each, the polynomial one."""
    n, d1, d2, scale = ratios()
    out = np.empty_like(n)
    library().arcsines(ctypes.c_long(len(n)), *pointers(n, d1, d2, scale, out))
    assert arcsine_errors(out, n, d1, d2).max() < 5


def test_the_arcsine_of_arrays_is_good_to_the_threshold() -> None:
    """Below a ratio of 0.99 the rounding of the ratio is magnified up to sevenfold; above, nothing is."""
    n, d1, d2, scale = ratios()
    errors = arcsine_errors(arrays.ratio_arcsine(np, n, d1, d2, scale), n, d1, d2)
    above = np.abs(n * scale) > arrays.NEAR
    assert above.sum() > 1000
    assert errors[above].max() < 2
    assert errors.max() < 12


def test_edges() -> None:
    """Beyond one by rounding, exactly one, no variance at all."""
    n = np.array([1.0 + 4e-16, -1.0 - 4e-16, 1.0, 0.0, 0.0])
    d1 = np.array([1.0, 1.0, 1.0, 0.0, 2.0])
    d2 = np.array([1.0, 1.0, 1.0, 3.0, 0.0])
    scale = arrays.reciprocal_root_or_zero(np, d1) * arrays.reciprocal_root_or_zero(np, d2)
    out = np.empty_like(n)
    library().arcsines(ctypes.c_long(len(n)), *pointers(n, d1, d2, scale, out))
    want = [np.pi / 2, -np.pi / 2, np.pi / 2, 0.0, 0.0]
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(arrays.ratio_arcsine(np, n, d1, d2, scale), want)


@pytest.mark.parametrize(
    ("number", "name", "low", "high", "bound"),
    [(0, "exp", -700, 700, 2), (1, "tanh", -20, 20, 4), (2, "erf", -6, 6, 4), (3, "erfc", -6, 26, 10)],
)
def test_smooth_functions(number: int, name: str, low: float, high: float, bound: float) -> None:
    x = np.random.default_rng(number).uniform(low, high, 1000)
    out = np.empty_like(x)
    library().unary(number, ctypes.c_long(len(x)), *pointers(x, out))
    with mpmath.workdps(40):
        want = [getattr(mpmath, name)(mpmath.mpf(float(v))) for v in x]
        errors = [
            float(abs(mpmath.mpf(float(f)) - w)) / math.ulp(float(w)) for f, w in zip(out, want, strict=True)
        ]
    assert max(errors) < bound


def test_the_exact_difference_of_products() -> None:
    """a b - c d where all but the last digits cancel, against integer arithmetic."""
    rng = np.random.default_rng(7)
    a, b, c = rng.uniform(0.5, 2, (3, 1000))
    d = a * b / c
    found = arrays.difference_of_products(np, a, b, c, d)
    with mpmath.workdps(60):
        for f, w, x, y, z in zip(found, a, b, c, d, strict=True):
            exact = mpmath.mpf(float(w)) * mpmath.mpf(float(x)) - mpmath.mpf(float(y)) * mpmath.mpf(float(z))
            assert abs(f - exact) <= 4e-16 * abs(exact)
