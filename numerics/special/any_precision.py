"""The four-sign function and Gaussian averages to any number of digits, slowly, in mpmath.

They share no algorithm with their float64 counterparts in orthant.py, which they test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
from mpmath import mp

from numerics.runtime.errors import InputError


def four_signs(c12: Any, c13: Any, c14: Any, c23: Any, c24: Any, c34: Any, digits: int = 30) -> mpmath.mpf:
    """<sign z1 sign z2 sign z3 sign z4> for these correlations, to ``digits`` digits after the point.

    The correlations count as exact numbers and must form a positive semidefinite matrix.  Scale those of
    field 1 by t: at t = 0 the average vanishes by parity, and by Price's rule its derivative is

        (4/pi^2) sum_j c_1j / sqrt(1 - t^2 c_1j^2) asin(r_j(t)),

    with r_j the correlation of the other two fields given that fields 1 and j vanish.  It is analytic in t
    outside the real |t| >= 1.  t = tanh(s) makes that a strip, and the trapezoidal rule in s converges at
    the same rate for every matrix, singular or not.
    """
    with mp.workdps(3 * digits + 50):
        c12, c13, c14, c23, c24, c34 = (mp.mpf(c) for c in (c12, c13, c14, c23, c24, c34))
        for c, rest in ((c12, c34), (c13, c24), (c14, c23), (c23, c14), (c24, c13), (c34, c12)):
            if abs(c) == 1:  # two coinciding fields; conditioning on another pair would give 0/0
                return c * 2 / mp.pi * mp.asin(rest)
        constant = 1 - c23**2 - c24**2 - c34**2 + 2 * c23 * c24 * c34
        quadratic = (
            c12**2 * (1 - c34**2) + c13**2 * (1 - c24**2) + c14**2 * (1 - c23**2)
            + 2 * (c12 * c13 * (c24 * c34 - c23) + c12 * c14 * (c23 * c34 - c24) + c13 * c14 * (c23 * c24 -
            c34)) )  # fmt: skip
        terms = [
            (a, s - p * q, a * (b * q + d * p) - s * a * a - b * d)
            for a, b, d, p, q, s in (
                (c12, c13, c14, c23, c24, c34),
                (c13, c12, c14, c23, c34, c24),
                (c14, c12, c13, c24, c34, c23),
            )
        ]

        def slope(rest: mpmath.mpf) -> mpmath.mpf:
            """The derivative at 1 - t^2 = rest."""
            determinant = max(constant - quadratic + rest * quadratic, 0)
            total = mp.mpf(0)
            for a, alone, shared in terms:
                pair = 1 - a * a + rest * a * a
                minor = alone + shared - rest * shared
                total += a / mp.sqrt(pair) * mp.atan2(minor, mp.sqrt(pair * determinant))
            return total

        # Error exp(-pi^2/step) from the strip of half-width pi/2, exp(-s) from the cut at the end.
        range_ = digits * mp.log(10) + 4
        step = mp.pi**2 / range_
        total = slope(mp.mpf(1)) / 2
        for k in range(1, int(range_ / step) + 2):
            weight = mp.sech(k * step) ** 2
            total += weight * slope(weight)
        return 4 / mp.pi**2 * step * total


def gaussian_average(
    function: Callable[..., Any], covariance: Sequence[Sequence[Any]], kinks: bool, digits: int = 30
) -> mpmath.mpf:
    """E[function(u_1[, u_2])] for one or two zero-mean Gaussian fields, to about ``digits`` significant
    digits.

    ``function`` takes and returns mpmath numbers; the covariance counts as exact and may be singular.
    ``kinks``: it may have kinks or jumps where a field vanishes; otherwise it must be analytic.
    """
    size = len(covariance)
    if size not in (1, 2) or any(len(row) != size for row in covariance):
        raise InputError("any-precision averages take one or two fields, with a square covariance")
    with mp.workdps(digits + 15):
        rows = [[mp.mpf(x) for x in row] for row in covariance]
        first, cross, second = rows[0][0], rows[0][-1] if size == 2 else mp.mpf(0), rows[-1][-1]
        rest = second * first - cross**2 if size == 2 else mp.mpf(0)
        if rows != [list(column) for column in zip(*rows, strict=True)]:
            raise InputError("a covariance must be symmetric")
        if first < 0 or second < 0 or rest < 0:
            raise InputError("a covariance must be positive semidefinite")
        l11 = mp.sqrt(first)
        l21 = cross / l11 if first else mp.mpf(0)
        l22 = mp.sqrt(rest / first if first else second)
        radius = mp.sqrt(2 * mp.log(10) * (digits + 15)) + 3

        def value(z1: mpmath.mpf, z2: mpmath.mpf) -> mpmath.mpf:
            return function(l11 * z1) if size == 1 else function(l11 * z1, l21 * z1 + l22 * z2)

        if size == 1 or l22 == 0:
            return _on_line(lambda z: value(z, mp.mpf(0)), kinks, radius, digits)
        if kinks:
            return _in_sectors(value, mp.atan2(-l21, l22) % mp.pi, radius)

        def inner(z1: mpmath.mpf) -> mpmath.mpf:
            return _on_line(lambda z2: value(z1, z2), False, radius, digits)

        return _on_line(inner, False, radius, digits)


def _on_line(
    function: Callable[[mpmath.mpf], mpmath.mpf], kinks: bool, radius: mpmath.mpf, digits: int
) -> mpmath.mpf:
    """E[function(z)], z standard normal."""

    def density(z: mpmath.mpf) -> mpmath.mpf:
        return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)

    if kinks:
        ends = [0, radius / 4, radius / 2, radius]
        return mp.quad(lambda z: density(z) * (function(z) + function(-z)), ends)
    step, total, change = mp.mpf(1), mp.mpf(0), mp.inf
    while not change <= mp.mpf(10) ** (-digits - 3) * (1 + abs(total)):
        count = int(radius / step)
        points = (step * (k + mp.mpf("0.382")) for k in range(-count - 1, count + 1))
        before, total = total, step * mp.fsum(density(z) * function(z) for z in points)
        change, step = abs(total - before), step / mp.sqrt(2)
        if step < mp.mpf("0.01"):
            raise InputError("the trapezoidal rule does not settle: is the integrand analytic (kinks=False)?")
    return total


def _in_sectors(
    function: Callable[[mpmath.mpf, mpmath.mpf], mpmath.mpf], kink: mpmath.mpf, radius: mpmath.mpf
) -> mpmath.mpf:
    """E[function(z1, z2)] with kinks on the lines at the angles pi/2 and ``kink``."""
    lines = sorted({mp.mpf(0), mp.pi / 2, mp.pi, kink})

    def ray(angle: mpmath.mpf) -> mpmath.mpf:
        c, s = mp.cos(angle), mp.sin(angle)

        def along(r: mpmath.mpf) -> mpmath.mpf:
            return r * mp.exp(-r * r / 2) * (function(r * c, r * s) + function(-r * c, -r * s))

        return mp.quad(along, [0, radius / 4, radius / 2, radius], method="gauss-legendre")

    return mp.quad(ray, lines, method="gauss-legendre") / (2 * mp.pi)
