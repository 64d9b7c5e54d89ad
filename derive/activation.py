"""Activations by name: a function of one field, as sympy writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from sympy import Abs, DiracDelta, Expr, Heaviside, Rational, Symbol, erf, exp, log, pi, sign, sqrt, tanh

from derive.errors import DerivationError

u = Symbol("u", real=True)
slope = Symbol("a", real=True)

DEFINITIONS: dict[str, Expr] = {
    "erf": erf(u / sqrt(2)),
    "relu": u * Heaviside(u),
    "leaky-relu": u * Heaviside(u) + slope * u * Heaviside(-u),
    "identity": u,
    "step": Heaviside(u),
    "sign": sign(u),
    "abs": Abs(u),
    "gelu": u * (1 + erf(u / sqrt(2))) / 2,
    "normal-density": exp(-(u**2) / 2) / sqrt(2 * pi),
    "normal-cdf": (1 + erf(u / sqrt(2))) / 2,
    "tanh": tanh(u),
    "softplus": log(1 + exp(u)),
}

OTHER_NAMES = {
    "gaussian": "normal-density",
    "probit": "normal-cdf",
    "gaussian-cdf": "normal-cdf",
    "heaviside": "step",
    "theta": "step",
    "linear": "identity",
    "swish": "gelu",
    "dirac": "delta",
    "diracdelta": "delta",
    "prelu": "leaky-relu",
}
"""What functions are called elsewhere: the name of the same, or the nearest, function here."""


@dataclass(frozen=True)
class Activation:
    """A function of one field ``u``; derivatives are weak (distributions at kinks and jumps)."""

    name: str
    expression: Expr

    def __call__(self, argument: Expr) -> Expr:
        return self.expression.xreplace({u: argument})

    def derivative(self, argument: Expr, order: int = 1) -> Expr:
        return self.expression.diff(u, order).xreplace({u: argument})

    @property
    def has_gradient(self) -> bool:
        """Whether the derivative is a function: gradient descent needs it, step and sign lack it."""
        derivative = self.expression.diff(u).replace(
            lambda e: e.is_Mul and u in e.args and e.has(DiracDelta), lambda e: Rational(0)
        )
        return not derivative.has(DiracDelta)


def activation(name: str | Activation) -> Activation:
    """The activation of that name; ``leaky-relu(0.1)`` gives its slope, ``leaky-relu`` keeps the symbol a.

    Raises DerivationError for an unknown name, with the nearest known one.
    """
    if isinstance(name, Activation):
        return name
    match = re.fullmatch(r"\s*leaky-relu\(\s*([-+0-9.eE/]+)\s*\)\s*", name)
    if match:
        try:
            value = Rational(match.group(1))
        except (TypeError, ValueError) as error:
            raise DerivationError(f"the slope {match.group(1)!r} of leaky-relu is not a number") from error
        return Activation(name.strip(), DEFINITIONS["leaky-relu"].xreplace({slope: value}))
    if name not in DEFINITIONS:
        raise DerivationError(f"unknown activation {name!r}; {suggestion(name, DEFINITIONS)}")
    return Activation(name, DEFINITIONS[name])


def suggestion(name: str, known: Iterable[str]) -> str:
    """What may have been meant by an unknown name: the same function, the nearest spelling, or what there is."""
    spelled = {each.replace("_", "-"): each for each in known}
    plain = name.lower().replace("_", "-")
    meant = spelled.get(plain) or spelled.get(OTHER_NAMES.get(plain, ""))
    near = [meant] if meant else [spelled[n] for n in get_close_matches(plain, spelled, n=1, cutoff=0.4)]
    return f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(sorted(spelled.values()))
