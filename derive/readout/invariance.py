"""Which quantities of the readout's Hessian belong to the function, and which to its coordinates.

A network may change its features h to T h and its weights W to W T^(-1): no output changes, nor does the curvature
in the classes, and the Hessian becomes (1 x T) H (1 x T)^T.  Where T^T T is a multiple of one, every eigenvalue
takes that factor; where T is merely invertible, rank (Sylvester) and Newton decrement stay, eigenvalues do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
from sympy import (
    Expr,
    KroneckerDelta,
    Matrix,
    Rational,
    S,
    Symbol,
    cos,
    diag,
    eye,
    kronecker_product,
    simplify,
    sin,
    zeros,
)

from derive.errors import DerivationError
from derive.readout.loss import curvature, residual
from derive.readout.symbols import l, m, p, y

DIGITS = 50
UNITS, CLASSES = 2, 3
c, c_1, c_2, theta = (Symbol(name, positive=True) for name in ("c", "c_1", "c_2", "theta"))
m_1, m_2 = Symbol("m_1", real=True), Symbol("m_2", real=True)
VALUES = {
    c: Rational(1, 2), c_1: Rational(1, 2), c_2: Rational(3), cos(theta): Rational(3, 5), sin(theta): Rational(4, 5),
}  # fmt: skip
"""Of the exact examples."""


@dataclass(frozen=True)
class Transformation:
    """Features (h_1, h_2, 1) become ``matrix`` times that, and the weights make up for it; with ``common`` the same
    is added to the weights of all classes besides.  Two units stand for any number."""

    name: str
    matrix: Matrix
    common: bool = False

    def keeps_probabilities(self) -> bool:
        """Whether the differences of logits stay, for any weights and features."""
        weights = Matrix(CLASSES, UNITS + 1, lambda k, i: Symbol(f"W_{k}{i}"))
        features = Matrix([Symbol("h_1"), Symbol("h_2"), 1])
        extra = Matrix(1, UNITS + 1, lambda _, i: Symbol(f"a_{i}") if self.common else S.Zero)
        moved = weights * self.matrix.inv() + Matrix.vstack(*([extra] * CLASSES))
        change = moved * self.matrix * features - weights * features
        return all(simplify(change[k] - change[0]) == 0 for k in range(CLASSES))


TRANSFORMATIONS = (
    Transformation("the same added to the weights of all classes", eye(3), common=True),
    Transformation("units rotated", diag(Matrix([[cos(theta), -sin(theta)], [sin(theta), cos(theta)]]), 1)),
    Transformation("all units times c", diag(c, c, 1)),
    Transformation("each unit times its own factor", diag(c_1, c_2, 1)),
    Transformation("units centred", Matrix([[1, 0, -m_1], [0, 1, -m_2], [0, 0, 1]])),
)


Spectrum = list[tuple[Any, Any]]
"""Eigenvalues, the largest first, and the squared component of the gradient along each eigenvector."""


def _positive(spectrum: Spectrum) -> Spectrum:
    return [pair for pair in spectrum if pair[0] > mpmath.mpf(10) ** (10 - DIGITS) * spectrum[0][0]]


def _ratio(spectrum: Spectrum, rank: int) -> Any:
    """lambda_1 over the eigenvalue of that rank."""
    return spectrum[0][0] / spectrum[rank - 1][0] if rank <= len(_positive(spectrum)) else mpmath.inf


@dataclass(frozen=True)
class Quantity:
    """``measure(spectrum)`` to 50 digits.  With H times a number it takes the power ``degree`` of it (gradients take
    the root); ``congruent``: any invertible change of coordinates leaves it as it is."""

    name: str
    measure: Callable[[Spectrum], Any]
    degree: int
    congruent: bool = False


QUANTITIES = (
    Quantity("lambda_1", lambda found: found[0][0], 1),
    Quantity("trace", lambda found: mpmath.fsum(value for value, _ in found), 1),
    Quantity("lambda_1/lambda_K", lambda found: _ratio(found, CLASSES), 0),
    Quantity(
        "lambda_1 over the least that is not zero", lambda found: _ratio(found, len(_positive(found))), 0
    ),
    Quantity("rank", lambda found: len(_positive(found)), 0, congruent=True),
    # g^T H^+ g: the gradient has no component on the null space.
    Quantity(
        "Newton decrement", lambda found: mpmath.fsum(g / v for v, g in _positive(found)), 0, congruent=True
    ),
)


@dataclass(frozen=True)
class Effect:
    """What a transformation does to a quantity: multiply it by ``factor``, whatever the features; or, where that is
    None, something that depends on them, as the exact ``example`` (before, after) shows."""

    transformation: str
    quantity: str
    factor: Expr | None
    example: tuple[Any, Any] | None = None


@cache
def effects(bias: bool) -> tuple[Effect, ...]:
    """Every transformation on every quantity of the Hessian in weights and ``bias``, or in the weights alone."""
    found = []
    for transformation in TRANSFORMATIONS:
        if not transformation.keeps_probabilities():
            raise DerivationError(f"{transformation.name} changes the function")
        own = _within(transformation.matrix, bias)
        before_after = [_measured(data, transformation.matrix, bias) for data in DATA]
        for quantity in QUANTITIES:
            factor = _factor(own, quantity)
            pairs = ((b[quantity.name], a[quantity.name]) for b, a in before_after)
            example = None if factor is not None else next((pair for pair in pairs if _differ(*pair)), None)
            found.append(Effect(transformation.name, quantity.name, factor, example))
    return tuple(found)


def _within(matrix: Matrix, bias: bool) -> Matrix | None:
    """The matrix on the features that the Hessian is about; None where the bias's enters them."""
    if bias:
        return matrix
    return matrix[:UNITS, :UNITS] if matrix[:UNITS, UNITS:] == zeros(UNITS, 1) else None


def _factor(matrix: Matrix | None, quantity: Quantity) -> Expr | None:
    if matrix is None:
        return None
    square = simplify(matrix.T * matrix)
    if square == square[0, 0] * eye(matrix.rows):
        return square[0, 0] ** quantity.degree
    return S.One if quantity.congruent and simplify(matrix.det()) != 0 else None


def _differ(before: Any, after: Any) -> bool:
    return bool(abs(before - after) > mpmath.mpf(10) ** (15 - DIGITS)) if after != mpmath.inf else True


@dataclass(frozen=True)
class Data:
    """Samples of two units, with predicted probabilities (any positive ones are some network's) and labels."""

    features: Sequence[tuple[Rational, Rational]]
    probabilities: Sequence[Sequence[Rational]]
    labels: Sequence[int]

    def hessian(self, matrix: Matrix) -> tuple[Matrix, Matrix]:
        """Hessian and gradient over the features matrix (h_1, h_2, 1), classes outermost."""
        size, count = CLASSES * matrix.rows, Rational(1, len(self.features))
        total, gradient = zeros(size, size), zeros(size, 1)
        for units, predicted, label in zip(self.features, self.probabilities, self.labels, strict=True):
            h = matrix * Matrix([*units, 1])
            total += count * kronecker_product(curvature_at(predicted), h * h.T)
            gradient += count * kronecker_product(residual_at(predicted, label), h)
        return total, gradient


def curvature_at(predicted: Sequence[Expr]) -> Matrix:
    """A_lm at given probabilities."""
    form = curvature().value

    def entry(row: int, column: int) -> Expr:
        picked = form.subs(KroneckerDelta(l, m), int(row == column))
        return picked.subs({p[l]: predicted[row], p[m]: predicted[column]}, simultaneous=True)

    return Matrix(len(predicted), len(predicted), entry)


def residual_at(predicted: Sequence[Expr], label: int) -> Matrix:
    """dL/dz_l at given probabilities."""
    form = residual().value
    return Matrix([form.subs({p[l]: predicted[k], y[l]: int(k == label)}) for k in range(len(predicted))])


_THIRD = (Rational(1, 3),) * 3
DATA = (
    Data(((S(1), S(2)), (S(3), S(1)), (S(2), S(5)), (S(0), S(1))),
         (_THIRD, (Rational(1, 2), Rational(1, 4), Rational(1, 4)), (Rational(1, 5), Rational(3, 5), Rational(1, 5)),
          (Rational(1, 6), Rational(1, 3), Rational(1, 2))), (0, 1, 2, 0)),
    Data(((S(1), S(2)), (S(3), S(1))), (_THIRD, _THIRD), (0, 1)),
)  # fmt: skip
"""Two sets: more samples than features, and fewer than features and bias, whose centred units lose a rank."""


def _measured(data: Data, matrix: Matrix, bias: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every quantity before and after, the units' means being what centring subtracts."""
    means = [sum(units[i] for units in data.features) / len(data.features) for i in range(UNITS)]
    at = matrix.subs({m_1: means[0], m_2: means[1]}).subs(VALUES)
    rows = slice(None) if bias else slice(0, UNITS)
    return _quantities(data, eye(3)[rows, :]), _quantities(data, at[rows, :])


def _quantities(data: Data, matrix: Matrix) -> dict[str, Any]:
    hessian, gradient = data.hessian(matrix)
    size = hessian.rows
    with mpmath.workdps(DIGITS + 15):
        numbers = mpmath.matrix([[mpmath.mpf(e.p) / e.q for e in hessian.row(row)] for row in range(size)])
        slopes = [mpmath.mpf(e.p) / e.q for e in gradient]
        values, vectors = mpmath.eigsy(numbers)
        along = [mpmath.fsum(vectors[row, k] * slopes[row] for row in range(size)) ** 2 for k in range(size)]
        spectrum = sorted(zip(values, along, strict=True), key=lambda pair: pair[0], reverse=True)
        return {q.name: +q.measure(spectrum) for q in QUANTITIES}
