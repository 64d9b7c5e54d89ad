"""The average of four signs: the one function beyond arcsines that kinked activations need."""

from __future__ import annotations

from typing import Any

import mpmath
from sympy import Expr, Function, Matrix, asin, pi, sqrt
from sympy.printing.latex import LatexPrinter

PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


class FourSigns(Function):
    """<sign z1 sign z2 sign z3 sign z4> of zero-mean Gaussian fields of unit variance.

    Arguments are the correlations c12, c13, c14, c23, c24, c34.  It has no elementary form; it is defined by
    Plackett's identity, which gives every derivative in closed form, and by its value 0 where one field is
    independent of the others.
    """

    nargs = 6

    @classmethod
    def eval(cls, *correlations: Expr) -> Expr | None:
        c12, c13, c14, c23, c24, c34 = correlations
        if c13 == c14 == c23 == c24 == 0:
            return (2 / pi) ** 2 * asin(c12) * asin(c34)
        if c12 == c14 == c23 == c34 == 0:
            return (2 / pi) ** 2 * asin(c13) * asin(c24)
        if c12 == c13 == c24 == c34 == 0:
            return (2 / pi) ** 2 * asin(c14) * asin(c23)
        for (a, b), c in zip(PAIRS, correlations, strict=True):
            if c in (1, -1):  # two fields coincide: their signs multiply to c
                rest = [PAIRS.index((p, q)) for p, q in PAIRS if {p, q}.isdisjoint({a, b})]
                return c * 2 / pi * asin(correlations[rest[0]])
        return None

    def fdiff(self, argindex: int = 1) -> Expr:
        """Plackett: d/dc12 <s1 s2 s3 s4> = 4 <delta(z1) delta(z2) s3 s4>."""
        a, b = PAIRS[argindex - 1]
        c, d = (k for k in range(4) if k not in (a, b))
        matrix = correlation_matrix(self.args)

        def minor(p: int, q: int) -> Expr:
            return matrix.extract([a, b, p], [a, b, q]).det()

        pair = sqrt(1 - matrix[a, b] ** 2)
        return (2 / pi) ** 2 / pair * asin(minor(c, d) / sqrt(minor(c, c) * minor(d, d)))

    def _eval_evalf(self, prec: int) -> Expr:
        numbers = [c._to_mpmath(prec + 10) if c.is_number else None for c in self.args]
        if any(c is None for c in numbers):
            return self
        with mpmath.workprec(prec + 10):
            value = evaluate(*numbers)
        return Expr._from_mpmath(value, prec)

    def _latex(self, printer: LatexPrinter, exp: Any = None) -> str:
        arguments = ", ".join(printer._print(a) for a in self.args)
        power = "" if exp is None else f"^{{{exp}}}"
        return rf"\Sigma_4{power}\left({arguments}\right)"


def correlation_matrix(correlations: tuple[Any, ...]) -> Matrix:
    """The 4 x 4 matrix with unit diagonal and the six correlations c12, c13, c14, c23, c24, c34."""
    matrix = Matrix.eye(4)
    for (a, b), c in zip(PAIRS, correlations, strict=True):
        matrix[a, b] = matrix[b, a] = c
    return matrix


def evaluate(*correlations: Any) -> Any:
    """The average of four signs by quadrature in mpmath's working precision.

    Scale the correlations of one field by t from 0 (where the average vanishes by parity) to 1, and
    integrate Plackett's derivative along the way.  The field chosen is the least correlated one, whose
    integrand is the smoothest.  Of fields that coincide up to rounding the signs multiply to one.
    """
    for (a, b), c in zip(PAIRS, correlations, strict=True):
        if abs(c) >= 1 - 100 * mpmath.eps:
            (other,) = (PAIRS.index(pair) for pair in PAIRS if {a, b}.isdisjoint(pair))
            rest = max(-mpmath.mpf(1), min(mpmath.mpf(1), correlations[other]))
            return mpmath.sign(c) * 2 / mpmath.pi * mpmath.asin(rest)
    size = [max(abs(c) for (pair, c) in zip(PAIRS, correlations, strict=True) if k in pair) for k in range(4)]
    first = size.index(min(size))
    rest = [k for k in range(4) if k != first]
    c = {frozenset(pair): value for pair, value in zip(PAIRS, correlations, strict=True)}

    def integrand(angle: Any) -> Any:
        # t = sin(angle) removes the singularity of 1/sqrt(1 - t^2) at a correlation of one.
        t = mpmath.sin(angle)
        total = mpmath.mpf(0)
        for k in rest:
            a, b = (m for m in rest if m != k)
            r = c[frozenset((first, k))]
            if r == 0:
                continue
            ra, rb = t * c[frozenset((first, a))], t * c[frozenset((first, b))]
            sa, sb, sab = c[frozenset((k, a))], c[frozenset((k, b))], c[frozenset((a, b))]
            tr = t * r
            pair = 1 - tr**2
            ab = pair * sab - (ra * rb - tr * (ra * sb + rb * sa) + sa * sb)
            aa = pair - (ra**2 - 2 * tr * ra * sa + sa**2)
            bb = pair - (rb**2 - 2 * tr * rb * sb + sb**2)
            product = aa * bb
            if pair <= 0 or product <= 0:
                continue
            rho = min(mpmath.mpf(1), max(mpmath.mpf(-1), ab / mpmath.sqrt(product)))
            total += r / mpmath.sqrt(pair) * mpmath.asin(rho)
        return total * mpmath.cos(angle)

    return 4 / mpmath.pi**2 * mpmath.quad(integrand, [0, mpmath.pi / 4, mpmath.pi / 2])
