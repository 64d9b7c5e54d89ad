"""Errors raised at the boundary.  ``exit_status`` is what the command line returns for them."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Bad input: one line that says what was wrong and what to do."""

    exit_status = 2


class BackendUnavailable(RuntimeError):
    """A backend that was asked for and is not there: what was looked for, and which ones work."""

    exit_status = 2


class IncompleteResult(RuntimeError):
    """A run that stopped early; ``result`` holds what it has, marked incomplete."""

    exit_status = 3

    def __init__(self, message: str, result: object) -> None:
        super().__init__(message)
        self.result = result


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not known, with the nearest that is."""
    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(names)
    return InputError(f"unknown {kind} {name!r}; {hint}")
