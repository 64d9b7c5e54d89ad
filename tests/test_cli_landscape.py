"""``orderparams landscape`` against the full flow, in K x K arrays, by differences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from numerics.landscape import landscape
from numerics.runs import flow_of
from numerics.runtime.errors import InputError
from numerics.runtime.runfile import Run, build
from numerics.system import system_of
from orderparams import main

TAU, RATE, GAIN_RATE = 1.5, 0.7, 0.4
NORMALIZATIONS = ("none", "batch")


def _run(normalization: str, students: int = 3, **parameters: object) -> Run:
    gains = {"gain_learning_rate": GAIN_RATE} if normalization != "none" else {}
    table = {"students": students, "normalization": normalization, "batch_size": "inf", "learning_rate": RATE,
             "input_variance": TAU, **gains, **parameters}  # fmt: skip
    return build({"parameters": table})


def _full(run: Run, point: dict[str, float]) -> dict[str, np.ndarray]:
    """Rates and error of the full flow at a site-symmetric point."""
    K = run.parameters.students
    same = np.eye(K)
    inputs = {
        "Q": point["Q"] * same + point["C"] * (1 - same),
        "R": point["R"] * same + point["S"] * (1 - same),
        "T": same, "w": np.ones(K), "v": np.ones(K), "g": np.full(K, point.get("g", 1.0)),
        "eta": RATE, "eta_g": GAIN_RATE, "eta_w": 0.0, "tau": TAU, "b": np.inf, "sigma_0": 0.0,
        "lambda": 0.0, "zeta": 0.0,
    }  # fmt: skip
    return system_of(flow_of(run)).kernel("numpy")(inputs, {"K": K, "M": K})


def _rates(run: Run, point: dict[str, float]) -> dict[str, float]:
    full = _full(run, point)
    rates = {"R": full["dR"][0, 0], "S": full["dR"][0, 1], "Q": full["dQ"][0, 0], "C": full["dQ"][0, 1]}
    return {**rates, "g": full["dg"][0]} if "dg" in full else rates


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_full_flow_stands_still_there(normalization: str) -> None:
    run = _run(normalization)
    found = landscape(run)
    full = _full(run, found["fixed_point"])
    assert max(np.abs(full[name]).max() for name in ("dQ", "dR")) < 1e-13
    if normalization == "batch":
        assert np.abs(full["dg"]).max() < 1e-13
        point = found["fixed_point"]
        assert point["Q"] == pytest.approx(1 / point["g"] ** 2, rel=1e-13), "the paper's member of the family"
    assert found["generalization_error"] == pytest.approx(float(full["generalization_error"]), rel=1e-12)


def _differences(function: object, point: dict[str, float], name: str, step: float) -> np.ndarray:
    """Central differences of fourth order along one coordinate."""
    at = [np.asarray(function({**point, name: point[name] + k * step})) for k in (-2, -1, 1, 2)]  # type: ignore[operator]
    return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_jacobian_is_the_derivative_of_the_flow(normalization: str) -> None:
    run = _run(normalization)
    found = landscape(run)
    variables, matrix = found["jacobian"]["variables"], np.array(found["jacobian"]["matrix"])

    def rates(point: dict[str, float]) -> list[float]:
        return [_rates(run, point)[name] for name in variables]

    measured = np.stack([_differences(rates, found["fixed_point"], name, 1e-3) for name in variables], axis=1)
    assert matrix == pytest.approx(measured, abs=1e-8)
    eigenvalues = np.sort(np.linalg.eigvals(matrix).real)
    assert found["jacobian"]["eigenvalues"] == pytest.approx(eigenvalues, abs=1e-7)
    assert found["jacobian"]["sectors"][-1] == "specialization" and eigenvalues[-1] > 0


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("key", ["hessian", "hessian_c_free"])
def test_hessians_are_second_derivatives_of_the_error(normalization: str, key: str) -> None:
    run = _run(normalization)
    found = landscape(run)
    variables, matrix = found[key]["variables"], np.array(found[key]["matrix"])
    tied = key == "hessian"
    assert ("C" in variables) is not tied

    def error(point: dict[str, float]) -> float:
        return float(_full(run, {**point, "C": point["Q"]} if tied else point)["generalization_error"])

    def gradient(point: dict[str, float]) -> list[float]:
        return [float(_differences(error, point, name, 2e-3)) for name in variables]

    if tied:
        assert found["gradient"] == pytest.approx(gradient(found["fixed_point"]), abs=1e-9)
    measured = np.stack([_differences(gradient, found["fixed_point"], name, 2e-3) for name in variables])
    assert matrix == pytest.approx(measured, abs=1e-6)
    assert found[key]["eigenvalues"] == pytest.approx(np.linalg.eigvalsh(matrix), abs=1e-12)


def test_q_star_moves_along_the_family() -> None:
    run = _run("batch")
    found = landscape(run, 0.5)
    assert found["fixed_point"]["Q"] == 0.5
    assert max(np.abs(list(_rates(run, found["fixed_point"]).values()))) < 1e-13
    with pytest.raises(InputError, match="Q\\* is fixed without a normalization"):
        landscape(_run("none"), 0.5)


def test_the_command_prints_one_entry_a_point(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[parameters]\nbatch_size = "inf"')
    assert (
        main(["landscape", str(path), "--vary", "students=2:3", "input_variance=1:2:2", "--format", "json"])
        == 0
    )
    points = json.loads(capsys.readouterr().out)
    assert [(p["students"], p["input_variance"]) for p in points] == [(2, 1), (2, 2), (3, 1), (3, 2)]
    assert set(points[0]) >= {"normalization", "fixed_point", "generalization_error", "gradient", "hessian",
                              "hessian_c_free", "jacobian"}  # fmt: skip
    assert list(points[0]["fixed_point"]) == ["R", "S", "Q", "C"]
    assert points[0]["hessian"]["eigenvalues"] == sorted(points[0]["hessian"]["eigenvalues"])
    assert main(["landscape", str(path)]) == 0
    assert "Jacobian, specialization" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("parameters", "initial", "argv", "words"),
    [
        ("batch_size = 5", "", [], 'needs batch_size = "inf"'),
        ('batch_size = "inf"\nteachers = 3', "", [], "as many teachers as students"),
        ('batch_size = "inf"\nstudents = 1', "", [], "at least 2"),
        ('batch_size = "inf"\nweight_decay = 0.1', "", [], "without decay"),
        ('batch_size = "inf"', "T = [[1.0, 0.5], [0.5, 1.0]]", [], "orthonormal teachers"),
        ('batch_size = "inf"', "w = [1.0, 2.0]", [], "second layers"),
        ('batch_size = "inf"', "", ["--q-star", "0"], "positive number, not '0'"),
        ('batch_size = "inf"', "", ["--q-star", "papr"], "positive number, not 'papr'"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    parameters: str,
    initial: str,
    argv: list[str],
    words: str,
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f"[parameters]\n{parameters}\n[initial]\n{initial}")
    assert main(["landscape", str(path), *argv]) == 2
    assert words in capsys.readouterr().err
