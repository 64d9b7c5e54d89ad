"""``orderparams validate``: run experiments, judge them, write the report."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from derive import ledger
from derive.equation import LedgerEntry
from numerics.runtime.devices import choose_backend
from numerics.runtime.errors import IncompleteResult, InputError
from numerics.runtime.results import check_folder, stamp
from validate.experiments import registry
from validate.experiments.context import Context, Heading
from validate.experiments.registry import Experiment
from validate.report import ExperimentResult, Report, write
from validate.simulate.digits import require

DONE, FAILED, PARTIAL = 0, 1, 3


def validate(arguments: Namespace) -> int:
    """Run what was asked for, write the report, print a summary; the exit status says how it ended."""
    planned = _with_data(_planned(arguments), arguments.data)
    folder = check_folder(arguments.out)
    backend, reason = choose_backend(arguments.backend)
    papers = tuple(dict.fromkeys(name.partition(".")[0] for name in planned if name in registry.available()))
    started = time.monotonic()
    results = []
    with Context(folder, quick=arguments.quick, backend=backend) as context:
        for number, (name, experiment) in enumerate(planned.items(), 1):
            context.say(f"[{number}/{len(planned)}] {name}: {experiment.title}")
            results.append(run(name, experiment, context))
    entries = [entry for paper in papers for entry in ledger.entries(paper)]
    report = Report(
        title=_title(arguments, papers),
        subtitle="A quick run: small sizes and few replicas." if arguments.quick else "The standard run.",
        answers=answers(papers, entries, results),
        ledger=tuple(entries),
        experiments=tuple(results),
        environment={
            **stamp(backend, reason), "processes": context.workers, "command": _command(arguments),
            "seconds": round(time.monotonic() - started, 1),
        },
    )  # fmt: skip
    paths = write(report, folder)
    print(summary(report))
    print(f"report: {paths['html']}")
    return FAILED if not report.passed else PARTIAL if not report.complete else DONE


def run(name: str, experiment: Experiment, context: Context) -> ExperimentResult:
    """Run one experiment; one that stops early is reported as incomplete, with the reason."""
    settings = experiment.quick if context.quick else experiment.full
    context.heading = Heading(name, experiment.title, experiment.question, asdict(settings))
    started = time.monotonic()
    try:
        result = experiment.run(settings, context)
    except IncompleteResult as error:
        result = context.result(f"Stopped early: {error}.", complete=False)
    return replace(result, seconds=time.monotonic() - started)


def answers(
    papers: Sequence[str], entries: Sequence[LedgerEntry], results: Sequence[ExperimentResult]
) -> dict[str, str]:
    """The questions a paper's report is for, answered from the ledger and the results."""
    found: dict[str, str] = {}
    for paper in papers:
        found |= import_module(f"validate.experiments.{paper}.answers").answers(entries, results)
    return found


def summary(report: Report) -> str:
    """One screen: verdicts counted, checks that failed, answers."""
    lines = []
    rows = report.verdicts()
    if rows:
        kinds = dict.fromkeys(row.verdict for row in rows)
        counts = ", ".join(f"{sum(row.verdict == kind for row in rows)} {kind}" for kind in kinds)
        lines.append(f"verdicts: {counts}")
    for experiment in report.experiments:
        outcomes = [check.outcome for check in experiment.checks]
        count = f"{outcomes.count('passed')} of {len(outcomes)} checks passed"
        left = "" if experiment.complete else ", INCOMPLETE"
        lines.append(f"{experiment.name}: {count}{left} ({experiment.seconds or 0:.0f} s)")
        lines += [f"  FAILED {check.name}: {check.statement}" for check in experiment.checks
                  if check.outcome == "failed"]  # fmt: skip
    for question, answer in report.answers.items():
        lines += ["", question, f"  {answer.replace('$', '')}"]
    return "\n".join([*lines, ""])


def _planned(arguments: Namespace) -> Mapping[str, Experiment]:
    """The experiments to run by name: those of papers, or the one that a run file describes."""
    files = [name for name in arguments.experiments if Path(name).suffix == ".toml"]
    if files:
        if len(arguments.experiments) > 1:
            raise InputError("give either one run file or names of experiments, not both")
        from validate.experiments.own_run import experiment_of

        experiment = experiment_of(files[0], arguments.sizes, arguments.replicas, arguments.seed)
        return {Path(files[0]).stem: experiment}
    for option in ("sizes", "replicas", "seed"):
        if getattr(arguments, option) is not None:
            raise InputError(f"--{option} goes with a run file; the experiments of a paper have their own")
    return {name: registry.load(name) for name in registry.select(arguments.experiments)}


def _with_data(planned: Mapping[str, Experiment], data: str | None) -> Mapping[str, Experiment]:
    """The experiments on the real images asked for, which must be there before anything runs."""
    uses = [name for name, experiment in planned.items() if hasattr(experiment.full, "data")]
    if data is not None and not uses:
        raise InputError("--data goes with experiments on real images, as reyes2020; none of these uses any")
    changed = dict(planned)
    for name in uses:
        if data is not None:
            own = planned[name]
            changed[name] = replace(
                own, full=replace(own.full, data=data), quick=replace(own.quick, data=data)
            )
        require(changed[name].full.data)
    return changed


def _title(arguments: Namespace, papers: Sequence[str]) -> str:
    if not papers:
        return f"Theory against simulation: {Path(arguments.experiments[0]).name}"
    return f"Validation of {', '.join(papers)}"


def _command(arguments: Namespace) -> str:
    words: list[Any] = ["orderparams validate", *arguments.experiments]
    if arguments.sizes:
        words += ["--sizes", ",".join(map(str, arguments.sizes))]
    if arguments.replicas:
        words += ["--replicas", arguments.replicas]
    if arguments.seed is not None:
        words += ["--seed", arguments.seed]
    if arguments.data is not None:
        words += ["--data", arguments.data]
    words += ["--quick"] * arguments.quick
    if arguments.backend != "auto":
        words += ["--backend", arguments.backend]
    return " ".join(map(str, words))
