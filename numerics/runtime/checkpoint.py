"""Checkpoints: named arrays and a description, in one file that is either whole or refused.

The file is one line of text (format, SHA-256 of the rest) and then an npz archive, written beside its
place and renamed into it, so that an interrupted write leaves the previous checkpoint.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError
from numerics.runtime.results import write_atomically

_MAGIC = "orderparams-checkpoint-1"
_META = "__meta__"


def save(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write ``arrays`` and ``meta`` (values that JSON can hold) to ``path``, atomically."""
    if _META in arrays:
        raise ValueError(f"an array of a checkpoint may not be called {_META!r}")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **{_META: np.array(json.dumps(meta, sort_keys=True))})  # type: ignore[arg-type]
    payload = buffer.getvalue()
    header = f"{_MAGIC} {hashlib.sha256(payload).hexdigest()}\n".encode()
    write_atomically(path, header + payload)


def load(
    path: str | os.PathLike[str], expect: Mapping[str, Any] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the description in ``path``.

    Every item of ``expect`` must be in the description with the same value.  Raises ``InputError`` for a
    file that is missing, damaged, of another format, or of another run.
    """
    name = os.fspath(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the checkpoint {name}: {error.strerror}") from None
    header, newline, payload = content.partition(b"\n")
    words = header.split()
    if not newline or len(words) != 2 or words[0] != _MAGIC.encode():
        raise InputError(f"{name} is not a checkpoint of this version; delete it to start afresh")
    if hashlib.sha256(payload).hexdigest().encode() != words[1]:
        raise InputError(
            f"the checkpoint {name} is damaged (its checksum differs); delete it to start afresh"
        )
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        meta = json.loads(str(arrays.pop(_META)))
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"the checkpoint {name} cannot be read ({error}); delete it to start afresh"
        ) from None
    # Through JSON, so that tuples compare equal to the lists they became.
    for key, wanted in json.loads(json.dumps(dict(expect or {}))).items():
        if key not in meta or meta[key] != wanted:
            raise InputError(
                f"the checkpoint {name} is of another run: {key} is {meta.get(key)!r} there "
                f"and {wanted!r} here; delete it, or name another file"
            )
    return arrays, meta
