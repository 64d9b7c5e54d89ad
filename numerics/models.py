"""From a run file to the model that derive knows, and to the values of its symbols."""

from __future__ import annotations

from typing import Any

from sympy import Expr, Symbol, sympify

from derive.activation import Activation, u
from derive.model import Model, committee
from derive.symbols import PARAMETERS, gain_decay, weight_decay
from numerics.runtime.errors import InputError
from numerics.runtime.runfile import Run


def model_of(run: Run) -> Model:
    """The model that ``run`` studies: the committee machine, or the user's own sample loss.

    A user's object is a sympy expression, or has one as ``loss`` and may have a ``penalty`` (added without
    data) and ``radial`` (whether the gradient through the overlaps is followed; default true).
    """
    if isinstance(run.model, str):
        return committee(_activation(run.parameters.activation), run.parameters.normalization)
    if isinstance(run.model, Model):
        model = run.model
    else:
        loss = getattr(run.model, "loss", run.model)
        if not isinstance(loss, Expr):
            raise InputError(
                f"the model {run.source['model']!r} is a {type(loss).__name__}; "
                "it must be a sympy expression, or have one as its attribute loss"
            )
        penalty = sympify(getattr(run.model, "penalty", 0))
        radial = bool(getattr(run.model, "radial", True))
        model = Model(loss=loss, penalty=penalty, radial=radial, name=str(run.source["model"]))
    for key, symbol in (("weight_decay", weight_decay), ("gain_decay", gain_decay)):
        if getattr(run.parameters, key) and symbol not in model.penalty.free_symbols:
            raise InputError(f"{key} needs a penalty in the model that holds the symbol {symbol}")
    return model


def _activation(given: Any) -> str | Activation:
    if isinstance(given, str | Activation):
        return given
    if not isinstance(given, Expr):
        raise InputError(
            f"the activation is a {type(given).__name__}; it must be a sympy expression in one variable"
        )
    variables = sorted(given.free_symbols, key=str)
    if len(variables) != 1 or not isinstance(variables[0], Symbol):
        raise InputError(f"the activation {given} must depend on one variable, not on {len(variables)}")
    return Activation(str(given), given.xreplace({variables[0]: u}))


def parameter_values(run: Run) -> dict[str, float]:
    """The run's parameters under the names of their symbols in derived expressions."""
    return {symbol.name: float(getattr(run.parameters, key)) for key, symbol in PARAMETERS.items()}
