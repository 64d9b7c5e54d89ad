"""Which experiments there are, and how one asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any

from numerics.runtime.errors import unknown_name

if TYPE_CHECKING:
    from validate.experiments.context import Context
    from validate.report.model import ExperimentResult

PAPERS = ("takagi2020", "luo2019", "reyes2020", "karakida2019", "bjorck2018")


@dataclass(frozen=True)
class Experiment:
    """A question, and the function that answers it: ``run(settings, context)``.

    ``full`` and ``quick`` are the settings of the standard and of the short run, frozen dataclasses of values
    that JSON can hold; the report shows them.
    """

    title: str
    question: str
    run: Callable[[Any, Context], ExperimentResult]
    full: Any
    quick: Any


def available() -> tuple[str, ...]:
    """The names of all experiments, such as takagi2020.trajectories, in the order of the report."""
    return tuple(f"{paper}.{module}" for paper in PAPERS for module in _package(paper).EXPERIMENTS)


def select(patterns: Iterable[str]) -> tuple[str, ...]:
    """The names that a paper (takagi2020), an experiment or a glob (takagi2020.*) stand for; all for none.

    Raises InputError for a pattern that stands for nothing, with the nearest name that is known.
    """
    names, chosen = available(), set()
    patterns = tuple(patterns)
    for pattern in patterns:
        found = [name for name in names if fnmatchcase(name, pattern) or name.partition(".")[0] == pattern]
        if not found:
            raise unknown_name("experiment", pattern, (*PAPERS, *names))
        chosen.update(found)
    return tuple(name for name in names if name in chosen or not patterns)


def load(name: str) -> Experiment:
    """The experiment of that name."""
    experiment = import_module(f"validate.experiments.{name}").EXPERIMENT
    assert isinstance(experiment, Experiment)
    return experiment


def _package(paper: str) -> Any:
    return import_module(f"validate.experiments.{paper}")
