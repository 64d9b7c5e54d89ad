"""The four-sign function and Gaussian averages to any number of digits, slowly, in mpmath.

They share no algorithm with their float64 counterparts in orthant.py, which they test.
"""

from __future__ import annotations

from typing import Any

import mpmath
from mpmath import mp


def four_signs(c12: Any, c13: Any, c14: Any, c23: Any, c24: Any, c34: Any, digits: int = 30) -> mpmath.mpf:
    """<sign z1 sign z2 sign z3 sign z4> for these correlations, to ``digits`` digits after the point.

    The correlations count as exact numbers and must form a positive semidefinite matrix.  Scale those of
    field 1 by t: at t = 0 the average vanishes by parity, and by Price's rule its derivative is

        (4/pi^2) sum_j c_1j / sqrt(1 - t^2 c_1j^2) asin(correlation of the other two fields, given z1 = zj
        = 0),

    analytic in t outside the real |t| >= 1.  t = tanh(s) makes that a strip, and the trapezoidal rule in s
    converges at the same rate for every matrix, singular or not.
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
