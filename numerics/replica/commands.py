"""``orderparams replica``: replica-symmetric saddle points of an energy, a row a load."""

from __future__ import annotations

import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from derive.replica import Energy, known, read_loss
from derive.replica.pair import PairEnergy
from numerics.replica.pair.solve import PairSolution, pair_solutions
from numerics.replica.solve import SETTLED, Solution, solutions
from numerics.runtime.errors import IncompleteResult, InputError
from numerics.runtime.progress import progress
from numerics.runtime.results import versions
from numerics.runtime.userfile import is_reference, load_reference

COLUMNS = (
    ("alpha", "alpha"), ("phase", "phase"), ("free_energy", "free energy"), ("q", "q"), ("Q", "Q"), ("R", "R"),
    ("generalization_error", "eps_g"), ("training_loss", "training"), ("stability", "AT"),
    ("residual", "residual"),
)  # fmt: skip
MOST_LOADS = 10_000


def replica_command(arguments: Namespace) -> int:
    """Solve at every load, print the rows, and warn where replica symmetry is unstable.

    What is found before a load fails, or before an interruption, is printed as well; the status is then 3.
    """
    energy = _energy(arguments.energy, arguments.students, arguments.teachers)
    loads = read_range(arguments.alpha)
    beta = _number(arguments.beta, "--beta", infinite=True)
    noise, ridge = _number(arguments.noise, "--noise"), _number(arguments.ridge, "--ridge")
    found: Iterator[Solution | PairSolution]
    if isinstance(energy, PairEnergy):
        found = pair_solutions(energy, loads, beta, noise, ridge)
    else:
        found = solutions(energy, loads, beta, noise, ridge)
    rows: list[Solution | PairSolution] = []
    stopped: str | None = None
    try:
        rows.extend(progress(found, "loads", len(loads)))
    except (InputError, KeyboardInterrupt) as error:
        if not rows:
            raise
        stopped = str(error) or "interrupted"
    if arguments.format == "json":
        settings = {
            "energy": energy.name, "loss": str(energy.loss), "error": str(energy.error), "prior": energy.prior,
            "penalty": "sum" if isinstance(energy, PairEnergy) else energy.penalty, "beta": _plain(beta),
            "noise": noise, "ridge": ridge,
        }  # fmt: skip
        content = {
            "settings": settings, "rows": [row(r) for r in rows], "complete": stopped is None, "versions": versions(),
        }  # fmt: skip
        print(json.dumps(content, allow_nan=False))
    else:
        print(table(rows))
    for line in warnings(rows):
        print(f"orderparams: {line}", file=sys.stderr)
    if stopped is None:
        return 0
    print(f"orderparams: stopped after {len(rows)} of {len(loads)} loads: {stopped}", file=sys.stderr)
    return IncompleteResult.exit_status


def row(solution: Solution | PairSolution) -> dict[str, Any]:
    """A solution in what JSON can hold: "inf" and "-inf" as words."""
    return {**{name: _plain(value) for name, value in asdict(solution).items()}, "stable": solution.stable}


def table(rows: Sequence[Solution | PairSolution]) -> str:
    """The rows under their header, aligned; a matrix takes a column an entry."""
    lines = [_columns(solution) for solution in rows]
    cells = [[title for title, _ in lines[0]], *([_cell(value) for _, value in line] for line in lines)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    return "\n".join(
        "  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True)) for line in cells
    )


def _columns(solution: Solution | PairSolution) -> list[tuple[str, Any]]:
    """Titles and values; of symmetric matrices the entries on and above the diagonal."""
    values = asdict(solution)
    found: list[tuple[str, Any]] = []
    for name, title in COLUMNS:
        value = values[name]
        if not isinstance(value, tuple):
            found.append((title, value))
            continue
        for a, line in enumerate(value):
            found += [
                (f"{title}{a + 1}{b + 1}", entry) for b, entry in enumerate(line) if name == "R" or b >= a
            ]
    return found


def warnings(rows: Sequence[Solution | PairSolution]) -> list[str]:
    """A line for every stretch of loads at which replica symmetry is unstable, one for the crudest quadrature."""
    found: list[str] = []
    crudest = max(solution.quadrature_error for solution in rows)
    if crudest > SETTLED:
        found.append(f"warning: finer quadrature changes the saddle-point equations by up to {crudest:.1g}")
    stretch: list[Solution | PairSolution] = []
    for solution in [*rows, None]:
        if solution is not None and not solution.stable:
            stretch.append(solution)
        elif stretch:
            first, last = stretch[0], stretch[-1]
            where = f"alpha = {first.alpha:g}" + (f" to {last.alpha:g}" if last is not first else "")
            least = min(s.stability for s in stretch)
            found.append(
                f"warning: at beta = {first.beta:g} replica symmetry is unstable for {where} "
                f"(de Almeida-Thouless value {least:.4g}, stable above 0): the rows are an approximation there"
            )
            stretch = []
    return found


def read_range(text: str) -> list[float]:
    """A number, or start:stop:count with at least one number."""
    words = text.split(":")
    try:
        if len(words) == 1:
            return [float(text)]
        start, stop, count = float(words[0]), float(words[1]), int(words[2])
    except (ValueError, IndexError):
        raise InputError(f"--alpha must be a number or start:stop:count, as 0.1:3:60, not {text!r}") from None
    if len(words) != 3 or not 1 <= count <= MOST_LOADS or not (math.isfinite(start) and math.isfinite(stop)):
        raise InputError(f"--alpha must be a number or start:stop:count, as 0.1:3:60, not {text!r}")
    return [float(a) for a in np.linspace(start, stop, count)]


def _energy(text: str, students: int | None, teachers: int | None) -> Energy | PairEnergy:
    if is_reference(text):
        return read_loss(load_reference(text, Path()), text, students, teachers)
    if students or teachers:
        raise InputError(
            f"{text} has one student and one teacher; --students and --teachers are for FILE.py:name"
        )
    return known(text)


def _number(text: str, option: str, infinite: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value) or (math.isinf(value) and not infinite):
        raise InputError(f"{option} must be a number{' or inf' if infinite else ''}, not {text!r}")
    return value


def _plain(value: Any) -> Any:
    """Infinity as a word, which JSON can hold."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.8g}"
