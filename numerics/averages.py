"""Numbers for Gaussian averages: quadrature where no rule closes them, and a check where one does.

The check lives here and not in ``derive``, which knows nothing of numerics.  It judges a closed form by
``numerics.special.quadrature``, which uses no identity beyond the Gaussian density; only a delta function is
taken out first, by its definition: the density at zero times the average over the conditioned fields.  The
derivative of a delta cannot be sampled: check the average that it is the derivative of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from sympy import (
    Abs,
    Add,
    DiracDelta,
    Dummy,
    Expr,
    Heaviside,
    Max,
    Min,
    Mul,
    Piecewise,
    Poly,
    Pow,
    Symbol,
    lambdify,
    sign,
)

from derive.errors import AverageDoesNotExist
from derive.evaluate import evaluate
from derive.gaussian import Average, GaussianAverage, average, generic_covariance
from numerics.runtime.errors import InputError
from numerics.special.quadrature import Estimate, gaussian_average

Matrix = Sequence[Sequence[float]] | np.ndarray


def value(
    given: Average | GaussianAverage, covariance: Matrix | None = None, tolerance: float = 1e-12
) -> Estimate:
    """The average at a numeric covariance (rows in the order of ``given.fields``), with its error.

    What the rules close there is closed; the rest is integrated.  Without ``covariance`` the average must
    have numbers in its own.

    Raises DerivationError for a covariance that is not positive semidefinite, AverageDoesNotExist where the
    average diverges, and InputError for an average that holds free parameters or cannot be integrated.
    """
    matrix = given.covariance.tolist() if covariance is None else covariance
    argument = given.argument if isinstance(given, Average) else given.expression
    free = argument.free_symbols - set(given.fields)
    if free:
        raise InputError(f"the average holds the parameter {min(map(str, free))}; give it a number first")
    closed = average(argument, generic_covariance(given.fields)).value(matrix)
    return _with_quadrature(closed, tolerance)


def _with_quadrature(expression: Expr, tolerance: float) -> Estimate:
    """The number of an expression that is linear in averages with numeric covariance."""
    inert = sorted(expression.atoms(GaussianAverage), key=str)
    names = {a: Dummy() for a in inert}
    linear = expression.xreplace(names)
    total = float(linear.xreplace({name: 0 for name in names.values()}))
    error = 1e-15 * abs(total)
    for a in inert:
        weight = float(linear.diff(names[a]))
        part = integrate(a.expression, a.fields, np.array(a.covariance.tolist(), dtype=np.float64), tolerance)
        total += weight * part.value
        error += abs(weight) * part.error
    return Estimate(total, error)


def integrate(
    argument: Expr, fields: Sequence[Symbol], covariance: Matrix, tolerance: float = 1e-12
) -> Estimate:
    """The average of ``argument`` by quadrature alone; no rule is used.

    Raises InputError for what cannot be sampled (a delta of anything but a sum of fields, or its derivative)
    and for an integrand that is not finite, and AverageDoesNotExist for a delta of a field without variance.
    """
    matrix = np.asarray(covariance, dtype=np.float64).reshape(len(fields), len(fields))
    total = error = 0.0
    for term in Add.make_args(argument.expand()) if argument.has(DiracDelta) else (argument,):
        weight, smooth, conditional = _without_deltas(term, fields, matrix)
        planes = _kinks(smooth, fields)
        # A kink where a combination of fields vanishes is a kink of one more, dependent field.
        forms = np.array([[float(form.coeff(u)) for u in fields] for form in planes]).reshape(-1, len(fields))
        forms = np.concatenate([np.eye(len(fields)), forms])
        function = _numeric(smooth, fields)
        part = gaussian_average(
            lambda *u, f=function: f(*u[: len(fields)]),
            forms @ conditional @ forms.T,
            bool(planes),
            tolerance,
        )
        total += weight * part.value
        error += abs(weight) * part.error
    return Estimate(total, error)


def _numeric(expression: Expr, fields: Sequence[Symbol]) -> Callable[..., np.ndarray]:
    function: Callable[..., np.ndarray] = lambdify(list(fields), expression, modules=["scipy", "numpy"])
    return function


def _without_deltas(
    term: Expr, fields: Sequence[Symbol], covariance: np.ndarray
) -> tuple[float, Expr, np.ndarray]:
    """Condition on the deltas: the density at zero, what is left, and its conditional covariance.

    In exact fractions, so that nearly singular covariances keep their digits.
    """
    weight, size = 1.0, len(fields)
    matrix = [[Fraction(entry) for entry in row] for row in covariance.tolist()]
    while term.has(DiracDelta):
        deltas = [f for f in Mul.make_args(term) if isinstance(f, DiracDelta)]
        if not deltas or len(deltas[0].args) > 1 or not _is_linear(deltas[0].args[0], fields):
            raise InputError(f"{term} cannot be integrated: only the delta of a sum of fields can be sampled")
        form = [Fraction(float(deltas[0].args[0].coeff(u))) for u in fields]
        towards = [_dot(form, row) for row in matrix]
        variance = _dot(form, towards)
        if variance <= 0:
            raise AverageDoesNotExist(f"the average does not exist: {deltas[0]} has no variance")
        weight /= np.sqrt(2 * np.pi * float(variance))
        matrix = [
            [matrix[a][b] - towards[a] * towards[b] / variance for b in range(size)] for a in range(size)
        ]
        pinned = {u: 0 for a, u in enumerate(fields) if matrix[a][a] == 0}
        term = (term / deltas[0]).subs(pinned)
    return weight, term, np.array([[float(entry) for entry in row] for row in matrix]).reshape(size, size)


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0))


def _kinks(expression: Expr, fields: Sequence[Symbol]) -> list[Expr]:
    """The linear forms of the fields at whose zeros the expression has kinks or jumps."""
    found: set[Expr] = set()
    for atom in expression.atoms(Abs, sign, Heaviside):
        found |= set(_linear_factors(atom.args[0]))
    for atom in expression.atoms(Max, Min):
        found |= {a - b for a in atom.args for b in atom.args if a != b}
    for atom in expression.atoms(Piecewise):
        conditions = [relation for _, condition in atom.args for relation in condition.atoms() | {condition}]
        found |= {r.lhs - r.rhs for r in conditions if r.is_Relational}
    return sorted((f for f in found if _is_linear(f, fields)), key=str)


def _linear_factors(argument: Expr) -> Iterator[Expr]:
    for factor in Mul.make_args(argument.factor()):
        yield factor.base if isinstance(factor, Pow) else factor


def _is_linear(form: Expr, fields: Sequence[Symbol]) -> bool:
    inside = form.free_symbols & set(fields)
    return (
        bool(inside)
        and form.is_polynomial(*inside)
        and Poly(form, *inside).is_homogeneous
        and Poly(form, *inside).total_degree() == 1
    )


@dataclass(frozen=True)
class Check:
    """How far a closed form is from quadrature, over random covariances.

    ``worst`` is the largest deviation, relative to the average where that is above one; ``covariance`` is
    where it was found, and ``error`` the quadrature's own error there.
    """

    worst: float
    error: float
    covariance: np.ndarray
    parameters: dict[str, float]
    draws: int


def check(given: Average, draws: int = 8, seed: int = 0, tolerance: float = 1e-12) -> Check:
    """Compare a closed form with quadrature at random covariances.

    Generic and nearly singular covariances test the closed form itself, by substitution to 30 digits;
    exactly degenerate ones (one in six: coinciding, collinear or vanishing fields) test ``Average.value``.
    Passed over are degenerate covariances at which the average does not exist, and vanishing fields where the
    function jumps.  Free parameters are drawn too.

    Raises InputError if the average cannot be integrated.
    """
    generic = average(given.argument, generic_covariance(given.fields))
    if not generic.closed:
        raise InputError("there is no closed form to check: the average is left to quadrature")
    rng = np.random.default_rng(seed)
    worst: Check | None = None
    for draw in range(draws):
        parameters = {
            s: float(rng.integers(8, 64)) / 64
            for s in sorted(given.argument.free_symbols - set(given.fields), key=str)
        }
        kind = ("generic", "generic", "near", "generic", "generic", "degenerate")[draw % 6]
        covariance = random_covariance(rng, len(given.fields), kind)
        if given.argument.has(sign, Heaviside) and not np.diag(covariance).all():
            continue
        argument = given.argument.xreplace(parameters)
        try:
            closed = _closed(generic, covariance, parameters, substitute=kind != "degenerate")
            numeric = integrate(argument, given.fields, covariance, tolerance)
        except AverageDoesNotExist:
            if kind == "degenerate":
                continue
            raise
        deviation = abs(closed - numeric.value) / max(1.0, abs(closed))
        if worst is None or not deviation <= worst.worst:
            names = {str(s): number for s, number in parameters.items()}
            worst = Check(deviation, numeric.error, covariance, names, draws)
    if worst is None:
        raise InputError("the average exists at none of the covariances drawn; ask for more draws")
    return worst


def _closed(
    generic: Average, covariance: np.ndarray, parameters: dict[Symbol, float], substitute: bool
) -> float:
    if substitute:
        symbols = generic.covariance
        numbers = {symbols[a, b]: covariance[a, b] for a in range(symbols.rows) for b in range(symbols.cols)}
        return float(evaluate(generic.expression, numbers | parameters, digits=30))
    numeric = average(generic.argument.xreplace(parameters), generic_covariance(generic.fields))
    return float(numeric.value(covariance))


def random_covariance(rng: Any, size: int, kind: str) -> np.ndarray:
    """A covariance without rounding errors; ``kind``: "generic", "near" (nearly singular) or "degenerate"."""
    rows = rng.integers(-48, 49, size=(size, size + 1)) / 64
    if kind != "generic" and size > 1:
        a, b = rng.choice(size, 2, replace=False)
        rows[a] = rng.choice([-2, 1]) * rows[b]
        if kind == "near":
            rows[a, 0] += 2.0**-12
        elif rng.integers(3) == 0:
            rows[a] = 0
    elif kind == "degenerate":
        rows[:] = 0
    return rows @ rows.T
