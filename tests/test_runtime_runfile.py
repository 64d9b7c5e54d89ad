"""Run files: defaults, every way of getting one wrong, and sweeps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from numerics.runtime.errors import InputError
from numerics.runtime.runfile import Run, build, load, parse_vary, sweep, with_parameters

COMPLETE = """
model = "committee"
[parameters]
students = 3
teachers = 2
activation = "erf"
normalization = "batch"
learning_rate = 0.5
gain_learning_rate = 0.25
second_layer_learning_rate = 0.125
input_variance = 2
batch_size = 4
label_noise = 0.1
weight_decay = 0.01
gain_decay = 0.02
[initial]
Q = [[1.0, 0.1, 0.0], [0.1, 1.0, 0.0], [0.0, 0.0, 1.0]]
R = [[0.1, 0.0], [0.0, 0.2], [0.0, 0.0]]
T = [[1.0, 0.5], [0.5, 1.0]]
g = [1.0, 1.1, 1.2]
w = [1.0, -1.0, 0.5]
v = [2.0, 3.0]
[simulation]
statistics = "batch"
shift = true
input_law = "binary"
[times]
list = [0.0, 1.0, 10.0]
[tolerance]
relative = 1e-6
absolute = 1e-9
"""


def test_a_complete_run_file_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(COMPLETE)
    run = load(path)
    p = run.parameters
    assert (p.students, p.teachers, p.normalization, p.batch_size) == (3, 2, "batch", 4)
    assert (p.learning_rate, p.gain_learning_rate, p.second_layer_learning_rate) == (0.5, 0.25, 0.125)
    assert (p.input_variance, p.label_noise, p.weight_decay, p.gain_decay) == (2, 0.1, 0.01, 0.02)
    assert run.initial.R.shape == (3, 2) and run.initial.T[0, 1] == 0.5 and run.initial.w[1] == -1
    assert (run.simulation.statistics, run.simulation.shift, run.simulation.input_law) == (
        "batch",
        True,
        "binary",
    )
    assert run.times.tolist() == [0, 1, 10]
    assert (run.tolerance.relative, run.tolerance.absolute) == (1e-6, 1e-9)


def test_an_empty_run_file_is_a_run() -> None:
    run = build({})
    assert run.model == "committee" and run.parameters.teachers == run.parameters.students == 2
    assert run.times[0] == 0 and run.times[-1] == 100 and len(run.times) == 101
    rows = run.initial.R
    assert not np.allclose(rows[0], rows[1]), "equal students would never leave the symmetric phase"


@pytest.mark.parametrize(("students", "teachers"), [(1, 1), (1, 4), (5, 2), (3, 3)])
def test_the_default_start_exists(students: int, teachers: int) -> None:
    initial = build({"parameters": {"students": students, "teachers": teachers}}).initial
    joint = np.block([[initial.Q, initial.R], [initial.R.T, initial.T]])
    assert np.linalg.eigvalsh(joint)[0] > 0
    assert len(np.unique(np.diag(initial.Q))) == students


def test_the_default_students_follow_a_given_teacher() -> None:
    """Weights with these overlaps exist even where the teachers are collinear."""
    initial = build({"initial": {"T": [[1.0, 1.0], [1.0, 1.0]]}}).initial
    joint = np.block([[initial.Q, initial.R], [initial.R.T, initial.T]])
    assert np.linalg.eigvalsh(joint)[0] > -1e-14


def test_gains_learn_with_the_weights_unless_told() -> None:
    normalized = build({"parameters": {"normalization": "batch", "learning_rate": 0.3}})
    assert normalized.parameters.gain_learning_rate == 0.3
    fixed = build({"parameters": {"normalization": "batch", "gain_learning_rate": 0}})
    assert fixed.parameters.gain_learning_rate == 0
    assert build({"parameters": {"learning_rate": 0.3}}).parameters.gain_learning_rate == 0


@pytest.mark.parametrize("value", ["inf", math.inf])
def test_batch_size_may_be_infinite(value: object) -> None:
    assert build({"parameters": {"batch_size": value}}).parameters.batch_size == math.inf


def test_drawn_students_have_the_overlaps_of_their_law() -> None:
    """Over seeds: <Q_ii> = norm^2, <Q_ij> = 0, <R_in> = 0, <R R^T> = M-trace norm^2 / size.  4 sigma."""
    norm, size, seeds = 2.0, 50, 400
    T = [[1.0, 0.6], [0.6, 2.0]]
    initials = [
        build({"initial": {"T": T, "draw": {"seed": seed, "norm": norm, "size": size}}}).initial
        for seed in range(seeds)
    ]
    Q = np.array([initial.Q for initial in initials])
    R = np.array([initial.R for initial in initials])
    error = 4 / math.sqrt(seeds)
    assert abs(Q[:, 0, 0].mean() - norm**2) < error * norm**2 * math.sqrt(2 / size)
    assert abs(Q[:, 0, 1].mean()) < error * norm**2 / math.sqrt(size)
    covariance = norm**2 / size * np.array(T)
    measured = np.einsum("sin,sim->nm", R, R) / (2 * seeds)
    assert np.abs(measured - covariance).max() < error * math.sqrt(2) * covariance.max()
    assert np.array_equal(
        initials[3].Q, build({"initial": {"draw": {"seed": 3, "norm": 2.0, "size": 50}}}).initial.Q
    )


BAD = [
    ({"parametres": {}}, "did you mean 'parameters'"),
    ({"parameters": 3}, "must be a table"),
    ({"parameters": {"student": 2}}, "did you mean 'students'"),
    ({"parameters": {"students": 0}}, "students is 0; it must be a whole number, at least 1"),
    ({"parameters": {"teachers": 1.5}}, "teachers is 1.5; it must be a whole number"),
    ({"parameters": {"students": True}}, "students must be a number"),
    ({"parameters": {"learning_rate": math.nan}}, "learning_rate is nan"),
    ({"parameters": {"learning_rate": math.inf}}, "learning_rate is inf"),
    ({"parameters": {"learning_rate": -1}}, "must not be negative"),
    ({"parameters": {"learning_rate": "fast"}}, "learning_rate must be a number"),
    ({"parameters": {"input_variance": 0}}, "input_variance is 0; it must be positive"),
    ({"parameters": {"label_noise": -0.1}}, "label_noise is -0.1"),
    ({"parameters": {"batch_size": 0}}, "batch_size is 0"),
    ({"parameters": {"batch_size": "infinite"}}, "a whole number or 'inf'"),
    ({"parameters": {"normalization": "bach"}}, "did you mean 'batch'"),
    ({"parameters": {"activation": 3}}, "activation must be a name"),
    ({"parameters": {"gain_learning_rate": 0.1}}, "needs gains"),
    ({"initial": {"q": [[1.0]]}}, "unknown key of [initial] 'q'"),
    ({"initial": {"Q": [[1.0]]}}, "initial.Q has shape (1, 1); it must be (2, 2)"),
    ({"initial": {"Q": [[1.0, 0.0], [0.0]]}}, "rows of equal length"),
    ({"initial": {"Q": [["a", "b"], ["c", "d"]]}}, "numbers only"),
    ({"initial": {"Q": [[1.0, math.nan], [math.nan, 1.0]]}}, "not finite"),
    ({"initial": {"Q": [[1.0, 0.5], [0.0, 1.0]]}}, "not symmetric"),
    ({"initial": {"Q": [[1.0, 2.0], [2.0, 1.0]]}}, "smallest eigenvalue is -1;"),
    ({"initial": {"T": [[1.0, 2.0], [2.0, 1.0]]}}, "overlaps T are not positive semidefinite"),
    # Each of Q and T is fine alone; a student of norm 1/2 cannot have overlap 0.9 with a teacher of norm 1.
    ({"initial": {"Q": [[0.25, 0.0], [0.0, 0.25]], "R": [[0.9, 0.0], [0.0, 0.0]]}}, "Q, R, T together"),
    ({"initial": {"g": [1.0, 1.0]}}, "there are no gains"),
    ({"initial": {"draw": 3}}, "draw must be a table"),
    ({"initial": {"draw": {"norm": 1.0}}}, "draw needs a seed"),
    ({"initial": {"draw": {"seed": -1}}}, "seed is -1"),
    ({"initial": {"draw": {"seed": 1, "size": 1}}}, "need at least as many inputs"),
    ({"initial": {"draw": {"seed": 1}, "Q": [[1.0, 0.0], [0.0, 1.0]]}}, "both draw and overlaps"),
    (
        {"parameters": {"normalization": "batch"}, "initial": {"Q": [[0, 0], [0, 1]], "R": [[0, 0], [0, 0]]}},
        "Q_ii",
    ),
    ({"simulation": {"statistics": "batch"}}, "needs normalization = 'batch'"),
    (
        {"parameters": {"normalization": "batch", "batch_size": 2}, "simulation": {"statistics": "batch"}},
        "needs batch_size at least 3",
    ),
    (
        {
            "parameters": {"normalization": "batch", "batch_size": 1},
            "simulation": {"statistics": "batch-uncentred"},
        },
        "needs batch_size at least 2",
    ),
    ({"simulation": {"input_law": "gausian"}}, "did you mean 'gaussian'"),
    ({"simulation": {"shift": 1}}, "true or false"),
    ({"simulation": {"shift": True}}, "shift needs statistics"),
    ({"times": {"stop": 0}}, "stop is 0"),
    ({"times": {"points": 1}}, "points is 1"),
    ({"times": {"list": [0.0, 1.0], "stop": 2}}, "give one of them"),
    ({"times": {"list": [0.0, 2.0, 1.0]}}, "must increase"),
    ({"times": {"list": [-1.0, 1.0]}}, "not begin before 0"),
    ({"times": {"list": [[0.0], [1.0]]}}, "at least two numbers"),
    ({"tolerance": {"relative": 1e-20}}, "1e-14 to 1"),
    ({"tolerance": {"rel": 1e-3}}, "did you mean 'relative'"),
    ({"model": "comittee"}, "model must be 'committee' or 'file.py:name'"),
    ({"model": "nowhere.py:model"}, "there is no file"),
]


@pytest.mark.parametrize(("tables", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_input_is_one_clear_error(tables: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        build(tables)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_files_that_are_not_run_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the run file"):
        load(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("students = = 2")
    with pytest.raises(InputError, match="is not TOML"):
        load(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b'model = "\xff"')
    with pytest.raises(InputError, match="is not TOML"):
        load(tmp_path / "latin.toml")


def test_a_users_objects_come_back_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import sys\nloss = ('any', 'object')\nmodule = sys.modules[__name__]\n"
    )
    (tmp_path / "run.toml").write_text('model = "mine.py:loss"')
    run = load(tmp_path / "run.toml")
    assert run.model == ("any", "object")
    assert build({"parameters": {"activation": "mine.py:loss"}}, tmp_path).parameters.activation is run.model
    assert run.parameters.gain_learning_rate == run.parameters.learning_rate
    with pytest.raises(InputError, match="contains its normalization"):
        build({"model": "mine.py:loss", "parameters": {"normalization": "batch"}}, tmp_path)
    with pytest.raises(InputError, match="did you mean 'loss'"):
        build({"model": "mine.py:los"}, tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = 1\nb = 1 / 0\n", "broken.py, line 2: ZeroDivisionError"),
        ("a = (\n", "broken.py, line 1: SyntaxError"),
        ("\nimport no_such_package\n", "broken.py, line 2: ModuleNotFoundError"),
    ],
)
def test_a_users_file_that_fails_says_where(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(InputError) as caught:
        build({"model": "broken.py:loss"}, tmp_path)
    assert words in str(caught.value)


def test_students_move_teachers_unless_given() -> None:
    assert with_parameters(build({}), students=5).parameters.teachers == 5
    run = build({"parameters": {"teachers": 2}})
    assert with_parameters(run, students=5).parameters.teachers == 2
    assert with_parameters(run, students=5).initial.R.shape == (5, 2)


def test_a_change_is_checked_like_a_file() -> None:
    run = build({"initial": {"w": [1.0, 1.0]}})
    with pytest.raises(InputError, match=r"initial.w has shape"):
        with_parameters(run, students=3)


def test_ranges() -> None:
    assert parse_vary("students=2:5") == ("students", [2, 3, 4, 5])
    key, values = parse_vary("learning_rate=0.5:1.5:3")
    assert key == "learning_rate" and values == pytest.approx([0.5, 1.0, 1.5])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("students", "write KEY=a:b"),
        ("students=5:2", "the range is empty"),
        ("students=1:3:3", "is a whole number"),
        ("learning_rate=1", "write learning_rate=a:b"),
        ("learning_rate=0:inf:3", "must be finite"),
        ("learning_rate=0:1:0", "count at least 1"),
        ("learningrate=0:1:3", "did you mean 'learning_rate'"),
    ],
)
def test_bad_ranges(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_vary(text)
    assert words in str(caught.value)


def test_a_sweep_is_every_combination_the_last_fastest() -> None:
    points = sweep(build({}), {"students": [2, 3], "input_variance": [1.0, 2.0]})
    assert [changes for changes, _ in points] == [
        {"students": 2, "input_variance": 1.0},
        {"students": 2, "input_variance": 2.0},
        {"students": 3, "input_variance": 1.0},
        {"students": 3, "input_variance": 2.0},
    ]
    assert isinstance(points[0][1], Run) and points[3][1].parameters.teachers == 3
