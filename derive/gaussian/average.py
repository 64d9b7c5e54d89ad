"""The average engine: a product of functions of Gaussian fields in, a closed form and its derivation out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mpmath
from sympy import Add, DiracDelta, Expr, ImmutableMatrix, Matrix, Rational, Symbol, sympify

from derive.errors import AverageDoesNotExist, DerivationError
from derive.gaussian.gather import gather
from derive.gaussian.poles import refuse_poles
from derive.gaussian.rules import Applied, Measure, close, unevaluated
from derive.gaussian.terms import split
from derive.gaussian.unevaluated import GaussianAverage

NEGATIVE_EIGENVALUE = 1e-10
"""Covariances are accepted down to an eigenvalue of minus this times their trace."""

ROUNDING = Rational(1, 2**49)
"""Conditional variances below this fraction of a variance are taken for rounding errors."""

Covariance = Mapping[tuple[Symbol, Symbol], Expr]


@dataclass(frozen=True)
class Average:
    """The average of ``argument`` over zero-mean Gaussian ``fields`` with ``covariance`` (a matrix).

    ``expression`` is the closed form; where no rule closes a part, that part is a ``GaussianAverage``.
    ``steps`` lists every rule applied, in order: the derivation.
    """

    argument: Expr
    fields: tuple[Symbol, ...]
    covariance: ImmutableMatrix
    expression: Expr
    steps: tuple[Applied, ...] = field(repr=False)

    @property
    def closed(self) -> bool:
        """Whether no unevaluated average is left."""
        return not self.expression.has(GaussianAverage)

    @cached_property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules used, each once, in order of first use."""
        return tuple(dict.fromkeys(step.rule for step in self.steps))

    def value(self, covariance: Any, digits: int = 15) -> Expr:
        """The average at a numeric covariance (rows in the order of ``fields``), to any precision.

        Degenerate covariances are averaged anew rather than substituted, so that coinciding fields and
        fields without variance give their limits instead of 0/0.

        Raises DerivationError for a covariance that is not symmetric and positive semidefinite, and
        AverageDoesNotExist where the average diverges at it.
        """
        numbers = exact(covariance)
        check_covariance(numbers, [str(u) for u in self.fields])
        return average_at(self.argument, self.fields, numbers).evalf(digits)

    def _repr_latex_(self) -> str:
        from derive.latex import latex

        return f"${latex(self.expression)}$"


def average(argument: Expr, covariance: Covariance | None = None) -> Average:
    """Average a sum of products of functions of jointly Gaussian zero-mean fields.

    ``covariance`` maps pairs of fields to their covariance; without it every free symbol is a field and the
    covariances are symbols C_uv.  Functions are sympy's (erf, Heaviside, sign, Abs, DiracDelta, exp of minus
    a square, polynomials; anything else stays unevaluated), arguments are linear forms in the fields.

    Raises AverageDoesNotExist for products of distributions without a meaning and for poles.
    """
    argument = sympify(argument)
    if covariance is None:
        covariance = generic_covariance(sorted(argument.free_symbols, key=str))
    fields = tuple(dict.fromkeys(u for pair in covariance for u in pair))
    matrix = ImmutableMatrix([[sympify(covariance[u, z]) for z in fields] for u in fields])
    index = {u: a for a, u in enumerate(fields)}
    measure = Measure(fields, lambda u, z: matrix[index[u], index[z]])
    refuse_poles(argument, measure.fields)
    terms = split(argument, measure.fields)
    expression = Add(*(close(term, measure) for term in terms))
    bare = any(v.lift is None for term in terms for v in (*term.signs, *term.deltas))
    if bare and not all(entry.is_number for entry in matrix):
        # Bare kinks leave 0/0 where fields coincide; lifted fields never coincide.
        expression = gather(expression)
    expression += unevaluated(measure)
    return Average(argument, fields, matrix, expression, tuple(measure.log))


def average_at(
    argument: Expr, fields: Sequence[Symbol], matrix: Matrix, negligible: Rational = ROUNDING
) -> Expr:
    """The average at a numeric covariance, where coinciding and collinear fields are merged first.

    The rules for distinct fields do not reach three that coincide: (sign u)^3 = sign u needs
    delta(u) sign(v) sign(w) = delta(u)/3 there, but sign(0) = 0 makes it 0.
    """
    matrix = semidefinite(matrix, negligible)
    if not argument.has(DiracDelta):
        for a, u in enumerate(fields):
            for b in range(a + 1, len(fields)):
                both = matrix[a, a] * matrix[b, b]
                if both > 0 and both - matrix[a, b] ** 2 <= negligible * both:
                    argument = argument.subs(fields[b], u * matrix[a, b] / matrix[a, a])
    mapping = {(u, z): matrix[a, b] for a, u in enumerate(fields) for b, z in enumerate(fields)}
    return average(argument, mapping).expression


def thirds(argument: Expr, fields: Sequence[Symbol], three: tuple[Symbol, Symbol, Symbol]) -> Expr:
    """What ``average`` misses where three fields coincide, in covariances C_uv of the first of them.

    That is every delta of one times the signs of the other two: a third of the delta, taken as zero there.
    """
    generic = generic_covariance(fields)
    same = dict.fromkeys(three, three[0])
    measure = Measure(fields, lambda u, z: generic[same.get(u, u), same.get(z, z)], coinciding=three)
    return gather(Add(*(close(term, measure) for term in split(argument, measure.fields))))


def generic_covariance(fields: Sequence[Symbol]) -> dict[tuple[Symbol, Symbol], Expr]:
    """Symbols C_uv for every pair of fields: positive on the diagonal, real off it."""
    table: dict[tuple[Symbol, Symbol], Expr] = {}
    for a, u in enumerate(fields):
        for z in fields[a:]:
            name = f"C_{u}{z}" if len(str(u)) == len(str(z)) == 1 else f"C_{{{u},{z}}}"
            symbol = Symbol(name, positive=True) if u == z else Symbol(name, real=True)
            table[u, z] = table[z, u] = symbol
    return table


def exact(matrix: Any) -> Matrix:
    """A numeric matrix with floats read as the rationals they are."""
    rows = matrix.tolist() if hasattr(matrix, "tolist") else [list(row) for row in matrix]

    def number(entry: Any) -> Expr:
        entry = sympify(entry)
        if not entry.is_number or not entry.is_finite:
            raise DerivationError(f"a covariance needs finite numbers, got {entry}")
        return Rational(entry) if entry.is_Float else entry

    if any(len(row) != len(rows) for row in rows):
        raise DerivationError("a covariance matrix must be square")
    return Matrix([[number(e) for e in row] for row in rows])


def check_covariance(matrix: Matrix, names: Sequence[str]) -> None:
    """Refuse a covariance of the wrong shape, not symmetric, or not positive semidefinite."""
    if matrix.shape != (len(names), len(names)):
        raise DerivationError(
            f"the covariance is {matrix.rows} x {matrix.cols}, "
            f"but there are {len(names)} fields: {', '.join(names)}"
        )
    if not matrix.is_symmetric():
        raise DerivationError("the covariance matrix is not symmetric")
    eigenvalues = mpmath.eigsy(mpmath.matrix(matrix.evalf(30).tolist()), eigvals_only=True)
    lowest = min(eigenvalues)
    if lowest < -NEGATIVE_EIGENVALUE * abs(float(matrix.trace())):
        raise DerivationError(
            "the covariance matrix is not positive semidefinite: "
            f"its lowest eigenvalue is {mpmath.nstr(lowest, 6)}"
        )


def semidefinite(matrix: Matrix, negligible: Rational) -> Matrix:
    """A matrix of rationals as it is, or exactly singular where it is singular up to rounding.

    Rounded entries of coinciding or collinear fields leave conditional variances of 1e-17, or of -1e-17,
    whose root is imaginary.  Conditional variances below ``negligible`` times the variance become zero.
    """
    if not all(entry.is_Rational for entry in matrix):
        return matrix
    rest, kept = matrix, Matrix.zeros(*matrix.shape)
    while True:
        pivots = [k for k in range(matrix.rows) if rest[k, k] > negligible * matrix[k, k]]
        if not pivots:
            return matrix if rest.is_zero_matrix else kept
        pivot = max(pivots, key=lambda k: rest[k, k] / matrix[k, k])
        step = rest[:, pivot] * rest[pivot, :] / rest[pivot, pivot]
        rest, kept = rest - step, kept + step


__all__ = [
    "Average",
    "AverageDoesNotExist",
    "average",
    "check_covariance",
    "exact",
    "generic_covariance",
    "semidefinite",
]
