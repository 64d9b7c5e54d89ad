"""Finding a C compiler and building shared libraries, cached on disk by what they were built from.

The cache key is the hash of source, flags, compiler (path and version) and processor features, so a
home directory shared between machines never serves a library built for another processor.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from numerics.runtime.errors import BackendUnavailable

BASE_FLAGS = (
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-shared",
    "-fopenmp-simd",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
)
"""No fast-math: these change no value of a floating-point operation, and fma happens only where written."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler: the command that starts it, what it calls itself, and what was looked for."""

    command: tuple[str, ...]
    version: str
    looked_for: tuple[str, ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags every library of ours is built with."""
        return (*BASE_FLAGS, *_native_flags(self.command))


def _candidates() -> list[tuple[str, tuple[str, ...]]]:
    """Names and commands to try: the environment's own choice alone, where there is one."""
    chosen = os.environ.get("CC", "").strip()
    if chosen:
        return [(f"$CC ({chosen})", tuple(shlex.split(chosen)))]
    found: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in ("gcc", "clang", "cc")]
    if find_spec("ziglang") is not None:
        found.append(("ziglang", (sys.executable, "-m", "ziglang", "cc")))
    else:
        found.append(("ziglang", ("ziglang (a Python package)",)))
    return found


@cache
def _probe(environment_choice: str) -> tuple[Compiler | None, tuple[str, ...]]:
    looked_for = []
    for name, command in _candidates():
        looked_for.append(name)
        if shutil.which(command[0]) is None:
            continue
        answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            version = (answer.stdout.splitlines() or [""])[0]
            return Compiler(command, version, tuple(looked_for)), tuple(looked_for)
    return None, tuple(looked_for)


def find_compiler() -> Compiler | None:
    """The C compiler to use: $CC where set, else the first of gcc, clang, cc, the ziglang wheel; or None."""
    return _probe(os.environ.get("CC", ""))[0]


def require_compiler() -> Compiler:
    """The C compiler to use, or BackendUnavailable with what was looked for."""
    compiler, looked_for = _probe(os.environ.get("CC", ""))
    if compiler is None:
        raise BackendUnavailable(
            f"no C compiler: looked for {', '.join(looked_for)}; install one, pip install ziglang, "
            "or use the numpy backend"
        )
    return compiler


@cache
def processor_features() -> str:
    """A line that tells processors apart whose native code differs."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return platform.machine() + " " + " ".join(sorted(line.split(":", 1)[1].split()))
    except OSError:
        pass
    return f"{platform.machine()} {platform.processor()}"


@cache
def _native_flags(command: tuple[str, ...]) -> tuple[str, ...]:
    """Flags for the processor at hand, as far as this compiler takes them."""
    wanted = ["-mcpu=native"] if platform.machine() in {"aarch64", "arm64"} else ["-march=native"]
    if "avx512f" in processor_features().split():
        wanted.append("-mprefer-vector-width=512")
    accepted: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("int probe(void) { return 0; }\n")
        for flag in wanted:
            trial = [*command, *accepted, flag, "-c", str(source), "-o", str(Path(folder, "probe.o"))]
            if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
                accepted = (*accepted, flag)
    return accepted


def cache_directory() -> Path:
    """Where built libraries are kept: ``$XDG_CACHE_HOME/orderparams`` (``~/.cache/orderparams``)."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root, "orderparams")


def compile_shared(source: str, name: str, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """Build C ``source`` as a shared library, or take it from the cache, and load it.

    ``name`` only makes the cached file recognizable; ``flags`` come after the common ones (libraries
    too: the mathematics library is always linked).  The file appears in the cache by an atomic rename,
    so concurrent processes never load half a library.

    Raises BackendUnavailable when there is no compiler or it refuses the source.
    """
    compiler = require_compiler()
    options = (*compiler.flags, *flags)
    key = "\0".join([source, *options, *compiler.command, compiler.version, processor_features()])
    digest = hashlib.sha256(key.encode()).hexdigest()[:24]
    folder = cache_directory()
    library = folder / f"{name}-{digest}.so"
    if library.exists():
        try:
            return ctypes.CDLL(str(library))
        except OSError:
            library.unlink(missing_ok=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(dir=folder, prefix="build-")
    except OSError:
        # A read-only home must not stop a computation: build for this process alone.
        folder = Path(tempfile.mkdtemp(prefix="orderparams-"))
        library = folder / library.name
        work = tempfile.TemporaryDirectory(dir=folder, prefix="build-")
    with work as scratch:
        text = Path(scratch, f"{name}.c")
        text.write_text(source)
        built = Path(scratch, library.name)
        command = [*compiler.command, *compiler.flags, str(text), "-o", str(built), *flags, "-lm"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            lines = [line for line in answer.stderr.splitlines() if "error" in line]
            first = lines[0] if lines else answer.stderr[:200]
            raise BackendUnavailable(f"{compiler.command[0]} could not build {name}: {first.strip()}")
        os.replace(built, library)
    return ctypes.CDLL(str(library))
