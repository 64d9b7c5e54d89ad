"""Special functions for array modules: ``xp`` is numpy or a module with the same names, such as cupy."""

from __future__ import annotations

from typing import Any

NEAR = 0.99
"""Above this ratio an arcsine is computed from the exact difference d1 d2 - n^2: below, arcsin loses at most
a factor 1/sqrt(1 - 0.99^2) = 7 of rounding."""


def square_root(xp: Any, x: Any) -> Any:
    """sqrt(x), a negative rounding residue taken as 0."""
    return xp.sqrt(xp.maximum(x, 0.0))


def reciprocal_root_or_zero(xp: Any, x: Any) -> Any:
    """1 / sqrt(x), and 0 for x <= 0: a field of no variance."""
    positive = x > 0
    if xp.all(positive):
        return 1 / xp.sqrt(x)
    return xp.where(positive, 1 / xp.sqrt(xp.where(positive, x, 1.0)), 0.0)


def two_product(xp: Any, a: Any, b: Any) -> Any:
    """a b as an unevaluated sum of two doubles, by Dekker's splitting (no fma in array modules)."""
    product = a * b
    scaled_a, scaled_b = a * 134217729.0, b * 134217729.0
    a_high, b_high = scaled_a - (scaled_a - a), scaled_b - (scaled_b - b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def difference_of_products(xp: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """a b - c d to the last digits, however much cancels."""
    left, left_rest = two_product(xp, a, b)
    right, right_rest = two_product(xp, c, d)
    return (left - right) + (left_rest - right_rest)


def correlation(xp: Any, n: Any, d1: Any, d2: Any) -> Any:
    """n / sqrt(d1 d2), exactly 1 where all three are equal: sqrt(d d) is d, a product of roots is not."""
    product = xp.asarray(d1 * d2)
    return n / xp.sqrt(xp.where(product > 0, product, xp.inf))


def snap(xp: Any, x: Any, noise: Any) -> Any:
    """x, or 0 where it is within the noise of its rounding."""
    return xp.where(x > noise, x, 0.0)


def ratio_arcsine(xp: Any, n: Any, d1: Any, d2: Any, scale: Any) -> Any:
    """asin(n / sqrt(d1 d2)) with ``scale`` = 1 / sqrt(d1 d2), accurate up to a ratio of 1, clamped there."""
    return noisy_arcsine(xp, n, d1, d2, scale, 0.0)


def noisy_arcsine(xp: Any, n: Any, d1: Any, d2: Any, scale: Any, noise: Any) -> Any:
    """The same for n, d1, d2 with rounding of their own: d1 d2 - n^2 within ``noise`` counts as 0."""
    ratio = n * scale
    if not xp.abs(ratio).max() > NEAR:
        return xp.arcsin(ratio)
    near = xp.abs(ratio) > NEAR
    angle = xp.arcsin(xp.clip(ratio, -1.0, 1.0))
    n, d1, d2, noise = (xp.broadcast_to(xp.asarray(a), angle.shape)[near] for a in (n, d1, d2, noise))
    cosine = xp.sqrt(snap(xp, difference_of_products(xp, d1, d2, n, n), noise))
    angle[near] = xp.arctan2(n, cosine)
    return angle


def heaviside(xp: Any, x: Any, at_zero: Any) -> Any:
    """The step function with its value at 0."""
    return xp.where(x > 0, 1.0, xp.where(x < 0, 0.0, at_zero))


def erf(xp: Any, x: Any) -> Any:
    """The error function."""
    return _scipy_special(xp).erf(x)


def erfc(xp: Any, x: Any) -> Any:
    """The complementary error function."""
    return _scipy_special(xp).erfc(x)


def four_signs(xp: Any, *correlations: Any) -> Any:
    """The average of four signs with these correlations."""
    from numerics.special.orthant import four_signs as evaluate

    if xp.__name__ == "numpy":
        return evaluate(*correlations)
    return xp.asarray(evaluate(*(c.get() if hasattr(c, "get") else c for c in correlations)))


def _scipy_special(xp: Any) -> Any:
    if xp.__name__ == "numpy":
        import scipy.special

        return scipy.special
    from cupyx.scipy import special

    return special
