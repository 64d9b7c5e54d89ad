"""The right-hand side of the committee machine with its eta^2 terms: microseconds an evaluation, on one core.

In one run: our C kernel inside a compiled loop (one parameter set, and per set with sets side by side), our
numpy kernel, the same formulas as numpy arrays with every operation at its own indices but no other pass
("hoisted"), and sympy's lambdify of the written-out sums where it can be built.  Ratios are to the C kernel.

    python bench/bench_rhs.py [students ...]
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import sympy

from derive.model import committee
from derive.online import derive_flow
from numerics.kernel import Output, Program, emit_c
from numerics.kernel.flow import RATES, flow_outputs, symmetric_inputs
from numerics.kernel.kernel import compile_program
from numerics.kernel.lower import Lowering
from numerics.kernel.passes.powers import reduce_powers
from numerics.kernel.passes.splitting import split_arcsines
from numerics.kernel.program import build_program
from numerics.kernel.run_c import LANES, Binding, kernel_structure
from numerics.runtime.compiler import compile_shared, require_compiler

TARGETS = {2: (1, 60), 4: (2.5, 90), 8: (9, 200), 16: (120, None)}
"""Microseconds: C in a compiled loop, numpy.  Stated for a Zen 5 core."""

LOOP = """
void repeat(void (*rates)(const struct kernel *), const struct kernel *k, long times)
{
    for (long i = 0; i < times; ++i) { __asm__ volatile("" ::: "memory"); rates(k); }
}
"""


def values_at(units: int) -> dict[str, Any]:
    """Overlaps of random vectors."""
    vectors = np.random.default_rng(1).standard_normal((2 * units, 2 * units + 3)) / np.sqrt(2 * units)
    gram = vectors @ vectors.T
    scalars = {"eta": 0.7, "tau": 1.3, "b": 2.0, "lambda": 0.0, "sigma_0": 0.1, "eta_w": 0.1}
    overlaps = {"Q": gram[:units, :units], "R": gram[:units, units:], "T": gram[units:, units:]}
    layers = {"w": np.ones(units), "v": np.ones(units)}
    return {**{name: overlap.copy() for name, overlap in overlaps.items()}, **layers, **scalars}


def microseconds(run: Callable[[], object], least: float = 0.2) -> float:
    """The best of seven rounds of CPU time."""
    run()
    count, best = 1, np.inf
    for _ in range(7):
        while True:
            start = time.process_time()
            for _ in range(count):
                run()
            spent = time.process_time() - start
            if spent > least / 7:
                break
            count *= 2
        best = min(best, spent / count)
    return best * 1e6


def compiled(program: Program, values: dict[str, Any], units: int, schedule: str) -> float:
    """Microseconds a parameter set inside a compiled loop."""
    emitted = emit_c.emit(program)
    library = compile_shared(emitted.text + LOOP, "bench")
    sets = 1 if schedule == "units" else LANES
    binding = Binding(program, emitted, kernel_structure(program, emitted), {"K": units, "M": units})
    for name in (*program.arrays, *program.scalars):
        binding.point(name, np.repeat(np.ravel(values[name])[:, None], sets, axis=1).copy())
    for target in program.targets:
        binding.point(target.name, np.empty((units * units, sets)))
    function = ctypes.cast(library[f"{RATES}_{schedule}"], ctypes.c_void_p)
    times = max(1, 200_000 // units**4)
    return microseconds(
        lambda: library.repeat(function, ctypes.byref(binding.structure), ctypes.c_long(times))
    ) / (times * sets)


def hoisted(outputs: list[Output], program: Program) -> Program:
    """The program without passes but those an array evaluation cannot do without."""
    lower = Lowering(program.graph, program.size_names)
    targets = []
    for output, target in zip(outputs, program.targets[-len(outputs) :], strict=True):
        names = dict(zip(output.indices, zip("ij", output.sizes, strict=False), strict=True))
        node = split_arcsines(program.graph, reduce_powers(program.graph, lower(output.expression, names)))
        targets.append(dataclasses.replace(target, node=node))
    return dataclasses.replace(program, targets=tuple(targets))


def lambdified(outputs: list[Output], values: dict[str, Any], units: int) -> Callable[[], object]:
    """sympy's own: sums written out, common subexpressions, scalar functions."""
    sizes = {"K": units, "M": units}
    written = []
    for output in outputs:
        body = output.expression.subs(
            {s: sizes[s.name] for s in output.expression.free_symbols if s.name in sizes}
        )
        for at in np.ndindex(*(sizes[s] for s in output.sizes)):
            where = dict(zip(output.indices, (sympy.Integer(p + 1) for p in at), strict=True))
            written.append(body.xreplace(where).doit())
    atoms = sorted(set().union(*(e.atoms(sympy.Indexed) for e in written)), key=str)
    names = sorted(
        set().union(*(e.free_symbols for e in written)) - {a.base.label for a in atoms} - set(atoms), key=str
    )
    plain = {a: sympy.Symbol(f"x{k}") for k, a in enumerate(atoms)}
    scalars = [
        s
        for s in names
        if s.name in values and not isinstance(s, sympy.Indexed) and np.ndim(values[s.name]) == 0
    ]
    function = sympy.lambdify(
        [*plain.values(), *scalars], [e.xreplace(plain) for e in written], "math", cse=True
    )
    arguments = [float(values[str(a.base.label)][tuple(int(k) - 1 for k in a.indices)]) for a in atoms]
    arguments += [values[s.name] for s in scalars]
    return lambda: function(*arguments)


def main() -> None:
    sizes = [int(a) for a in sys.argv[1:]] or list(TARGETS)
    flow = derive_flow(committee("erf"))
    outputs = [o for o in flow_outputs(flow) if o.group == RATES]
    program = build_program(outputs, symmetric_inputs(flow))
    plain = compile_program(program, "numpy")
    slow = compile_program(hoisted(outputs, program), "numpy")
    print(f"{require_compiler().version}; erf, eta^2 terms, trainable second layer; microseconds of CPU time")
    columns = ("K = M", "C, one set", "target", "C, batch", "numpy", "target", "hoisted", "lambdify")
    print(" ".join(f"{name:>10}" for name in columns), "  ratios to C: numpy, hoisted, lambdify")
    for units in sizes:
        values = values_at(units)
        one, lanes = (compiled(program, values, units, s) for s in ("units", "sets"))
        ours = microseconds(lambda values=values: plain(values))
        theirs = microseconds(lambda values=values: slow(values))
        scalar = microseconds(lambdified(outputs, values, units)) if units <= 2 else np.nan
        goal_c, goal_numpy = TARGETS.get(units, (None, None))
        found = (f"{ours:.0f}", goal_numpy or "-", f"{theirs:.0f}", f"{scalar:.0f}")
        row = (units, f"{one:.2f}", goal_c or "-", f"{lanes:.2f}", *found)
        ratios = ", ".join(f"{t / one:.0f}" for t in (ours, theirs, scalar))
        print(" ".join(f"{cell!s:>10}" for cell in row), f"  {ratios}")


if __name__ == "__main__":
    main()
