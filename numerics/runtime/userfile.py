"""Objects from a user's Python file, named ``"file.py:name"``."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from numerics.runtime.errors import InputError, unknown_name


def is_reference(text: str) -> bool:
    """Whether ``text`` has the form ``file.py:name``."""
    path, colon, name = text.rpartition(":")
    return bool(colon) and path.endswith(".py") and name.isidentifier()


def load_reference(text: str, folder: Path) -> Any:
    """The object that ``file.py:name`` refers to, untouched; the file is looked for in ``folder``.

    Raises ``InputError`` where there is no such file, where it fails, or where it has no such name.
    """
    path, _, name = text.rpartition(":")
    file = (folder / path).resolve()
    module = _module(file)
    if not hasattr(module, name):
        public = [item for item in vars(module) if not item.startswith("_")]
        raise unknown_name(f"name in {file.name}", name, public)
    return getattr(module, name)


def _module(file: Path) -> ModuleType:
    """The module in ``file``, under a name of its own, so that it can shadow nothing."""
    if not file.is_file():
        raise InputError(f"there is no file {file}")
    key = f"_orderparams_user_{hashlib.sha256(str(file).encode() + file.read_bytes()).hexdigest()[:16]}"
    if key in sys.modules:
        return sys.modules[key]
    spec = importlib.util.spec_from_file_location(key, file)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # dataclasses and pickle look a module up by its name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[key]
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)
        ]
        line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else (lines or [None])[-1]
        raise InputError(f"{file.name}, line {line}: {error.__class__.__name__}: {error}") from error
    return module
