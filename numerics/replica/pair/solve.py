"""Replica-symmetric saddle points of two fields along a path of loads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from sympy import Symbol

from derive.gaussian import Average, average
from derive.replica.pair.energy import PairEnergy
from derive.replica.pair.symbols import x, y
from numerics import averages
from numerics.replica.pair.grid import Rule
from numerics.replica.pair.problem import PairMoments, PairProblem, PairState, lower
from numerics.replica.solve import SETTLED
from numerics.runtime.errors import InputError
from numerics.saddle import TOLERANCE, NotConverged, Root, newton

DAMPING = 0.5
ROUNDS = 300
NEAR = 1e-3
CRUDE = 1e-5
"""What finer quadrature may change of the equations where no finer one is left: with kinks in four dimensions."""
SAME = 1e-6
"""Free energies closer than this belong to one saddle point."""

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class PairSolution:
    """A saddle point of two fields: matrices q, Q = q + Delta, chi = beta Delta (2 x 2) and R (2 x teachers).

    ``free_energy`` is per input: -(1/(beta N)) <ln Z>, at beta = infinity the least energy.  ``stability`` is the
    least eigenvalue of the replicon, ``residual`` what the derived conditions leave, ``quadrature_error`` by how
    much finer quadrature changes that, ``condition`` the condition number of the Jacobian.
    """

    alpha: float
    beta: float
    noise: float
    ridge: float
    phase: str
    q: Matrix
    Q: Matrix
    R: Matrix
    chi: Matrix
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


def solve_pair(
    energy: PairEnergy, loads: Sequence[float], beta: float = np.inf, noise: float = 0.0, ridge: float = 0.0
) -> list[PairSolution]:
    """The saddle points of ``pair_solutions``, all of them."""
    return list(pair_solutions(energy, loads, beta, noise, ridge))


def pair_solutions(
    energy: PairEnergy, loads: Sequence[float], beta: float = np.inf, noise: float = 0.0, ridge: float = 0.0
) -> Iterator[PairSolution]:
    """The saddle point at every load, as they are found: of least free energy among those reached from weights that
    know nothing of the teachers, from weights that know them, and from the load before.

    ``noise`` is the variance of the label noise.

    Raises InputError for parameters without a posterior or a minimum, and NotConverged with the path of the
    iteration where no start converges.
    """
    problem = PairProblem(energy, beta, noise, ridge)
    for load in loads:
        if not (np.isfinite(load) and load > 0):
            raise InputError(f"alpha must be a positive number, not {load:g}")
    return _followed(problem, loads)


def _followed(problem: PairProblem, loads: Sequence[float]) -> Iterator[PairSolution]:
    before: Root | None = None
    for load in loads:
        before = _least(problem, load, before)
        yield _settled(problem, load, before)


def _least(problem: PairProblem, load: float, before: Root | None) -> Root:
    """The root of least free energy over the starts, by the roughest quadrature."""
    roots: list[tuple[float, Root]] = []
    failed: NotConverged | None = None
    starts = [_iterate(problem, start, load) for start in _starts(problem)]
    for guess in [*([before.x] if before else []), *(_unknowns(s) for s in starts)]:
        if any(np.abs(guess - root.x).max() < NEAR for _, root in roots):
            continue
        try:
            root = _newton(problem, guess, load, problem.rough, 1e-8)
        except NotConverged as error:
            failed = error
            continue
        state = _state(root.x, problem.teachers)
        roots.append((-problem.value(state, problem.moments(state, problem.rough), load), root))
    if not roots:
        assert failed is not None
        raise failed
    return min(roots, key=lambda pair: pair[0])[1]


def _settled(problem: PairProblem, load: float, rough: Root) -> PairSolution:
    """The solution by the first level of quadrature that the next one confirms, or by the last, to CRUDE.

    Raises InputError where even that is not confirmed.
    """
    root, error = rough, np.inf
    for rule, finer in pairwise(problem.levels):
        try:
            root = _newton(problem, root.x, load, rule, 1e-13, root.jacobian)
        except NotConverged:
            root = _newton(problem, root.x, load, rule)
        state = _state(root.x, problem.teachers)
        flat = problem.flat(state)
        before, after = (problem.moments(state, level, flat) for level in (rule, finer))
        change = problem.residual(state, after, load) - problem.residual(state, before, load)
        error = float(np.abs(change).max())
        if error < (CRUDE if finer is problem.levels[-1] else SETTLED):
            return _solution(problem, load, root, before, after, error)
    raise InputError(
        f"the quadrature does not settle at alpha = {load:g}: finer nodes change the saddle-point equations by "
        f"{error:.2g}; beta may be too large, or the minimum of the loss may jump"
    )


def _newton(
    problem: PairProblem, start: np.ndarray, load: float, rule: Rule, tolerance: float = TOLERANCE,
    jacobian: np.ndarray | None = None,
) -> Root:  # fmt: skip
    teachers = problem.teachers
    names = [f"R{a}{n}" for a in (1, 2) for n in range(1, teachers + 1)]
    names += ["signal11", "signal21", "signal22", "spread11", "spread21", "spread22"]
    positive = np.array([name in ("spread11", "spread22") for name in names])

    flat = problem.flat(_state(start, teachers))
    # A signal in one direction only is the edge of what its factor can be, where the last entry of the condition on
    # it has a kink: there that entry and its unknown, at the same place, are left out.
    kept = np.array([not (flat and name == "signal22") for name in names])

    def whole(v: np.ndarray) -> np.ndarray:
        full = np.zeros(len(kept))
        full[kept] = v
        return full

    def residual(v: np.ndarray) -> np.ndarray:
        state = _state(whole(v), teachers)
        return problem.residual(state, problem.moments(state, rule, flat), load)[kept]

    if jacobian is not None and len(jacobian) != kept.sum():
        jacobian = None
    some = [name for name, here in zip(names, kept, strict=True) if here]
    try:
        root = newton(residual, start[kept], positive[kept], some, tolerance, jacobian)
    except NotConverged as error:
        if problem.ground:
            why = "as where the minimum of a loss jumps, which a finite beta avoids"
            raise NotConverged(some, error.path, why) from None
        raise
    return replace(root, x=whole(root.x))


def _state(v: np.ndarray, teachers: int) -> PairState:
    signal, spread = np.zeros((2, 2)), np.zeros((2, 2))
    signal[np.tril_indices(2)] = v[-6:-3]
    spread[np.tril_indices(2)] = v[-3:]
    return PairState(v[:-6].reshape(2, teachers), signal, spread)


def _unknowns(state: PairState) -> np.ndarray:
    below = np.tril_indices(2)
    return np.concatenate([state.R.ravel(), state.signal[below], state.spread[below]])


def _starts(problem: PairProblem) -> list[PairState]:
    """Weights that know little of the teachers, a little more of their own, and weights that know them."""
    size = 1.0 if problem.spherical or problem.cost == 0 else 1 / np.sqrt(problem.cost)
    little = np.array([[0.12, 0.08], [0.08, 0.1]])[:, : problem.teachers]
    size *= 0.9 if problem.spherical else 1.0
    small = PairState(little, 0.3 * np.eye(2), size * np.eye(2))
    if problem.spherical and problem.ground:
        small = PairState(little, np.diag([0.98, 0.98]), np.eye(2))
    if problem.teachers == 1:
        return [small]
    return [small, PairState(0.9 * np.eye(2), 0.2 * np.eye(2), 0.3 * np.eye(2))]


def _iterate(problem: PairProblem, state: PairState, load: float) -> PairState:
    """Damped iteration of the saddle-point equations (state evolution)."""
    for _ in range(ROUNDS):
        new = _step(problem, state, load)
        old, target = _unknowns(state), _unknowns(new)
        mixed = old + DAMPING * (target - old)
        state = _state(mixed, problem.teachers)
        if np.abs(mixed - old).max() < NEAR * np.abs(mixed).max():
            break
    return state


def _step(problem: PairProblem, state: PairState, load: float) -> PairState:
    """Each condition solved for its unknown: R, q - R R^T and Delta, given the forces on them."""
    found = problem.moments(state, problem.rough)
    _, _, along = problem.conditions(state, found, load)
    inverse = np.linalg.inv(state.Delta)
    pull, force = inverse @ (state.R + along), np.sqrt(load) * inverse @ found.root

    def at(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        Delta = np.linalg.inv(np.diag(cost) + load * found.stiffness)
        return Delta, Delta @ pull, lower(Delta @ force)

    cost = np.full(2, problem.cost)
    if problem.spherical:
        cost = _multipliers(problem, at, np.diag(inverse - load * found.stiffness))
    Delta, R, signal = at(cost)
    value, vector = np.linalg.eigh((Delta + Delta.T) / 2)
    return PairState(R, signal, lower(vector * np.sqrt(np.maximum(value, 1e-12))))


def _multipliers(problem: PairProblem, at: Any, start: np.ndarray) -> np.ndarray:
    """The costs at which both norms are one."""
    from scipy.optimize import root

    def excess(cost: np.ndarray) -> np.ndarray:
        Delta, R, signal = at(cost)
        own = 0.0 if problem.ground else np.diag(Delta)
        return np.diag(R @ R.T + signal @ signal.T) + own - 1

    found = root(excess, start)
    return found.x if found.success else start


def _solution(
    problem: PairProblem, load: float, root: Root, before: PairMoments, moments: PairMoments, error: float
) -> PairSolution:
    """From the moments that the root solves, and finer ones."""
    state = _state(root.x, problem.teachers)
    value = problem.value(state, moments, load)
    own = np.zeros((2, 2)) if problem.ground else state.Delta
    Q = state.q + own
    return PairSolution(
        alpha=load, beta=problem.beta, noise=problem.noise, ridge=problem.strength,
        phase="minimum" if problem.ground else "posterior",
        q=_rows(state.q), Q=_rows(Q), R=_rows(state.R),
        chi=_rows(state.Delta if problem.ground else problem.beta * state.Delta),
        generalization_error=_error(problem.energy, Q, state.R),
        training_loss=moments.loss,
        free_energy=-value if problem.ground else -value / problem.beta,
        log_partition=None if problem.ground else value,
        stability=problem.stability(moments, load),
        residual=problem.certified(state, before, load), quadrature_error=error,
        condition=float(np.linalg.cond(root.jacobian)), iterations=root.iterations,
    )  # fmt: skip


def _rows(matrix: np.ndarray) -> Matrix:
    return tuple(tuple(float(v) for v in line) for line in matrix)


@cache
def _average(energy: PairEnergy) -> Average:
    """The error over fields with symbols for Q and R."""
    fields = (*x, *y[: energy.teachers])
    symbols = {
        (u, v): Symbol(f"c{min(a, b)}{max(a, b)}", real=True, positive=True if a == b else None)
        for a, u in enumerate(fields)
        for b, v in enumerate(fields)
    }
    return average(energy.error, symbols)


def _error(energy: PairEnergy, Q: np.ndarray, R: np.ndarray) -> float:
    """The generalization error at these overlaps: closed, or by quadrature."""
    covariance = np.block([[Q, R], [R.T, np.eye(energy.teachers)]])
    return averages.value(_average(energy), covariance.tolist(), 1e-10).value
