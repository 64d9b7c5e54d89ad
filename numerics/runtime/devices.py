"""What this machine computes with, and why.

cupy imports on machines without a GPU and fails at the first allocation, so whether it works is decided
once, by trying, and the reason is kept for every report to print.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from numerics.runtime.errors import BackendUnavailable, unknown_name

BACKENDS = ("numpy", "c", "cupy", "cuda")


@dataclass(frozen=True)
class Status:
    """Whether a backend works here, and the reason either way."""

    available: bool
    reason: str


@cache
def processor() -> str:
    """The processor and its number of usable cores, in words."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{name}, {cores()} cores"


def cores() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cupy_status() -> Status:
    """Whether cupy can compute here."""
    try:
        import cupy
    except Exception as error:  # a broken CUDA installation can raise anything at import
        return Status(False, f"cupy cannot be imported ({error.__class__.__name__}: {_first_line(error)})")
    try:
        value = float(cupy.arange(3.0).sum())
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except Exception as error:
        return Status(False, f"cupy found no usable GPU ({_first_line(error)})")
    if value != 3.0:
        return Status(False, f"cupy computed 0 + 1 + 2 = {value} on {name}")
    return Status(True, name)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [error.__class__.__name__])[0]


def to_host(array: Any) -> np.ndarray:
    """The array as numpy's: cupy refuses to convert without being asked."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def _c_status() -> Status:
    from numerics.runtime.compiler import require_compiler

    try:
        compiler = require_compiler()
    except BackendUnavailable as error:
        return Status(False, str(error))
    return Status(True, f"compiled by {' '.join(compiler.command)} ({compiler.version})")


def backend_status(name: str) -> Status:
    """Whether the backend ``name`` (numpy, c, cupy or cuda) works here."""
    if name == "numpy":
        return Status(True, "numpy is always there")
    if name in ("cupy", "cuda"):
        return cupy_status()
    if name == "c":
        return _c_status()
    raise unknown_name("backend", name, BACKENDS)


def choose_backend(
    wanted: str, supported: tuple[str, ...] = BACKENDS, prefer: tuple[str, ...] = ()
) -> tuple[str, str]:
    """The backend to use and the reason.

    ``auto`` takes the first of ``prefer`` (default: cuda, c, numpy) that works and is supported; a named
    backend that is not there raises ``BackendUnavailable`` with what was looked for and which work.
    """
    if wanted == "auto":
        tried: list[str] = []
        for name in prefer or ("cuda", "c", "numpy"):
            if name in supported:
                status = backend_status(name)
                if status.available:
                    why = status.reason if not tried else f"{status.reason}; {'; '.join(tried)}"
                    return name, why
                tried.append(f"not {name}: {status.reason}")
        raise BackendUnavailable(f"no backend works here: {'; '.join(tried)}")
    if wanted not in BACKENDS:
        raise unknown_name("backend", wanted, ("auto", *supported))
    if wanted not in supported:
        raise BackendUnavailable(
            f"backend {wanted!r} does not do this; it can be done with: {', '.join(supported)}"
        )
    status = backend_status(wanted)
    if not status.available:
        working = [name for name in supported if backend_status(name).available]
        raise BackendUnavailable(
            f"backend {wanted!r} is not there: {status.reason}; working: {', '.join(working)}"
        )
    return wanted, f"asked for; {status.reason}"
