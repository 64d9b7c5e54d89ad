"""A dynamical system as the numerics see it: a program of rates and observables, and what each rate moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sympy

from numerics.kernel.flow import OBSERVABLES, RATES, flow_program, rate_name
from numerics.kernel.kernel import Kernel, choose_backend, compile_program
from numerics.kernel.program import Output, Program, build_program

if TYPE_CHECKING:
    from derive.online import Flow


@dataclass(frozen=True)
class System:
    """``state`` maps the name of each state variable to the output that is its rate."""

    program: Program
    state: Mapping[str, str]

    @property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """The axes of every state variable."""
        shapes = self.program.shapes
        return {name: shapes[rate] for name, rate in self.state.items()}

    @property
    def observables(self) -> tuple[str, ...]:
        """The names of the observables."""
        return tuple(o.name for o in self.program.outputs if o.group == OBSERVABLES)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The inputs that do not move: constants and parameters."""
        return tuple(n for n in (*self.program.arrays, *self.program.scalars) if n not in self.state)

    def kernel(self, backend: str) -> Kernel:
        """The compiled program, made once a backend."""
        return _compiled(self.program, choose_backend(backend))


# Programs are compared by identity; a handful of flows is alive at a time.
_COMPILED: dict[tuple[int, str], tuple[Program, Kernel]] = {}


def _compiled(program: Program, backend: str) -> Kernel:
    key = (id(program), backend)
    if key not in _COMPILED:
        _COMPILED[key] = (program, compile_program(program, backend))
    return _COMPILED[key][1]


def system_of(flow: Flow, extra: Mapping[str, sympy.Expr] | None = None) -> System:
    """The system of a flow, with ``extra`` numbers of the state among the observables."""
    return _system_of(flow, tuple((extra or {}).items()))


@lru_cache(maxsize=32)
def _system_of(flow: Any, extra: tuple[tuple[str, sympy.Expr], ...]) -> System:
    return System(flow_program(flow, dict(extra)), {s.name: rate_name(s.name) for s in flow.state})


def system(
    rates: Mapping[str, Output | sympy.Expr],
    observables: Mapping[str, sympy.Expr] | None = None,
    symmetric: Sequence[str] = (),
) -> System:
    """A system from rates by state variable: expressions for numbers, Outputs for arrays."""
    outputs = []
    for name, rate in rates.items():
        if isinstance(rate, Output):
            outputs.append(
                Output(
                    rate_name(name),
                    rate.indices,
                    rate.sizes,
                    rate.expression,
                    rate.symmetric,
                    rate.note,
                    RATES,
                )
            )
        else:
            outputs.append(Output(rate_name(name), (), (), sympy.sympify(rate), group=RATES))
    outputs += [
        Output(n, (), (), sympy.sympify(e), group=OBSERVABLES) for n, e in (observables or {}).items()
    ]
    return System(build_program(outputs, symmetric), {name: rate_name(name) for name in rates})
