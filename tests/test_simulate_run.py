"""Seeds, records, precision, checkpoints."""

import numpy as np
import pytest

from numerics.runtime.compiler import find_compiler
from numerics.runtime.errors import InputError
from validate.simulate import Setup, run, simulate, streams
from validate.simulate.inputs import input_law
from validate.simulate.setup import INPUT_LAWS
from validate.simulate.streams import SEGMENT, Draws

SETUP = Setup(
    students=2, teachers=2, normalization="batch", shift=True, batch_size=2, label_noise=0.1,
    second_layer_learning_rate=0.2, Q=[[0.5, 0.1], [0.1, 0.4]], R=[[0.3, 0.1], [0.05, 0.2]],
)  # fmt: skip
ARRAYS = ("Q", "R", "g", "shift", "second_layer", "generalization_error")
METHODS = pytest.mark.parametrize("method", ["direct", "chain"])


def same(a, b, of=lambda array: array):
    return all(np.array_equal(of(getattr(a, name)), of(getattr(b, name))) for name in ARRAYS)


@METHODS
def test_a_replica_depends_on_the_seed_alone(method):
    few = simulate(SETUP, [1.0, 3.0], 2, 40, seed=7, method=method)
    many = simulate(SETUP, [0.0, 0.5, 1.0, 3.0], 5, 40, seed=7, method=method)
    np.testing.assert_allclose(
        few.Q, many.Q[:2, 2:], rtol=1e-12
    )  # the last bits depend on the arrays' layout
    other = simulate(SETUP, [1.0, 3.0], 2, 40, seed=8, method=method)
    assert np.abs(other.Q - few.Q).max() > 1e-3
    assert np.abs(few.Q[0] - few.Q[1]).max() > 1e-3


@pytest.mark.parametrize("compiled", [False, True])
@METHODS
def test_sizes_are_independent(method, compiled):
    """Changes of Q over one step, at two N: uncorrelated over replicas, at 4.5 standard errors."""
    if compiled and find_compiler() is None:
        pytest.skip("no C compiler")
    changes = []
    for size in (40, 50):
        Q = simulate(SETUP, [0.0, 1 / size], 1000, size, method=method, compiled=compiled).Q
        changes.append(Q[:, 1, 0, 0] - Q[:, 0, 0, 0])
    assert abs(np.corrcoef(*changes)[0, 1]) < 4.5 / np.sqrt(1000)


def test_no_number_of_a_stream_comes_back():
    draws = [
        Draws(1, 2, purpose, (3,), lambda rng, shape: rng.standard_normal(shape), np) for purpose in (0, 1)
    ]
    numbers = np.concatenate([of.at(step).ravel() for of in draws for step in range(3 * SEGMENT)])
    assert len(np.unique(numbers)) == len(numbers) == 2 * 3 * SEGMENT * 6


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("law", INPUT_LAWS)
def test_numbers_do_not_depend_on_how_many_are_drawn_at_a_time(law, dtype, monkeypatch):
    drawn = []
    for block in (8, 64):
        monkeypatch.setattr(streams, "BLOCK_NUMBERS", block)
        draws = Draws(1, 2, 0, (3,), input_law(law, np, dtype), np)
        drawn.append(np.stack([draws.at(step).copy() for step in range(100)]))
    np.testing.assert_array_equal(*drawn)


@METHODS
def test_an_interrupted_run_resumes_to_the_same_bits(method, tmp_path, monkeypatch):
    times, size = np.linspace(0, 60, 13), 40  # 2400 steps: two segments and a part
    whole = simulate(SETUP, times, 3, size, method=method)
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 0.0)
    file = tmp_path / "checkpoint"
    write, written = run.checkpoints.save, []

    def interrupt(path, arrays, meta):
        write(path, arrays, meta)
        written.append(meta["next_step"])
        if len(written) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.checkpoints, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            simulate(SETUP, times, 3, size, method=method, checkpoint=file)
    assert written == [1024, 2048]
    steps = []
    with monkeypatch.context() as patch:
        original = run.METHODS[method].step
        patch.setattr(run.METHODS[method], "step", lambda self, n: (steps.append(n), original(self, n))[1])
        assert same(simulate(SETUP, times, 3, size, method=method, checkpoint=file), whole)
        assert steps == list(range(2048, 2400))
        assert same(simulate(SETUP, times, 3, size, method=method, checkpoint=file), whole)
        assert len(steps) == 352  # finished: nothing was left to do


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    file = tmp_path / "checkpoint"
    simulate(SETUP, [1.0], 2, 40, checkpoint=file)
    with pytest.raises(InputError, match="another run: seed"):
        simulate(SETUP, [1.0], 2, 40, seed=1, checkpoint=file)
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        simulate(SETUP, [1.0], 2, 40, checkpoint=file)


def test_records_are_where_they_were_asked_for():
    trajectories = simulate(SETUP, [0.0, 0.333, 1.0], 2, 40)
    np.testing.assert_allclose(trajectories.time, [0, 13 / 40, 1])
    assert trajectories.Q.shape == (2, 3, 2, 2)
    assert trajectories.generalization_error.shape == (2, 3)
    for name, axes in trajectories.axes.items():
        assert getattr(trajectories, name).ndim == len(axes)


def test_absent_parameters_are_none():
    plain = simulate(Setup(students=1, teachers=1, Q=[[1.0]], R=[[0.0]]), [1.0], 2, 10)
    assert plain.g is None
    assert plain.shift is None


def test_single_precision_follows_double():
    """The generators differ, so in distribution: 200 replicas, five standard errors."""
    double, single = (simulate(SETUP, [2.0], 200, 50, dtype=dtype) for dtype in (np.float64, np.float32))
    for name in ARRAYS:
        a, b = (getattr(trajectories, name)[:, 0] for trajectories in (double, single))
        assert (np.abs(a.mean(0) - b.mean(0)) < 5 * np.sqrt((a.var(0) + b.var(0)) / 200)).all()


@pytest.mark.parametrize("law", ["binary", "uniform", "heavy-tailed"])
def test_other_input_laws_run(law):
    setup = Setup(students=1, teachers=1, Q=[[1.0]], R=[[0.5]], input_law=law)
    trajectories = simulate(setup, [0.0, 4.0], 20, 100)
    assert (trajectories.generalization_error[:, 1] < trajectories.generalization_error[:, 0]).all()


def test_a_replica_that_diverges_holds_nan_and_no_warning(recwarn):
    setup = Setup(students=1, teachers=1, activation="relu", learning_rate=300.0, Q=[[1.0]], R=[[0.5]])
    trajectories = simulate(setup, [0.0, 60.0], 2, 30)
    assert not np.isfinite(trajectories.Q[:, 1]).any()
    assert not np.isfinite(trajectories.generalization_error[:, 1]).any()
    assert len(recwarn) == 0


def test_progress_goes_to_stderr_when_asked(capsys):
    simulate(SETUP, [1.0], 2, 40, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "N=40" in captured.err
    simulate(SETUP, [1.0], 2, 40)
    assert capsys.readouterr().err == ""
