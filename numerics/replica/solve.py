"""Replica-symmetric saddle points along a path of loads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr

from derive.evaluate import evaluate
from derive.gaussian import Average, average
from derive.replica.energy import Energy
from derive.replica.symbols import x, y
from numerics import averages
from numerics.replica.problem import Problem, State
from numerics.runtime.errors import InputError
from numerics.saddle import NotConverged, Root, follow, newton

ROUGH, FINE, FINER = 6, 12, 20
"""Orders of the panels: for the approach, for the solution, and for the error of the solution's averages."""
DAMPING = 0.5
ROUNDS = 400
NEAR = 1e-4
"""Relative change of a damped iteration at which Newton's takes over."""
SETTLED = 1e-8
"""What finer quadrature may change of the equations."""
LEAST = -4.0
"""The decimal logarithm at which an added prior is dropped."""


@dataclass(frozen=True)
class Solution:
    """A saddle point: order parameters, what follows from them, and how well it is known.

    ``free_energy`` is per weight: -(1/(beta N)) <ln Z>, at beta = infinity the least energy;
    ``log_partition`` is (1/N) <ln Z>, None in the ground state.  ``stability`` is positive where replica
    symmetry is stable, minus infinity where the minimum jumps.  ``residual`` is what the saddle-point
    equations leave, ``quadrature_error`` by how much finer quadrature changes that, ``condition`` the condition
    number of their Jacobian.  ``phase`` is ``posterior``, ``minimum``, or ``interpolating``: the loss of every
    example is at its least, and the ridge, which goes to 0, selects the shortest weights.
    """

    alpha: float
    beta: float
    noise: float
    ridge: float
    phase: str
    q: float
    Q: float
    R: float
    Delta: float
    chi: float
    generalization_error: float
    training_loss: float
    free_energy: float
    log_partition: float | None
    stability: float
    residual: float
    quadrature_error: float
    condition: float
    iterations: int

    @property
    def stable(self) -> bool:
        return self.stability > 0


def solve(
    energy: Energy, loads: Sequence[float], beta: float = np.inf, noise: float = 0.0, ridge: float = 0.0
) -> list[Solution]:
    """The saddle points of ``solutions``, all of them."""
    return list(solutions(energy, loads, beta, noise, ridge))


def solutions(
    energy: Energy, loads: Sequence[float], beta: float = np.inf, noise: float = 0.0, ridge: float = 0.0
) -> Iterator[Solution]:
    """The saddle point at every load, each followed from the one before, as they are found.

    ``noise`` is the variance of the label noise, ``ridge`` the strength of the energy's penalty.  At
    beta = infinity a ridge of 0 is the limit of a vanishing one.

    Raises InputError for parameters without a posterior or a minimum, and NotConverged with the path of the
    iteration.
    """
    problem = Problem(energy, beta, noise, ridge)
    for load in loads:
        problem.check(load)
    return _followed(_Solver(problem), loads)


def _followed(solver: _Solver, loads: Sequence[float]) -> Iterator[Solution]:
    root: tuple[float, Root] | None = None
    for load in loads:
        interpolating = solver.interpolating(load)
        if interpolating is not None:
            yield interpolating
            continue
        path = [load] if root is None else [root[0], load]
        root = load, follow(solver.at, path, None if root is None else root[1])[-1]
        yield solver.solution(load, root[1])


class _Solver:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.error = average(problem.energy.error, {(x, x): _Q, (x, y): _R, (y, x): _R, (y, y): _ONE})

    # Unknowns: R, kappa and, for a Gaussian prior, Delta (or 1/chi).  For a spherical one 1 = Delta + kappa +
    # R^2 leaves R and Delta, and in the ground state 1 = kappa + R^2 leaves R and 1/chi.

    def state(self, v: np.ndarray) -> State:
        R = float(v[0])
        if not self.problem.spherical:
            return State(R, float(v[1]), float(v[2]))
        if self.problem.ground:
            return State(R, 1 - R * R, float(v[1]))
        return State(R, 1 - R * R - float(v[1]), float(v[1]))

    def unknowns(self, state: State) -> np.ndarray:
        values = [state.R, state.spread] if self.problem.spherical else [state.R, state.kappa, state.spread]
        return np.array(values)

    @property
    def names(self) -> tuple[str, ...]:
        spread = "1/chi" if self.problem.ground else "Delta"
        return ("R", spread) if self.problem.spherical else ("R", "q - R^2", spread)

    def residual(self, v: np.ndarray, load: float, order: int) -> np.ndarray:
        state = self.state(v)
        if state.kappa < 0:
            return np.full(len(v), np.inf)
        moments = self.problem.moments(state, order)
        return self.problem.residual(state, moments, load, free=self.problem.spherical)

    def at(self, load: float, start: Root | None) -> Root:
        """The saddle point at a load: from a neighbour, by damped iteration, or from a stronger prior."""
        positive = np.array([False] + [True] * (len(self.names) - 1))
        if start is not None:
            try:
                return self._newton(start.x, load, positive)
            except NotConverged:
                pass
        try:
            guess = self._iterate(load, None if start is None else self.state(start.x))
            return self._newton(self.unknowns(guess), load, positive)
        except NotConverged:
            if self.problem.spherical:
                raise
        return self._relax(load, positive)

    def _relax(self, load: float, positive: np.ndarray) -> Root:
        """Follow the saddle point from a prior that is stronger by one, as that addition goes to zero."""

        def solve_at(logarithm: float, start: Root | None) -> Root:
            self.problem.added = 0.0 if logarithm <= LEAST else 10**logarithm
            if start is not None:
                return self._newton(start.x, load, positive)
            return self._newton(self.unknowns(self._iterate(load, None)), load, positive)

        try:
            return follow(solve_at, [0.0, -0.5, -1.0, -1.5, -2.0, -2.5, -3.0, -3.5, LEAST])[-1]
        finally:
            self.problem.added = 0.0

    def _newton(self, start: np.ndarray, load: float, positive: np.ndarray) -> Root:
        rough = newton(lambda v: self.residual(v, load, ROUGH), start, positive, self.names, tolerance=1e-9)
        try:
            return newton(
                lambda v: self.residual(v, load, FINE), rough.x, positive, self.names, 1e-13, rough.jacobian
            )
        except NotConverged:
            return newton(lambda v: self.residual(v, load, FINE), rough.x, positive, self.names)

    def _iterate(self, load: float, start: State | None) -> State:
        """Damped iteration of the saddle-point equations (state evolution)."""
        problem = self.problem
        cost = problem.cost(load)
        state = start or self._uninformed(cost)
        for _ in range(ROUNDS):
            new = self._step(state, load, cost)
            mixed = State(*(a + DAMPING * (b - a) for a, b in zip(_tuple(state), _tuple(new), strict=True)))
            change = max(
                abs(a - b) / max(abs(a), 1e-9) for a, b in zip(_tuple(mixed), _tuple(state), strict=True)
            )
            state = mixed
            if change < NEAR:
                break
        return state

    def _uninformed(self, cost: float) -> State:
        if self.problem.spherical:
            return State(0.1, 0.1, 1.0 if self.problem.ground else 0.89)
        spread = 1.0 if cost == 0 else cost if self.problem.ground else 1 / cost
        return State(0.1, 0.1, spread)

    def _step(self, state: State, load: float, cost: float) -> State:
        problem = self.problem
        found = problem.moments(state, ROUGH)
        along = load * (found.teacher + found.response * state.R) / problem.variance
        square = load * found.square
        if problem.spherical:
            linear = 0.0 if problem.ground else state.spread
            ratio = 2 / (linear + np.sqrt(linear**2 + 4 * (square + along**2)))
        elif problem.ground:
            ratio = 1 / (cost / state.spread + load * found.response)
        else:
            ratio = 1 / (cost * state.spread + load * found.response)
        spread = state.spread / ratio if problem.ground else state.spread * ratio
        return State(ratio * along, ratio**2 * square, spread)

    def interpolating(self, load: float) -> Solution | None:
        """The limit of a vanishing ridge where every example's loss can be at its least, else None."""
        problem = self.problem
        if not problem.ground or problem.spherical or problem.ridge(load) != 0:
            return None
        state = State(0.1, 0.1, 0.0)
        for _ in range(ROUNDS):
            found = problem.moments(state, ROUGH)
            R = load * (found.teacher + found.response * state.R) / problem.variance
            new = State(R, load * found.square, 0.0)
            change = abs(new.kappa - state.kappa) / new.kappa + abs(new.R - state.R)
            state = State((state.R + R) / 2, (state.kappa + new.kappa) / 2, 0.0)
            if change < NEAR:
                break
            if not state.q < 1e6:
                return None

        def residual(v: np.ndarray) -> np.ndarray:
            at = State(float(v[0]), float(v[1]), 0.0)
            return problem.residual(at, problem.moments(at, FINE), load, free=True)

        try:
            root = newton(
                residual, np.array([state.R, state.kappa]), np.array([False, True]), ("R", "q - R^2")
            )
        except NotConverged:
            return None
        final = State(float(root.x[0]), float(root.x[1]), 0.0)
        if problem.eta(problem.moments(final, FINE), load) <= 0:
            return None
        return self._solution(load, root, final, "interpolating")

    def solution(self, load: float, root: Root) -> Solution:
        return self._solution(
            load, root, self.state(root.x), "minimum" if self.problem.ground else "posterior"
        )

    def _solution(self, load: float, root: Root, state: State, phase: str) -> Solution:
        problem = self.problem
        moments = problem.moments(state, FINER)
        free = problem.spherical or phase == "interpolating"
        finer = problem.residual(state, moments, load, free)
        before = problem.residual(state, problem.moments(state, FINE), load, free)
        error = float(np.abs(finer - before).max())
        if not error < SETTLED:
            raise InputError(
                f"the quadrature does not settle at alpha = {load:g}: finer panels change the saddle-point "
                f"equations by {error:.2g}; the loss may fall without bound, so that there is no posterior, or "
                "have kinks that are not linear in x, or beta is too large"
            )
        value = problem.value(state, moments, load)
        chi = (
            np.inf
            if state.spread == 0
            else 1 / state.spread
            if problem.ground
            else problem.beta * state.spread
        )
        Delta = 0.0 if problem.ground else state.spread
        Q = state.q + Delta
        return Solution(
            alpha=load, beta=problem.beta, noise=problem.noise, ridge=problem.ridge(load), phase=phase,
            q=state.q, Q=Q, R=state.R, Delta=Delta, chi=float(chi),
            generalization_error=_error(self.error, Q, state.R),
            training_loss=moments.loss,
            free_energy=-value if problem.ground else -value / problem.beta,
            log_partition=None if problem.ground else value,
            stability=problem.stability(moments, load),
            residual=float(np.abs(before).max()), quadrature_error=error,
            condition=root.condition, iterations=root.iterations,
        )  # fmt: skip


def _tuple(state: State) -> tuple[float, float, float]:
    return state.R, state.kappa, state.spread


def _error(error: Average, Q: float, R: float) -> float:
    """The generalization error at these overlaps: closed, or by quadrature."""
    if error.closed:
        return float(evaluate(error.expression, {_Q: Q, _R: R}, 15))
    return averages.value(error, [[Q, R], [R, 1.0]]).value


def _symbols() -> tuple[Any, Any, Expr]:
    from sympy import Integer, Symbol

    return Symbol("Q", positive=True), Symbol("R", real=True), Integer(1)


_Q, _R, _ONE = _symbols()
