"""Kernels: every backend against a literal evaluation of the formula, term by term in Python floats."""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import sympy
from sympy import IndexedBase, Matrix, Piecewise, Sum, Symbol, asin, erf, exp, pi, sqrt, symbols, tanh

from derive.model import committee
from derive.online import derive_flow
from derive.symbols import K, Q, R, T, g, tau
from numerics.kernel import Kernel, Output, compile_kernel
from numerics.kernel.flow import flow_outputs, flow_program, symmetric_inputs
from numerics.kernel.kernel import compile_program
from numerics.runtime.compiler import find_compiler
from numerics.runtime.errors import BackendUnavailable, InputError
from numerics.special.quadrature import gaussian_average

BACKENDS = [
    "numpy",
    pytest.param("c", marks=pytest.mark.skipif(find_compiler() is None, reason="no C compiler")),
]
# Kernels agree to 1e-13 of the sum of absolute terms; the sums here have terms of order one.
TOLERANCE = 1e-13

i, j, k, n = symbols("i j k n", integer=True)
VALUES = {
    "eta": 0.7,
    "tau": 1.3,
    "b": 2.0,
    "lambda": 0.1,
    "sigma_0": 0.3,
    "eta_w": 0.2,
    "eta_g": 0.4,
    "zeta": 0.05,
}
FUNCTIONS = {"asin": math.asin, "erf": math.erf, "exp": math.exp, "tanh": math.tanh}


def point(students: int, teachers: int, seed: int = 0, sets: tuple[int, ...] = ()) -> dict[str, Any]:
    """Random overlaps of students + teachers vectors, gains and second layers."""
    rng = np.random.default_rng(seed)
    units = students + teachers
    vectors = rng.standard_normal((*sets, units, units + 3)) / np.sqrt(units)
    overlaps = vectors @ np.swapaxes(vectors, -1, -2)
    return {
        "Q": overlaps[..., :students, :students],
        "R": overlaps[..., :students, students:],
        "T": overlaps[..., students:, students:],
        "g": rng.uniform(0.5, 1.5, students),
        "w": rng.uniform(0.5, 1.5, students),
        "v": rng.uniform(0.5, 1.5, teachers),
        **VALUES,
    }


def literal(expression: sympy.Basic, values: dict[str, Any], indices: dict[sympy.Basic, int]) -> float:
    """The value of an expression by its definition: sums are loops, nothing is shared or reordered."""
    if isinstance(expression, sympy.Indexed):
        where = tuple(indices[s] - 1 if s in indices else int(s) - 1 for s in expression.indices)
        return float(values[str(expression.base.label)][where])
    if isinstance(expression, sympy.Number | sympy.NumberSymbol):
        return float(expression)
    if isinstance(expression, sympy.Symbol):
        return float(values[expression.name])
    if isinstance(expression, Sum):
        body, *limits = expression.args
        ranges = [range(1, int(values[str(limit[2])]) + 1) for limit in limits]
        return sum(
            literal(body, values, {**indices, **dict(zip([t[0] for t in limits], at, strict=True))})
            for at in product(*ranges)
        )
    if isinstance(expression, Piecewise):
        for value, condition in expression.args:
            truth = condition.xreplace({s: sympy.Integer(x) for s, x in indices.items()})
            if truth == True:  # noqa: E712 (a sympy truth value)
                return literal(value, values, indices)
    arguments = [literal(a, values, indices) for a in expression.args]
    if isinstance(expression, sympy.Add):
        return math.fsum(arguments)
    if isinstance(expression, sympy.Mul):
        return math.prod(arguments)
    if isinstance(expression, sympy.Pow):
        return arguments[0] ** arguments[1]
    return FUNCTIONS[type(expression).__name__](*arguments)


def expected(output: Output, values: dict[str, Any], sizes: dict[str, int]) -> np.ndarray:
    """The whole array of an output, element by element."""
    shape = tuple(sizes[s] for s in output.sizes)
    out = np.empty(shape)
    for at in np.ndindex(*shape):
        where = dict(zip(output.indices, (p + 1 for p in at), strict=True))
        out[at] = literal(output.expression, {**values, **sizes}, where)
    return out


@cache
def program(normalization: str, activation: str = "erf") -> Any:
    return flow_program(derive_flow(committee(activation, normalization=normalization)))


@cache
def flow_kernel(normalization: str, backend: str, activation: str = "erf") -> Kernel:
    return compile_program(program(normalization, activation), backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("normalization", ["none", "batch", "weight"])
def test_the_committee_machine_is_what_its_formulas_say(normalization: str, backend: str) -> None:
    kernel = flow_kernel(normalization, backend)
    for students, teachers in ((1, 1), (2, 3)):
        values = point(students, teachers)
        found = kernel(values)
        for output in kernel.program.outputs:
            want = expected(output, values, {"K": students, "M": teachers})
            np.testing.assert_allclose(found[output.name], want, rtol=0, atol=TOLERANCE, err_msg=output.name)


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("students", [1, 2, 3, 4, 5, 9])
def test_c_and_numpy_agree_at_every_size_and_for_batches(students: int) -> None:
    """Sizes around the register length, where the last block is partial; 11 sets fill no block either."""
    fast, plain = flow_kernel("batch", "c"), flow_kernel("batch", "numpy")
    for sets in ((), (11,)):
        values = point(students, 2, seed=students, sets=sets)
        if sets:
            values["eta"] = np.linspace(0.1, 1.0, 11)
        one, other = fast(values), plain(values)
        for name in one:
            assert one[name].shape == other[name].shape
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=TOLERANCE * (students + 2) ** 2)


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("activation", ["relu", "leaky-relu(0.3)", pytest.param("gelu", marks=pytest.mark.slow)])
def test_batches_agree_where_tables_fill_inside_tables(activation: str) -> None:
    """Averages of many parts keep tables of two and three indices; 5 sets, K != M."""
    program = flow_program(derive_flow(committee(activation, normalization="none")))
    fast, plain = compile_program(program, "c"), compile_program(program, "numpy")
    for students, teachers in ((3, 2), (2, 3)):
        values = point(students, teachers, seed=1, sets=(5,))
        one, other = fast(values), plain(values)
        for name in one:
            scale = max(1.0, np.abs(other[name]).max())
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=TOLERANCE * scale, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_is_its_members(backend: str) -> None:
    kernel = flow_kernel("none", backend)
    values = point(3, 2, sets=(10,))
    together = kernel(values)
    for member in (0, 7, 9):
        alone = kernel({name: a[member] if name in "QRT" else a for name, a in values.items()})
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][member], value, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cosine", [0.3, -0.9])
def test_coinciding_units_keep_all_digits(cosine: float, backend: str) -> None:
    """ReLU with one student: in every sum i = j = k, so rho = 1 and minors vanish.  Against the definition
    <g'(x) (g(y) - g(x)) ...>, integrated over the two fields."""
    q, t, layer = 0.8, 1.3, 0.7
    r = cosine * math.sqrt(q * t)
    values = {
        **VALUES,
        "lambda": 0.0,
        "sigma_0": 0.0,
        "Q": [[q]],
        "R": [[r]],
        "T": [[t]],
        "w": [layer],
        "v": [1.0],
    }
    found = flow_kernel("none", backend, "relu")(values)
    eta, variance, batch = VALUES["eta"], VALUES["tau"], VALUES["b"]

    def averaged(power: int, times: int | None) -> float:
        """<step(x) error^power field>, the field x (0), y (1) or none."""

        def integrand(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            error = np.maximum(y, 0) - layer * np.maximum(x, 0)
            return np.where(x > 0, 1.0, 0.0) * error**power * (1.0 if times is None else (x, y)[times])

        covariance = variance * np.array([[q, r], [r, t]])
        return gaussian_average(integrand, covariance, kinks=True).value

    first, second = eta * layer, eta**2 * variance / batch * layer**2
    want = 2 * first * averaged(1, 0) + second * averaged(2, None)
    assert found["dQ"][0, 0] == pytest.approx(want, abs=1e-12)
    assert found["dR"][0, 0] == pytest.approx(first * averaged(1, 1), abs=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_arcsine_near_one_keeps_its_digits(backend: str) -> None:
    """asin(R/sqrt(Q T)) for fields at angles down to 1e-6, against 40 digits on the same doubles."""
    mpmath = pytest.importorskip("mpmath")
    output = Output("angle", (i, n), ("K", "M"), asin(R[i, n] / sqrt(Q[i, i] * T[n, n])))
    kernel = compile_kernel([output], backend)
    for angle in (1.0, 1e-2, 1e-4, 1e-6):
        q, t = 1.7, 0.3
        r = math.sqrt(q * t) * math.cos(angle)
        found = kernel({"Q": [[q]], "R": [[r]], "T": [[t]]})["angle"][0, 0]
        with mpmath.workdps(40):
            want = mpmath.asin(mpmath.mpf(r) / mpmath.sqrt(mpmath.mpf(q) * mpmath.mpf(t)))
        assert abs(found - want) < 4e-16
    # A ratio that rounding pushed above one is one.
    assert kernel({"Q": [[0.1]], "R": [[0.1 * (1 + 2e-16)]], "T": [[0.1]]})["angle"][0, 0] == math.pi / 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_function_and_construct(backend: str) -> None:
    """One output for each thing a right-hand side may contain that the committee machine does not use."""
    a = IndexedBase("a", real=True)
    c = Symbol("c", real=True)
    outputs = [
        Output(
            "excluded", (i,), ("K",), Sum(Piecewise((Q[i, k] * a[k], sympy.Ne(i, k)), (0, True)), (k, 1, K))
        ),
        Output("diagonal", (i, j), ("K", "K"), Piecewise((a[i], sympy.Eq(i, j)), (c * Q[i, j], True))),
        Output("powers", (i,), ("K",), a[i] ** 5 + a[i] ** -2 + (1 + a[i] ** 2) ** sympy.Rational(-3, 2)),
        Output("smooth", (i,), ("K",), exp(-a[i]) * tanh(a[i]) + erf(c * a[i]) + sympy.exp(1) * pi),
        Output("product", (), (), Sum(a[i], (i, 1, K)) * Sum(a[j] * Q[j, j], (j, 1, K)) * K),
        Output("element", (), (), Q[1, 2] * a[1]),
    ]
    rng = np.random.default_rng(3)
    values = {"Q": rng.standard_normal((4, 4)), "a": rng.uniform(0.5, 2, 4), "c": 0.8}
    found = compile_kernel(outputs, backend)(values)
    for output in outputs:
        want = expected(output, values, {"K": 4})
        np.testing.assert_allclose(found[output.name], want, rtol=1e-14, atol=1e-14, err_msg=output.name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_quadrature_node_is_the_average(backend: str) -> None:
    """<tanh u tanh v> by the kernel's product rule against an adaptive integral, collinear fields too."""
    from scipy.integrate import dblquad

    from derive.gaussian.unevaluated import GaussianAverage

    u, z = symbols("u z", real=True)
    average = GaussianAverage(tanh(u) * tanh(z), (u, z), Matrix([[Q[i, i], Q[i, j]], [Q[i, j], Q[j, j]]]))
    kernel = compile_kernel([Output("average", (i, j), ("K", "K"), average)], backend)
    found = kernel({"Q": np.array([[1.2, 0.5], [0.5, 0.7]])})["average"]

    def want(a: float, c: float, b: float) -> float:
        def integrand(y: float, x: float) -> float:
            first = math.sqrt(a) * x
            second = c / math.sqrt(a) * x + math.sqrt(max(b - c * c / a, 0)) * y
            return math.tanh(first) * math.tanh(second) * math.exp(-(x * x + y * y) / 2) / (2 * math.pi)

        return dblquad(integrand, -8.5, 8.5, -8.5, 8.5, epsabs=1e-11)[0]

    assert found[0, 1] == pytest.approx(want(1.2, 0.5, 0.7), abs=1e-10)
    assert found[0, 0] == pytest.approx(want(1.2, 1.2, 1.2), abs=1e-10)


def test_passes_bring_the_operations_down() -> None:
    """The eta^2 part at K = M = 8: at most half of what each operation at its own indices costs."""
    counts = {c.name: c.operations for c in program("none").counts}
    assert counts["share reductions"] < 0.5 * counts["each operation at its own indices"]
    assert counts["share reductions"] < 178_401  # the prototype's count for the eta^2 part alone


def test_symmetric_outputs_are_symmetric() -> None:
    values = point(4, 3)
    rate = flow_kernel("none", "numpy")(values)["dQ"]
    assert (rate == rate.T).all()


def test_bad_input_says_what_is_wrong() -> None:
    kernel = flow_kernel("none", "numpy")
    values = point(2, 2)
    with pytest.raises(InputError, match="missing: R"):
        kernel({name: a for name, a in values.items() if name != "R"})
    with pytest.raises(InputError, match=r"R has shape \(3, 2\)"):
        kernel({**values, "R": np.zeros((3, 2))})
    with pytest.raises(InputError, match="did you mean"):
        compile_kernel([Output("x", (), (), tau)], "nunpy")
    with pytest.raises(InputError, match="cannot lower zeta"):
        compile_kernel([Output("x", (), (), sympy.zeta(tau))], "numpy")
    with pytest.raises(InputError, match="runs from 2"):
        compile_kernel([Output("x", (), (), Sum(g[i], (i, 2, K)))], "numpy")


def test_a_missing_backend_is_an_error() -> None:
    with pytest.raises(BackendUnavailable, match="cupy"):
        compile_kernel([Output("x", (), (), tau)], "cupy")({"tau": 1.0})


def test_symmetric_inputs_are_the_overlap_matrices() -> None:
    flow = derive_flow(committee("erf"))
    assert symmetric_inputs(flow) == {"Q", "T"}
    names = [o.name for o in flow_outputs(flow)]
    assert names[:2] == ["dQ", "dR"]
