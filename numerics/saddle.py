"""Saddle points: damped Newton steps, continuation along a path of parameters, a certified residual.

What does not converge is an error that carries the path of the iteration, never the last iterate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from numerics.runtime.errors import InputError

Residual = Callable[[np.ndarray], np.ndarray]

TOLERANCE = 1e-12
ITERATIONS = 60
HALVINGS = 30
STEP = 1e-7
"""Of forward differences, relative: their error only slows Newton's iteration down."""
KEPT = 0.1
"""A positive unknown keeps at least this share of itself in one step."""
BISECTIONS = 8


class NotConverged(InputError):
    """An iteration that did not reach its tolerance; ``path`` holds its iterates and their residuals."""

    def __init__(self, names: Sequence[str], path: Sequence[tuple[np.ndarray, float]], why: str) -> None:
        self.path = tuple(path)
        shown = [*path[:2], *path[-2:]] if len(path) > 4 else path
        told = "; ".join(
            ", ".join(f"{name} = {value:.6g}" for name, value in zip(names, x, strict=True))
            + f" (residual {residual:.2g})"
            for x, residual in shown
        )
        super().__init__(
            f"the saddle-point iteration does not converge, {why}; its path of {len(path)} points: {told}; "
            "approach these parameters in smaller steps, or from the other side"
        )


@dataclass(frozen=True)
class Root:
    """Where a residual vanishes: the unknowns, the largest entry of the residual there, the condition number
    of its Jacobian (relative to the unknowns), and the number of steps."""

    x: np.ndarray
    residual: float
    condition: float
    jacobian: np.ndarray = field(repr=False)
    iterations: int = 0


def newton(
    function: Residual,
    start: np.ndarray,
    positive: np.ndarray,
    names: Sequence[str],
    tolerance: float = TOLERANCE,
    jacobian: np.ndarray | None = None,
) -> Root:
    """Damped Newton iteration; ``positive`` marks unknowns that must stay positive.

    A given ``jacobian`` is kept (chord steps), for a function close to one already solved.

    Raises NotConverged with the path.
    """
    x = np.array(start, dtype=float)
    value = function(x)
    path = [(x.copy(), _size(value))]
    kept = jacobian
    for iteration in range(ITERATIONS):
        if not np.isfinite(value).all():
            raise NotConverged(names, path, "the residual is not finite")
        if _size(value) < tolerance:
            matrix = differences(function, x, value) if kept is None else kept
            return Root(x, _size(value), _condition(matrix, x), matrix, iteration)
        matrix = differences(function, x, value) if kept is None else kept
        try:
            step = np.linalg.solve(matrix, -value)
        except np.linalg.LinAlgError:
            raise NotConverged(names, path, "the Jacobian is singular") from None
        share = _inside(x, step, positive)
        for _ in range(HALVINGS):
            ahead = x + share * step
            found = function(ahead)
            if np.isfinite(found).all() and _size(found) < (1 - 1e-4 * share) * _size(value):
                break
            share /= 2
        else:
            raise NotConverged(names, path, "no step makes the residual smaller")
        x, value = ahead, found
        path.append((x.copy(), _size(value)))
    raise NotConverged(names, path, f"{ITERATIONS} steps are not enough")


def differences(function: Residual, x: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The Jacobian by forward differences."""
    columns = []
    for k in range(len(x)):
        step = STEP * max(abs(x[k]), 1e-3)
        ahead = x.copy()
        ahead[k] += step
        columns.append((function(ahead) - value) / (ahead[k] - x[k]))
    return np.stack(columns, axis=1)


def follow(
    solve: Callable[[float, Root | None], Root], path: Sequence[float], first: Root | None = None
) -> list[Root]:
    """Solve along a path of one parameter, each point from the one before, with smaller steps where needed.

    Raises NotConverged where even a step of 2^-8 of the distance fails.
    """
    found: list[Root] = []
    here, root = path[0], first
    for there in path:
        root = _reach(solve, here, there, root, BISECTIONS)
        here = there
        found.append(root)
    return found


def _reach(
    solve: Callable[[float, Root | None], Root], here: float, there: float, root: Root | None, depth: int
) -> Root:
    try:
        return solve(there, root)
    except NotConverged:
        if depth == 0 or root is None or here == there:
            raise
    middle = (here + there) / 2
    return _reach(solve, middle, there, _reach(solve, here, middle, root, depth - 1), depth - 1)


def _size(value: np.ndarray) -> float:
    return float(np.abs(value).max())


def _inside(x: np.ndarray, step: np.ndarray, positive: np.ndarray) -> float:
    """The share of a step that leaves every positive unknown at least KEPT of itself."""
    falls = positive & (step < 0)
    if not falls.any():
        return 1.0
    return float(min(1.0, ((1 - KEPT) * x[falls] / -step[falls]).min()))


def _condition(matrix: np.ndarray, x: np.ndarray) -> float:
    singular = np.linalg.svd(matrix * np.maximum(np.abs(x), 1e-12), compute_uv=False)
    return float(singular[0] / singular[-1]) if singular[-1] > 0 else float("inf")
