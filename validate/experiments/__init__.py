"""Experiments: theory against simulation, each with a criterion stated before its run.

One file an experiment, in one folder a paper.  A module of ``takagi2020/`` holds a frozen dataclass of
settings and ``EXPERIMENT = Experiment(title, question, run, full=Settings(...), quick=Settings(...))``; the
paper's ``__init__`` lists the modules in the order of the report.  ``run(settings, context)`` returns
``context.result(...)``; whatever is expensive goes through ``context.pieces`` or ``simulate_all``, which keep
each finished piece on disk, so that a rerun does only what is missing.
"""

from validate.experiments.context import Context
from validate.experiments.registry import Experiment, available, select
from validate.experiments.simulation import Job, simulate_all
from validate.experiments.theory import Curves, Theory, theory_of

__all__ = [
    "Context", "Curves", "Experiment", "Job", "Theory", "available", "select", "simulate_all", "theory_of",
]  # fmt: skip
