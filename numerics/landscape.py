"""The landscape command: fixed point, curvature and stability of the symmetric phase, as numbers.

Everything is derived once for symbolic K, tau, learning rates and Q*, lambdified for mpmath, and evaluated at
every point of a sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import mpmath
import numpy as np

from numerics.runtime.errors import InputError
from numerics.runtime.runfile import Run
from numerics.spectrum import sector, symmetric_spectrum, triangular_eigenvalues

DIGITS = 30
"""Working precision: the results are correct to double precision after all cancellations."""


def landscape(run: Run, q_star: float | None = None, digits: int = DIGITS) -> dict[str, Any]:
    """Fixed point, eps_g, gradient, Hessians and Jacobian at the parameters of ``run``, in plain floats.

    ``q_star`` chooses the member of the family of fixed points that a normalization leaves; None stands for
    the paper's, Q = 1/g^2.  Eigenvalues are in ascending order and ``sectors`` in theirs; the rows of
    ``eigenvectors`` are unit vectors.  The first Hessian has C replaced by Q before it is differentiated.

    Raises InputError where the closed symmetric fixed point does not apply.
    """
    _check(run)
    parameters = run.parameters
    normalized = parameters.normalization != "none"
    if q_star is not None and not normalized:
        raise InputError(
            "Q* is fixed without a normalization: there is no family to choose from; drop q_star"
        )
    compiled = _compiled(parameters.normalization, parameters.activation)
    with mpmath.workdps(digits):
        settings = {
            "K": mpmath.mpf(parameters.students),
            "tau": mpmath.mpf(parameters.input_variance),
            "eta": mpmath.mpf(parameters.learning_rate),
            "eta_g": mpmath.mpf(parameters.gain_learning_rate),
        }
        fixed = compiled.fixed_point(settings, None if q_star is None else mpmath.mpf(q_star))
        entry = {
            "students": parameters.students,
            "input_variance": parameters.input_variance,
            "normalization": parameters.normalization,
            "learning_rate": parameters.learning_rate,
            "fixed_point": {name: float(x) for name, x in fixed.items()},
            "generalization_error": float(compiled.error({**settings, **fixed})),
        }
        if normalized:
            entry["gain_learning_rate"] = parameters.gain_learning_rate
        gradient, entry["hessian"] = _curvature(compiled.curvature[False], {**settings, **fixed})
        entry["gradient"] = gradient
        _, entry["hessian_c_free"] = _curvature(compiled.curvature[True], {**settings, **fixed})
        entry["jacobian"] = _jacobian(compiled, {**settings, **fixed})
    return entry


def _curvature(function: Any, at: Mapping[str, Any]) -> tuple[list[float], dict[str, Any]]:
    variables, gradient, hessian = function(at)
    spectrum = symmetric_spectrum(hessian)
    return [float(x) for x in gradient], {
        "variables": variables,
        "matrix": _floats(hessian),
        "eigenvalues": [float(x) for x in spectrum.eigenvalues],
        "eigenvectors": [[float(x) for x in v] for v in spectrum.eigenvectors],
        "sectors": [sector(v, variables) for v in spectrum.eigenvectors],
    }


def _jacobian(compiled: _Compiled, at: Mapping[str, Any]) -> dict[str, Any]:
    variables, matrix, basis, names = compiled.jacobian(at)
    values, below = triangular_eigenvalues(matrix, basis)
    if below > mpmath.eps ** mpmath.mpf("0.5") * mpmath.norm(matrix):
        raise ArithmeticError(f"the sectors do not split the Jacobian: {mpmath.nstr(below, 3)} is left")
    # What cancels exactly leaves rounding of the working precision; as a float it is zero.
    tiny = mpmath.eps ** mpmath.mpf("0.75") * mpmath.norm(matrix)
    values = [x if abs(x) > tiny else mpmath.mpf(0) for x in values]
    order = sorted(range(len(values)), key=lambda k: values[k])
    return {
        "variables": variables,
        "matrix": _floats(matrix),
        "eigenvalues": [float(values[k]) for k in order],
        "sectors": [names[k] for k in order],
    }


def _floats(matrix: Any) -> list[list[float]]:
    return [[float(x) for x in row] for row in matrix.tolist()]


def _check(run: Run) -> None:
    p, start = run.parameters, run.initial
    if run.model != "committee":
        raise InputError("the landscape needs model = 'committee'; integrate other models with solve")
    if np.isfinite(p.batch_size):
        raise InputError(
            f'the landscape needs batch_size = "inf", not {p.batch_size:g}: noise moves fixed points'
        )
    if p.activation != "erf":
        raise InputError(f"the symmetric fixed point is closed for activation = 'erf', not {p.activation!r}")
    if p.teachers != p.students:
        raise InputError(
            f"the landscape needs as many teachers as students, not {p.teachers} and {p.students}: "
            "R and S pair them"
        )
    if p.students < 2:
        raise InputError("one student has no symmetry to break; set students to at least 2")
    if p.weight_decay or p.gain_decay or p.second_layer_learning_rate:
        raise InputError(
            "the symmetric fixed point is closed without decay and with a fixed second layer; "
            "set weight_decay, gain_decay and second_layer_learning_rate to 0"
        )
    if not np.array_equal(start.T, np.eye(p.teachers)):
        raise InputError("the landscape needs orthonormal teachers; leave T out of [initial]")
    if not (np.all(start.w == 1) and np.all(start.v == 1)):
        raise InputError("the landscape needs second layers w = v = 1; leave them out of [initial]")


class _Compiled:
    """The derived functions of one flow, lambdified for mpmath."""

    def __init__(self, normalization: str, activation: str) -> None:
        from sympy import lambdify

        from derive.landscape.curvature import coordinates, error_of
        from derive.landscape.fixed_point import symmetric_fixed_point
        from derive.landscape.stability import UNDECAYED, flag
        from derive.model import committee
        from derive.online import derive_flow
        from derive.sites import Q_, g_, reduce_flow
        from derive.symbols import K, eta, eta_g, tau

        flow = derive_flow(committee(activation, normalization))
        site = reduce_flow(flow)
        settings = [K, tau, eta, eta_g]

        def compiled(inputs: Sequence[Any], outputs: Any) -> Any:
            return lambdify(inputs, outputs, modules="mpmath", cse=True)

        family = symmetric_fixed_point(flow)
        member = family.member(1 / g_**2) if family.free else family
        self.names = [str(s) for s in site.state]
        inputs = [*settings, *site.state]
        self._fixed = {
            True: compiled(settings, [member.values[s] for s in site.state]),
            False: compiled([*settings, Q_], [family.values[s] for s in site.state]),
        }
        self._error = compiled(inputs, site.generalization_error)
        self.curvature = {}
        for c_free in (False, True):
            error, variables = error_of(site, c_free), coordinates(site, c_free)
            slopes = [error.diff(s) for s in variables]
            hessian = [[slope.diff(s) for s in variables] for slope in slopes]
            self.curvature[c_free] = self._curvature(
                [str(s) for s in variables], compiled(inputs, (slopes, hessian))
            )
        rates = [site.drift[s].xreplace(UNDECAYED) for s in site.state]
        directions = flag({s: s for s in site.state})
        self._jacobian = compiled(
            inputs,
            (
                [[rate.diff(s) for s in site.state] for rate in rates],
                [[d.get(s, 0) for d in directions.values()] for s in site.state],
            ),
        )
        self._sectors = list(directions)

    def _arguments(self, at: Mapping[str, Any]) -> list[Any]:
        return [at[name] for name in ("K", "tau", "eta", "eta_g", *self.names)]

    def fixed_point(self, settings: Mapping[str, Any], q: Any) -> dict[str, Any]:
        arguments = [settings[name] for name in ("K", "tau", "eta", "eta_g")]
        values = self._fixed[True](*arguments) if q is None else self._fixed[False](*arguments, q)
        return dict(zip(self.names, values, strict=True))

    def error(self, at: Mapping[str, Any]) -> Any:
        return self._error(*self._arguments(at))

    def _curvature(self, variables: list[str], function: Any) -> Any:
        def evaluate(at: Mapping[str, Any]) -> tuple[list[str], list[Any], Any]:
            gradient, hessian = function(*self._arguments(at))
            return variables, gradient, mpmath.matrix(hessian)

        return evaluate

    def jacobian(self, at: Mapping[str, Any]) -> tuple[list[str], Any, Any, list[str]]:
        matrix, basis = self._jacobian(*self._arguments(at))
        return self.names, mpmath.matrix(matrix), mpmath.matrix(basis), self._sectors


@cache
def _compiled(normalization: str, activation: str) -> _Compiled:
    return _Compiled(normalization, activation)
