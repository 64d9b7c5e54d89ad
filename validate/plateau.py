"""``orderparams plateau``: when a run enters the symmetric phase and leaves it, in theory and in simulation.

The level of the plateau is the error that the same flow has with its students made alike: they stay alike
for ever, so that they never leave.  A trajectory is on the plateau once its error is below 1.1 times that
level and has left it below 0.5 times (``numerics.plateau``).
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from numerics.plateau import ENTRY, ESCAPE, crossing_times, first_below
from numerics.runs import flow_of, solve_batch
from numerics.runtime import runfile
from numerics.runtime.errors import IncompleteResult, InputError
from numerics.runtime.results import check_writable, to_plain
from numerics.runtime.runfile import NORMALIZATIONS, Run, with_tables
from validate.runs import setup_of, simulation_backend
from validate.simulate import simulate
from validate.statistics import estimate

SIZE = 1000
"""The number of inputs of the simulation."""
VARIED = ("learning_rate", "students", "input_variance")


@dataclass(frozen=True)
class Theory:
    """Entry and escape of a trajectory of the flow; nan for what did not happen before the last time."""

    level: float
    entry: float
    escape: float
    error: np.ndarray


def plateau(arguments: Namespace) -> int:
    """Print entry and escape for every point; with learning rates varied, each normalization at its best."""
    run = runfile.load(arguments.run)
    varied = dict(runfile.parse_vary(text) for text in arguments.vary)
    for key in varied:
        if key not in VARIED:
            raise InputError(f"plateau varies {', '.join(VARIED)}, not {key}")
    if len(varied) > 1:
        raise InputError("plateau varies one parameter at a time")
    target = check_writable(arguments.plot, (".svg", ".pdf", ".png")) if arguments.plot else None
    points = []
    for changes, each in runfile.sweep(run, varied):
        points.append({**changes, **_point(each, arguments.replicas)})
    result: dict[str, Any] = {"points": points}
    if "learning_rate" in varied:
        result["best"] = best_learning_rates(run, varied["learning_rate"])
    if target is not None:
        _plot(points, varied, run, target)
    print(json.dumps(to_plain(result)) if arguments.format == "json" else _text(result, varied))
    return 0


def theory_of(runs: Sequence[Run]) -> list[Theory]:
    """The plateau of each of ``runs``, which differ in parameters only, from their flow."""
    flow = flow_of(runs[0])
    solution = solve_batch(runs, flow=flow)
    alike = solve_batch([_alike(run) for run in runs], flow=flow)
    for solved in (solution, alike):
        if not solved.complete:
            raise IncompleteResult(solved.message, solved)
    times = solution.times
    found = []
    for error, level in zip(solution["generalization_error"], alike["generalization_error"], strict=True):
        left = float(first_below(times, error / level, ESCAPE))
        at = float(np.interp(left, times, level)) if np.isfinite(left) else float(level[-1])
        entry, escape = crossing_times(times, error, at)
        found.append(Theory(at, float(entry), float(escape), error))
    return found


def _alike(run: Run) -> Run:
    """``run`` from a start at which all students are alike: the average over permutations of them."""
    initial, K = run.initial, run.parameters.students
    if np.ptp(initial.w) > 0:
        raise InputError("students with different second layers are never alike: there is no symmetric phase")
    same = np.eye(K)
    apart = (initial.Q.sum() - np.trace(initial.Q)) / (K * (K - 1))
    tables = {
        "Q": (np.trace(initial.Q) / K * same + apart * (1 - same)).tolist(),
        "R": np.tile(initial.R.mean(axis=0), (K, 1)).tolist(),
        "T": initial.T.tolist(), "w": initial.w.tolist(), "v": initial.v.tolist(),
    }  # fmt: skip
    if not (isinstance(run.model, str) and run.parameters.normalization == "none"):
        tables["g"] = [float(initial.g.mean())] * K
    return with_tables(run, initial=tables)


def _point(run: Run, replicas: int) -> dict[str, Any]:
    if run.parameters.students < 2:
        raise InputError("a symmetric phase needs at least 2 students")
    (theory,) = theory_of([run])
    point: dict[str, Any] = {
        "level": theory.level, "entry": theory.entry, "escape": theory.escape, "simulation": None,
        "time": run.times, "error": theory.error,
    }  # fmt: skip
    if np.isfinite(run.parameters.batch_size):
        point["simulation"] = _simulated(run, theory.level, replicas)
    return point


def _simulated(run: Run, level: float, replicas: int) -> dict[str, Any]:
    """Entry and escape of replicas: the chain where it holds (gaussian inputs), else every input drawn."""
    method = "chain" if run.simulation.input_law == "gaussian" else "direct"
    setup = setup_of(run)
    _, _, options = simulation_backend(setup)
    measured = simulate(
        setup, run.times, replicas, SIZE, method=method, progress=sys.stderr.isatty(), **options
    )
    entry, escape = crossing_times(measured.time, measured.generalization_error, level)
    return {
        "method": method,
        "size": SIZE,
        "replicas": replicas,
        "entry": _spread(entry),
        "escape": _spread(escape),
    }


def _spread(crossings: np.ndarray) -> dict[str, Any]:
    """How many replicas crossed; mean, standard error and standard deviation if all of them did."""
    happened = int(np.isfinite(crossings).sum())
    if happened < len(crossings) or happened < 2:
        return {"happened": happened, "mean": np.nan, "standard_error": np.nan, "deviation": np.nan}
    of_mean = estimate(crossings)
    return {"happened": happened, "mean": float(of_mean.value), "standard_error": float(of_mean.error),
            "deviation": float(np.std(crossings, ddof=1))}  # fmt: skip


def best_learning_rates(run: Run, rates: Sequence[float]) -> dict[str, dict[str, float]]:
    """For each normalization the learning rate, of those given, that leaves the plateau first, and when.

    ``nan`` where no rate leaves it before the last time.
    """
    best = {}
    for normalization in NORMALIZATIONS:
        runs = [_under(run, normalization, rate) for rate in rates]
        escapes = np.array([theory.escape for theory in theory_of(runs)])
        never = np.isnan(escapes).all()
        first = 0 if never else int(np.nanargmin(escapes))
        best[normalization] = {
            "learning_rate": np.nan if never else float(rates[first]), "escape": float(escapes[first])
        }  # fmt: skip
    return best


def _under(run: Run, normalization: str, rate: float) -> Run:
    """``run`` under another normalization: the gains learn at the same rate, where there are any."""
    if not isinstance(run.model, str):
        raise InputError("normalizations are compared for the committee machine, not for a model of your own")
    parameters = dict(run.source.get("parameters", {}))
    initial = dict(run.source.get("initial", {}))
    if normalization == "none":
        for key in ("gain_learning_rate", "gain_decay"):
            parameters.pop(key, None)
        initial.pop("g", None)
    parameters |= {"normalization": normalization, "learning_rate": rate}
    return with_tables(run, parameters=parameters, initial=initial, simulation={})


def _text(result: Mapping[str, Any], varied: Mapping[str, Sequence[float]]) -> str:
    lines = [
        f"on the plateau below {ENTRY:g} times its error, off it below {ESCAPE:g} times; times are steps / N"
    ]
    for point in result["points"]:
        name = ", ".join(f"{key} {point[key]:g}" for key in varied)
        lines.append(f"{name + ': ' if name else ''}level {point['level']:.6g}")
        lines.append(f"  theory      entry {_time(point['entry'])}   escape {_time(point['escape'])}")
        measured = point["simulation"]
        if measured is not None:
            words = "   ".join(
                f"{key} {_measured(measured[key], measured['replicas'])}" for key in ("entry", "escape")
            )
            lines.append(f"  simulation  {words}   ({measured['method']}, N = {measured['size']})")
    for normalization, best in result.get("best", {}).items():
        rate = "no learning rate leaves it" if np.isnan(best["learning_rate"]) else (
            f"learning rate {best['learning_rate']:g}, escape {_time(best['escape'])}"
        )  # fmt: skip
        lines.append(f"best, normalization {normalization}: {rate}")
    return "\n".join(lines)


def _time(value: float) -> str:
    return "never" if np.isnan(value) else f"{value:.5g}"


def _measured(spread: Mapping[str, Any], replicas: int) -> str:
    if np.isnan(spread["mean"]):
        return f"in {spread['happened']} of {replicas} replicas"
    return f"{spread['mean']:.5g} +- {spread['standard_error']:.2g} (spread {spread['deviation']:.2g})"


def _plot(
    points: Sequence[Mapping[str, Any]], varied: Mapping[str, Sequence[float]], run: Run, path: Path
) -> None:
    from validate import plots
    from validate.report import figures

    figure, ax = figures.panels()
    if not varied:
        ax.plot(run.times, points[0]["error"], label="theory")
        ax.axhline(points[0]["level"], color=figures.FAINT, lw=0.8, label="plateau")
        ax.set(yscale="log", xlabel="time (steps / N)", ylabel="generalization error")
    for key, values in varied.items():
        for name, colour in (("entry", figures.BLUE), ("escape", figures.VERMILION)):
            ax.plot(values, [point[name] for point in points], color=colour, label=f"{name}, theory")
            spreads = [point["simulation"][name] for point in points if point["simulation"] is not None]
            if spreads:
                means, deviations = ([spread[each] for spread in spreads] for each in ("mean", "deviation"))
                ax.errorbar(
                    values, means, deviations,
                    fmt="o", color=colour, mfc="white", label=f"{name}, simulation and its spread",
                )  # fmt: skip
        ax.set(xlabel=key.replace("_", " "), ylabel="time (steps / N)")
    ax.legend()
    plots.save(figure, path)
