"""The C kernel: its random numbers, and the same trajectories as numpy's on the same numbers."""

import ctypes

import numpy as np
import pytest
from scipy.stats import kstest

from numerics.runtime.compiler import find_compiler
from numerics.runtime.errors import InputError
from validate.simulate import Setup, compilable, simulate
from validate.simulate.chain import Chain
from validate.simulate.compiled import CompiledChain, CompiledDirect, library
from validate.simulate.direct import Direct

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

N, B, REPLICAS = 37, 4, 3
CASES = {
    "none": {},
    "batch": {"normalization": "batch", "shift": True, "gain_decay": 0.3},
    "without-radial": {"normalization": "batch-without-radial", "gain_learning_rate": 0.2},
    "weight": {"normalization": "weight"},
    "centred": {"normalization": "batch", "statistics": "batch", "shift": True},
    "uncentred": {"normalization": "batch", "statistics": "batch-uncentred"},
}


def philox(counter, key):
    """Philox4x32-10 in numpy: counter (4, n) and key (2) of 32-bit words."""
    c, k = [np.asarray(word, np.uint64) for word in counter], [int(word) for word in key]
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p, q = np.uint64(0xCD9E8D57) * c[2], np.uint64(0xD2511F53) * c[0]
        high_p, high_q = p >> np.uint64(32), q >> np.uint64(32)
        c = [high_p ^ c[1] ^ np.uint64(k[0]), p & mask, high_q ^ c[3] ^ np.uint64(k[1]), q & mask]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def normals(dtype, count, key, sample=0, step=0, purpose=0):
    out, key = np.zeros(count + (-count) % 4, dtype), np.asarray(key, np.uint32)
    library(dtype).normals(
        ctypes.c_void_p(out.ctypes.data), ctypes.c_int64(count), ctypes.c_void_p(key.ctypes.data),
        ctypes.c_uint32(sample), ctypes.c_int64(step), ctypes.c_uint32(purpose),
    )  # fmt: skip
    return out[:count]


def test_philox_of_the_tests_gives_the_known_answers():
    """The vectors published with Random123 (kat_vectors)."""
    pi = philox([[0x243F6A88], [0x85A308D3], [0x13198A2E], [0x03707344]], [0xA4093822, 0x299F31D0])
    assert [int(word[0]) for word in pi] == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
    zero = philox([[0], [0], [0], [0]], [0, 0])
    assert [int(word[0]) for word in zero] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 2e-13), (np.float32, 2e-5)])
def test_normals_are_box_muller_of_philox(dtype, tolerance):
    """Single precision: the logarithm of a number near one loses digits, so the error is absolute."""
    count, step = 40_000, 3 * 2**32 + 17
    blocks = count // 4
    counter = [np.arange(blocks), np.full(blocks, 5), np.full(blocks, 17), np.full(blocks, 3 << 4 | 1)]
    words = [word.astype(float) for word in philox(counter, [7, 8])]
    expected = []
    for radius, angle in ((words[0], words[1]), (words[2], words[3])):
        turned = (angle + 0.5 - 2.0**29) * 2.0**-32 * 2 * np.pi
        length = np.sqrt(-2 * np.log((radius + 0.5) * 2.0**-32))
        expected += [length * np.cos(turned), length * np.sin(turned)]
    found = normals(dtype, count, [7, 8], sample=5, step=step, purpose=1)
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_normals_are_normal_and_independent_of_their_neighbours(dtype):
    count = 1_000_000
    sample = normals(dtype, count, [1, 2]).astype(float)
    assert kstest(sample, "norm").pvalue > 1e-4
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((sample**power).mean() - moment) < 4.5 * np.sqrt(variance / count)
    quarter = count // 4
    places = ({"step": 1}, {"sample": 1}, {"purpose": 1}, {"key": [1, 3]})
    others = [normals(dtype, count, **{"key": [1, 2], **place}) for place in places]
    for other in (*others, *(np.roll(sample, shift) for shift in (1, quarter, 2 * quarter))):
        for f in (lambda z: z, np.square):
            assert abs(np.corrcoef(f(sample), f(other))[0, 1]) < 4.5 / np.sqrt(count)


def make(case, activation="erf", **changes):
    return Setup(
        **{
            "students": 2, "teachers": 3, "activation": activation, "learning_rate": 0.9,
            "second_layer_learning_rate": 0.4, "weight_decay": 0.2, "input_variance": 1.6, "batch_size": B,
            "label_noise": 0.3, "Q": [[0.9, 0.2], [0.2, 0.6]], "R": [[0.3, 0.1, 0.2], [0.0, 0.3, -0.1]],
            "T": np.eye(3) + 0.1, "g": [1.2, 0.7], "w": [0.8, -1.1], "v": [1.0, 0.5, -0.4],
            **CASES[case], **changes,
        }
    )  # fmt: skip


class Kernels:
    """The kernel's random numbers, for the numpy simulation."""

    def __init__(self, keys, dtype, purpose, scale):
        self.keys, self.dtype, self.purpose, self.scale = keys, dtype, purpose, scale

    def at(self, step):
        if self.purpose == 1:
            return self.scale * np.stack([normals(self.dtype, B, key, 0, step, 1) for key in self.keys])
        return np.stack([[normals(self.dtype, N, key, u, step) for u in range(B)] for key in self.keys])


@pytest.mark.parametrize("activation", ["erf", "relu", "leaky-relu(0.2)", "abs", "identity", "tanh", "gelu"])
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_follows_numpy_on_the_same_numbers(case, activation):
    setup, steps = make(case, activation), 40
    compiled, plain = (cls(setup, REPLICAS, N, seed=4) for cls in (CompiledDirect, Direct))
    plain.inputs = Kernels(compiled.keys, np.float64, 0, 1)
    plain.noise = Kernels(compiled.keys, np.float64, 1, setup.label_noise)
    compiled.advance(0, steps)
    plain.advance(0, steps)
    for name in ("weights", "g", "w", "shift"):
        np.testing.assert_allclose(getattr(compiled, name), getattr(plain, name), rtol=0, atol=1e-12)


def test_single_precision_follows_double():
    """40 steps, with numbers that agree to 2e-5."""
    setup = make("batch")
    double, single = (
        CompiledDirect(setup, REPLICAS, N, 4, dtype=dtype) for dtype in (np.float64, np.float32)
    )
    double.advance(0, 40)
    single.advance(0, 40)
    np.testing.assert_allclose(double.weights, single.weights, rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", ["direct", "chain"])
def test_a_replica_depends_on_the_seed_alone(method):
    few = simulate(make("batch"), [0.0, 3.0], 2, N, method=method, compiled=True)
    many = simulate(make("batch"), [0.0, 1.0, 3.0], 7, N, method=method, compiled=True)
    np.testing.assert_array_equal(few.Q, many.Q[:2, ::2])
    other = simulate(make("batch"), [0.0, 3.0], 2, N, method=method, compiled=True, seed=1)
    assert np.abs(other.Q[:, 1] - few.Q[:, 1]).max() > 1e-3


class Grouped:
    """The compiled chain's normals, drawn for 64 steps at a time."""

    def __init__(self, keys, purpose, shape, scale=1.0):
        self.keys, self.purpose, self.shape, self.scale = keys, purpose, shape, scale

    def at(self, step):
        count = int(np.prod(self.shape))
        drawn = [normals(np.float64, 64 * count, key, 0, step // 64, self.purpose) for key in self.keys]
        place = step % 64
        numbers = [numbers[place * count : (place + 1) * count].reshape(self.shape) for numbers in drawn]
        return self.scale * np.stack(numbers)


class Mixing(Grouped):
    """The elements below the diagonal of the Bartlett factor, row by row."""

    def at(self, step):
        rank = self.shape[0]
        lower = np.tril_indices(rank, -1)
        matrices = np.zeros((len(self.keys), rank, rank))
        if rank > 1:
            matrices[:, *lower] = Grouped(self.keys, self.purpose, (len(lower[0]),)).at(step)
        return matrices


class Lengths:
    """The compiled chain's chi variables."""

    def __init__(self, keys, degrees):
        self.keys, self.degrees = keys, degrees

    def at(self, step):
        return np.array([[chi(d, key, i, step) for i, d in enumerate(self.degrees)] for key in self.keys])


def chi(degrees, key, which=0, step=0):
    function, key = library(np.float64).chi, np.asarray(key, np.uint32)
    function.restype = ctypes.c_double
    return function(
        ctypes.c_double(degrees),
        ctypes.c_void_p(key.ctypes.data),
        ctypes.c_uint32(which),
        ctypes.c_int64(step),
    )


@pytest.mark.parametrize("size", [7, 10_000])
@pytest.mark.parametrize("batch", [1, 2, 6])
@pytest.mark.parametrize("case", CASES)
def test_the_compiled_chain_follows_numpy_on_the_same_numbers(case, batch, size):
    """A batch below, at and above K = 2; the smallest N there is, and a large one; 70 steps from step 30."""
    batch = max(batch, {"centred": 3, "uncentred": 3}.get(case, 1))
    setup, rank = make(case, batch_size=batch, learning_rate=0.4), min(batch, 2)
    compiled, plain = (cls(setup, REPLICAS, size, seed=4) for cls in (CompiledChain, Chain))
    plain.inputs = Grouped(compiled.keys, 0, (batch, 5), np.sqrt(1.6))
    plain.noise = Grouped(compiled.keys, 1, (batch,), setup.label_noise)
    plain.lengths = Lengths(compiled.keys, size - 5 - np.arange(rank))
    plain.mixing = Mixing(compiled.keys, 3, (rank, rank))
    for learner in (compiled, plain):
        learner.advance(30, 70)
        learner.advance(70, 100)
    for name in ("aligned", "apart", "g", "w", "shift"):
        np.testing.assert_allclose(getattr(compiled, name), getattr(plain, name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("degrees", [1.0, 1.5, 2.0, 7.0, 1e6])
def test_chi_variables_have_their_law(degrees):
    sample = [chi(degrees, [5, 6], step=step) for step in range(20_000)]
    assert kstest(sample, "chi", args=(degrees,)).pvalue > 1e-3
    assert np.abs(np.corrcoef(sample, [chi(degrees, [5, 6], 1, step) for step in range(20_000)])[0, 1]) < 0.03


def test_collinear_students_stay_equal_in_the_compiled_chain():
    collinear = {"Q": np.ones((2, 2)), "R": np.full((2, 3), 0.5), "T": np.full((3, 3), 0.25)}
    even = {"w": [1, 1], "g": [1, 1], **collinear}
    run = simulate(make("batch", **even), [5.0], 20, 30, method="chain", compiled=True)
    np.testing.assert_allclose(run.Q[:, 0, 0, 0], run.Q[:, 0, 0, 1], rtol=1e-10)


def test_what_the_kernel_does_not_know_is_refused():
    for changes in ({"input_law": "binary"}, {"model": 1}, {"activation": "softplus"}):
        assert not compilable(make("none", **changes))
        with pytest.raises(InputError, match="compiled simulation does the committee machine"):
            simulate(make("none", **changes), [1.0], 2, N, compiled=True)
    with pytest.raises(InputError, match="did you mean 'relu'"):
        simulate(make("none", activation="relo"), [1.0], 2, N, compiled=True)
