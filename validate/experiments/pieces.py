"""Finished pieces of work on disk, each under a hash of everything it depends on."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from numerics.runtime import checkpoint
from numerics.runtime.errors import InputError

SOURCES = ("derive", "numerics", "validate/simulate")
"""The packages whose source decides a piece, besides the module of its function."""


class PieceStore:
    """A folder of checkpoints.  A damaged one is computed again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, function: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
        """The arrays of a finished piece, or None."""
        path = self._path(function, settings)
        if not path.exists():
            return None
        try:
            arrays, _ = checkpoint.load(path)
        except InputError as error:
            print(f"orderparams: {error}; computed again", file=sys.stderr)
            return None
        return arrays

    def save(
        self, function: Callable[..., Any], settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> None:
        """Keep the arrays of a finished piece."""
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(self._path(function, settings), arrays, {"settings": dict(settings)})

    def _path(self, function: Callable[..., Any], settings: Mapping[str, Any]) -> Path:
        return self.folder / f"{function.__name__.strip('_')}-{key(function, settings)}.piece"


def key(function: Callable[..., Any], settings: Mapping[str, Any]) -> str:
    """A hash of a function, its settings and the source that both run through."""
    module = sys.modules[function.__module__]
    own = Path(module.__file__).read_bytes() if module.__file__ else b""
    text = json.dumps(settings, sort_keys=True)
    name = f"{function.__module__}.{function.__qualname__}"
    parts = (
        name.encode(),
        text.encode(),
        hashlib.sha256(own).digest(),
        _source_hash(),
        np.__version__.encode(),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


@cache
def _source_hash() -> bytes:
    root = Path(__file__).parents[2]
    total = hashlib.sha256()
    for package in SOURCES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".c", ".cu"):
                total.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return total.digest()
