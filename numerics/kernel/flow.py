"""Kernels of a flow: the rates of its state and its observables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import sympy

from numerics.kernel.kernel import Kernel, compile_program
from numerics.kernel.program import Output, Program, build_program

if TYPE_CHECKING:
    from derive.online import Flow

RATES, OBSERVABLES = "rates", "observables"


def rate_name(variable: str) -> str:
    """The output that holds the rate of a state variable."""
    return f"d{variable}"


def flow_outputs(flow: Flow, extra: Mapping[str, sympy.Expr] | None = None) -> list[Output]:
    """The rates (``dQ``, ``dR``, ...), the observables by name, and ``extra`` numbers of the state."""
    rates = [
        Output(
            rate_name(s.name),
            s.indices,
            tuple(str(size) for size in s.sizes),
            _explicit(flow, s.rate),
            s.symmetric,
            f"d{s.name}/dt",
            RATES,
        )
        for s in flow.state
    ]
    watched = {**flow.observables, **(extra or {})}
    return rates + [
        Output(name, (), (), _explicit(flow, e), note=name.replace("_", " "), group=OBSERVABLES)
        for name, e in watched.items()
    ]


def flow_program(flow: Flow, extra: Mapping[str, sympy.Expr] | None = None) -> Program:
    """The program of a flow: its rates, its observables, and ``extra`` numbers of the state."""
    return build_program(flow_outputs(flow, extra), symmetric_inputs(flow))


def flow_kernel(flow: Flow, backend: str = "auto") -> Kernel:
    """A kernel of the rates of a flow's state (``dQ``, ...) and of its observables."""
    return compile_program(flow_program(flow), backend)


def symmetric_inputs(flow: Flow) -> set[str]:
    """The overlap matrices of one set of vectors with itself."""
    return {s.name for s in flow.state if s.symmetric} | {"T"}


def _explicit(flow: Flow, expression: sympy.Expr) -> sympy.Expr:
    """The expression in the order parameters alone, without the names a flow gives to covariances.

    Polynomials in the order parameters have one canonical form, which shows symmetries that names may hide.
    """
    named = {}
    for atom in expression.atoms(sympy.Indexed):
        if atom.base in flow.definitions:
            indices, meaning = flow.definitions[atom.base]
            named[atom] = meaning.xreplace(dict(zip(indices, atom.indices, strict=True)))
    return expression.xreplace(named)
