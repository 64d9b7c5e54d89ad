"""Energies: the loss of one example in the fields of student and teacher, and a prior on the weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from sympy import Expr, Heaviside, Integer, S, sign

from derive.activation import activation
from derive.errors import DerivationError
from derive.replica.symbols import noise, noise_variance, t, x, y

Prior = Literal["gaussian", "spherical"]
Penalty = Literal["sum", "mean"]


@dataclass(frozen=True)
class Energy:
    """The energy of a student with weights J: sum over examples of ``loss``, plus lambda |J|^2 / 2.

    loss       of the student's field x, the teacher's field y and the label ``noise``
    error      what a new example costs, a function of x and y; its average is the generalization error
    prior      ``gaussian``: density exp(-precision |J|^2 / 2); ``spherical``: |J|^2 = N
    precision  of the Gaussian prior; 0 leaves the ridge alone, which acts with the temperature
    penalty    what a strength zeta means: ``sum``, zeta |J|^2 beside the sum of the squared errors, so
               lambda = zeta; ``mean``, zeta |J|^2/N beside their mean, so lambda = alpha zeta
    """

    name: str
    loss: Expr
    error: Expr
    prior: Prior = "gaussian"
    precision: Expr = S.Zero
    penalty: Penalty = "sum"

    @cached_property
    def target(self) -> tuple[Expr, Expr, bool]:
        """The loss in x and t (and noise), the variance of t, and whether noise stays on its own.

        Where the loss knows only y + noise, that sum is t; else t is y.
        """
        joined = self.loss.subs(noise, t - y)
        joined = joined.expand() if joined.has(y) else joined
        if self.loss.has(noise) and not joined.has(y):
            return joined, 1 + noise_variance, False
        return self.loss.xreplace({y: t}), Integer(1), self.loss.has(noise)

    def ridge(self, strength: Any, load: Any) -> Any:
        """lambda, from the strength of the penalty and the load."""
        return strength if self.penalty == "sum" else load * strength


_square = (y + noise - x) ** 2 / 2
_relu = activation("relu")(x)

_KNOWN = {
    "linear": Energy("linear", _square, (y - x) ** 2),
    "linear-decay": Energy("linear-decay", _square, (y - x) ** 2, penalty="mean"),
    "relu": Energy("relu", (y + noise - _relu) ** 2 / 2, (y - _relu) ** 2),
    "sign": Energy("sign", Heaviside(-x * (y + noise)), (1 - sign(x) * sign(y)) / 2, prior="spherical"),
    "pseudo-inverse": Energy("pseudo-inverse", (sign(y + noise) - x) ** 2 / 2, (1 - sign(x) * sign(y)) / 2),
}


def known(name: str) -> Energy:
    """A built-in energy.

    ``linear``, ``linear-decay``: a linear student of a linear teacher with label noise, squared loss;
    ``relu``: a ReLU student of the same teacher; ``sign``: a perceptron of the teacher's noisy sign, one unit
    of energy an error, weights on the sphere; ``pseudo-inverse``: least squares on that sign.

    Raises DerivationError for another name.
    """
    if name not in _KNOWN:
        raise DerivationError(f"unknown energy {name!r}; known: {', '.join(_KNOWN)}, or FILE.py:name")
    return _KNOWN[name]
