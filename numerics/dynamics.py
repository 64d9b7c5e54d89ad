"""A run file as a system of ordinary differential equations in one vector, for notebooks and any solver."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from derive.online import Flow
from numerics.integrate import Solution
from numerics.kernel.flow import rate_name
from numerics.kernel.inputs import shape_of
from numerics.models import parameter_values
from numerics.runs import flow_of, solve_run
from numerics.runtime import runfile
from numerics.runtime.devices import to_host
from numerics.runtime.errors import InputError
from numerics.runtime.runfile import Run
from numerics.system import System, system_of


@dataclass(frozen=True)
class Dynamics:
    """The order parameters of a run and their rate of change, per unit of time steps / N.

    A state is a vector: the upper triangle of Q (i <= j, row-major), R row-major, then the gains g and the
    second layer w where they move.  ``pack`` and ``unpack`` change between it and arrays by name.
    """

    run: Run
    flow: Flow
    backend: str = "auto"

    @cached_property
    def system(self) -> System:
        """The flow as the kernels compute it."""
        return system_of(self.flow)

    @property
    def start(self) -> np.ndarray:
        """The state at time 0."""
        return self.pack({name: getattr(self.run.initial, name) for name in self.system.state})

    def ode(self, t: float, y: Any) -> np.ndarray:
        """dy/dt at the state ``y``, in the form that ``scipy.integrate.solve_ivp`` takes; ``t`` plays no part.

        Raises InputError for a vector of the wrong length.
        """
        found = self._evaluate(y, "rates")
        return self.pack({name: to_host(found[rate_name(name)]) for name in self.system.state})

    def generalization_error(self, y: Any) -> float:
        """The error at the state ``y``, without the floor of label noise."""
        return float(to_host(self._evaluate(y, "observables")["generalization_error"]))

    def solve(self) -> Solution:
        """The run integrated by our own solver, to its times and tolerance."""
        return solve_run(self.run, self.backend, self.flow)

    def pack(self, state: Mapping[str, Any]) -> np.ndarray:
        """The vector of arrays by name."""
        parts = []
        for variable in self.flow.state:
            array = np.asarray(state[variable.name], dtype=float)
            parts.append(array[np.triu_indices(len(array))] if variable.symmetric else array.ravel())
        return np.concatenate(parts)

    def unpack(self, y: Any) -> dict[str, np.ndarray]:
        """The arrays Q, R, g, w, by name, of a vector."""
        vector = np.asarray(y, dtype=float)
        if vector.shape != self.start.shape:
            raise InputError(
                f"the state is a vector of {len(self.start)} numbers, not of shape {vector.shape}"
            )
        arrays, at = {}, 0
        for variable in self.flow.state:
            shape = shape_of(self.system.axes[variable.name], self._sizes)
            if variable.symmetric:
                rows, columns = np.triu_indices(shape[0])
                array = np.empty(shape)
                array[rows, columns] = array[columns, rows] = vector[at : at + len(rows)]
                at += len(rows)
            else:
                size = int(np.prod(shape))
                array = vector[at : at + size].reshape(shape)
                at += size
            arrays[variable.name] = array
        return arrays

    @property
    def _sizes(self) -> dict[str, int]:
        return {"K": self.run.parameters.students, "M": self.run.parameters.teachers}

    @cached_property
    def _constants(self) -> dict[str, Any]:
        arrays = {name: getattr(self.run.initial, name) for name in ("T", "v", "g", "w")}
        return {**parameter_values(self.run), **arrays}

    def _evaluate(self, y: Any, group: str) -> Mapping[str, Any]:
        inputs = {**self._constants, **self.unpack(y)}
        return self.system.kernel(self.backend)(inputs, self._sizes, groups=(group,))

    def _repr_latex_(self) -> str:
        return self.flow._repr_latex_()


def dynamics(run: str | os.PathLike[str] | Run, backend: str = "auto") -> Dynamics:
    """The dynamics of a run, or of the run file at a path.

    Raises InputError for a bad run file, DerivationError for a model that has no closed flow.
    """
    described = run if isinstance(run, Run) else runfile.load(run)
    return Dynamics(described, flow_of(described), backend)
