"""The density of the squared singular values at N = infinity, from the moment equation.

With z = 1/x the moment equation says x = w^p/(w - 1), and w(x)/x is the resolvent (Stieltjes): the density
is |Im w|/(pi x) where x is real and w = r e^(i phi) is not.  That makes phi the parameter of a curve, from
the upper end of the support (phi = 0) to its lower end (phi = pi/p).  The density integrates in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sympy import (
    Expr,
    Rational,
    Symbol,
    cancel,
    cos,
    diff,
    expand,
    expand_log,
    integrate,
    log,
    pi,
    powsimp,
    simplify,
    sin,
    solve,
    sqrt,
    trigsimp,
)

from derive.equation import Equation, Step
from derive.products.limit import M, check_factors, exponent, inverse_function, psi

w = Symbol("w", positive=True)
r = Symbol("r", positive=True)
phi = Symbol("phi", positive=True)
"""The parameter, from 0 (largest x) to pi/(M + 1) (x = 0)."""

delta = Symbol("delta", positive=True)
"""pi - (M + 1) phi: the parameter seen from the lower end, where x spans many orders of magnitude."""

x = Symbol("x", positive=True)
"""A squared singular value."""


@dataclass(frozen=True)
class SpectralLaw:
    """The law of x at N = infinity along phi, for symbolic M.

    ``x``, ``density`` and ``distribution`` are functions of ``phi``; ``upper_end`` is the largest x.  Near it
    the density is ``edge`` sqrt(upper_end - x)/pi; near zero it is ``origin`` x^``origin_exponent``.
    """

    x: Expr
    density: Expr
    distribution: Expr
    upper_end: Expr
    edge: Expr
    origin: Expr
    origin_exponent: Expr
    steps: tuple[Step, ...]

    def equations(self) -> tuple[Equation, ...]:
        """x, its density and its distribution function, as equations with their derivation."""
        meaning = {"phi": "from 0 at the upper end to pi/(M + 1) at x = 0", "x": "squared singular value"}
        source = "derived from the moment equation"
        return (
            Equation("products.x", x, self.x, meaning, source, self.steps),
            Equation("products.density", Symbol("rho"), self.density, meaning, source, self.steps),
            Equation("products.distribution", Symbol("F"), self.distribution, meaning, source, self.steps),
        )


def spectrum_function() -> Expr:
    """x = 1/z as a function of w = W."""
    return powsimp(1 / inverse_function().subs(psi, w - 1), force=True)


@cache
def spectral_law() -> SpectralLaw:
    """The law for symbolic M."""
    p = exponent()
    angle, most = p * phi, expand((p - 1) * phi)
    # Im[(w - 1) e^(-i p phi)] = 0 puts x = w^p/(w - 1) on the real axis; the real part is then |w - 1|.
    (radius,) = solve(sin(angle) - r * sin(most), r)
    distance = _angle_difference(radius * cos(most) - cos(angle), most)
    at = powsimp(radius**p / distance, force=True)
    imaginary = radius * sin(phi)
    density = imaginary / (pi * at)
    # The integral of w dx/x over w; its imaginary part, over pi, is the distribution function.
    whole = integrate(cancel(w * diff(expand_log(log(spectrum_function()), force=True), w)), w)
    logarithm = whole.coeff(log(w - 1))
    slope = cancel((whole - logarithm * log(w - 1)) / w)
    distribution = 1 + (slope * imaginary + logarithm * angle) / pi
    steps = (
        Step("Stieltjes", spectrum_function(), imaginary / x, "the density is |Im w|/(pi x), w = r e^(i phi)"),
        Step("x real", sin(angle) - r * sin(most), radius, "solved for r"),
        Step("modulus", w - 1, distance, "|w - 1| on the curve"),
        Step("integration", w / x, whole, "of w dx/x over w; one minus its imaginary part is the tail"),
    )
    return SpectralLaw(at, density, distribution, *_ends(), steps)


def _angle_difference(expression: Expr, angle: Expr) -> Expr:
    """Simplify with p phi = (p - 1) phi + phi, by the addition theorems."""
    theta = Symbol("theta", positive=True)
    p = exponent()
    return trigsimp(expression.subs({sin(p * phi): sin(theta + phi), cos(p * phi): cos(theta + phi)})
                    .subs({sin(angle): sin(theta), cos(angle): cos(theta)})
                    .expand(trig=True)).subs(theta, angle)  # fmt: skip


def _ends() -> tuple[Expr, Expr, Expr, Expr]:
    """Upper end, the coefficient of the root there, and amplitude and exponent at the origin."""
    curve = spectrum_function()
    logarithm = expand_log(log(curve), force=True)
    (branch,) = solve(cancel(diff(logarithm, w)), w)
    upper = simplify(curve.subs(w, branch))
    # x - upper = curvature (w - branch)^2/2 near the branch point, and the density is Im w/(pi x).
    curvature = upper * simplify(diff(logarithm, w, 2).subs(w, branch))
    edge = simplify(sqrt(2 / curvature) / upper)
    # For x to 0: x = w^p/(0 - 1), so w is the root e^(i pi/p) x^(1/p).
    p = exponent()
    return upper, edge, sin(pi / p) / pi, cancel(1 / p - 1)


@cache
def from_lower_end() -> dict[str, Expr]:
    """log x, the distribution function and x times the density as functions of ``delta``.

    Without cancellation at x = 0: (M + 1) phi = pi - delta and M phi = pi - delta - phi are put in by name,
    and ``phi`` = (pi - delta)/(M + 1) stays a symbol of its own.
    """
    law, p = spectral_law(), exponent()
    turned = {
        sin(p * phi): sin(delta), sin(expand((p - 1) * phi)): sin(delta + phi),
    }  # fmt: skip
    logarithm = expand_log(log(law.x), force=True).subs(turned)
    distribution = expand(law.distribution.subs(p * phi, pi - delta).subs(turned))
    return {
        "log_x": logarithm,
        "distribution": distribution,
        "x_density": powsimp(law.x * law.density, force=True).subs(turned),
    }


@cache
def from_upper_end() -> dict[str, Expr]:
    """The same functions of ``phi``, without cancellation at the upper end, phi = 0."""
    law, p = spectral_law(), exponent()
    ratio = sin(p * phi) / sin(expand((p - 1) * phi))
    logarithm = p * log(ratio) + log(law.x / ratio**p)
    return {
        "log_x": logarithm, "distribution": law.distribution,
        "x_density": powsimp(law.x * law.density, force=True),
    }  # fmt: skip


def upper_end(factors: int | Expr = M) -> Expr:
    """The largest squared singular value at N = infinity."""
    check_factors(factors)
    return spectral_law().upper_end.subs(M, factors)


def edge_width(size: Expr, factors: int | Expr = M) -> Expr:
    """The scale of fluctuations of the largest squared singular value, N large: upper_end + width * a variable
    of the Tracy-Widom law.  N times the tail of the density must be the Airy kernel's, 2/(3 pi) a^(3/2)."""
    return (spectral_law().edge.subs(M, factors) * size) ** Rational(-2, 3)


def condition_exponent(factors: int | Expr = M) -> Expr:
    """The power of N with which sigma_max/sigma_min grows at fixed M: about one x in N lies below x_min, so
    N x_min^(1 + origin_exponent) stays of order one, while the largest x tends to the upper end."""
    check_factors(factors)
    return cancel(Rational(1, 2) / (1 + spectral_law().origin_exponent)).subs(M, factors)
