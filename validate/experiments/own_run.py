"""Theory against simulation for a run file: the user's own model and parameters.

The flow is derived from the run's sample loss; the simulation, at several N, from its microscopic definition.
Criterion: at up to five times, no entry of Q, R, g, extrapolated in 1/N, is rejected by Holm's procedure at a
level of 1 %.  Where the flow amplifies small displacements, as past a plateau, finite N shifts single runs by
more than 1/N describes; times after a displacement has grown fivefold are drawn, not judged.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from derive.online import derive_flow
from numerics.models import model_of
from numerics.runtime import runfile
from numerics.runtime.userfile import is_reference
from validate import statistics
from validate.experiments import Context, Curves, Experiment, Theory
from validate.experiments.comparison import compare, entries, level_of_one, rejected
from validate.experiments.simulation import backend_of, recorded, trajectories
from validate.report.model import Check, ExperimentResult, Picture
from validate.runs import setup_of
from validate.simulate import Setup, Trajectories
from validate.statistics import FAMILY_LEVEL

AMPLIFICATION = 5.0
"""Times are judged until a small displacement of the start has grown by this factor."""
JUDGED = 5
SIZES, REPLICAS = (100, 300, 1000), 64


@dataclass(frozen=True)
class Settings:
    """The run file, and what is simulated."""

    path: str
    sizes: tuple[int, ...]
    replicas: int
    seed: int


def experiment_of(
    path: str, sizes: Sequence[int] | None, replicas: int | None, seed: int | None
) -> Experiment:
    """The experiment that compares theory and simulation of a run file.

    Raises InputError for a run that is wrong or cannot be simulated (an infinite batch).
    """
    setup_of(runfile.load(path))
    full = Settings(os.fspath(path), tuple(sizes or SIZES), replicas or REPLICAS, seed or 0)
    quick = replace(full, sizes=tuple(sizes or SIZES[:2]), replicas=replicas or REPLICAS // 2)
    return Experiment(
        title=f"Theory against simulation: {Path(path).name}",
        question="Does the flow derived from this loss describe its simulation?",
        run=run,
        full=full,
        quick=quick,
    )


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Derive, simulate at every size, compare."""
    described = runfile.load(settings.path)
    setup = setup_of(described)
    flow = derive_flow(model_of(described))
    theory = Theory(flow)
    context.say("  derived the flow; simulating")
    measured = _simulate(settings, setup, described, context)
    curves, judged = _theory(theory, setup, described.times)
    comparison = compare(measured, curves, {}, judged) if judged else None
    check = _check(comparison, described.times, judged)
    answer = (
        f"Yes, up to t = {described.times[judged[-1]]:g}: the largest of {comparison.z.size} deviations is "
        f"{np.abs(comparison.z).max():.1f} standard errors."
        if comparison is not None and check.passed
        else f"{'It was not tested' if comparison is None else 'No'}: {check.details['why']}."
    )
    return context.result(
        answer,
        checks=[check],
        figures={"own-run": _figure(settings, measured, curves, described.times, judged)},
        equations=flow.equations,
        seeds={"seeds": {str(size): settings.seed + k for k, size in enumerate(settings.sizes)}},
        settings={"run": dict(described.source)},
    )


def _simulate(
    settings: Settings, setup: Setup, described: runfile.Run, context: Context
) -> list[Trajectories]:
    backend = backend_of(setup, context.backend)
    order = sorted(range(len(settings.sizes)), key=lambda k: -settings.sizes[k])
    arrays = context.pieces(
        own_simulation,
        [
            {
                "path": str(Path(settings.path).resolve()), "content": _digest(described),
                "replicas": settings.replicas, "size": settings.sizes[k], "seed": settings.seed + k,
                "backend": backend,
            }
            for k in order
        ],
        "simulate",
    )  # fmt: skip
    found = dict(zip(order, arrays, strict=True))
    return [
        trajectories(found[k], setup, size, settings.seed + k, "direct")
        for k, size in enumerate(settings.sizes)
    ]


def own_simulation(
    path: str, content: str, replicas: int, size: int, seed: int, backend: str
) -> dict[str, np.ndarray]:
    """One simulation of a run file as a piece; ``content`` tells apart what the file says."""
    described = runfile.load(path)
    return recorded(setup_of(described), described.times, replicas, size, seed, "direct", backend)


def _digest(described: runfile.Run) -> str:
    """A hash of the run and of the user's files that it names."""
    total = hashlib.sha256(repr(described.source).encode())
    named = (described.source.get("model"), described.source.get("parameters", {}).get("activation"))
    for reference in named:
        if isinstance(reference, str) and is_reference(reference):
            total.update((described.folder / reference.rpartition(":")[0]).read_bytes())
    return total.hexdigest()


def _theory(theory: Theory, setup: Setup, times: np.ndarray) -> tuple[Curves, list[int]]:
    """The curves, and the positions of the times to be judged."""
    displaced = np.random.default_rng(0).standard_normal(setup.R.shape)
    step = 1e-5 * max(1.0, float(np.abs(setup.R).max()))
    curves = theory.solve(setup, times)
    moved = theory.solve(replace(setup, R=setup.R + step * displaced), times)
    distance = np.abs(entries(moved)[1] - entries(curves)[1]).max(axis=-1)
    grown = np.flatnonzero(distance > AMPLIFICATION * step * np.abs(displaced).max())
    last = int(grown[0]) - 1 if len(grown) else len(times) - 1
    first = 1 if times[0] == 0 else 0
    if last < first:
        return curves, []
    return curves, sorted({int(k) for k in np.linspace(first, last, JUDGED + 1)[1:].round()} | {last})[
        :JUDGED
    ]


def _check(comparison: Any, times: np.ndarray, judged: Sequence[int]) -> Check:
    criterion = f"no entry rejected by Holm's procedure, level {FAMILY_LEVEL:g}"
    statement = "Q, R and g of the simulation at infinite N follow the derived flow"
    if comparison is None:
        why = "the flow amplifies small displacements from the start on, so single runs spread"
        return Check("run: flow", statement, None, None, criterion, None, details={"why": why})
    worst = comparison.worst()
    passed = not rejected([comparison])[0]
    return Check(
        name="run: flow", statement=statement, predicted=worst["predicted"], measured=worst["measured"],
        standard_error=worst["error"], criterion=criterion, passed=passed, z=worst["z"],
        p_value=worst["p_value"],
        details={
            "shown": f"the entry of largest |z|: {worst['entry']} at t = {worst['time']:g}",
            "entries": comparison.z.size, "times judged": [float(times[k]) for k in judged],
            "level of one": level_of_one([comparison]),
            "why": f"{worst['entry']} at t = {worst['time']:g} is {worst['measured']:.5g} at infinite N and "
            f"{worst['predicted']:.5g} in the flow, {abs(worst['z']):.1f} standard errors apart",
        },
    )  # fmt: skip


def _figure(
    settings: Settings, measured: Sequence[Trajectories], curves: Curves, times: np.ndarray,
    judged: Sequence[int],
) -> Picture:  # fmt: skip
    from validate.report.figures import COLOURS, FAINT, panels, theory_with_simulation

    figure, axes = panels(2, 1)
    error = statistics.estimate(measured[-1].generalization_error)
    theory_with_simulation(axes[0], times, curves.generalization_error, error.value, error.error, band=True)
    axes[0].set_ylabel("generalization error")
    names, values = entries(measured[-1])
    found, theory = statistics.estimate(values), entries(curves)[1]
    shown = [e for e, name in enumerate(names) if name[0] == "R"][:6]
    for k, e in enumerate(shown):
        theory_with_simulation(
            axes[1], times, theory[:, e], found.value[:, e], found.error[:, e],
            label=f"${names[e][0]}_{{{names[e][2:]}}}$", colour=COLOURS[k % len(COLOURS)], band=True,
        )  # fmt: skip
    axes[1].set_ylabel("overlaps with the teacher")
    axes[1].legend()
    for ax in axes:
        ax.set_xlabel("time, steps / $N$")
        if judged:
            ax.axvline(times[judged[-1]], color=FAINT, lw=0.8, ls=":")
    return Picture(
        figure,
        f"The derived flow (lines) and the mean of {settings.replicas} simulations at N = "
        f"{settings.sizes[-1]} (bands of two standard errors). Left of the dotted line the extrapolation "
        "to infinite N is judged.",
    )
