"""The inner problem of one example in numbers: a field x near m, weighted by its loss.

At a finite temperature x has the density exp(-beta loss - (x - m)^2 / (2 Delta)); at beta = infinity it is
the minimum of loss + (x - m)^2 / (2 chi), or, for a loss that only counts errors, spread as the prior over
the fields of least loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_ndtr, logsumexp
from sympy import Derivative, DiracDelta, Expr, Integral, S, Symbol, lambdify
from sympy.core.function import AppliedUndef

from derive.replica.pieces import Piece
from derive.replica.symbols import noise, t, x
from numerics.runtime.errors import InputError

FAR = 40.0
"""Standard deviations beyond which a truncated variance is taken from its asymptotic series."""
SAME = 1e-12
NOWHERE = 1e100
"""A tie this far out is that of parallel lines, up to rounding."""


@dataclass(frozen=True)
class Response:
    """Of an inner problem at every node.

    ``shift`` = <x> - m; ``rigid`` = 1 - d<x>/dm, without the jumps of <x>; ``loss`` = <loss>; ``log`` the
    logarithm of the inner average, or at beta = infinity minus the minimum.
    """

    shift: np.ndarray
    rigid: np.ndarray
    loss: np.ndarray
    log: np.ndarray


def on_arrays(expressions: Sequence[Expr], arguments: Sequence[Symbol]) -> Callable[..., list[np.ndarray]]:
    """The expressions as functions of arrays, each of the arrays' shape."""
    from sympy import Heaviside, Rational

    plain = [e.replace(Heaviside, lambda u, *_: Heaviside(u, Rational(1, 2))) for e in expressions]
    function = lambdify(list(arguments), plain, modules=["scipy", "numpy"])

    def evaluate(*values: np.ndarray) -> list[np.ndarray]:
        shape = np.broadcast_shapes(*(np.shape(v) for v in values))
        return [np.broadcast_to(np.asarray(f, dtype=float), shape) for f in function(*values)]

    return evaluate


class PiecewiseInner:
    """For losses that are quadratic on pieces: a mixture of truncated Gaussians, exact."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        flat = [e for p in pieces for e in (p.low, p.high, p.a, p.b, p.c)]
        self._count = len(pieces)
        self._coefficients = on_arrays(flat, (t, noise))
        self.counts_errors = all(p.a == 0 and p.b == 0 for p in pieces)
        self.smooth = len(pieces) == 1

    def coefficients(self, t: np.ndarray, noise: np.ndarray) -> list[np.ndarray]:
        """low, high, a, b, c, each (pieces, ...)."""
        flat = self._coefficients(t, noise)
        return [np.stack(flat[k::5]) for k in range(5)]

    def posterior(
        self, m: np.ndarray, t: np.ndarray, noise: np.ndarray, Delta: float, beta: float
    ) -> Response:
        """At a finite temperature, or at beta = infinity for a loss that only counts errors."""
        low, high, a, b, c = self.coefficients(t, noise)
        if np.isinf(beta):
            excluded = c > c.min(axis=0) + SAME
            cost, beta = np.where(excluded, np.inf, 0.0), 0.0
        else:
            cost = np.zeros(1)
        chi = beta * Delta
        stiff = 1 + 2 * chi * a
        drift = -chi * (2 * a * m + b) / stiff
        width = np.sqrt(Delta / stiff)
        below, above = (low - m - drift) / width, (high - m - drift) / width
        log_inside = _log_interval(below, above)
        envelope = c + (a * m * m + b * m - chi * b * b / 2) / stiff
        log_weight = -cost - beta * envelope - np.log(stiff) / 2 + log_inside
        log = logsumexp(log_weight, axis=0)
        share = np.exp(log_weight - log)
        mean, variance = _truncated(below, above, log_inside)
        shift = drift + width * mean
        alive = share > 0
        shift, variance = np.where(alive, shift, 0.0), np.where(alive, width**2 * variance, 0.0)
        average = (share * shift).sum(axis=0)
        spread = (share * (variance + (shift - average) ** 2)).sum(axis=0)
        field = m + shift
        loss = (share * (c + b * field + a * (field**2 + variance))).sum(axis=0)
        return Response(average, 1 - spread / Delta, loss, log)

    def minimum(self, m: np.ndarray, t: np.ndarray, noise: np.ndarray, softness: float) -> Response:
        """At beta = infinity, softness = 1/chi; at 0 the minimizer of the loss nearest to m."""
        low, high, a, b, c = self.coefficients(t, noise)
        with np.errstate(divide="ignore", invalid="ignore"):
            free = (softness * m - b) / (softness + 2 * a)
            slope = softness / (softness + 2 * a)
        flat = (softness + 2 * a) == 0
        free = np.where(flat, np.where(b == 0, m, np.where(b > 0, -np.inf, np.inf)), free)
        slope = np.where(flat, 1.0, slope)
        inside = (free > low) & (free < high)
        field = np.clip(free, low, high)
        if not np.isfinite(field).all():
            raise InputError("the loss has no minimum: it falls forever in one direction of the field")
        with np.errstate(over="ignore"):
            loss = c + b * field + a * field**2
            distance = (field - m) ** 2 / 2
        if softness == 0:
            floor = loss.min(axis=0)
            best = np.where(loss <= floor + SAME * (1 + np.abs(floor)), distance, np.inf).argmin(axis=0)
        else:
            best = (loss + softness * distance).argmin(axis=0)
        field, slope, loss, distance = (
            np.take_along_axis(v, best[None], 0)[0]
            for v in (field, np.where(inside, slope, 0.0), loss, distance)
        )
        return Response(field - m, 1 - slope, loss, -(loss + softness * distance))

    def breakpoints(self, t: np.ndarray, noise: np.ndarray, chi: float) -> np.ndarray:
        """Where the minimizer has kinks or jumps as a function of m, (places, ...), NaN where there is none.

        Kept are all places where a piece's minimizer reaches an end, and those where two pieces tie and the
        minimizer does jump.
        """
        if self.smooth or chi == 0:
            return np.full((0, *np.shape(t)), np.nan)
        low, high, a, b, c = self.coefficients(t, noise)
        ends = np.concatenate([low, high])
        two_a, two_b, two_c = (np.concatenate([v, v]) for v in (a, b, c))
        with np.errstate(invalid="ignore", divide="ignore"):
            if not np.isfinite(chi):
                flat = np.isfinite(ends) & (two_a == 0) & (two_b == 0)
                return _finite_first(np.where(flat, ends, np.nan))
            kinks = np.where(np.isfinite(ends), ends * (1 + 2 * chi * two_a) + chi * two_b, np.nan)
            stiff = 1 + 2 * chi * a
            inside = [a / stiff, b / stiff, c - chi * b * b / (2 * stiff)]
            at_end = two_c + two_b * ends + two_a * ends**2
            outside = [np.full_like(ends, 0.5 / chi), -ends / chi, ends**2 / (2 * chi) + at_end]
            ties = _ties(np.concatenate([np.stack(inside, axis=1), np.stack(outside, axis=1)]))
            ties = np.where(np.abs(ties) < NOWHERE, ties, np.nan)
            step = 1e-6 * (1 + np.abs(ties))
            target, apart = (np.broadcast_to(v, ties.shape) for v in (t, noise))
            before, after = (
                self.minimum(np.nan_to_num(ties + side * step), target, apart, 1 / chi).shift
                for side in (-1, 1)
            )
        jumps = np.isfinite(ties) & (np.abs(after - before) > 4 * step)
        return _finite_first(np.concatenate([kinks, np.where(jumps, ties, np.nan)]))


class SmoothInner:
    """For any other loss, by a grid of x around m: it must be smooth on the scale of the grid."""

    counts_errors = False
    smooth = True
    REACH = 9.0
    CHUNK = 4096

    def __init__(self, loss: Expr) -> None:
        self.nodes = 400
        # The curvature at a kink is left out: a minimizer that rests there is refused below.
        wanted = [loss, loss.diff(x), loss.diff(x, 2).replace(DiracDelta, lambda *_: S.Zero)]
        unknown = sorted({str(f.func) for e in wanted for f in e.atoms(AppliedUndef, Derivative, Integral)})
        if unknown:
            raise InputError(f"the loss or its slope holds {', '.join(unknown)}, which has no numbers")
        self._loss = on_arrays(wanted, (x, t, noise))
        self._value = on_arrays([loss], (x, t, noise))

    def posterior(
        self, m: np.ndarray, t: np.ndarray, noise: np.ndarray, Delta: float, beta: float
    ) -> Response:
        z = np.linspace(-self.REACH, self.REACH, self.nodes)[:, None]
        weight = np.exp(-z * z / 2) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
        powers = np.hstack([np.ones_like(z), z, z * z]).T

        def at(m: np.ndarray, t: np.ndarray, noise: np.ndarray) -> list[np.ndarray]:
            (loss,) = self._value(m + np.sqrt(Delta) * z, t, noise)
            least = loss.min(axis=0)
            share = weight * np.exp(beta * (least - loss))
            total, first, second = powers @ share
            mean = first / total
            average = np.einsum("zn,zn->n", share, loss) / total
            log = np.log(total) - beta * least
            return [np.sqrt(Delta) * mean, 1 - (second / total - mean**2), average, log]

        return self._chunked(at, m, t, noise)

    def minimum(self, m: np.ndarray, t: np.ndarray, noise: np.ndarray, softness: float) -> Response:
        if softness == 0:
            raise InputError("this loss needs a positive ridge at beta = infinity")
        reach = 12.0 * np.linspace(-1, 1, self.nodes)[:, None]

        def at(m: np.ndarray, t: np.ndarray, noise: np.ndarray) -> list[np.ndarray]:
            grid = m + reach
            cost = self._value(grid, t, noise)[0] + softness * reach**2 / 2
            field = np.take_along_axis(grid, cost.argmin(axis=0)[None], 0)[0]
            for _ in range(60):
                _, slope, curvature = self._loss(field, t, noise)
                bend = np.maximum(curvature + softness, 1e-3 * softness)
                step = -(slope + softness * (field - m)) / bend
                field = field + np.clip(step, -0.05, 0.05)
                if np.abs(step).max(initial=0) < 1e-15:
                    break
            loss, slope, curvature = self._loss(field, t, noise)
            scale = 1 + np.abs(slope) + np.abs(field)
            if not (np.abs(slope + softness * (field - m)) < 1e-9 * scale).all():
                raise InputError(
                    "the minimum of the loss near a given field is not found: it rests at a kink, or there is none; "
                    "give a finite beta"
                )
            rigid = curvature / (curvature + softness)
            return [field - m, rigid, loss, -(loss + softness * (field - m) ** 2 / 2)]

        return self._chunked(at, m, t, noise)

    def breakpoints(self, t: np.ndarray, noise: np.ndarray, chi: float) -> np.ndarray:
        return np.full((0, *np.shape(t)), np.nan)

    def _chunked(self, at: Callable[..., list[np.ndarray]], *nodes: np.ndarray) -> Response:
        parts = [at(*(v[k : k + self.CHUNK] for v in nodes)) for k in range(0, len(nodes[0]), self.CHUNK)]
        return Response(*(np.concatenate([p[k] for p in parts]) for k in range(4)))


Inner = PiecewiseInner | SmoothInner


def _log_interval(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """ln of the normal probability between two points, from the tail where both lie."""
    flip = below > 0
    low, high = np.where(flip, -above, below), np.where(flip, -below, above)
    log_high = log_ndtr(high)
    with np.errstate(divide="ignore"):
        return log_high + np.log1p(-np.exp(log_ndtr(low) - log_high))


def _truncated(below: np.ndarray, above: np.ndarray, log_inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a standard normal variable between two points."""

    def density(at: np.ndarray) -> np.ndarray:
        return np.exp(np.where(np.isinf(at), -np.inf, -(at**2) / 2 - log_inside)) / np.sqrt(2 * np.pi)

    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        left, right = density(below), density(above)
        mean = left - right
        moment = np.where(np.isinf(below), 0, below * left) - np.where(np.isinf(above), 0, above * right)
        variance = 1 + moment - mean**2
        distance = np.maximum(below, -above)
        inverse = 1 / distance**2
        series = inverse * (1 - inverse * (6 - inverse * (50 - inverse * (518 - inverse * 6354))))
        open_ended = np.isinf(below) | np.isinf(above)
        variance = np.where((distance > FAR) & open_ended, series, variance)
    return np.nan_to_num(mean), np.clip(np.nan_to_num(variance), 0, 1)


def _finite_first(places: np.ndarray) -> np.ndarray:
    """Sorted along the first axis, which is cut to the most finite entries that there are."""
    places = np.sort(np.where(np.isfinite(places), places, np.nan), axis=0)
    return places[: int(np.isfinite(places).sum(axis=0).max(initial=0))]


def _ties(parabolas: np.ndarray) -> np.ndarray:
    """Where any two of the functions (count, 3, ...) of m, by their coefficients, are equal."""
    roots: list[Any] = []
    for k in range(len(parabolas)):
        for j in range(k):
            u, v, w = parabolas[k] - parabolas[j]
            with np.errstate(invalid="ignore", divide="ignore"):
                root = np.sqrt(v * v - 4 * u * w)
                far = -(v + np.where(v >= 0, root, -root)) / 2
                roots += [far / u, w / far]
    return np.stack(roots) if roots else np.zeros((0, *parabolas.shape[2:]))
