"""Results, checkpoints, backends and progress."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from numerics.runtime import checkpoint, devices, results
from numerics.runtime.errors import BackendUnavailable, InputError
from numerics.runtime.progress import progress
from numerics.runtime.results import labelled


def _result() -> dict:
    rng = np.random.default_rng(1)
    return {
        "time": labelled([0.0, 1.0, 2.0], "time"),
        "R": labelled(rng.standard_normal((3, 2, 4)), "time", "student", "teacher"),
        "Q": labelled(rng.standard_normal((3, 2, 2)), "time", "student", "student"),
        "complete": True,
        "backend": "numpy",
    }


def test_json_holds_every_bit(tmp_path: Path) -> None:
    result = _result()
    results.save(result, tmp_path / "a.json")
    back = json.loads((tmp_path / "a.json").read_text())
    assert back["R"]["axes"] == ["time", "student", "teacher"]
    assert np.array_equal(np.array(back["R"]["values"]), result["R"].values)
    assert back["complete"] is True


def test_npz_holds_arrays_axes_and_the_rest(tmp_path: Path) -> None:
    result = _result()
    results.save(result, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as back:
        assert np.array_equal(back["R"], result["R"].values)
        meta = json.loads(str(back["meta"]))
    assert meta["axes"]["R"] == ["time", "student", "teacher"] and meta["backend"] == "numpy"


@pytest.mark.skipif(find_spec("xarray") is None, reason="xarray is not installed")
def test_netcdf_has_named_dimensions(tmp_path: Path) -> None:
    import xarray

    result = _result()
    results.save(result, tmp_path / "a.nc")
    back = xarray.load_dataset(tmp_path / "a.nc", engine="h5netcdf")
    assert back.R.dims == ("time", "student", "teacher")
    assert np.array_equal(back.R.values, result["R"].values)
    assert back.Q.dims == ("time", "student", "student_2"), "dimensions of one variable must differ"


@pytest.mark.skipif(find_spec("xarray") is not None, reason="xarray is installed")
def test_netcdf_without_xarray_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"orderparams\[data\]"):
        results.check_writable(tmp_path / "a.nc", results.SUFFIXES)


def test_json_stays_json_where_numbers_are_not_finite() -> None:
    text = results.to_json({"a": labelled([1.0, np.nan, np.inf], "x"), "b": float("inf"), "c": 1 + 2j})
    assert json.loads(text) == {
        "a": {"axes": ["x"], "values": [1.0, None, None]},
        "b": "inf",
        "c": [1.0, 2.0],
    }


def test_axes_must_fit() -> None:
    with pytest.raises(ValueError, match="2 dimensions"):
        labelled(np.eye(2), "student")


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        results.check_writable(tmp_path / "nowhere" / "a.json")
    with pytest.raises(InputError, match="it is a folder"):
        results.check_writable(tmp_path)
    with pytest.raises(InputError, match=r"must end in one of .json, .npz, .nc"):
        results.check_writable(tmp_path / "a.txt", results.SUFFIXES)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        results.check_folder(tmp_path / "file" / "sub")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="permission denied"):
        results.check_writable(tmp_path / "a.json")


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.json"
    results.write_atomically(target, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match="No space left"):
        results.write_atomically(target, "new")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    arrays = {"weights": np.random.default_rng(0).standard_normal((2, 3)), "step": np.array(7)}
    checkpoint.save(path, arrays, {"seed": 0, "sizes": (2, 3), "batch_size": float("inf")})
    back, meta = checkpoint.load(path, {"seed": 0, "sizes": (2, 3), "batch_size": float("inf")})
    assert set(back) == {"weights", "step"} and np.array_equal(back["weights"], arrays["weights"])
    assert meta["sizes"] == [2, 3]


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    checkpoint.save(path, {"a": np.zeros(1)}, {"seed": 0})
    with pytest.raises(InputError, match="of another run: seed is 0 there and 1 here"):
        checkpoint.load(path, {"seed": 1})
    with pytest.raises(InputError, match="of another run: size is None there"):
        checkpoint.load(path, {"size": 10})


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "header", "foreign"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "run.checkpoint"
    checkpoint.save(path, {"a": np.arange(100.0)}, {"seed": 0})
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(
        {
            "flip": bytes(content),
            "cut": bytes(content[:-10]),
            "empty": b"",
            "header": bytes(content[:20]),
            "foreign": b"PK\x03\x04 something else\n",
        }[damage]
    )
    with pytest.raises(InputError, match="delete it to start afresh"):
        checkpoint.load(path)


def test_the_checksum_covers_the_arrays(tmp_path: Path) -> None:
    """An archive that is whole, but not the one that was saved under this header."""
    first, second = tmp_path / "first", tmp_path / "second"
    checkpoint.save(first, {"a": np.zeros(3)}, {"seed": 0})
    checkpoint.save(second, {"a": np.ones(3)}, {"seed": 0})
    header, _, _ = first.read_bytes().partition(b"\n")
    _, _, payload = second.read_bytes().partition(b"\n")
    first.write_bytes(header + b"\n" + payload)
    with pytest.raises(InputError, match="its checksum differs"):
        checkpoint.load(first)


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        checkpoint.load(tmp_path / "none")


def test_auto_takes_something_and_says_why() -> None:
    name, reason = devices.choose_backend("auto")
    assert devices.backend_status(name).available and reason


def test_a_backend_that_is_not_there_says_which_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cupy_status", lambda: devices.Status(False, "no GPU in this test"))
    with pytest.raises(BackendUnavailable, match=r"'cupy' is not there: no GPU in this test; working: numpy"):
        devices.choose_backend("cupy")
    with pytest.raises(InputError, match="did you mean 'numpy'"):
        devices.choose_backend("nunpy")
    with pytest.raises(BackendUnavailable, match="can be done with: numpy"):
        devices.choose_backend("c", supported=("numpy",))


def test_progress_is_quiet_unless_watched(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(3), "steps")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    assert list(progress(range(3), "steps", show=True)) == [0, 1, 2]
    assert "steps" in capsys.readouterr().err
