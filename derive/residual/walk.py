"""The stream under batch normalization: a reflected walk with steps N(0, 1).

Normalization gives every branch unit variance, so with S_k a sum of k standard normals, the stream after n
steps from zero has the law of max(0, S_1, ..., S_n): reverse the order of the steps.  Spitzer's identity gives
its transform,

    sum_n t^n <exp(z x_n)> = exp(sum_k t^k/k <exp(z max(S_k, 0))>),

and derivatives at z = 0 its moments, as sums of averages of one Gaussian.
"""

from __future__ import annotations

from functools import cache

from sympy import Expr, Function, S, Sum, Symbol, diff, exp, log

from derive.activation import activation, u
from derive.equation import Equation, Step
from derive.gaussian import average
from derive.residual.symbols import MEANING, j, k, n

_SOURCE = "Spitzer's identity"


def positive_part(order: int, steps: Expr) -> Expr:
    """<max(S_k, 0)^order> after ``steps`` steps, closed by the average engine."""
    variance = Symbol("q", positive=True)
    return average(activation("relu")(u) ** order, {(u, u): variance}).expression.subs(variance, steps)


@cache
def first_moment() -> Equation:
    """<x_n>."""
    slope, steps = _transform()
    term = positive_part(1, k) / k
    right = Sum(term, (k, 1, n))
    steps += (
        Step("derivative at z = 0", slope[0], note="1/(1 - t) times A(t) = sum_k t^k <max(S_k, 0)>/k"),
        Step("coefficient of t^n", slope[0], right, "1/(1 - t) sums the coefficients up to n"),
    )
    return Equation("mean of a reflected walk", Symbol("x_n"), right, MEANING, _SOURCE, steps)


@cache
def second_moment() -> Equation:
    """<x_n^2>."""
    slope, steps = _transform()
    single = positive_part(2, k) / k
    pair = positive_part(1, j) / j * positive_part(1, k - j) / (k - j)
    right = Sum(single + Sum(pair, (j, 1, k - 1)), (k, 1, n))
    steps += (
        Step("second derivative at z = 0", slope[1], note="B(t) = sum_k t^k <max(S_k, 0)^2>/k"),
        Step("coefficient of t^n", slope[1], right, "A(t)^2 is a Cauchy product"),
    )
    return Equation("mean square of a reflected walk", Symbol("x_n^2"), right, MEANING, _SOURCE, steps)


def walk(steps: int) -> tuple[Expr, Expr]:
    """<x_n> and <x_n^2> after a whole number of steps, exactly; (0, 0) after none."""
    if steps < 1:
        return S.Zero, S.Zero
    first, second = (equation().right.subs(n, steps).doit() for equation in (first_moment, second_moment))
    return first, second


def _transform() -> tuple[tuple[Expr, Expr], tuple[Step, ...]]:
    """First two derivatives of Spitzer's transform at z = 0, in A(t) and B(t), and how they come about."""
    t, z = Symbol("t", positive=True), Symbol("z", real=True)
    A, B = Function("A")(t), Function("B")(t)
    exponent = -log(1 - t) + z * A + z**2 * B / 2
    transform = exp(exponent)
    first = diff(transform, z).subs(z, 0).simplify()
    second = diff(transform, z, 2).subs(z, 0).simplify()
    expansion = Step("Spitzer's identity", transform, note="to second order in z; sum_k t^k/k = -log(1 - t)")
    return (first, second), (expansion,)
