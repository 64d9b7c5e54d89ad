"""The solver for array backends: the semantics of the compiled one, dormand_prince.c, which cites sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from numerics.kernel.flow import OBSERVABLES, RATES
from numerics.kernel.inputs import shape_of
from numerics.kernel.kernel import Kernel
from numerics.runtime.devices import to_host
from numerics.system import System
from numerics.trajectories import (
    FINISHED,
    RUNNING,
    STEP_TOO_SMALL,
    STOPPED_BY_EVENT,
    TOO_MANY_STEPS,
    Trajectories,
)

STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
DENSE = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


class ArraySolver:
    """The solver of one system on a kernel of array operations; all trajectories advance side by side."""

    def __init__(self, system: System, kernel: Kernel) -> None:
        self.system, self.kernel = system, kernel

    def __call__(
        self,
        initial: np.ndarray,
        parameters: Mapping[str, np.ndarray],
        sizes: dict[str, int],
        times: np.ndarray,
        rtol: float,
        atol: float,
        max_steps: int,
        events: Sequence[tuple[int, float, int, bool]],
    ) -> Trajectories:
        """Solve from ``initial`` (sets, elements) with parameters (sets or 1, elements)."""
        sets, length = initial.shape
        result = Trajectories.empty(sets, len(times), length, len(events))
        run = _Run(self, parameters, sizes, times, rtol, atol, events, result)
        run.start(initial)
        while run.limit_steps(max_steps):
            run.step()
        result.reached[:] = run.t
        return result


class _Run:
    """The state of one call: everything has the trajectories as its first axis."""

    def __init__(
        self,
        solver: ArraySolver,
        parameters: Mapping[str, np.ndarray],
        sizes: dict[str, int],
        times: np.ndarray,
        rtol: float,
        atol: float,
        events: Sequence[tuple[int, float, int, bool]],
        result: Trajectories,
    ) -> None:
        self.system, self.kernel, self.sizes = solver.system, solver.kernel, sizes
        self.times, self.rtol, self.atol, self.events, self.result = times, rtol, atol, events, result
        self.shapes = {n: shape_of(a, sizes) for n, a in self.system.axes.items()}
        arrays = self.system.program.arrays
        self.constants = {}
        for name, values in parameters.items():
            shape = shape_of(arrays.get(name, ()), sizes)
            self.constants[name] = values.reshape(len(values), *shape)

    def inputs(self, y: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        values = {n: c[0] if len(c) == 1 else c[rows] for n, c in self.constants.items()}
        at = 0
        for name, shape in self.shapes.items():
            values[name] = y[:, at : at + prod(shape)].reshape(len(y), *shape)
            at += prod(shape)
        return values

    def rates(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The rates at states ``y`` of the trajectories ``rows``."""
        found = self.kernel(self.inputs(y, rows), self.sizes, groups=(RATES,))
        return np.concatenate(
            [to_host(found[r]).reshape(len(y), -1) for r in self.system.state.values()], axis=1
        )

    def watch(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The observables at states ``y``, as columns."""
        found = self.kernel(self.inputs(y, rows), self.sizes, groups=(OBSERVABLES,))
        return np.stack([to_host(found[n]) for n in self.system.observables], axis=1)

    def norm(self, v: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Root mean square of ``v`` relative to the tolerances."""
        with np.errstate(all="ignore"):
            scaled = v / (self.atol + self.rtol * np.maximum(np.abs(y), np.abs(z)))
            return np.sqrt(np.mean(scaled * scaled, axis=1))

    def start(self, initial: np.ndarray) -> None:
        """The first values and the first step: from the sizes of y, y' and of a trial Euler step's change."""
        every = np.arange(len(initial))
        self.y = initial.copy()
        self.k = self.rates(self.y, every)
        self.t = np.full(len(initial), self.times[0])
        self.next = np.ones(len(initial), dtype=int)
        self.result.states[:, 0] = initial
        if len(self.times) == 1:
            self.result.status[:] = FINISHED
        size, slope = self.norm(self.y, self.y, self.y), self.norm(self.k, self.y, self.y)
        with np.errstate(all="ignore"):
            h = np.where((size < 1e-5) | (slope < 1e-5), 1e-6, 0.01 * size / slope)
            trial = self.rates(self.y + h[:, None] * self.k, every)
            larger = np.maximum(self.norm(trial - self.k, self.y, self.y) / h, slope)
            second = np.where(larger <= 1e-15, np.maximum(1e-6, 1e-3 * h), (0.01 / larger) ** 0.2)
        self.h = np.minimum(np.minimum(100 * h, second), self.times[-1] - self.times[0])
        self.old = np.full(len(initial), 1e-4)
        self.seen = self.watch(self.y, every) if self.events else None

    def limit_steps(self, max_steps: int) -> bool:
        """Stop what cannot go on, end at the last time; whether anything still runs."""
        status, end = self.result.status, self.times[-1]
        running = status == RUNNING
        status[running & ~((self.h > 4e-16 * np.abs(self.t)) & (self.h > 1e-300))] = STEP_TOO_SMALL
        status[(status == RUNNING) & (self.result.steps.sum(axis=1) >= max_steps)] = TOO_MANY_STEPS
        self.rows = np.flatnonzero(status == RUNNING)
        h, t = self.h[self.rows], self.t[self.rows]
        self.h[self.rows] = np.where(t + 1.01 * h > end, end - t, h)
        return len(self.rows) > 0

    def step(self) -> None:
        """One step of every trajectory that runs: accepted or not, each with its own size."""
        rows = self.rows
        y, h, k = self.y[rows], self.h[rows], [self.k[rows]]
        y1 = y
        for weights in STAGES:
            y1 = y + h[:, None] * sum(a * s for a, s in zip(weights, k, strict=True) if a)
            k.append(self.rates(y1, rows))
        norm = self.norm(h[:, None] * sum(a * s for a, s in zip(ERROR, k, strict=True) if a), y, y1)
        with np.errstate(all="ignore"):
            growth = np.maximum(norm, 1e-10) ** 0.17
            accepted = norm <= 1
            larger = np.minimum(10, np.maximum(0.2, 0.9 * self.old[rows] ** 0.04 / growth))
            factor = np.where(
                accepted, larger, np.where(np.isfinite(norm), np.maximum(0.1, 0.9 / growth), 0.1)
            )
        self.h[rows] = h * factor
        self.old[rows] = np.where(accepted, np.maximum(norm, 1e-4), self.old[rows])
        self.result.steps[rows, 0] += accepted
        self.result.steps[rows, 1] += ~accepted
        if accepted.any():
            step = _Step(y[accepted], y1[accepted], h[accepted], [s[accepted] for s in k])
            self.finish(rows[accepted], step)

    def finish(self, rows: np.ndarray, step: _Step) -> None:
        """Events, requested times and the new state of the trajectories whose step was accepted."""
        t0 = self.t[rows]
        last = t0 + step.h
        if self.events:
            last = self.cross(rows, step, last)
        while True:
            following = self.times[np.minimum(self.next[rows], len(self.times) - 1)]
            due = np.flatnonzero((self.next[rows] < len(self.times)) & (following <= last))
            if not len(due):
                break
            ends = following[due] == t0[due] + step.h[due]
            theta = np.where(ends, 1.0, (following[due] - t0[due]) / step.h[due])
            self.result.states[rows[due], self.next[rows[due]]] = step.at(theta, due)
            self.next[rows[due]] += 1
        stopped = self.result.status[rows] == STOPPED_BY_EVENT
        end = self.times[-1]
        self.t[rows] = np.where(stopped, last, np.where(step.h == end - t0, end, t0 + step.h))
        done = ~stopped & (self.t[rows] >= end)
        self.result.status[rows[done]] = FINISHED
        open_end = done & (self.next[rows] < len(self.times))
        self.result.states[rows[open_end], self.next[rows[open_end]]] = step.y1[open_end]
        self.y[rows], self.k[rows] = step.y1, step.k[6]

    def cross(self, rows: np.ndarray, step: _Step, last: np.ndarray) -> np.ndarray:
        """Event times by bisection within the step; the times at which the trajectories go on or stop."""
        assert self.seen is not None
        now = self.watch(step.y1, rows)
        for number, (watched, threshold, direction, terminal) in enumerate(self.events):
            before, after = self.seen[rows, watched] - threshold, now[:, watched] - threshold
            up, down = (before < 0) & (after >= 0), (before > 0) & (after <= 0)
            crossed = (up & (direction >= 0)) | (down & (direction <= 0))
            found = np.flatnonzero(crossed & np.isnan(self.result.event_times[rows, number]))
            low, high = np.zeros(len(found)), np.ones(len(found))
            for _ in range(50 if len(found) else 0):
                theta = 0.5 * (low + high)
                middle = self.watch(step.at(theta, found), rows[found])[:, watched] - threshold
                same = (before[found] < 0) == (middle < 0)
                low, high = np.where(same, theta, low), np.where(same, high, theta)
            moments = self.t[rows[found]] + high * step.h[found]
            self.result.event_times[rows[found], number] = moments
            if terminal:
                self.result.status[rows[found]] = STOPPED_BY_EVENT
                last[found] = np.minimum(last[found], moments)
        self.seen[rows] = now
        return last


class _Step:
    """One accepted step and its interpolant of fourth order."""

    def __init__(self, y: np.ndarray, y1: np.ndarray, h: np.ndarray, k: list[np.ndarray]) -> None:
        self.y, self.y1, self.h, self.k = y, y1, h, k
        self.change = y1 - y
        self.r3 = h[:, None] * k[0] - self.change
        self.r4 = self.change - h[:, None] * k[6] - self.r3
        self.r5 = h[:, None] * sum(a * s for a, s in zip(DENSE, k, strict=True) if a)

    def at(self, theta: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The states at fractions of the step."""
        a, b = theta[:, None], 1 - theta[:, None]
        inside = self.y[rows] + a * (
            self.change[rows] + b * (self.r3[rows] + a * (self.r4[rows] + b * self.r5[rows]))
        )
        return np.where(a == 1, self.y1[rows], inside)
