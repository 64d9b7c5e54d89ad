"""Energies: the loss of one example in the fields of student and teacher, and a prior on the weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from sympy import Expr, Heaviside, Indexed, Integer, S, Sum, Symbol, sign, sympify

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


def read_loss(given: Any, name: str) -> Energy:
    """An energy from what a user wrote: an ``Energy``, a loss, or an object with a ``loss`` and any of
    ``error``, ``prior``, ``precision``.

    A loss is written in x, y, noise, or in x[i], y[n] and sums over one student and one teacher.  Without an
    error of its own the loss without noise is taken; without a prior, a Gaussian one.

    Raises DerivationError for a loss with other symbols.
    """
    if isinstance(given, Energy):
        return given
    loss = _plain(getattr(given, "loss", given), name)
    error = getattr(given, "error", None)
    prior: Any = getattr(given, "prior", "gaussian")
    precision = sympify(getattr(given, "precision", 0))
    if prior not in ("gaussian", "spherical"):
        raise DerivationError(f"the prior of {name} must be 'gaussian' or 'spherical', not {prior!r}")
    if not precision.is_number or precision < 0:
        raise DerivationError(f"the precision of {name} must be a number of at least 0, not {precision}")
    if not loss.has(x):
        raise DerivationError(f"{name} does not depend on the student's field x")
    return Energy(
        name, loss, loss.xreplace({noise: S.Zero}) if error is None else _plain(error, name), prior, precision
    )


def _plain(expression: Any, name: str) -> Expr:
    """The expression in x, y, noise: one student, one teacher, second layers of one."""
    try:
        expression = sympify(expression)
    except Exception:
        raise DerivationError(f"{name} is not an expression") from None
    if not isinstance(expression, Expr):
        raise DerivationError(f"{name} is not an expression but a {type(expression).__name__}")
    single = {s: Integer(1) for s in expression.free_symbols if s.name in ("K", "M")}
    expression = expression.xreplace(single).replace(lambda e: isinstance(e, Sum), lambda e: e.doit())
    fields: dict[str, Expr] = {"x": x, "y": y, "w": Integer(1), "v": Integer(1)}
    for atom in expression.atoms(Indexed):
        base = str(atom.base.label)
        if base not in fields or set(atom.indices) != {Integer(1)}:
            raise DerivationError(f"{name} holds {atom}; replicas take one student x[1] and one teacher y[1]")
        expression = expression.xreplace({atom: fields[base]})
    plain = {"x": x, "y": y, "noise": noise}
    for symbol in expression.free_symbols:
        if not isinstance(symbol, Symbol) or symbol.name not in plain:
            raise DerivationError(f"{name} holds the symbol {symbol}; a loss is written in x, y and noise")
        expression = expression.xreplace({symbol: plain[symbol.name]})
    return expression
