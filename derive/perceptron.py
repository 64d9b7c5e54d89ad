"""One unit that learns from one unit: the flow of gain, angle and norm under weight normalization.

The engine of online learning gives the flow of Q = J.J, R = J.B and g for the loss
(phi(y) - phi(g x / |J|))^2 / 2 + zeta g^2 / 2.  A change of variables turns it into that of

    gamma = g,   R = J.B / (|J| |B|),   L = |J|,

and the averages over one sample are those of delta = phi'(h) (phi(y) - phi(h)), h = gamma J.xi / L:

    I1 = <delta h>,   I2 = <delta^2>,   I3 = <delta y>.

Inputs have variance one and the teacher norm one.  With population statistics, batch normalization of a
single unit is this weight normalization.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from sympy import (
    Derivative,
    DiracDelta,
    Expr,
    ImmutableMatrix,
    S,
    Symbol,
    asin,
    cos,
    expand_mul,
    pi,
    simplify,
    sin,
    solve,
    sqrt,
)

from derive.activation import Activation, activation
from derive.equation import Equation
from derive.errors import DerivationError
from derive.gaussian import average
from derive.model import Model, student_sum, teacher_sum, teacher_unit, unit
from derive.online import MEANING, derive_flow, time
from derive.sites import Q_, R_, SiteFlow, g_, reduce_flow
from derive.symbols import K, Q, batch, eta, eta_g, g, gain_decay, label_noise, noise, tau, x, y

gamma = Symbol("gamma", positive=True)
angle = Symbol("R", real=True)
"""The normalized overlap, the cosine of the angle between the weight vectors."""
norm = Symbol("L", positive=True)

_theta = Symbol("theta", positive=True)
_s, _t = Symbol("s", real=True), Symbol("t", real=True)


def perceptron_model(phi: str | Activation) -> Model:
    """The loss of one sample: weight normalization with a gain that decays, one unit on each side."""
    phi = activation(phi)
    output = student_sum(phi(g[unit] * x[unit] / sqrt(Q[unit, unit])))
    return Model(
        loss=(teacher_sum(phi(y[teacher_unit])) + noise - output) ** 2 / 2,
        penalty=gain_decay / 2 * student_sum(g[unit] ** 2),
        name=f"{phi.name} perceptron, weight normalization with gamma decay",
    )


@dataclass(frozen=True)
class Perceptron:
    """The derived flow of (gamma, R, L) for one activation; one learning rate for weights and gain."""

    phi: Activation
    site: SiteFlow

    @cached_property
    def rates(self) -> Mapping[Symbol, Expr]:
        """d(gamma, R, L)/dt per unit of time steps / N, by the chain rule from the engine's dQ, dR, dg."""
        return polar_rates(self.site)

    @property
    def equations(self) -> tuple[Equation, ...]:
        """The flow as equations for print."""
        meaning = {"gamma": "the gain", "R": "J.B / (|J| |B|)", "L": "|J|", "zeta": "the decay of the gain"}
        source = "derived from the sample loss, by a change of variables"
        return tuple(
            Equation(f"perceptron.{s}", Derivative(s, time), rate, meaning={**MEANING, **meaning}, source=source)
            for s, rate in self.rates.items()
        )

    @cached_property
    def drift(self) -> Mapping[Symbol, Expr]:
        """The rates at first order in the learning rate: an infinite batch."""
        return {s: rate.coeff(eta, 1) * eta for s, rate in self.rates.items()}

    @cached_property
    def I1(self) -> Expr:
        """<delta h>."""
        return self._average(_s)

    @cached_property
    def I2(self) -> Expr:
        """<delta^2>, as xi.xi / N is one."""
        return self._average(self._delta)

    @cached_property
    def I3(self) -> Expr:
        """<delta y>."""
        return self._average(_t)

    @property
    def _delta(self) -> Expr:
        slope = self.phi.derivative(_s)
        # s delta(s) = 0, which differentiating a kink leaves behind.
        slope = slope.replace(lambda e: e.is_Mul and _s in e.args and e.has(DiracDelta), lambda e: S.Zero)
        return slope * (self.phi(_t) - self.phi(_s))

    def _average(self, factor: Expr) -> Expr:
        covariance = {(_s, _s): gamma**2, (_s, _t): gamma * angle, (_t, _s): gamma * angle, (_t, _t): S.One}
        return _plain(average(self._delta * factor, covariance).expression)

    @cached_property
    def gain(self) -> Expr:
        """gamma_0 of R = 1 where the gain is at rest, in zeta.

        Raises DerivationError where the equation has no closed solution (erf): solve it numerically.
        """
        (expression,) = {at_alignment(self.drift[gamma])}
        if not expression.is_rational_function(gamma):
            raise DerivationError(
                f"the gain of the {self.phi.name} perceptron at rest has no closed form; solve it at a number"
            )
        roots = [r for r in solve(expression, gamma) if r.subs(gain_decay, S.One).is_positive]
        if len(roots) != 1:
            raise DerivationError(f"the gain is at rest at {len(roots)} points")
        return simplify(roots[0])

    @cached_property
    def jacobian(self) -> ImmutableMatrix:
        """d(rate of a)/d b at R = 1 for a, b in (gamma, R, L), complete, in gamma and L; one sample a step."""
        order = (gamma, angle, norm)
        online = {batch: S.One, label_noise: S.Zero}
        return ImmutableMatrix(
            [[slope(self.rates[a].xreplace(online), b) for b in order] for a in order]
        )


@dataclass(frozen=True)
class LongTime:
    """What becomes of a gain that decays at late times, in gamma (the gain at rest) and per unit of time:
    L^4 / t, and (1 - R) sqrt(t).  Zero where the gain at rest is that of the teacher."""

    norm4: Expr
    misalignment: Expr


def long_time(p: Perceptron) -> LongTime:
    """The late flow where gamma_0 < 1, one sample a step: delta does not vanish at R = 1, so that

        d L^4 / dt = 4 L^3 dL/dt = 4 c,     d(1 - R)/dt = -r (1 - R) / L^2 + s / L^4.

    L grows for ever, and 1 - R follows its quasi-static value s / (r L^2), since r / L^2 falls as t^(-1/2)
    only.
    """
    online = {batch: S.One, label_noise: S.Zero}
    c = simplify(at_alignment(p.rates[norm].xreplace(online)) * norm**3)
    s = simplify(-at_alignment(p.rates[angle].xreplace(online)) * norm**4)
    r = simplify(-slope(p.drift[angle], angle) * norm**2)
    return LongTime(4 * c, simplify(s / (r * sqrt(4 * c))))


def polar_rates(site: SiteFlow) -> dict[Symbol, Expr]:
    """The rates of a single unit's flow in (gamma, R, L); without a normalization there is no gamma."""
    at = {Q_: norm**2, R_: norm * angle, g_: gamma, K: S.One, tau: S.One, eta_g: eta}
    rate = {s: site.rates[s].xreplace(at) for s in (Q_, R_, g_) if s in site.state}
    change = rate[Q_] / (2 * norm)
    turn = (rate[R_] - angle * change) / norm
    gain = {gamma: _plain(rate[g_])} if g_ in rate else {}
    return {**gain, angle: _plain(turn), norm: _plain(change)}


def at_alignment(expression: Expr) -> Expr:
    """The expression at R = 1."""
    return simplify(expression.xreplace({angle: S.One}))


def slope(expression: Expr, variable: Symbol) -> Expr:
    """d expression / d variable at R = 1, in gamma and L.

    Closed forms of kinked units hold sqrt(1 - R^2) and asin(R).  In R = cos(theta) they are analytic, and
    where the derivative by theta vanishes at 0, d/dR is minus the second one.

    Raises DerivationError where the expression has no derivative at R = 1.
    """
    if variable != angle:
        return at_alignment(expression.diff(variable))
    first = _in_theta(expression).diff(_theta)
    if simplify(first.xreplace({_theta: S.Zero})) != 0:
        raise DerivationError(f"no derivative by R at R = 1: {expression}")
    return simplify(-first.diff(_theta).xreplace({_theta: S.Zero}))


def _plain(expression: Expr) -> Expr:
    """Square roots of s^2 (1 - R^2), s the gain or the norm, taken apart, and products multiplied out."""
    apart: dict[Expr, Expr] = {}
    for scale in (gamma, norm):
        inner = scale**2 - angle**2 * scale**2
        apart |= {sqrt(inner): scale * sqrt(1 - angle**2), 1 / sqrt(inner): 1 / (scale * sqrt(1 - angle**2))}
    return expand_mul(expression.xreplace(apart))


def _in_theta(expression: Expr) -> Expr:
    """The expression at R = cos(theta), 0 <= theta < pi, with its square roots and arcsines resolved."""
    theta = expression.xreplace({sqrt(1 - angle**2): sin(_theta), asin(angle): pi / 2 - _theta})
    return theta.xreplace({angle: cos(_theta)})


@cache
def perceptron(phi: str) -> Perceptron:
    """The perceptron of that activation, derived once."""
    return Perceptron(activation(phi), reduce_flow(derive_flow(perceptron_model(phi))))
