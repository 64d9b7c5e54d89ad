"""One energy at one temperature, noise and ridge: its moments in numbers, and what vanishes at the saddle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Integer

from derive.replica.energy import Energy
from derive.replica.free_energy import entropic_part, ground_energy
from derive.replica.pieces import pieces
from derive.replica.saddle import multiplier, response, saddle_point, square, square_response, teacher
from derive.replica.symbols import Delta, R, alpha, beta, chi, noise_variance, q, ridge
from numerics.replica.inner import Inner, PiecewiseInner, Response, SmoothInner, on_arrays
from numerics.replica.outer import Nodes, nodes
from numerics.runtime.errors import InputError

ROUND = 0.5
"""Of the scale on which kinks are round, the width of the panels next to them."""

GRID = 20
"""Points of the inner grid of a smooth loss, per node of a panel."""


@dataclass(frozen=True)
class State:
    """Overlaps: ``kappa`` = q - R^2; ``spread`` is Delta, or 1/chi in the ground state."""

    R: float
    kappa: float
    spread: float

    @property
    def q(self) -> float:
        return self.kappa + self.R**2


@dataclass(frozen=True)
class Moments:
    """Averages over examples at a state; ``jumps`` says that the minimizer jumps, where the replicon
    diverges."""

    square: float
    teacher: float
    response: float
    square_response: float
    loss: float
    log: float
    jumps: bool


class Problem:
    """An energy with numbers for beta, the noise variance and the strength of the penalty.

    ``ground``: beta is infinite and Delta scales as chi / beta, as for every loss that is not just a count of
    errors; such a count leaves Delta finite, and its infinite beta means no error at all.
    """

    def __init__(self, energy: Energy, beta: float, noise: float, strength: float) -> None:
        if not beta > 0:
            raise InputError(f"beta must be a positive number or inf, not {beta:g}")
        if not (np.isfinite(noise) and noise >= 0):
            raise InputError(f"the noise variance must be a number of at least 0, not {noise:g}")
        if not np.isfinite(strength):
            raise InputError(f"the ridge must be a number, not {strength:g}")
        if energy.prior == "spherical" and strength:
            raise InputError(f"{energy.name} has weights of fixed norm: a ridge does nothing; leave it out")
        self.energy, self.beta, self.noise, self.strength = energy, beta, noise, strength
        loss, variance, separate = energy.target
        found = pieces(loss)
        self.inner: Inner = SmoothInner(loss) if found is None else PiecewiseInner(found)
        self.quadratic = found is not None and len(found) == 1
        # Of a quadratic loss in x: 0 where it depends on the target.
        self.curvature = float(2 * found[0].a) if found and self.quadratic and found[0].a.is_number else 0.0
        self.variance = float(variance.subs(noise_variance, noise))
        self.separate_noise = noise if separate else 0.0
        self.ground = bool(np.isinf(beta)) and not self.inner.counts_errors
        self.spherical = energy.prior == "spherical"
        self.precision = float(energy.precision)
        self.added = 0.0

    def ridge(self, load: float) -> float:
        """lambda at a load."""
        return float(self.energy.ridge(self.strength, load))

    def cost(self, load: float) -> float:
        """precision + beta lambda of a Gaussian prior; lambda in the ground state; and what is added to it to
        approach a saddle point."""
        if self.ground:
            return self.ridge(load) + self.added
        return self.precision + (0.0 if np.isinf(self.beta) else self.beta * self.ridge(load)) + self.added

    def check(self, load: float) -> None:
        """Refuse a load and a ridge for which there is no posterior or no minimum.

        Raises InputError.
        """
        if not (np.isfinite(load) and load > 0):
            raise InputError(f"alpha must be a positive number, not {load:g}")
        if self.spherical:
            return
        strength = self.ridge(load)
        lowest = self.curvature * (1 - np.sqrt(load)) ** 2 if load > 1 else 0.0
        if strength < 0 and strength <= -lowest:
            raise InputError(
                f"a negative ridge of {strength:g} leaves the energy without a minimum at alpha = {load:g}"
                + (
                    f": the lowest eigenvalue of the inputs' correlations is {lowest:.6g}"
                    if self.quadratic
                    else ""
                )
            )
        if self.cost(load) == 0 and not self.ground and not (self.quadratic and load > 1):
            raise InputError(
                f"without a ridge the posterior at beta = {self.beta:g}, alpha = {load:g} cannot be normalized; "
                "give a ridge, or beta = inf for the ridge to 0"
            )
        if strength == 0 and self.ground and self.quadratic and load == 1:
            raise InputError("without a ridge the order parameters diverge at alpha = 1; give a ridge")

    def respond(self, at: Nodes, spread: float) -> Response:
        if self.ground:
            return self.inner.minimum(at.m, at.t, at.noise, spread)
        return self.inner.posterior(at.m, at.t, at.noise, spread, self.beta)

    def nodes(self, state: State, order: int) -> Nodes:
        chi = self.beta * state.spread
        if self.ground:
            chi = np.inf if state.spread == 0 else 1 / state.spread
        width = target_width = 0.0
        if not self.inner.smooth:
            scales = [1.0] if self.ground else [1.0, np.sqrt(state.spread), state.spread]
            width = 0.0 if self.ground else ROUND * min(scales)
            if np.isfinite(self.beta):
                scales.append(1 / np.sqrt(self.beta))
            if np.isfinite(chi):
                # Where pieces tie, m is of the order of sqrt(chi) t.
                scales.append(np.sqrt(state.kappa / (1 + chi)))
            target_width = ROUND * min(scales)

        def breakpoints(t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return self.inner.breakpoints(t, noise, chi)

        return nodes(
            state.q, state.R, self.variance, self.separate_noise, breakpoints, width, target_width,
            self.inner.smooth, order,
        )  # fmt: skip

    def moments(self, state: State, order: int) -> Moments:
        """The averages of the inner problem, by panels of ``order`` nodes."""
        if isinstance(self.inner, SmoothInner):
            self.inner.nodes = GRID * order
        at = self.nodes(state, order)
        found = self.respond(at, state.spread)
        smooth = at.average(found.rigid)
        jumps, rigid = False, smooth
        if self.ground and not self.inner.smooth and at.deviation > 0:
            # A jump of the minimizer is a delta in its derivative, which Stein's identity sees.
            rigid = -at.average(found.shift * at.u) / at.deviation
            jumps = abs(rigid - smooth) > 1e-7
            rigid = rigid if jumps else smooth
        return Moments(
            at.average(found.shift**2),
            at.average(found.shift * at.t),
            rigid,
            at.average(found.rigid**2),
            at.average(found.loss),
            at.average(found.log),
            jumps,
        )

    def residual(self, state: State, moments: Moments, load: float, free: bool) -> np.ndarray:
        """What vanishes at the saddle point: from Delta, from R, and, unless the multiplier is ``free``, from
        q with the prior's cost; relative to the overlaps where those are large."""
        eta = self.eta(moments, load)
        values = self._conditions(
            state.q, state.R, 1.0, eta, load, self.noise,
            moments.square, moments.teacher, moments.response, moments.square_response,
        )  # fmt: skip
        overlap, along = float(values[0]), float(values[2])
        scale = max(1.0, state.q)
        found = [overlap / scale, along / max(1.0, abs(state.R) * self.variance)]
        if not free:
            cost = self.cost(load)
            found.append(eta - (cost / state.spread if self.ground else cost * state.spread))
        return np.array(found)

    def eta(self, moments: Moments, load: float) -> float:
        """The multiplier from the condition of q."""
        (value,) = self._multiplier(load, moments.response)
        return float(value)

    def stability(self, moments: Moments, load: float) -> float:
        """Positive where replica symmetry is stable; minus infinity where the minimizer jumps."""
        (value,) = self._stability(load, moments.square_response)
        return -np.inf if moments.jumps else float(value)

    def value(self, state: State, moments: Moments, load: float) -> float:
        """(1/N) <ln Z>, or minus the energy per weight in the ground state."""
        lambda_ = self.ridge(load)
        if self.ground:
            with np.errstate(divide="ignore"):
                (rest,) = self._ground(state.q, state.R, np.divide(1.0, state.spread), lambda_)
        else:
            finite = self.beta if np.isfinite(self.beta) else 0.0
            (rest,) = self._entropic(state.q, state.R, state.spread, finite, lambda_)
        return float(rest) + load * moments.log

    @cached_property
    def _saddle(self) -> Any:
        return saddle_point(self.energy)

    @cached_property
    def _conditions(self) -> Callable[..., list[np.ndarray]]:
        point = self._saddle
        arguments = (
            q,
            R,
            Delta,
            multiplier,
            alpha,
            noise_variance,
            square,
            teacher,
            response,
            square_response,
        )
        return on_arrays([e.right for e in (point.overlap, point.norm, point.teacher)], arguments)

    @cached_property
    def _multiplier(self) -> Callable[..., list[np.ndarray]]:
        return on_arrays([self._saddle.norm.right.xreplace({multiplier: Integer(0)})], (alpha, response))

    @cached_property
    def _stability(self) -> Callable[..., list[np.ndarray]]:
        return on_arrays([self._saddle.stability.right], (alpha, square_response))

    @cached_property
    def _entropic(self) -> Callable[..., list[np.ndarray]]:
        return on_arrays([entropic_part(self.energy)[0]], (q, R, Delta, beta, ridge))

    @cached_property
    def _ground(self) -> Callable[..., list[np.ndarray]]:
        return on_arrays([-ground_energy(self.energy)], (q, R, chi, ridge))
