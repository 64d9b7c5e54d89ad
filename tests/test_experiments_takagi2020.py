"""The experiments of takagi2020 at sizes of a test: they pass, and a wrong theory makes them fail."""

from __future__ import annotations

import math
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest

from derive.equation import LedgerEntry, Verdict
from numerics.runtime.errors import InputError
from validate import validation
from validate.experiments import Context, theory_of
from validate.experiments.comparison import compare, entries, rejected
from validate.experiments.own_run import experiment_of
from validate.experiments.takagi2020 import (
    finite_batch,
    input_laws,
    real_normalization,
    trajectories,
)
from validate.experiments.takagi2020.answers import answers
from validate.experiments.takagi2020.starts import asymmetric
from validate.experiments.theory import Curves, committee_flow
from validate.report import ExperimentResult
from validate.report.model import Finding
from validate.simulate import Setup, Trajectories

SMALL = trajectories.Case(
    "batch", 2.0, students=2, teachers=2, stop=1.0, sizes=(60, 120, 240), replicas=(256, 128, 64)
)
DIRECT = replace(SMALL, normalization="none", learning_rate=0.5)
SETTINGS = trajectories.Settings(
    tuple(replace(SMALL if m == "batch" else DIRECT, normalization=m) for m in trajectories.MAPS), points=3,
    tested=(1, 2), seed=99,
)  # fmt: skip


def outcomes(result: ExperimentResult) -> list[bool | None]:
    return [check.passed for check in result.checks]


def test_trajectories_pass_and_reject_wrong_theories(tmp_path):
    result = trajectories.run(SETTINGS, Context(tmp_path, workers=1))
    assert outcomes(result) == [True] * 5
    (eta2,) = result.findings
    assert (eta2.claim, eta2.verdict) == ("takagi2020.claim-eta2-negligible", "conditional")
    batch = result.checks[1]
    assert batch.details["z of wrong theories"]["radial term dropped"] > 10
    assert batch.power["no tau in the eta^2 term"] > 0.99
    assert set(result.figures) == {"trajectories", "trajectories-sizes", "trajectories-scores"}


def test_a_wrong_theory_makes_trajectories_fail(tmp_path, monkeypatch):
    """The theory of the printed map, put in the place of the exact one."""
    monkeypatch.setattr(
        trajectories, "theory_of",
        lambda activation, name: theory_of(activation, "batch-without-radial" if name == "batch" else name),
    )  # fmt: skip
    result = trajectories.run(SETTINGS, Context(tmp_path, workers=1))
    assert outcomes(result) == [True, False, True, True, True]
    assert "fails for batch" in result.answer


def test_wrong_batch_sizes_are_wrong_theories():
    """Mistakes in eta^2 tau / b are made by changing b: the same as changing the term itself."""
    flow = committee_flow("erf", "none")
    case = replace(DIRECT, input_variance=2.0, batch_size=3)
    _, wrong = trajectories._theories(case, np.array([0.0, 1.0]))
    no_tau = replace(
        flow,
        state=tuple(
            replace(v, averages=flow.drift + flow.diffusion / 2) if v.name == "Q" else v for v in flow.state
        ),
    )
    curves = trajectories.theory_of("erf", "none").__class__(no_tau).solve(case.setup, [0.0, 1.0])
    assert np.allclose(wrong["no tau in the eta^2 term"].Q, curves.Q, rtol=1e-7)


def fabricated(size: int, replicas: int, offset: float, seed: int) -> Trajectories:
    """Replicas around 1 + 3/N + offset, with a spread of N^(-1/2)."""
    rng = np.random.default_rng([seed, size])
    Q = 1 + 3 / size + offset + rng.standard_normal((replicas, 1, 1, 1)) / math.sqrt(size)
    zero = np.zeros((replicas, 1, 1))
    R = rng.standard_normal((replicas, 1, 1, 1)) / math.sqrt(size)
    setup = Setup(1, 1, Q=[[1.0]], R=[[0.0]])
    return Trajectories(
        np.ones(1), Q, R, np.ones((replicas, 1, 1)), zero, None, None, setup, size, 0, "direct"
    )


def test_comparison_rejects_what_it_has_the_power_to_reject():
    truth = Curves(np.ones(1), np.ones((1, 1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1)), None, np.zeros(1))
    wrong = {"off by 0.05": replace(truth, Q=truth.Q + 0.05)}
    sizes = ((100, 4000), (200, 2000), (400, 1000))
    good = compare([fabricated(n, s, 0.0, 1) for n, s in sizes], truth, wrong, [0])
    bad = compare([fabricated(n, s, 0.05, 2) for n, s in sizes], truth, wrong, [0])
    assert rejected([good, bad]) == [False, True]
    assert good.power(0.0025)["off by 0.05"] > 0.99 and good.wrong_z()["off by 0.05"] > 5
    assert abs(good.limit.slope.value[0, 0] - 3) < 5 * good.limit.slope.error[0, 0]


def test_entries_are_the_independent_ones():
    theory = theory_of("erf", "batch").solve(
        Setup(2, 3, normalization="batch", **asymmetric(2, 3, True)), [1.0]
    )
    names, values = entries(theory)
    assert names == ("Q_11", "Q_12", "Q_22", "R_11", "R_12", "R_13", "R_21", "R_22", "R_23", "g_1", "g_2")
    assert values[0, names.index("Q_12")] == theory.Q[0, 0, 1] == theory.Q[0, 1, 0]
    assert values[0, names.index("R_21")] == theory.R[0, 1, 0]


def test_cubic_recovers_a_cubic():
    x = 1 / np.array([20.0, 40.0, 80.0, 160.0, 320.0])
    coefficients = np.array([[0.5, -1.0], [2.0, 3.0], [-4.0, 1.0], [8.0, 0.5]])
    values = np.vander(x, 4, increasing=True) @ coefficients
    found, error = real_normalization.cubic(x, values, np.full_like(values, 1e-3))
    assert np.allclose(found, coefficients, atol=1e-8) and (error > 1e-3).all()


def test_the_flow_at_infinite_size_is_the_limit_of_the_recursion():
    """Euler's method: the error halves with the step."""
    setup, times = Setup(2, 2, batch_size=50, **asymmetric(2, 2)), np.array([0.0, 0.5])
    flow = committee_flow("erf", "none")
    exact = entries(theory_of("erf", "none").solve(setup, times))[1][-1]
    errors = [
        np.abs(finite_batch.recursion(f, setup, times, size)[-1] - exact).max()
        for f, size in ((flow, 50), (flow, 100), (finite_batch.with_pairs(flow), 100))
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[2] != pytest.approx(errors[1], rel=0.1)


def test_pairs_of_samples_are_seen(tmp_path):
    result = finite_batch.run(
        finite_batch.Settings(replicas=500, sizes=(60,), batch_size=200, stop=0.5, points=2),
        Context(tmp_path, workers=1),
    )  # fmt: skip
    (check,) = result.checks
    assert check.passed and check.details["z of wrong theories"]["recursion without the term"] > 5


def test_first_speed_of_a_gaussian_input_is_known():
    gaussian, binary = input_laws.first_speed()
    assert gaussian == pytest.approx(math.sqrt(2) / math.pi, rel=1e-12)  # sqrt(2/pi) <erf(y/sqrt 2) y>
    assert binary == pytest.approx(math.sqrt(2 / math.pi) * math.erf(math.sqrt(0.5)))


RUN = """
model = "committee"
[parameters]
students = 2
normalization = "batch"
learning_rate = 1.0
batch_size = {b}
[initial]
Q = [[0.5, 0.1], [0.1, 0.4]]
R = [[0.3, 0.0], [0.0, 0.2]]
[simulation]
statistics = "{statistics}"
[times]
stop = 1
points = 3
"""


def validate_run(folder, statistics, b):
    path = folder / "run.toml"
    path.write_text(RUN.format(statistics=statistics, b=b))
    return Namespace(
        experiments=[str(path)], out=str(folder / "out"), sizes=[40, 80, 160], replicas=64, seed=3, quick=False,
        backend="numpy", data=None,
    )  # fmt: skip


@pytest.mark.parametrize(("statistics", "status"), [("population", 0), ("batch", 1)])
def test_a_run_file_is_validated(tmp_path, capsys, statistics, status):
    """Population statistics are what the theory describes; those of five samples are something else."""
    assert validation.validate(validate_run(tmp_path, statistics, 5)) == status
    assert "own-run" in (tmp_path / "out" / "report.json").read_text()


def test_a_run_without_noise_cannot_be_simulated(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(RUN.format(statistics="population", b='"inf"'))
    with pytest.raises(InputError, match="batch_size"):
        experiment_of(str(path), None, None, None)


def test_answers_follow_the_results():
    entry = LedgerEntry(
        "takagi2020.claim-radial-negligible", "takagi2020", "may be dropped", Verdict("open", "?")
    )
    question = "Does the dropped radial term matter?"
    assert "Not everything was measured" in answers([entry], [])[question]
    finding = Finding(entry.name, "may be dropped", "It moves Q by half.", "refuted")
    result = ExperimentResult("x", "t", "q?", "a", findings=(finding,))
    said = answers([entry], [result])[question]
    assert said.startswith("It moves Q by half [radial-negligible: refuted by measurement]")
    assert "Not everything" not in said
    result = replace(result, findings=(replace(finding, answer="m_lambda stays."),))
    assert answers([entry], [result])[question].startswith("m_lambda stays [")
