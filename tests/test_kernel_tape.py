"""Tapes: one set of few units against the emitter's functions, which a batch is evaluated by."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest

from derive.model import committee
from derive.online import derive_flow
from numerics.kernel import Kernel
from numerics.kernel.flow import flow_program
from numerics.kernel.inputs import check_inputs
from numerics.kernel.kernel import compile_program
from numerics.kernel.tape import Tape

# Kernels agree to 1e-13 of the sum of absolute terms; the sums here have terms of order one.
TOLERANCE = 1e-13
SCALARS = {"eta": 0.7, "tau": 1.3, "b": 2.0, "lambda": 0.1, "sigma_0": 0.3, "eta_w": 0.2}


def overlaps(vectors: np.ndarray, students: int) -> dict[str, Any]:
    gram = vectors @ vectors.T
    weights = np.random.default_rng(5).uniform(0.5, 1.5, len(vectors))
    return {
        "Q": gram[:students, :students],
        "R": gram[:students, students:],
        "T": gram[students:, students:],
        "w": weights[:students],
        "v": weights[students:],
        **SCALARS,
    }


@cache
def kernel(activation: str) -> Kernel:
    return compile_program(flow_program(derive_flow(committee(activation))), "numpy")


def through_functions(made: Kernel, values: dict[str, Any]) -> dict[str, Any]:
    """The first of two equal sets."""
    twice = made({**values, "eta": np.full(2, values["eta"])})
    return {name: value[0] for name, value in twice.items()}


@pytest.mark.parametrize("activation", ["erf", "relu"])
@pytest.mark.parametrize(("students", "teachers"), [(1, 1), (1, 3), (2, 2), (4, 3), (3, 5)])
def test_a_tape_is_the_functions(students: int, teachers: int, activation: str) -> None:
    units = students + teachers
    vectors = np.random.default_rng(units).standard_normal((units, units + 2)) / np.sqrt(units)
    values = overlaps(vectors, students)
    want = through_functions(kernel(activation), values)
    for name, found in kernel(activation)(values).items():
        np.testing.assert_allclose(found, want[name], rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_coinciding_and_vanishing_units(activation: str) -> None:
    vectors = np.eye(4)[[0, 0, 1, 1, 2, 0]]
    for scale in (1.0, 100.0):
        values = overlaps(scale * vectors, 3)
        want = through_functions(kernel(activation), values)
        for name, found in kernel(activation)(values).items():
            size = TOLERANCE * max(1.0, float(np.abs(want[name]).max()))
            np.testing.assert_allclose(found, want[name], rtol=0, atol=size, err_msg=name)


def test_steps_do_not_multiply_with_the_units() -> None:
    """A call costs its steps, so their number must stay near what the formula's depth asks for."""
    made = kernel("erf")
    for units in (2, 6):
        vectors = np.random.default_rng(0).standard_normal((2 * units, 2 * units))
        inputs = check_inputs(made.program, overlaps(vectors, units), None)
        assert len(Tape(made.program, ("rates",), inputs.sizes)._steps) <= 40


def test_results_are_the_callers_own() -> None:
    made = kernel("erf")
    rng = np.random.default_rng(3)
    points = [overlaps(rng.standard_normal((4, 6)), 2) for _ in range(40)]
    one_by_one = [made(p)["dQ"] for p in points]
    kept = [value.copy() for value in one_by_one]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: made(p)["dQ"], points * 10))
    np.testing.assert_array_equal(one_by_one, kept)
    np.testing.assert_array_equal(together, kept * 10)
