"""Fixed points of flows: Newton's method in double precision, refined and certified to any number of digits.

The unknowns are the independent entries of the state (i <= j of symmetric matrices), or those of some of its
variables.  Where the Jacobian is singular, as along a family of fixed points that a symmetry makes, the
steps are those of least norm: the member next to the guess is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mpmath
import numpy as np
import sympy

from numerics.kernel.flow import RATES, rate_name
from numerics.runtime.devices import to_host
from numerics.runtime.errors import IncompleteResult, InputError
from numerics.system import system_of

if TYPE_CHECKING:
    from derive.online import Flow

RANK = 1e-9
"""Singular values below this fraction of the largest count as zero: the Jacobian's own accuracy."""
STEP = 2e-3
"""Step of the sixth-order differences that give the Jacobian, relative to the entry's size (at least 1)."""
STENCIL = ((1, 45 / 60), (2, -9 / 60), (3, 1 / 60))


@dataclass(frozen=True)
class FixedPoint:
    """A zero of the rates.

    ``residual`` is the largest rate at ``state``, evaluated with ``digits`` spare digits, not a difference of
    rounded numbers.  ``condition`` is the ratio of the largest to the smallest nonzero singular value of
    ``jacobian`` (rows and columns in the order of ``names``), ``zero_modes`` the number of singular values
    that count as zero.  ``exact`` holds the unknowns as mpmath numbers where digits were asked for.
    """

    state: dict[str, np.ndarray]
    residual: float
    condition: float
    zero_modes: int
    jacobian: np.ndarray
    names: tuple[str, ...]
    iterations: int
    exact: dict[str, Any]

    @property
    def eigenvalues(self) -> np.ndarray:
        """The eigenvalues of the Jacobian, by falling real part."""
        values = np.linalg.eigvals(self.jacobian)
        return values[np.argsort(-values.real)]


def fixed_point(
    flow: Flow,
    guess: Mapping[str, Any],
    parameters: Mapping[str, Any],
    moving: Sequence[str] | None = None,
    tolerance: float = 1e-13,
    digits: int = 15,
    max_iterations: int = 60,
    backend: str = "auto",
) -> FixedPoint:
    """The fixed point next to ``guess``.

    ``moving`` names the state variables that are solved for (default: all); the others stay at the guess.
    ``tolerance`` bounds the largest rate in double precision; ``digits`` above 15 refines the point and its
    residual to that many digits.

    Raises IncompleteResult, holding the last point, when Newton's method does not reach the tolerance.
    """
    problem = _Problem(flow, guess, parameters, moving, backend)
    x = problem.start
    rates = problem.rates(x[None])[0]
    if not np.isfinite(rates).all():
        raise InputError("the rates are not finite at the guess: its overlaps are those of no vectors")
    iterations = 0
    while np.abs(rates).max() > tolerance and iterations < max_iterations:
        step = np.linalg.lstsq(problem.jacobian(x), -rates, rcond=RANK)[0]
        # Halve the step until the rates shrink: the guess may be far.
        trials = x + step * 0.5 ** np.arange(12)[:, None]
        values = problem.rates(trials)
        sizes = np.where(np.isfinite(values).all(axis=1), np.linalg.norm(values, axis=1), np.inf)
        best = int(np.argmax(sizes < np.linalg.norm(rates)))
        if not sizes[best] < np.linalg.norm(rates):
            break
        x, rates = trials[best], values[best]
        iterations += 1
    jacobian = problem.jacobian(x)
    exact, residual = problem.refine(x, jacobian, max(digits, 15))
    found = problem.result(exact, residual, jacobian, iterations, digits)
    if residual > max(tolerance, 1e-12 * np.abs(jacobian).max()):
        raise IncompleteResult(
            f"no fixed point within {iterations} Newton steps: the largest rate is still {residual:.3g}",
            found,
        )
    return found


class _Problem:
    """The rates as a function of a vector of independent unknowns."""

    def __init__(
        self,
        flow: Flow,
        guess: Mapping[str, Any],
        parameters: Mapping[str, Any],
        moving: Sequence[str] | None,
        backend: str,
    ) -> None:
        self.flow, self.parameters = flow, dict(parameters)
        self.guess = {s.name: np.asarray(guess[s.name], dtype=float) for s in flow.state if s.name in guess}
        missing = [s.name for s in flow.state if s.name not in self.guess]
        if missing:
            raise InputError(f"the guess lacks {', '.join(missing)}")
        own = system_of(flow)
        unknown = set(moving or ()) - set(own.state)
        if unknown:
            raise InputError(f"no state variable is called {', '.join(sorted(unknown))}")
        self.moving = [s for s in flow.state if moving is None or s.name in moving]
        self.kernel = own.kernel(backend)
        self.places = [
            (s, at)
            for s in self.moving
            for at in np.ndindex(*self.guess[s.name].shape)
            if not s.symmetric or at[0] <= at[1]
        ]
        self.names = tuple(f"{s.name}[{','.join(str(k + 1) for k in at)}]" for s, at in self.places)
        self.start = np.array([self.guess[s.name][at] for s, at in self.places])

    def arrays(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The state for vectors of unknowns (sets, unknowns)."""
        state = {n: np.broadcast_to(a, (len(x), *a.shape)).copy() for n, a in self.guess.items()}
        for (variable, at), values in zip(self.places, x.T, strict=True):
            state[variable.name][(slice(None), *at)] = values
            if variable.symmetric:
                state[variable.name][(slice(None), *at[::-1])] = values
        return state

    def rates(self, x: np.ndarray) -> np.ndarray:
        """The rates (sets, unknowns)."""
        found = self.kernel({**self.parameters, **self.arrays(x)}, groups=(RATES,))
        return np.stack([to_host(found[rate_name(s.name)])[(slice(None), *at)] for s, at in self.places], axis=1)

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Differences of sixth order, in one batch: accurate to about 1e-12 where the rates are smooth."""
        h = STEP * np.maximum(1, np.abs(x))
        steps = np.eye(len(x)) * h
        total = 0.0
        for multiple, weight in STENCIL:
            ahead, behind = self.rates(x + multiple * steps), self.rates(x - multiple * steps)
            total = total + weight * (ahead - behind)
        return (total / h[:, None]).T

    def exact_rates(self, x: Sequence[Any], digits: int) -> list[Any]:
        """The rates by the derivation's own evaluator, to ``digits`` digits."""
        from derive.evaluate import evaluate

        state: dict[str, Any] = {n: a.astype(object) for n, a in self.guess.items()}
        for (variable, at), value in zip(self.places, x, strict=True):
            state[variable.name][at] = value
            if variable.symmetric:
                state[variable.name][at[::-1]] = value
        values = {**self.parameters, **state}
        lengths = {
            str(size): length
            for s in self.flow.state
            for size, length in zip(s.sizes, self.guess[s.name].shape, strict=True)
        }
        lists = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in {**values, **lengths}.items()}
        return [
            evaluate(
                s.explicit_rate.xreplace(
                    dict(zip(s.indices, (sympy.Integer(k + 1) for k in at), strict=True))
                ),
                lists,
                digits,
            )
            for s, at in self.places
        ]

    def refine(self, x: np.ndarray, jacobian: np.ndarray, digits: int) -> tuple[list[Any], float]:
        """Chord steps with the double-precision Jacobian, each worth about ten digits."""
        inverse = np.linalg.pinv(jacobian, rcond=RANK)
        with mpmath.workdps(digits + 10):
            point = [mpmath.mpf(float(v)) for v in x]
            rates = self.exact_rates(point, digits + 5)
            for _ in range(digits // 5 if digits > 15 else 0):
                if max(map(abs, rates)) < mpmath.mpf(10) ** -digits:
                    break
                scale = max(map(abs, rates))
                step = inverse @ np.array([float(r / scale) for r in rates])
                point = [v - scale * mpmath.mpf(s) for v, s in zip(point, step, strict=True)]
                rates = self.exact_rates(point, digits + 5)
            return point, float(max(map(abs, rates)))

    def result(
        self, exact: list[Any], residual: float, jacobian: np.ndarray, iterations: int, digits: int
    ) -> FixedPoint:
        singular = np.linalg.svd(jacobian, compute_uv=False)
        kept = singular[singular > RANK * singular[0]]
        x = np.array([float(v) for v in exact])
        state = {n: a[0] for n, a in self.arrays(x[None]).items()}
        names = dict(zip(self.names, exact, strict=True)) if digits > 15 else {}
        return FixedPoint(
            state,
            residual,
            float(kept[0] / kept[-1]),
            len(singular) - len(kept),
            jacobian,
            self.names,
            iterations,
            names,
        )
