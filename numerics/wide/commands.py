"""The commands ``kappa`` and the theory of ``fim``."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import mpmath
from sympy import Expr

from derive.activation import Activation, activation, u
from derive.wide import Layer, Network, network
from numerics.runtime import userfile
from numerics.runtime.errors import InputError, unknown_name
from numerics.wide.fixed_points import fixed_point
from numerics.wide.predict import Prediction, inverse_variances, order_parameters, predict
from numerics.wide.proportional import bulk
from numerics.wide.units import SamplesAlike
from numerics.wide.values import DOUBLE

ACTIVATIONS = ("relu", "leaky-relu", "identity", "erf", "tanh", "gelu")
VARIED = ("weight-variance", "bias-variance", "slope", "depth")
DEFAULTS = {
    "depth": 3, "activation": "relu", "slope": None, "weight_variance": Fraction(2), "bias_variance": Fraction(0),
    "widths": None, "outputs": 1, "normalization": "none",
}  # fmt: skip
"""Of the options that describe a network: they are None where the command line does not say."""
NAMES = {
    "q_hat_t": "hat_t", "q_hat_st": "hat_st", "q_t": "q_t", "q_st": "q_st",
    "q_tilde_t": "tilde_t", "q_tilde_st": "tilde_st",
}  # fmt: skip
"""Order parameters under the names of JSON and of ``Signals``."""


def kappa_command(arguments: Namespace) -> int:
    """``orderparams kappa``: order parameters by layer, kappa_1 and kappa_2, on request their fixed point."""
    if arguments.digits < 1:
        raise InputError(f"--digits must be at least 1, not {arguments.digits}")
    rows = []
    for changes, model in networks(arguments):
        found, one, two = order_parameters(model, arguments.digits)
        columns = {name: getattr(found, own) for name, own in NAMES.items()}
        row = {"kappa_1": one, "kappa_2": two, **columns}
        if arguments.fixed_point:
            row["fixed_point"] = _fixed_point(model)
        rows.append((changes, row))
    if arguments.format == "json":
        plain = [changes | {k: _plain(v, arguments.digits) for k, v in row.items()} for changes, row in rows]
        print(json.dumps(plain if arguments.vary else plain[0]))
        return 0
    for changes, row in rows:
        varied = [f"{key} {value:g}" for key, value in changes.items()]
        kappas = [f"{key} {mpmath.nstr(row[key], arguments.digits)}" for key in ("kappa_1", "kappa_2")]
        print("  ".join(varied + kappas))
        if not arguments.vary:
            for name in NAMES:
                first = 0 if name.startswith("q_hat") else 1
                numbers = (mpmath.nstr(x, arguments.digits) for x in row[name])
                print(f"  {name:10} from layer {first}: {'  '.join(numbers)}")
        for name, value in row.get("fixed_point", {}).items():
            print(f"  fixed point: {name} {value if isinstance(value, str | None) else format(value, '.12g')}")
    return 0


def _fixed_point(model: Network) -> dict[str, Any]:
    """Where the hidden layers' recursions go; what is infinite is None, as JSON has no word for it.

    Raises InputError where hidden layers differ.
    """
    layer = model.layers[0]
    alike = (layer.activation, layer.weight_variance, layer.bias_variance)
    if any((each.activation, each.weight_variance, each.bias_variance) != alike for each in model.layers[1:-1]):
        raise InputError("--fixed-point is about layers that repeat: these hidden layers differ")
    found = fixed_point(layer.activation, float(layer.weight_variance), float(layer.bias_variance))
    properties = ("phase", "variance_depth", "correlation_depth", "gradient_depth")
    columns = vars(found) | {name: getattr(found, name) for name in properties}
    return {name: None if isinstance(x, float) and math.isinf(x) else x for name, x in columns.items()}


def fim_theory(arguments: Namespace) -> dict[str, Any]:
    """The columns of ``orderparams fim`` that the theory gives.

    ``bulk_edge``: where the spectrum ends that mean subtraction leaves, at this T/M; without normalization it lies
    below lambda_max.  ``bulk_lower`` and ``bulk_upper``: bounds by its first two moments.  With mean subtraction
    and more than two samples lambda_max *is* this edge (at two, one eigenvalue is left: the blocks' own), and so it
    is with batch normalization in the last layer, which divides all this by the variance of an output.
    """
    ((_, model),) = networks(arguments)
    found = predict(model, arguments.width, arguments.samples, corrections=True)
    columns = theory_columns(found)
    if model.normalization in ("none", "mean", "batch-last") and arguments.samples > 1:
        columns |= _bulk(found)
        if model.normalization != "none" and arguments.samples > 2 and columns["bulk_edge"] is not None:
            columns |= {"lambda_max": columns["bulk_edge"], "learning_rate": 2 / columns["bulk_edge"]}
    return columns


def _bulk(found: Prediction) -> dict[str, float | None]:
    """The columns of the bulk, None where samples are too alike for it to be computed."""
    model, samples = found.network, found.samples
    scale = square = 1.0
    if model.normalization == "batch-last":
        scale, square = inverse_variances(found.order_parameters, samples)
        model = replace(model, normalization="mean")
    try:
        rest = bulk(model, samples / found.width, max(2, found.width))
    except SamplesAlike:
        return {"bulk_edge": None, "bulk_lower": None, "bulk_upper": None}
    return {
        "bulk_edge": rest.edge * scale,
        "bulk_lower": rest.lower * scale,
        "bulk_upper": rest.upper(samples) * math.sqrt(square),
    }


def theory_columns(found: Prediction) -> dict[str, Any]:
    """A prediction as plain numbers by name; what does not exist is None."""
    names = (
        "kappa_1",
        "kappa_2",
        "alpha",
        "parameters",
        "m_lambda",
        "lambda_max",
        "lower",
        "upper",
        "learning_rate",
    )
    columns = {name: getattr(found, name) for name in names}
    return {name: None if isinstance(x, float) and math.isnan(x) else x for name, x in columns.items()}


def networks(arguments: Namespace) -> list[tuple[dict[str, Any], Network]]:
    """The networks that a command line asks for, with what varies from one to the next."""
    ranges = dict(_vary(text) for text in getattr(arguments, "vary", None) or ())
    options: dict[str, Any] = {key: getattr(arguments, key, None) for key in DEFAULTS}
    if arguments.network is not None:
        extra = sorted(key.replace("_", "-") for key, value in options.items() if value is not None)
        if extra or ranges:
            which = f"--{extra[0]}" if extra else "--vary"
            raise InputError(f"--network says all about the network: leave out {which}, or write it in the file")
        return [({}, listed_network(arguments.network))]
    options = {key: DEFAULTS[key] if value is None else value for key, value in options.items()}
    found = []
    for values in product(*ranges.values()):
        changes = dict(zip(ranges, values, strict=True))
        given = options | {key.replace("-", "_"): value for key, value in changes.items()}
        widths = None if given["widths"] is None else _widths(given["widths"])
        found.append(({key: value if key == "depth" else float(value) for key, value in changes.items()}, network(
            given["depth"], named_activation(given["activation"], given["slope"]), given["weight_variance"],
            given["bias_variance"], widths, given["outputs"], given["normalization"],
        )))  # fmt: skip
    return found


def listed_network(name: str) -> Network:
    """FILE.py:NAME: a Network, or a list of Layers behind inputs of width alpha_0 = 1.

    Raises InputError for anything else.
    """
    if not userfile.is_reference(name):
        raise InputError(f"--network {name!r}: write FILE.py:NAME, a list of derive.wide.Layer or a Network")
    given = userfile.load_reference(name, Path.cwd())
    if isinstance(given, Network):
        return given
    if not isinstance(given, list | tuple) or not all(isinstance(layer, Layer) for layer in given):
        raise InputError(f"{name} must be a list of derive.wide.Layer, the readout last, or a derive.wide.Network")
    return Network(tuple(given))


def named_activation(name: str, slope: Fraction | None = None) -> Activation:
    """An activation by name, or from FILE.py:NAME: a sympy expression in one variable, or an Activation.

    Raises InputError for a name that is not known, a missing or unused slope, and what is no activation.
    """
    if (slope is None) == (name == "leaky-relu"):
        raise InputError("--slope and the activation leaky-relu belong together: give both or neither")
    if name == "leaky-relu":
        return activation(f"leaky-relu({slope})")
    if not userfile.is_reference(name):
        if name not in ACTIVATIONS:
            raise unknown_name("activation", name, ACTIVATIONS)
        return activation(name)
    given = userfile.load_reference(name, Path.cwd())
    if isinstance(given, Activation):
        return given
    variables = sorted(given.free_symbols, key=str) if isinstance(given, Expr) else []
    if len(variables) != 1:
        raise InputError(f"{name} must be a sympy expression in one variable, or an Activation")
    return Activation(name, given.xreplace({variables[0]: u}))


def _vary(text: str) -> tuple[str, list[Any]]:
    key, _, values = text.partition("=")
    if key not in VARIED:
        raise unknown_name("parameter to vary", key, VARIED)
    parts = values.split(":")
    found: list[Any] = []
    try:
        if key == "depth" and len(parts) == 2:
            found = list(range(int(parts[0]), int(parts[1]) + 1))
        elif key != "depth" and len(parts) == 3:
            start, stop, count = Fraction(parts[0]), Fraction(parts[1]), int(parts[2])
            gap = (stop - start) / max(1, count - 1)
            found = [start + gap * k for k in range(count)]
    except (ValueError, ZeroDivisionError):
        pass
    if not found:
        raise InputError(f"--vary {text!r}: write depth=a:b (ends included) or KEY=start:stop:count (reals)")
    return key, found


def _widths(text: str) -> list[Fraction]:
    try:
        return [Fraction(word) for word in text.split(",")]
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--widths {text!r}: write alpha_0 to alpha_(L-1) as numbers, 1,1,1") from None


def _plain(value: Any, digits: int) -> Any:
    """Numbers of up to 15 digits as numbers, longer ones as text that keeps them."""
    if isinstance(value, dict):
        return value
    if isinstance(value, tuple):
        return [_plain(x, digits) for x in value]
    return float(value) if digits <= DOUBLE else mpmath.nstr(value, digits, strip_zeros=False)
