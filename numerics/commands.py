"""The commands of the command line that compute."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sympy import Symbol, srepr

from derive.gaussian import Average, average, generic_covariance
from derive.grammar import parse
from derive.text import text
from numerics import averages
from numerics.runtime import runfile
from numerics.runtime.errors import InputError
from numerics.runtime.results import check_writable, write_atomically


def average_command(arguments: Namespace) -> int:
    """``orderparams average``: a Gaussian average in closed form, and its number at a covariance."""
    from derive.latex import latex

    parsed = parse(arguments.expression)
    if not parsed.fields:
        raise InputError(f"there is no field to average over in {arguments.expression!r}")
    result = average(parsed.expression, generic_covariance(parsed.fields))
    value = None
    if arguments.covariance is not None:
        value = averages.value(result, read_covariance(arguments.covariance, result.fields))
    if arguments.format == "json":
        content = {
            "expression": str(result.expression),
            "closed": result.closed,
            "latex": latex(result.expression),
            "srepr": srepr(result.expression),
            "rules": list(result.rules),
            "fields": [str(field) for field in result.fields],
            "value": None if value is None else float(value.value),
        }
        if arguments.steps:
            content["steps"] = [
                {"rule": step.rule, "before": _before(step), "after": step.after} for step in result.steps
            ]
        print(json.dumps(content))
        return 0
    if arguments.format == "latex" and arguments.steps:
        for line in _steps(result):
            print(f"% {line}")
    print(latex(result.expression) if arguments.format == "latex" else result.expression)
    if arguments.format == "text":
        _print_remarks(result, arguments.steps, value)
    return 0


def landscape_command(arguments: Namespace) -> int:
    """``orderparams landscape``: fixed point, Hessians and Jacobian on the plateau, one entry a point."""
    from numerics.landscape import landscape

    run = runfile.load(arguments.run)
    varied = dict(runfile.parse_vary(text) for text in arguments.vary)
    q_star = _q_star(arguments.q_star)
    points = [landscape(each, q_star) for _, each in runfile.sweep(run, varied)]
    if arguments.format == "json":
        print(json.dumps(points, allow_nan=False))
        return 0
    for point in points:
        print(f"students {point['students']}, input variance {point['input_variance']:g}, "
              f"normalization {point['normalization']}")  # fmt: skip
        for name, value in (*point["fixed_point"].items(), ("eps_g", point["generalization_error"])):
            print(f"  {name:6} {value: .10g}")
        print(f"  gradient  {_numbers(point['gradient'])}")
        for name, words in (("hessian", "Hessian"), ("hessian_c_free", "Hessian, C free")):
            found = point[name]
            variables = ", ".join(found["variables"])
            print(f"  {words} in ({variables}): eigenvalues {_numbers(found['eigenvalues'])}")
        jacobian = point["jacobian"]
        for sector, value in zip(jacobian["sectors"], jacobian["eigenvalues"], strict=True):
            print(f"  Jacobian, {sector}: {value: .10g}")
    return 0


def generate_command(arguments: Namespace) -> int:
    """``orderparams generate``: a standalone right-hand side, its equations in comments."""
    from numerics.kernel.standalone import generate
    from numerics.runs import flow_of

    run = runfile.load(arguments.run)
    target = check_writable(arguments.out)
    write_atomically(target, generate(flow_of(run), arguments.target))
    return 0


def _q_star(text: str | None) -> float | None:
    """Q* from the command line; None stands for the paper's choice."""
    if text is None or text == "paper":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"--q-star must be 'paper' or a positive number, not {text!r}")
    return value


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.8g}" for value in values)


def _before(step: Any) -> str:
    conditions = "".join(f", {text(pinned)} = 0" for pinned in step.pinned)
    return f"<{text(step.before)}{conditions}>"


def _steps(result: Average) -> list[str]:
    return [f"{n}. {step.rule}: {_before(step)} -> {step.after}" for n, step in enumerate(result.steps, 1)]


def _print_remarks(result: Average, steps: bool, value: averages.Estimate | None) -> None:
    if not result.closed:
        print("not closed: the averages in <...> are left to quadrature")
    if steps:
        for line in _steps(result):
            print(line)
    elif result.rules:
        print(f"by the rules: {', '.join(result.rules)}")
    if value is not None:
        print(f"value: {float(value.value)!r} (error about {value.error:.1g})")


def read_covariance(path: str, fields: tuple[Symbol, ...]) -> list[list[float]]:
    """The matrix in the JSON file ``{"fields": [...], "matrix": [[...]]}``, in the order of ``fields``."""
    try:
        content = json.loads(Path(path).read_text())
    except OSError as error:
        raise InputError(f"cannot read the covariance {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, Mapping) or set(content) != {"fields", "matrix"}:
        raise InputError(f'{path} must hold {{"fields": [...], "matrix": [[...]]}} and nothing else')
    names, matrix = content["fields"], content["matrix"]
    if not isinstance(names, list) or not _is_square(matrix, len(names)):
        raise InputError(f"{path}: the matrix must have one row and one column for each of the fields")
    missing = [str(field) for field in fields if str(field) not in names]
    if missing:
        raise InputError(
            f"{path} has no covariance for the field {missing[0]!r}; it has {', '.join(map(str, names))}"
        )
    order = [names.index(str(field)) for field in fields]
    for row in matrix:
        for entry in row:
            if isinstance(entry, bool) or not isinstance(entry, (int, float)):
                raise InputError(f"{path}: the covariance needs numbers, not {entry!r}")
    return [[matrix[a][b] for b in order] for a in order]


def _is_square(matrix: Any, size: int) -> bool:
    rows = matrix if isinstance(matrix, list) else []
    return len(rows) == size and all(isinstance(row, list) and len(row) == size for row in rows)
