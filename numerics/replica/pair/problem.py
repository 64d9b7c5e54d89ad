"""One energy of two fields at one temperature, noise and ridge: moments in numbers, what vanishes at the saddle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Poly

from derive.replica.pair.energy import PairEnergy
from derive.replica.pair.free_energy import entropic_part, ground_energy, quadratic_form
from derive.replica.pair.saddle import replicon, saddle_point, square, stiffness, teacher, whitened
from derive.replica.pair.symbols import Delta, R, chi, p, q, x
from derive.replica.symbols import alpha, beta, noise_variance, ridge
from numerics.replica.inner import on_arrays
from numerics.replica.pair.grid import EXACT, LEVELS, ROUGH, Rule, nodes
from numerics.replica.pair.inner import (
    PairInner,
    PairResponse,
    QuadraticInner,
    SampledInner,
    places_of_kinks,
)
from numerics.runtime.errors import InputError

FLAT = 1e-3
"""Relative size of a direction of m below which an approach to a saddle point takes it to be without variance: where
units are alike, replicas share their difference in no way."""


@dataclass(frozen=True)
class PairState:
    """R (2, teachers); ``signal``, the lower triangular factor of q - R R^T; ``spread``, that of Delta, or of chi in
    the ground state."""

    R: np.ndarray
    signal: np.ndarray
    spread: np.ndarray

    @property
    def q(self) -> np.ndarray:
        return self.signal @ self.signal.T + self.R @ self.R.T

    @property
    def Delta(self) -> np.ndarray:
        return self.spread @ self.spread.T


@dataclass(frozen=True)
class PairMoments:
    """Averages over examples at a state: those of derive.replica.pair.saddle; ``root``, the lower triangular
    factor of ``square``; ``pairs``, the averages of W_ab W_cd with W = - ``rigid`` (2, 2, 2, 2)."""

    square: np.ndarray
    root: np.ndarray
    teacher: np.ndarray
    stiffness: np.ndarray
    rigid: np.ndarray
    pairs: np.ndarray
    loss: float
    log: float


class PairProblem:
    """An energy with numbers for beta, the noise variance and the ridge; ``ground`` says that beta is infinite and
    Delta scales as chi / beta.

    Raises InputError for parameters without a posterior or a minimum.
    """

    def __init__(self, energy: PairEnergy, beta: float, noise: float, strength: float) -> None:
        if not beta > 0:
            raise InputError(f"beta must be a positive number or inf, not {beta:g}")
        if not (np.isfinite(noise) and noise >= 0):
            raise InputError(f"the noise variance must be a number of at least 0, not {noise:g}")
        self.spherical = energy.prior == "spherical"
        self.ground = bool(np.isinf(beta))
        if not (np.isfinite(strength) and strength >= 0):
            raise InputError(f"two fields need a ridge of at least 0, not {strength:g}")
        if self.spherical and strength:
            raise InputError(f"{energy.name} has weights of fixed norm: a ridge does nothing; leave it out")
        precision = 0.0 if self.ground else float(energy.precision)
        if not self.spherical and precision + strength == 0:
            raise InputError("two fields need a ridge above 0, or at a finite beta a prior with a precision")
        self.energy = energy if noise else energy.quiet
        self.beta, self.noise, self.strength = beta, noise, strength
        self.cost = strength if self.ground else precision + beta * strength
        self.teachers = energy.teachers
        targets = self.energy.targets
        everything = (*x, *targets.fields)
        kinks = places_of_kinks(targets.loss, everything)
        self.inner: PairInner = (
            SampledInner(targets, (kinks[0], kinks[1]))
            if quadratic_form(targets) is None
            else QuadraticInner(targets)
        )
        turned = targets.loss.xreplace({field: -field for field in everything})
        self.even = bool((turned - targets.loss).simplify() == 0)
        self.kinked = any(kinks[:2])
        exact = isinstance(self.inner, QuadraticInner)
        self.levels: tuple[Rule, ...] = EXACT if exact else LEVELS
        self.rough = EXACT[0] if exact else ROUGH
        self.mixing = np.array(targets.mixing.tolist(), dtype=float)
        self.variance = np.array(targets.variance.subs(noise_variance, noise).tolist(), dtype=float)
        scales = np.sqrt(np.diag(self.variance))
        self.cuts = tuple(tuple(np.array(k) / s) for k, s in zip(kinks[2:], scales, strict=True))
        # What is left of the teachers' directions once t is known, as a factor.
        known = self.mixing.T @ np.linalg.solve(self.variance, self.mixing)
        value, vector = np.linalg.eigh(np.eye(self.teachers) - known)
        self.unknown = vector * np.sqrt(np.maximum(value, 0.0))

    def flat(self, state: PairState) -> bool:
        """Whether m, given t, has one direction only."""
        _, size, _ = np.linalg.svd(self._shared(state))
        return bool(size[1] < FLAT * size[0])

    def _shared(self, state: PairState) -> np.ndarray:
        """A factor of the covariance of m given t."""
        return np.hstack([state.signal, state.R @ self.unknown])

    def moments(self, state: PairState, rule: Rule, flat: bool = False) -> PairMoments:
        """The averages of the inner problem over m and t; ``flat`` leaves out the smaller direction of m."""
        left, size, _ = np.linalg.svd(self._shared(state))
        factor = left[:, :1] * size[0] if flat else (left * size) @ left.T
        targets = len(self.cuts)
        at, weight = nodes(self.cuts, factor.shape[1], rule, self.even)
        t = at[:, :targets] * np.sqrt(np.diag(self.variance))
        along = state.R @ self.mixing.T @ np.linalg.inv(self.variance)
        m = t @ along.T + at[:, targets:] @ factor.T
        D = state.spread if self.kinked else symmetric(state.spread)
        found = self._respond(m, t, D, rule)
        inverse = np.linalg.inv(D)
        root = lower(D @ (found.shift * np.sqrt(weight)[:, None]).T)
        rigid = np.einsum("n,nab->ab", weight, found.rigid)
        return PairMoments(
            square=root @ root.T,
            root=root,
            teacher=D @ (found.shift * weight[:, None]).T @ t,
            stiffness=inverse.T @ rigid @ inverse,
            rigid=rigid,
            pairs=np.einsum("n,nab,ncd->abcd", weight, found.rigid, found.rigid, optimize=True),
            loss=float(weight @ found.loss),
            log=float(weight @ found.log),
        )

    def _respond(self, m: np.ndarray, t: np.ndarray, D: np.ndarray, rule: Rule) -> PairResponse:
        if self.ground:
            return self.inner.minimum(m, t, D)
        return self.inner.posterior(m, t, D, self.beta, rule)

    def conditions(
        self, state: PairState, moments: PairMoments, load: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The derived conditions: overlap (2, 2), norm (2, 2), teacher (2, teachers)."""
        costs = np.full(2, self.cost)
        if self.spherical:
            # The multipliers that the condition of the norms gives.
            free = np.linalg.inv(state.Delta) - load * moments.stiffness
            costs = np.diag(free).copy()
        K = self.teachers
        found = self._conditions(
            *_three(state.q), *state.R.ravel(), *_three(state.Delta), *costs, load, self.noise,
            *_three(moments.square), *moments.teacher.ravel(), *_three(moments.stiffness),
        )  # fmt: skip
        flat = np.array([float(v) for v in found])
        return flat[:4].reshape(2, 2), flat[4:8].reshape(2, 2), flat[8:].reshape(2, K)

    def residual(self, state: PairState, moments: PairMoments, load: float) -> np.ndarray:
        """What vanishes at the saddle point: from R, from Delta (as factors) and from q or the norms."""
        _, norm, along = self.conditions(state, moments, load)
        scale = np.sqrt(max(1.0, float(np.trace(state.q))))
        # The condition says q - R R^T = alpha A.  Its factors meet where A has no full rank; squares lose digits there.
        gap = (np.sqrt(load) * moments.root - state.signal) / scale
        whole = np.linalg.solve(state.spread, norm @ state.spread)
        rest = np.array([whole[0, 0], whole[0, 1], whole[1, 1]])
        if self.spherical:
            lengths = np.diag(state.q) + (0.0 if self.ground else np.diag(state.Delta)) - 1
            rest = np.array([lengths[0], whole[0, 1], lengths[1]])
        return np.concatenate([along.ravel() / scale, gap[np.tril_indices(2)], rest])

    def certified(self, state: PairState, moments: PairMoments, load: float) -> float:
        """The largest entry of the derived conditions, relative to the overlaps where those are large."""
        scale = max(1.0, float(np.trace(state.q)))
        overlap, norm, along = self.conditions(state, moments, load)
        worst = [np.abs(overlap).max() / scale, np.abs(norm).max(), np.abs(along).max() / scale]
        if self.spherical:
            total = np.diag(state.q) + (0.0 if self.ground else np.diag(state.Delta))
            worst.append(np.abs(total - 1).max())
        return float(max(worst))

    def stability(self, moments: PairMoments, load: float) -> float:
        """The least eigenvalue of the replicon: positive where replica symmetry is stable."""
        return float(np.linalg.eigvalsh(self._replicon(moments.pairs, load))[0])

    def value(self, state: PairState, moments: PairMoments, load: float) -> float:
        """(1/N) <ln Z>, or minus the energy per N in the ground state."""
        given = (*_three(state.q), *state.R.ravel(), *_three(state.Delta))
        if self.ground:
            (rest,) = self._ground(*given, self.strength)
        else:
            (rest,) = self._entropic(*given, self.beta, self.strength)
        return float(rest) + load * moments.log

    def _replicon(self, pairs: np.ndarray, load: float) -> np.ndarray:
        """Linear in the averages of products, which stand in for the products."""
        names = [whitened[0, 0], whitened[0, 1], whitened[1, 1]]
        places = [(0, 0), (0, 1), (1, 1)]

        def number(entry: Any) -> float:
            total = 0.0
            for powers, factor in Poly(entry, *names).terms():
                used = [place for place, power in zip(places, powers, strict=True) for _ in range(power)]
                average = float(pairs[(*used[0], *used[1])]) if used else 1.0
                total += float(factor.subs(alpha, load)) * average
            return total

        return np.array([[number(entry) for entry in line] for line in replicon().tolist()])

    @cached_property
    def _conditions(self) -> Callable[..., list[np.ndarray]]:
        point = saddle_point(self.energy)
        arguments = (
            *_entries(q), *R[:, : self.teachers], *_entries(Delta), *p, alpha, noise_variance,
            *_entries(square), *teacher[:, : len(self.cuts)], *_entries(stiffness),
        )  # fmt: skip
        return on_arrays([*point.overlap, *point.norm, *point.teacher], arguments)

    @cached_property
    def _entropic(self) -> Callable[..., list[np.ndarray]]:
        arguments = (*_entries(q), *R[:, : self.teachers], *_entries(Delta), beta, ridge)
        return on_arrays([entropic_part(self.energy)], arguments)

    @cached_property
    def _ground(self) -> Callable[..., list[np.ndarray]]:
        arguments = (*_entries(q), *R[:, : self.teachers], *_entries(chi), ridge)
        return on_arrays([-ground_energy(self.energy)], arguments)


def lower(wide: np.ndarray) -> np.ndarray:
    """The lower triangular factor L, with a diagonal of at least 0, of L L^T = ``wide`` ``wide``^T."""
    triangle: np.ndarray = np.linalg.qr(wide.T)[1]
    found = np.zeros((2, 2))
    found[:, : len(triangle)] = triangle.T
    return found * np.where(np.diag(found) < 0, -1.0, 1.0)


def symmetric(factor: np.ndarray) -> np.ndarray:
    """The symmetric S with S S = ``factor`` ``factor``^T, for which nodes respect an exchange of the units."""
    left, size, _ = np.linalg.svd(factor)
    return (left * size) @ left.T


def _three(matrix: np.ndarray) -> tuple[float, float, float]:
    return matrix[0, 0], matrix[0, 1], matrix[1, 1]


_entries = _three


__all__ = ["PairMoments", "PairProblem", "PairState", "lower"]
