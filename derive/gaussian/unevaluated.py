"""An average kept as it stands: what online learning differentiates and numerics integrates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sympy import Basic, Dummy, Expr, ImmutableMatrix, Rational, Symbol, Tuple, sympify
from sympy.printing.latex import LatexPrinter


class GaussianAverage(Expr):
    """<expression> over jointly Gaussian zero-mean fields with the given covariance.

    Args: the expression, the tuple of field symbols (bound, like an integration variable), and the covariance
    matrix in the order of the fields.  ``doit()`` closes the average by rules where they reach.
    Derivatives with respect to anything in the covariance follow Price's theorem on the average itself, so
    they stay finite where differentiating a closed form gives inf - inf.
    """

    is_commutative = True
    is_real = True

    def __new__(cls, expression: Expr, fields: Sequence[Symbol], covariance: Any) -> GaussianAverage:
        matrix = ImmutableMatrix(covariance)
        if matrix.shape != (len(fields), len(fields)):
            raise ValueError(f"{len(fields)} fields need a {len(fields)} x {len(fields)} covariance")
        return Basic.__new__(cls, sympify(expression), Tuple(*fields), matrix)

    @property
    def expression(self) -> Expr:
        return self.args[0]

    @property
    def fields(self) -> Tuple:
        return self.args[1]

    @property
    def covariance(self) -> ImmutableMatrix:
        return self.args[2]

    @property
    def free_symbols(self) -> set[Basic]:
        inside = self.expression.free_symbols - set(self.fields)
        return inside | self.covariance.free_symbols

    @property
    def bound_symbols(self) -> list[Symbol]:
        return list(self.fields)

    def _eval_derivative(self, symbol: Symbol) -> Expr:
        """Price's theorem: d/dC_ab <F> = <d_a d_b F>, and half of that on the diagonal."""
        total = self.func(self.expression.diff(symbol), self.fields, self.covariance)
        total = total if total.expression != 0 else sympify(0)
        for a, u in enumerate(self.fields):
            for b, z in enumerate(self.fields[a:], start=a):
                rate = self.covariance[a, b].diff(symbol)
                if rate == 0:
                    continue
                curvature = self.expression.diff(u).diff(z)
                if curvature != 0:
                    weight = Rational(1, 2) if a == b else 1
                    total += weight * rate * self.func(curvature, self.fields, self.covariance)
        return total

    def _xreplace(self, rule: Any) -> tuple[Basic, bool]:
        """Replace the whole, or free atoms: fields are bound."""
        if self in rule:
            return rule[self], True
        free = {old: new for old, new in rule.items() if old not in self.fields}
        expression, changed = self.expression._xreplace(free)
        matrix = self.covariance.xreplace(free)
        if not changed and matrix == self.covariance:
            return self, False
        return self.func(expression, self.fields, matrix), True

    def _eval_subs(self, old: Basic, new: Basic) -> Expr:
        if old in self.fields:
            return self
        return self.func(self.expression.subs(old, new), self.fields, self.covariance.subs(old, new))

    def doit(self, **hints: Any) -> Expr:
        """The closed form, or this average with its monomials and deltas removed if no rule closes it."""
        from derive.gaussian.average import average

        return average(self.expression, dict_covariance(self.fields, self.covariance)).expression

    def _latex(self, printer: LatexPrinter, exp: Any = None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        return rf"\left\langle {printer._print(self.expression)} \right\rangle{power}"

    def _sympystr(self, printer: Any) -> str:
        return f"<{printer._print(self.expression)}>"


def dict_covariance(fields: Sequence[Symbol], matrix: Any) -> dict[tuple[Symbol, Symbol], Expr]:
    """A covariance matrix as a mapping from pairs of fields."""
    return {(u, z): matrix[a, b] for a, u in enumerate(fields) for b, z in enumerate(fields)}


def fresh_field(name: str) -> Dummy:
    """A field symbol that no expression contains yet."""
    return Dummy(name, real=True)
