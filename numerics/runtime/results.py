"""Results: arrays with named axes, saved as JSON, npz or NetCDF, with a stamp of what made them."""

from __future__ import annotations

import io
import json
import math
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError

SUFFIXES = (".json", ".npz", ".nc")


@dataclass(frozen=True)
class Labelled:
    """An array and the names of its axes, one per dimension."""

    axes: tuple[str, ...]
    values: np.ndarray

    def __post_init__(self) -> None:
        if len(self.axes) != self.values.ndim:
            raise ValueError(f"{self.values.ndim} dimensions and {len(self.axes)} names of axes: {self.axes}")


def labelled(values: Any, *axes: str) -> Labelled:
    """``values`` as an array whose dimensions are called ``axes``."""
    return Labelled(tuple(axes), np.asarray(values))


def to_plain(value: Any) -> Any:
    """``value`` in what JSON can hold.

    Labelled arrays become ``{"axes": [...], "values": [...]}``; numbers that are not finite become
    ``null`` inside arrays and ``"nan"``, ``"inf"``, ``"-inf"`` elsewhere; complex numbers ``[re, im]``.
    """
    if isinstance(value, Labelled):
        return {"axes": list(value.axes), "values": _plain_array(value.values)}
    if isinstance(value, np.ndarray):
        return _plain_array(value)
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(item) for item in value]
    return value


def _plain_array(array: np.ndarray) -> Any:
    if np.iscomplexobj(array):
        array = np.stack([array.real, array.imag], axis=-1)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        missing = ~np.isfinite(array)
        array = array.astype(object)
        array[missing] = None
    return array.tolist()


def to_json(result: Any) -> str:
    """``result`` as JSON text: one line for each entry at the top, since arrays are long."""
    plain = to_plain(result)
    if not isinstance(plain, dict):
        return json.dumps(plain, allow_nan=False) + "\n"
    lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in plain.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def check_writable(path: str | os.PathLike[str], suffixes: Sequence[str] = ()) -> Path:
    """Refuse, before anything is computed, a ``path`` that could not be written or saved in its format."""
    target = Path(path)
    if suffixes and target.suffix not in suffixes:
        raise InputError(f"cannot save to {target}: the name must end in one of {', '.join(suffixes)}")
    if target.suffix == ".nc" and (util.find_spec("xarray") is None or util.find_spec("h5netcdf") is None):
        raise InputError(
            f"cannot save {target}: NetCDF needs xarray; install it with: pip install 'orderparams[data]'"
        )
    if target.is_dir():
        raise InputError(f"cannot write {target}: it is a folder")
    if not target.parent.is_dir():
        raise InputError(f"cannot write {target}: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK) or (target.exists() and not os.access(target, os.W_OK)):
        raise InputError(f"cannot write {target}: permission denied")
    return target


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder ``path`` if it is not there; refuse it if it cannot be written."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"cannot write into {folder}: permission denied")
    return folder


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write ``content`` to ``path``: all of it, or nothing."""
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes private files
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def save(result: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Save ``result`` (labelled arrays, and values that JSON can hold) as .json, .npz or .nc.

    In .npz the arrays lie under their names and everything else, axes included, in the JSON text
    ``meta``; in .nc the axes are the dimensions and everything else is the attribute ``meta``.
    """
    target = check_writable(path, SUFFIXES)
    if target.suffix == ".json":
        write_atomically(target, to_json(result))
        return
    arrays = {key: value for key, value in result.items() if isinstance(value, Labelled)}
    rest = {key: value for key, value in result.items() if key not in arrays}
    if target.suffix == ".npz":
        rest["axes"] = {key: list(value.axes) for key, value in arrays.items()}
        buffer = io.BytesIO()
        contents = {key: value.values for key, value in arrays.items()}
        np.savez(buffer, meta=np.array(json.dumps(to_plain(rest))), **contents)  # type: ignore[arg-type]
        write_atomically(target, buffer.getvalue())
        return
    import xarray

    coordinates = {key: value for key, value in arrays.items() if value.axes == (key,)}
    dataset = xarray.Dataset(
        {key: (_dimensions(value), value.values) for key, value in arrays.items() if key not in coordinates},
        coords={key: value.values for key, value in coordinates.items()},
        attrs={"meta": json.dumps(to_plain(rest))},
    )
    write_atomically(target, bytes(dataset.to_netcdf(engine="h5netcdf")))


def _dimensions(array: Labelled) -> list[str]:
    """The axes' names, the second of two equal ones marked: NetCDF dimensions of a variable differ."""
    names: list[str] = []
    for axis in array.axes:
        names.append(axis if axis not in names else f"{axis}_{names.count(axis) + 1}")
    return names


def deliver(result: Mapping[str, Any], out: str | os.PathLike[str] | None) -> None:
    """Save ``result`` to ``out``, or print it as JSON where there is none."""
    if out is None:
        print(to_json(result), end="")
    else:
        save(result, out)


@cache
def versions() -> dict[str, str]:
    """The versions of what computes here: Python, this project, and the packages it stands on."""
    found = {"python": platform.python_version()}
    for package in ("orderparams", "sympy", "mpmath", "numpy", "scipy", "cupy"):
        for name in (package, f"{package}-cuda13x", f"{package}-cuda12x"):
            try:
                found[package] = metadata.version(name)
                break
            except metadata.PackageNotFoundError:
                continue
    return found


def stamp(backend: str | None = None, reason: str | None = None) -> dict[str, Any]:
    """What made a result: versions, platform, processor, the backend and why it was taken."""
    from numerics.runtime.devices import processor

    made: dict[str, Any] = {
        "versions": versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "byte_order": sys.byteorder,
    }
    if backend is not None:
        made["backend"] = backend
        made["reason"] = reason
    return made
