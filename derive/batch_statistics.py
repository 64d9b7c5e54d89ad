"""Statistics of a batch as random variables, and what their fluctuations do to an expected loss.

M independent preactivations t of mean 0 and variance 1 (the population's normalization) have the batch mean m
and mean square 1 + q.  Given one of them, and to first order in 1/M,

    <m> = t/M,   <q> = (t^2 - 1)/M,   <m^2> = 1/M,   <m q> = mu_3/M,   <q^2> = (rho + 2)/M,

with the skewness mu_3 and the excess kurtosis rho; the first two vanish for statistics of another batch.  A loss
F of the preactivation normalized by them is expanded to second order in m and q:

    <F(batch)> = <F(t)> + (1/M) <F'(t) shift(t) + F''(t) spread(t) / 2>.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sympy import (
    Add,
    DiracDelta,
    Expr,
    Function,
    Poly,
    Rational,
    S,
    Subs,
    Symbol,
    exp,
    expand,
    integrate,
    oo,
    simplify,
    solve,
    sqrt,
    sympify,
)

from derive.activation import Activation, activation
from derive.errors import DerivationError
from derive.gaussian import average

samples = Symbol("M", positive=True)
"""Samples in a batch."""
kurtosis, skewness = Symbol("rho", real=True), Symbol("mu_3", real=True)
"""Excess kurtosis (zero for Gaussian preactivations) and skewness."""
t, y = Symbol("t", real=True), Symbol("y", real=True)
"""The normalized preactivation, and the teacher's field of variance one."""
gain = Symbol("gamma", positive=True)
cosine = Symbol("R", real=True)
"""Their correlation, <t y>."""

_m, _q, _h = Symbol("m", real=True), Symbol("q", real=True), Symbol("h", real=True)

NORMALIZED = {
    "batch": (t - _m) / sqrt(1 + _q - _m**2),
    "mean-only": t - _m,
    "variance-only": t / sqrt(1 + _q - _m**2),
    "root-mean-square": t / sqrt(1 + _q),
}
"""What is normalized by what: mean and standard deviation of the batch, one of them, or its root mean square."""


@dataclass(frozen=True)
class Fluctuation:
    """M times the mean of (normalized - t), and M times the mean of its square, given t, at leading order."""

    shift: Expr
    spread: Expr


@cache
def fluctuation(kind: str, independent: bool = False) -> Fluctuation:
    """The two coefficients for one kind of normalization; ``independent``: statistics of another batch.

    Raises DerivationError for an unknown kind.
    """
    loss = Function("F")
    term = _leading(loss(_normalized(kind)), independent).doit()
    first, second = loss(_h).diff(_h), loss(_h).diff(_h, 2)
    # Derivatives of F at t, whether sympy writes them as Subs or plainly.
    term = term.replace(lambda e: isinstance(e, Subs), lambda e: e.doit())
    polynomial = expand(_at_h(term, loss))
    return Fluctuation(simplify(polynomial.coeff(first, 1)), simplify(2 * polynomial.coeff(second, 1)))


def _normalized(kind: str) -> Expr:
    if kind not in NORMALIZED:
        raise DerivationError(f"unknown statistics {kind!r}; known: {', '.join(NORMALIZED)}")
    return NORMALIZED[kind]


def _leading(function: Expr, independent: bool) -> Expr:
    """M times the leading correction to a function of m and q, given t."""
    own = S.Zero if independent else S.One

    def at_population(*variables: Symbol) -> Expr:
        return function.diff(*variables).subs({_m: 0, _q: 0}) if variables else function

    return (
        own * t * at_population(_m)
        + own * (t**2 - 1) * at_population(_q)
        + at_population(_m, _m) / 2
        + skewness * at_population(_m, _q)
        + (kurtosis + 2) * at_population(_q, _q) / 2
    )


def _at_h(expression: Expr, loss: type[Function]) -> Expr:
    """F'(t) and F''(t) written with h for t where they stand."""
    first, second = loss(t).diff(t), loss(t).diff(t, 2)
    return expression.xreplace({second: loss(_h).diff(_h, 2), first: loss(_h).diff(_h)})


def deviation_moment(power: int, size: Expr | int = samples, centred: bool = True) -> Expr:
    """<s^power> exactly, of the standard deviation (or root mean square) of ``size`` Gaussian preactivations.

    size s^2 is a chi square with size - 1 degrees of freedom (size, where it is not centred).

    Raises DerivationError where the moment diverges: size too small.
    """
    size, lost = sympify(size), 1 if centred else 0
    if size.is_number and size <= lost - power:
        raise DerivationError(
            f"<s^{power}> of a batch's deviation diverges for M = {size}: it needs M of at least "
            f"{lost - power + 1}" + (", or M of at least 2 for any deviation" if power >= 0 else "")
        )
    free = size - lost
    z = Symbol("z", positive=True)

    def mass(more: Expr) -> Expr:
        return integrate(z ** (free / 2 + more - 1) * exp(-z / 2), (z, 0, oo), conds="none")

    return simplify(size ** Rational(-power, 2) * mass(Rational(power, 2)) / mass(S.Zero))


def deviation_expansion(power: int, centred: bool = True) -> Expr:
    """M (<s^power> - 1) at leading order, for any law of given kurtosis."""
    square = 1 + _q - (_m**2 if centred else 0)
    return simplify(_leading(square ** Rational(power, 2), independent=True))


def perceptron_loss(phi: str | Activation, teacher: str | Activation | None = None) -> Expr:
    """(teacher(y) - phi(gamma t))^2 / 2, with a teacher of the same activation unless another is given."""
    student = activation(phi)
    target = activation(phi if teacher is None else teacher)
    return (target(y) - student(gain * t)) ** 2 / 2


def correction(loss: Expr, kind: str, independent: bool = False) -> Expr:
    """M times the correction to the expected ``loss`` (in t and y) under batch statistics, Gaussian fields.

    Closed for linear and ReLU units; else with inert averages.
    """
    return gaussian(_integrand(loss, fluctuation(kind, independent)).subs({kurtosis: 0, skewness: 0}))


def _integrand(loss: Expr, coefficients: Fluctuation) -> Expr:
    first, second = _orders(loss, coefficients)
    return first + second


def _orders(loss: Expr, coefficients: Fluctuation) -> tuple[Expr, Expr]:
    """F' shift and F'' spread / 2."""
    slope = _regular(loss.diff(t))
    return expand(slope * coefficients.shift), expand(_regular(slope.diff(t)) * coefficients.spread / 2)


@dataclass(frozen=True)
class Part:
    """What is averaged over t and y, plus, of a unit with a kink at t = 0, what is averaged over y there, times
    the density of t at 0."""

    regular: Expr
    at_zero: Expr

    def diff(self, variable: Symbol) -> Part:
        return Part(_regular(self.regular.diff(variable)), self.at_zero.diff(variable))


def parts(loss: Expr, kind: str, independent: bool = False) -> tuple[Part, Part]:
    """The first-order and the second-order part of M times the correction, before any average: for any law of t,
    whose skewness and kurtosis stand in them."""
    first, second = _orders(loss, fluctuation(kind, independent))
    return _part(first), _part(second)


def _part(integrand: Expr) -> Part:
    deltas = [term for term in Add.make_args(integrand) if term.has(DiracDelta)]
    # delta(gamma t) = delta(t) / gamma.
    at_zero = [
        term.replace(lambda e: isinstance(e, DiracDelta), lambda e: 1 / e.args[0].diff(t)).subs(t, 0)
        for term in deltas
    ]
    return Part(Add(integrand, *(-term for term in deltas)), Add(*at_zero))


def linear_correction(kind: str, independent: bool = False) -> Expr:
    """The same for linear units and any law of t with given skewness and kurtosis; y = R t + independent."""
    rest = Symbol("rest", real=True)
    integrand = _integrand(perceptron_loss("identity"), fluctuation(kind, independent))
    polynomial = Poly(integrand.xreplace({y: cosine * t + rest}), t, rest)
    moments = {0: S.One, 1: S.Zero, 2: S.One, 3: skewness, 4: kurtosis + 3}
    total = S.Zero
    for (of_t, of_rest), coefficient in polynomial.terms():
        if of_rest % 2 == 0:
            variance = (1 - cosine**2) if of_rest else S.One
            total += coefficient * moments[of_t] * variance
    return simplify(total)


def population_loss(loss: Expr) -> Expr:
    """The expected loss under the population's normalization, Gaussian fields."""
    return gaussian(expand(loss))


def gaussian(integrand: Expr) -> Expr:
    """<integrand> over t and y, of variance one and correlation R."""
    return average(integrand, {(t, t): S.One, (t, y): cosine, (y, t): cosine, (y, y): S.One}).expression


def best_gain(phi: str) -> Expr:
    """The gain that minimizes the loss under the population's normalization: linear and ReLU units."""
    slope = population_loss(perceptron_loss(phi)).diff(gain)
    roots = solve(slope, gain)
    if len(roots) != 1:
        raise DerivationError(f"the loss of {phi} units has no closed best gain")
    return simplify(roots[0])


def gain_shift(phi: str, kind: str, independent: bool = False) -> Expr:
    """M times the relative change of the best gain under batch statistics: gamma* = gamma_0 (1 + this / M)."""
    loss = perceptron_loss(phi)
    best = best_gain(phi)
    pull = correction(loss, kind, independent).diff(gain)
    stiffness = population_loss(loss).diff(gain, 2)
    return simplify((-pull / stiffness).subs(gain, best) / best)


def decay_coefficient(phi: str, kind: str, independent: bool = False) -> Expr:
    """M zeta of the decay zeta gamma^2 that moves the best gain as batch statistics do, at leading order."""
    stiffness = population_loss(perceptron_loss(phi)).diff(gain, 2)
    return simplify(-gain_shift(phi, kind, independent) * stiffness.subs(gain, best_gain(phi)) / 2)


def response(kind: str) -> tuple[Expr, Expr]:
    """d(normalized)/dm and d(normalized)/dq at the population's statistics, in t."""
    function = _normalized(kind)
    mean, square = (function.diff(s).subs({_m: 0, _q: 0}) for s in (_m, _q))
    return mean, square


def joint_fluctuation(kind: str) -> Expr:
    """M times the mean product of (normalized - t) of two units, at leading order, given their t and y.

    Their Gaussian preactivations have the correlation R; at R = 1 and y = t it is the spread of one.
    """
    of_mean, of_square = response(kind)
    means, squares = joint_spread()
    return expand(means * of_mean * of_mean.subs(t, y) + squares * of_square * of_square.subs(t, y))


def joint_spread() -> tuple[Expr, Expr]:
    """M <m_i m_k> and M <q_i q_k> of two units whose Gaussian preactivations have the correlation R."""
    squares = gaussian(expand((t**2 - 1) * (y**2 - 1)))
    return gaussian(t * y), simplify(squares)


def _regular(expression: Expr) -> Expr:
    """Without t delta(t) = 0, which differentiating a kink leaves behind."""
    return Add(
        *(
            term
            for term in Add.make_args(expand(expression))
            if not (term.has(DiracDelta) and t in (f.as_base_exp()[0] for f in term.args))
        )
    )
