"""The inner problem of one example in numbers: two fields near m, weighted by their loss.

With x = m + D z, D D^T = Delta, z has the density exp(-beta loss - z^2/2); at beta = infinity, with D D^T = chi, it
is the minimum of loss + z^2/2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sympy import Abs as Magnitude
from sympy import Expr, Heaviside, Max, Min, Piecewise, Poly, Symbol, sign

from derive.replica.pair.energy import Targets
from derive.replica.pair.free_energy import quadratic_form
from derive.replica.pair.symbols import x
from numerics.replica.inner import on_arrays
from numerics.replica.pair.grid import Rule, panels, product, trapezoid
from numerics.runtime.errors import InputError

BLOCK = 1 << 17
"""Points of loss at once, which stay in cache."""
STEPS = 100
REST = 1e-13


@dataclass(frozen=True)
class PairResponse:
    """Of an inner problem at every node: ``shift`` = <z> (nodes, 2); ``rigid`` = 1 - cov z (nodes, 2, 2), at
    beta = infinity 1 - dz/d(D^-1 m) of the minimizer; ``loss`` = <loss>; ``log`` the logarithm of the inner
    average, or at beta = infinity minus the minimum."""

    shift: np.ndarray
    rigid: np.ndarray
    loss: np.ndarray
    log: np.ndarray


class QuadraticInner:
    """A loss that is quadratic in the students' fields, exactly."""

    def __init__(self, targets: Targets) -> None:
        form = quadratic_form(targets)
        assert form is not None
        A, b, c = form
        self._A = np.array(A.tolist(), dtype=float)
        self._rest = on_arrays([*b, c], targets.fields)
        if np.linalg.eigvalsh(self._A)[0] < 0:
            raise InputError("the loss is concave in a direction of x1, x2: it has no minimum")

    def posterior(self, m: np.ndarray, t: np.ndarray, D: np.ndarray, beta: float, rule: Rule) -> PairResponse:
        return self._respond(m, t, D, beta, True)

    def minimum(self, m: np.ndarray, t: np.ndarray, D: np.ndarray) -> PairResponse:
        return self._respond(m, t, D, 1.0, False)

    def _respond(
        self, m: np.ndarray, t: np.ndarray, D: np.ndarray, beta: float, spread: bool
    ) -> PairResponse:
        b1, b2, c = self._rest(*t.T)
        b = np.stack([b1, b2], axis=1)
        stiff = np.eye(2) + beta * D.T @ self._A @ D
        covariance = np.linalg.inv(stiff)
        shift = -beta * (m @ self._A + b) @ D @ covariance
        x = m + shift @ D.T
        loss = c + (b * x).sum(axis=1) + ((x @ self._A) * x).sum(axis=1) / 2
        log = -beta * loss - (shift**2).sum(axis=1) / 2
        if spread:
            loss = loss + np.trace(D.T @ self._A @ D @ covariance) / 2
            log = log - np.log(np.linalg.det(stiff)) / 2
        rigid = np.broadcast_to(np.eye(2) - covariance, (len(m), 2, 2))
        return PairResponse(shift, rigid, loss, log)


class SampledInner:
    """Any other loss, by nodes of z: smooth, or with kinks and jumps at ``kinks`` of either field."""

    def __init__(self, targets: Targets, kinks: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
        self.kinks = kinks
        arguments = (*x, *targets.fields)
        self._loss = on_arrays([targets.loss], arguments)
        self._arguments, self._expression = arguments, targets.loss
        self._slopes: Callable[..., list[np.ndarray]] | None = None

    def posterior(self, m: np.ndarray, t: np.ndarray, D: np.ndarray, beta: float, rule: Rule) -> PairResponse:
        smooth = None if any(self.kinks) else product([trapezoid(rule.inner, rule.reach)] * 2, rule.reach)
        points = len(smooth[1]) if smooth else (rule.order * (1 + max(map(len, self.kinks)))) ** 2
        block = max(1, BLOCK // points)
        parts = []
        for k in range(0, len(m), block):
            some, target = m[k : k + block], t[k : k + block]
            z, weight = smooth if smooth else self._nodes(some, D, rule)
            field = some[:, None, :] + z @ D.T
            loss = self._loss(field[..., 0], field[..., 1], *target.T[..., None])[0]
            parts.append(_averages(z, weight, loss, beta))
        return PairResponse(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _nodes(self, m: np.ndarray, D: np.ndarray, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
        """z (nodes, points, 2), cut where x1, and given z1 where x2, passes a kink."""
        first, second = (np.array(k, dtype=float) for k in self.kinks)
        z1, w1 = panels((first - m[:, :1]) / D[0, 0], rule)
        z2, w2 = panels((second - m[:, 1, None, None] - D[1, 0] * z1[..., None]) / D[1, 1], rule)
        z = np.stack([np.broadcast_to(z1[..., None], z2.shape), z2], axis=-1)
        return z.reshape(len(m), -1, 2), (w1[..., None] * w2).reshape(len(m), -1)

    def minimum(self, m: np.ndarray, t: np.ndarray, D: np.ndarray) -> PairResponse:
        """Newton's iteration from the best point of a grid.

        Raises InputError for a loss with kinks, and where the iteration does not come to rest.
        """
        if any(self.kinks):
            raise InputError("two fields at beta = inf need a loss without kinks; give a finite beta")
        z = self._start(m, t, D)
        damping = np.full(len(m), 1e-3)
        cost, slope, bend, _ = self._at(m, t, D, z)
        for _ in range(STEPS):
            if np.abs(slope).max() < REST * (1 + np.abs(z).max()):
                break
            # Damped so that every curvature is positive.
            least = np.linalg.eigvalsh(bend)[:, 0]
            added = np.maximum(damping, 1e-3 - least) * (np.abs(slope).max(axis=1) > 1e-6)
            ahead = z - np.linalg.solve(bend + added[:, None, None] * np.eye(2), slope[..., None])[..., 0]
            found = self._at(m, t, D, ahead)
            better = found[0] <= cost + 1e-12 * (1 + np.abs(cost))
            damping = np.where(better, damping / 10, np.maximum(damping, 1e-2) * 10)
            z = np.where(better[:, None], ahead, z)
            cost, slope, bend = (
                np.where(better.reshape(-1, *[1] * (old.ndim - 1)), new, old)
                for new, old in zip(found[:3], (cost, slope, bend), strict=True)
            )
        if not np.abs(slope).max() < 1e-8 * (1 + np.abs(z).max()):
            raise InputError("the minimum of the loss near given fields is not found; give a finite beta")
        cost, _, bend, loss = self._at(m, t, D, z)
        return PairResponse(z, np.eye(2) - np.linalg.inv(bend), loss, -cost)

    def _start(self, m: np.ndarray, t: np.ndarray, D: np.ndarray) -> np.ndarray:
        line = np.linspace(-6, 6, 13)
        grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        z = np.zeros_like(m)
        for k in range(0, len(m), BLOCK // len(grid)):
            some = slice(k, k + BLOCK // len(grid))
            field = m[some, None, :] + grid @ D.T
            loss = self._loss(field[..., 0], field[..., 1], *t[some].T[..., None])[0]
            z[some] = grid[(loss + (grid**2).sum(axis=1) / 2).argmin(axis=1)]
        return z

    def _at(self, m: np.ndarray, t: np.ndarray, D: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, ...]:
        """loss + z^2/2, its gradient and Hessian in z, and the loss."""
        if self._slopes is None:
            loss = self._expression
            wanted = [loss, *(loss.diff(u) for u in x), *(loss.diff(u, v) for u in x for v in x)]
            self._slopes = on_arrays(wanted, self._arguments)
        field = m + z @ D.T
        loss, *rest = self._slopes(*field.T, *t.T)
        slope = np.stack(rest[:2], axis=1) @ D + z
        bend = D.T @ np.stack(rest[2:], axis=1).reshape(-1, 2, 2) @ D + np.eye(2)
        return loss + (z**2).sum(axis=1) / 2, slope, bend, loss


PairInner = QuadraticInner | SampledInner


def _averages(z: np.ndarray, weight: np.ndarray, loss: np.ndarray, beta: float) -> tuple[np.ndarray, ...]:
    """Shift, rigid, loss and log of blocks: z (points, 2) for all nodes or (nodes, points, 2)."""
    least = loss.min(axis=1, keepdims=True)
    share = weight * np.exp(-beta * (loss - least))
    total = share.sum(axis=1)
    share /= total[:, None]
    z1, z2 = z[..., 0], z[..., 1]
    powers = (z1, z2, z1 * z1, z1 * z2, z2 * z2)
    if z.ndim == 2:
        first, second, square, across, other = (share @ np.stack(powers, axis=-1)).T
    else:
        first, second, square, across, other = (np.einsum("np,np->n", share, power) for power in powers)
    rigid = np.empty((len(loss), 2, 2))
    rigid[:, 0, 0] = 1 - square + first**2
    rigid[:, 1, 1] = 1 - other + second**2
    rigid[:, 0, 1] = rigid[:, 1, 0] = first * second - across
    log = np.log(total) - beta * least[:, 0]
    return np.stack([first, second], axis=1), rigid, (share * loss).sum(axis=1), log


def places_of_kinks(loss: Expr, fields: tuple[Symbol, ...]) -> tuple[tuple[float, ...], ...]:
    """Of every field, the numbers where the loss has a kink or a jump.

    Raises InputError for a kink elsewhere: on a line between fields, or in a Piecewise.
    """
    found: list[set[float]] = [set() for _ in fields]
    if loss.has(Piecewise):
        raise InputError("write the loss by Heaviside, sign, Abs, Max and Min instead of Piecewise")
    for switch in loss.atoms(Heaviside, sign, Magnitude, Max, Min):
        arguments = switch.args if isinstance(switch, Max | Min) else switch.args[:1]
        gaps = [a - b for k, a in enumerate(arguments) for b in arguments[:k]] or list(arguments)
        for gap in gaps:
            # Steps and signs inside are constant between their own kinks.
            constant = {inside: Symbol("constant") for inside in gap.atoms(Heaviside, sign)}
            for factor in gap.xreplace(constant).factor().as_ordered_factors():
                inside = factor.free_symbols & set(fields)
                if not inside:
                    continue
                (field, *others) = sorted(inside, key=str)
                if others or len(factor.free_symbols) > 1 or not factor.is_polynomial(field):
                    raise InputError(
                        f"the loss has a kink where {gap} = 0; two fields take kinks where one of them is a number"
                    )
                roots = Poly(factor, field).nroots()
                found[fields.index(field)] |= {float(r) for r in roots if abs(complex(r).imag) < 1e-12}
    return tuple(tuple(sorted(places)) for places in found)
