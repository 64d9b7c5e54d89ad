"""What an experiment runs in: quick or full, a backend, a few processes, and a folder that remembers."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from numerics.runtime.devices import cores
from numerics.runtime.progress import progress
from validate.experiments.pieces import PieceStore
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table


def processes(cores: int) -> int:
    """How many pieces are computed at a time: half of the cores are left to others, but for the first two."""
    return max(min(cores, 2), cores // 2)


PieceFunction = Callable[..., Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Heading:
    """What the report says about an experiment before its results."""

    name: str
    title: str
    question: str
    settings: Mapping[str, Any]


class Context:
    """What an experiment runs in.  Use as a context manager: leaving it ends the worker processes.

    ``quick`` says which settings were chosen, ``backend`` what was asked for on the command line, ``folder``
    where finished pieces are kept.  ``heading`` is set by the runner for each experiment.
    """

    def __init__(
        self, folder: Path, quick: bool = False, backend: str = "auto", workers: int | None = None
    ) -> None:
        self.folder, self.quick, self.backend = folder, quick, backend
        self.workers = workers or processes(cores())
        self.heading = Heading("experiment", "", "", {})
        self.store = PieceStore(folder / "pieces")
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def pieces(
        self, function: PieceFunction, settings: Sequence[Mapping[str, Any]], label: str = ""
    ) -> list[dict[str, np.ndarray]]:
        """``function(**s)`` for each s of ``settings``, in their order, some at a time.

        ``function`` is defined at the top of a module, depends on its settings alone (seeds included; values
        that JSON can hold), and returns arrays by name.  Each result is kept under a hash of the function,
        its settings and the program's own source, so a rerun computes only what is missing, to the same bits.
        """
        results: dict[int, dict[str, np.ndarray]] = {}
        missing = []
        for number, each in enumerate(settings):
            found = self.store.load(function, each)
            if found is None:
                missing.append(number)
            else:
                results[number] = found
        for number, arrays in self._compute(function, settings, missing, label):
            self.store.save(function, settings[number], arrays)
            results[number] = arrays
        return [results[number] for number in range(len(settings))]

    def result(
        self,
        answer: str,
        *,
        checks: Sequence[Check] = (),
        findings: Sequence[Finding] = (),
        figures: Mapping[str, Picture] | None = None,
        tables: Sequence[Table] = (),
        equations: Sequence[Any] = (),
        seeds: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        complete: bool = True,
    ) -> ExperimentResult:
        """The result of the experiment that is running, with its name, title, question and settings filled
        in."""
        return ExperimentResult(
            name=self.heading.name, title=self.heading.title, question=self.heading.question, answer=answer,
            settings={**self.heading.settings, **(settings or {})}, seeds=seeds or {}, checks=tuple(checks),
            findings=tuple(findings), equations=tuple(equations), figures=figures or {}, tables=tuple(tables),
            complete=complete,
        )  # fmt: skip

    def say(self, message: str) -> None:
        """One line on stderr for whoever waits."""
        print(message, file=sys.stderr, flush=True)

    def _compute(
        self, function: PieceFunction, settings: Sequence[Mapping[str, Any]], missing: list[int], label: str
    ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        label = label or function.__name__
        if self.workers == 1 or len(missing) == 1:
            for number in progress(missing, label, total=len(missing)):
                yield number, _call(function, settings[number])
            return
        futures: dict[Future[dict[str, np.ndarray]], int] = {}
        try:
            with _single_threaded():
                for number in missing:
                    futures[self._workers().submit(_call, function, settings[number])] = number
            for future in progress(as_completed(futures), label, total=len(missing)):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()

    def _workers(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Spawned, not forked: numerical libraries run threads, which a fork would copy half-done.
            self._pool = ProcessPoolExecutor(
                self.workers, multiprocessing.get_context("spawn"), _end_with_parent
            )
        return self._pool


def _end_with_parent() -> None:
    """A worker whose parent was killed, by a batch system for example, does not compute on for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call(function: PieceFunction, settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in function(**settings).items()}


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes started in here keep their linear algebra to one thread each."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
