"""The four-sign function against exact cases, another algorithm at many digits, quadrature; its C text."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from itertools import combinations, permutations
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mp

from numerics.special import any_precision
from numerics.special.orthant import FOUR_SIGNS_C, four_signs
from numerics.special.quadrature import gaussian_average

PAIRS = list(combinations(range(4), 2))
#: Float rounding of a dozen terms of order one; worst seen in 1e5 matrices: 3e-15.
ROUNDING = 8e-15


def correlations(vectors: np.ndarray) -> np.ndarray:
    """The six correlations (6, n) of four fields given as vectors (n, 4, d)."""
    # In this order of operations coinciding integer vectors have a correlation of exactly 1.
    dot = np.einsum("nai,nbi->abn", vectors, vectors)
    return np.array([np.clip(dot[a, b] / np.sqrt(dot[a, a] * dot[b, b]), -1, 1) for a, b in PAIRS])


def exact_correlations(vectors: np.ndarray) -> list[mpmath.mpf]:
    """The same for one set of vectors (4, d), in mpmath's working precision."""
    rows = [[mp.mpf(float(x)) for x in row] for row in vectors]
    norms = [mp.sqrt(mp.fsum(x * x for x in row)) for row in rows]
    return [mp.fdot(rows[a], rows[b]) / norms[a] / norms[b] for a, b in PAIRS]


def ensemble(kind: str, size: float, count: int, seed: int = 1) -> np.ndarray:
    """Vectors (count, 4, 4) of four fields, degenerate as ``size`` goes to 0."""
    v = np.random.default_rng(seed).standard_normal((count, 4, 4))
    if kind == "independent":
        v = np.eye(4) + size * v
    elif kind == "coplanar":
        v[..., 3] *= size
    elif kind == "planar":
        v[..., 2:] *= size
    elif kind == "pair":
        v[:, 1] = v[:, 0] + size * v[:, 1]
    elif kind == "opposite":
        v[:, 2] = size * v[:, 2] - v[:, 0]
    elif kind == "two pairs":
        v[:, 1], v[:, 3] = v[:, 0] + size * v[:, 1], v[:, 2] + size * v[:, 3]
    elif kind == "triple":
        v[:, 1], v[:, 2] = v[:, 0] + size * v[:, 1], v[:, 0] + size * v[:, 2]
    elif kind == "quadruple":
        v[:, 1:] = v[:, :1] + size * v[:, 1:]
    elif kind == "nested":
        v[:, 1], v[:, 2] = v[:, 0] + size * v[:, 1], v[:, 0] + np.sqrt(size) * v[:, 2]
    return v


KINDS = (
    "independent", "coplanar", "planar", "pair", "opposite", "two pairs", "triple", "quadruple", "nested",
)  # fmt: skip


def angle(c: float) -> float:
    return 2 / np.pi * np.arcsin(c)


def test_independent_pairs_factorize() -> None:
    for a, b in ((0.3, -0.8), (0.999, 0.5), (1.0, -1.0), (0.0, 0.0), (1e-9, 0.7)):
        expected = angle(a) * angle(b)
        assert four_signs(a, 0, 0, 0, 0, b) == pytest.approx(expected, abs=ROUNDING)
        assert four_signs(0, a, 0, 0, b, 0) == pytest.approx(expected, abs=ROUNDING)
        assert four_signs(0, 0, a, b, 0, 0) == pytest.approx(expected, abs=ROUNDING)


def test_coinciding_fields_cancel() -> None:
    assert four_signs(1, 0.3, -0.2, 0.3, -0.2, 0.6) == pytest.approx(angle(0.6), abs=ROUNDING)
    assert four_signs(-1, 0.3, -0.2, -0.3, 0.2, 0.6) == pytest.approx(-angle(0.6), abs=ROUNDING)
    assert four_signs(1, 0.4, 0.4, 0.4, 0.4, 1) == pytest.approx(1, abs=ROUNDING)
    assert four_signs(1, 1, 0.4, 1, 0.4, 0.4) == pytest.approx(angle(0.4), abs=ROUNDING)
    assert four_signs(1, -1, 1, -1, 1, -1) == -1


def test_equicorrelation_one_half() -> None:
    # Five independent equal variables: the fifth is the smallest with probability 1/5 = P(++++).
    assert four_signs(*[0.5] * 6) == pytest.approx(16 / 5 - 1 - 6 * angle(0.5), abs=ROUNDING)


def test_fields_that_sum_to_zero_are_never_all_positive() -> None:
    vectors = np.random.default_rng(2).standard_normal((500, 4, 3))
    vectors[:, 3] = -vectors[:, :3].sum(axis=1)
    c = correlations(vectors)
    assert np.abs(four_signs(*c) - (-1 - angle(c).sum(axis=0))).max() < 2 * ROUNDING


def test_scalars_arrays_and_nan() -> None:
    assert isinstance(four_signs(0.1, 0, 0, 0, 0, 0.1), float)
    assert four_signs(np.zeros((3, 1)), 0, 0, 0, 0, np.linspace(0, 1, 5)).shape == (3, 5)
    assert four_signs(np.zeros(0), 0, 0, 0, 0, 0).shape == (0,)
    assert np.isnan(four_signs([np.nan, 1.1, 0.1], 0, 0, 0, 0, 0)).tolist() == [True, True, False]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-8, 1e-12])
def test_against_many_digits(kind: str, size: float) -> None:
    """Error below rounding plus what rounding the inputs alone does: S has slope <= 2/pi in their angles."""
    with mp.workdps(110):
        for vectors in ensemble(kind, size, 3):
            exact = exact_correlations(vectors)
            rounded = [float(c) for c in exact]
            moved = sum(abs(mp.asin(c) - mp.asin(r)) for c, r in zip(exact, rounded, strict=True))
            inherent = 2 / np.pi * float(moved)
            error = abs(four_signs(*rounded) - any_precision.four_signs(*exact, digits=18))
            assert error < ROUNDING + inherent


@pytest.mark.parametrize("kind", ["coplanar", "pair", "two pairs", "triple", "quadruple", "nested"])
@pytest.mark.parametrize("size", [1e-2, 1e-4, 1e-6])
def test_given_correlations_count_as_exact(kind: str, size: float) -> None:
    """No digit is lost near collinear fields, where the correlations as given are semidefinite."""
    checked = 0
    with mp.workdps(60):
        for c in correlations(ensemble(kind, size, 8, seed=6)).T:
            matrix = mp.eye(4)
            for (a, b), value in zip(PAIRS, c, strict=True):
                matrix[a, b] = matrix[b, a] = mp.mpf(value)
            if min(mp.eigsy(matrix, eigvals_only=True)) >= 0:
                checked += 1
                assert abs(four_signs(*c) - any_precision.four_signs(*c, digits=18)) < ROUNDING
    assert checked >= 4


@pytest.mark.parametrize("kind", ["generic", *KINDS])
def test_no_order_of_fields_loses_digits(kind: str) -> None:
    """Other orders take other paths, so an error of one path would show."""
    vectors = ensemble(kind, 1e-4, 6000, seed=3)
    orders = ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2])
    values = [four_signs(*correlations(vectors[:, order])) for order in orders]
    assert np.ptp(values, axis=0).max() < ROUNDING


def test_three_nearly_collinear_fields_whose_cheapest_path_loses_digits() -> None:
    """The path with the fewest nodes has two of the three as its hinge and would be wrong by 5e-12."""
    c = (0.9999999999994729, 0.9999999999993698, 0.41514570558799435)
    c += (0.999999999998681, 0.41514556595659, 0.41514639864894837)
    assert abs(four_signs(*c) - any_precision.four_signs(*c, digits=18)) < ROUNDING


def test_many_digits_agree_with_fewer_and_with_an_exact_case() -> None:
    with mp.workdps(60):
        fifth = any_precision.four_signs(*[mp.mpf(1) / 2] * 6, digits=40)
        assert abs(fifth - mp.mpf(1) / 5) < mp.mpf(10) ** -39
        assert any_precision.four_signs(1, 0.25, 0.5, 0.25, 0.5, 0.5) == pytest.approx(1 / 3, abs=1e-15)


def test_against_scipy_orthant_probabilities() -> None:
    from scipy.stats import multivariate_normal

    for c in correlations(ensemble("generic", 1, 4)).T:
        matrix = np.eye(4)
        for (a, b), value in zip(PAIRS, c, strict=True):
            matrix[a, b] = matrix[b, a] = value
        probability = multivariate_normal.cdf(np.zeros(4), cov=matrix, maxpts=400_000, abseps=1e-7, rng=1)
        assert 16 * probability - 1 - angle(c).sum() == pytest.approx(four_signs(*c), abs=1e-4)


def test_against_cone_quadrature() -> None:
    vectors = ensemble("generic", 1, 2, seed=3)[:, :, :3]
    for v, c in zip(vectors, correlations(vectors).T, strict=True):
        average = gaussian_average(lambda p, q, r, s: np.sign(p * q * r * s), v @ v.T, kinks=True)
        assert average.value == pytest.approx(four_signs(*c), abs=1e-11)


small_vectors = st.lists(st.lists(st.integers(-2, 2), min_size=4, max_size=4), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None)
@given(small_vectors)
def test_symmetries(rows: list[list[int]]) -> None:
    """Integer vectors: many exactly singular and coinciding cases.  All 24 orders and 8 sign flips."""
    vectors = np.array(rows, dtype=float)
    assume((np.abs(vectors).sum(axis=1) > 0).all())
    orders = np.array(list(permutations(range(4))))
    values = four_signs(*correlations(vectors[orders]))
    assert np.ptp(values) < ROUNDING
    assert np.abs(values).max() <= 1 + ROUNDING
    flips = np.array([[1, a, b, c] for a in (1, -1) for b in (1, -1) for c in (1, -1)])
    flipped = four_signs(*correlations(vectors * flips[..., None]))
    assert np.abs(flipped - flips.prod(axis=1) * values[0]).max() < ROUNDING


@settings(max_examples=25, deadline=None)
@given(small_vectors)
def test_small_integer_vectors_against_many_digits(rows: list[list[int]]) -> None:
    vectors = np.array(rows, dtype=float)
    assume((np.abs(vectors).sum(axis=1) > 0).all())
    c = correlations(vectors[None])[:, 0]
    assert abs(four_signs(*c) - any_precision.four_signs(*c, digits=18)) < 2 * ROUNDING


@pytest.mark.parametrize("kind", KINDS)
def test_limits_of_the_degenerate_ensembles_are_continuous(kind: str) -> None:
    """S is Lipschitz in the angles, so a step of 1e-6 in vectors of order one moves it by about 1e-6."""
    near = four_signs(*correlations(ensemble(kind, 1e-6, 200)))
    nearer = four_signs(*correlations(ensemble(kind, 1e-12, 200)))
    assert np.isfinite(near).all() and np.isfinite(nearer).all()
    assert np.abs(near - nearer).max() < 2e-3  # vectors as short as 0.02 occur among 800


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler: looked for cc, gcc and clang")
    folder: Path = tmp_path_factory.mktemp("four_signs")
    loop = """
void fill(long n, const double *c, double *s) {
    for (long i = 0; i < n; i++)
        s[i] = four_signs(c[i], c[n + i], c[2 * n + i], c[3 * n + i], c[4 * n + i], c[5 * n + i]);
}
"""
    (folder / "four_signs.c").write_text(FOUR_SIGNS_C + loop)
    command = [compiler, "-std=c99", "-O2", "-Wall", "-Werror", "-Wno-unused-function", "-shared", "-fPIC"]
    subprocess.run([*command, "four_signs.c", "-o", "four_signs.so", "-lm"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "four_signs.so"))


def through_c(library: ctypes.CDLL, c: np.ndarray) -> np.ndarray:
    c = np.ascontiguousarray(c)
    out = np.empty(c.shape[1])
    pointer = ctypes.POINTER(ctypes.c_double)
    library.fill(ctypes.c_long(c.shape[1]), c.ctypes.data_as(pointer), out.ctypes.data_as(pointer))
    return out


@pytest.mark.parametrize("kind", ["generic", *KINDS])
def test_c_agrees_with_numpy(kind: str, compiled: ctypes.CDLL) -> None:
    for size in (1e-2, 1e-6, 1e-12, 0.0):
        c = correlations(ensemble(kind, size, 1000, seed=4))
        # Matrices that rounding made indefinite have no one value: allow what rounding the correlations does.
        gap = np.maximum((1 - c) * (1 + c), 2.0**-53)
        allowed = 2 * ROUNDING + (2.0**-51 / np.sqrt(gap)).sum(axis=0)
        assert (np.abs(through_c(compiled, c) - four_signs(*c)) < allowed).all()


def test_c_marks_illegal_correlations(compiled: ctypes.CDLL) -> None:
    c = np.zeros((6, 4))
    c[2] = [np.nan, 1.001, -1.001, 1 + 1e-12]
    assert np.isnan(through_c(compiled, c)).tolist() == [True, True, True, False]
