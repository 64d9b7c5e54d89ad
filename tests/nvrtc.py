"""CUDA's compiler without a device."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest


def nvrtc() -> ctypes.CDLL:
    """The library of the nvidia-cuda-nvrtc wheel."""
    nvidia = pytest.importorskip("nvidia")
    for folder in nvidia.__path__:
        for library in sorted(Path(folder).glob("*/lib/libnvrtc.so.*")):
            return ctypes.CDLL(str(library))
    pytest.skip("no libnvrtc in the nvidia packages")


def compiles(text: str, *options: str) -> None:
    """Fails with the compiler's words unless it accepts ``text``."""
    library, handle = nvrtc(), ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(handle), text.encode(), b"kernel.cu", 0, None, None) == 0
    given = [option.encode() for option in ("--gpu-architecture=compute_90", *options)]
    status = library.nvrtcCompileProgram(handle, len(given), (ctypes.c_char_p * len(given))(*given))
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(handle, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(handle, log)
    assert status == 0, log.value.decode()[:2000]
