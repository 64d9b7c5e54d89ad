"""Averages of functions of jointly Gaussian fields by numerical integration alone.

This module judges the closed forms, so it shares nothing with them: no Gaussian identity is used beyond the
density.  Two methods, chosen by ``kinks``:

- analytic integrands: the trapezoidal rule in whitened coordinates, which converges faster than any power;
  the step shrinks until the value settles;
- integrands that are analytic except for kinks or jumps where a field vanishes: those hyperplanes pass
  through the origin, so they cut the orthants of whitened space into simplicial cones.  In each,
  Gauss-Legendre over the directions and a Gauss rule with weight r^(d-1) exp(-r^2/2) along the radius,
  refined until they settle.

Kinks elsewhere (a shifted ReLU) and distributions (delta functions) are out of reach: eliminate them first.
Singular covariances lower the dimension d of the integral; zero variances are legal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from numerics.runtime.errors import InputError, unknown_name
from numerics.special.legendre import gauss_legendre

Integrand = Callable[..., np.ndarray]

#: Covariances are accepted down to this multiple of the trace; pivots below the second one count as zero.
_INDEFINITE, _NEGLIGIBLE = -1e-10, 4e-16
#: The largest number of evaluations of one rule, and how many are made at a time.
_BUDGET, _BATCH = 16_000_000, 1 << 16
#: Beyond this radius the Gaussian weight is below 1e-297.
_FAR = 37.0
#: Integrand times weight counts as gone below exp(-41) = 1.6e-18 of its largest value.
_GONE = 41.0
#: Grids avoid the origin and the diagonals, where integrands like sin(u)/u are 0/0.
_SHIFTS = (0.5, 0.118, 0.736, 0.354)
#: Simplicial cones are narrowed until no two edges have a smaller cosine; orthants flatter than the second
#: are rebuilt by cutting instead.
_WIDEST, _FLAT = -0.2, 0.97
#: What rounding may leave, as a multiple of E|function|.
_ROUNDING = 4e-15
#: Orders tried along the directions (each angle) and along the radius.
_ANGULAR = (6, 9, 13, 19, 28, 40, 60)
_RADIAL = (6, 9, 13, 19, 28, 40, 60, 90, 130)


@dataclass(frozen=True)
class Estimate:
    """A computed average and an estimate of its absolute error (of quadrature and of rounding)."""

    value: float
    error: float


def gaussian_average(
    function: Integrand, covariance: ArrayLike, kinks: bool, tolerance: float = 1e-12
) -> Estimate:
    """E[function(u_1, ..., u_n)] over zero-mean jointly Gaussian fields with this n x n covariance.

    ``function`` takes n arrays of one shape and returns an array of it.  ``kinks`` says that it may have
    kinks or jumps where a field vanishes.  ``tolerance`` is relative to E|function| and tells when to stop
    refining; what was reached is in the result's ``error``.  Up to three fields reach 1e-12; four reach it
    where the integrand is smooth on the scale of the fields, and otherwise what 16 million evaluations give.

    Raises InputError for a covariance that is not symmetric positive semidefinite and for an integrand
    that is not finite or outgrows the Gaussian weight.
    """
    factor = covariance_factor(covariance)
    dimension = factor.shape[1]
    if dimension > len(_SHIFTS):
        raise InputError(f"quadrature takes at most four independent fields; this rank is {dimension}")

    def sample(z: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            values = np.asarray(function(*np.tensordot(factor, z, axes=1)), dtype=np.float64)
        return np.broadcast_to(values, z.shape[1:])

    if dimension == 0:
        return Estimate(float(_finite(sample(np.zeros((0, 1))))[0]), 0.0)
    radius = _reach(sample, dimension)
    if kinks:
        return _over_cones(sample, _cones(factor), tolerance)
    return _over_grids(sample, dimension, radius, tolerance)


def rule(kind: str, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes z and weights w of a fixed rule for one standard normal variable: E[F(z)] = sum w F(z).

    For two fields take the product rule and ``pair_factor``.  Kinds:

    - ``"analytic"``: trapezoidal on [-8.6, 8.6].  The error is about exp(-2 pi d / step), where d is the
      distance of the integrand's nearest singularity from the real axis in standard deviations; entire
      functions gain more.  256 nodes reach 1e-13 for tanh at variance 20 (d = pi / (2 sqrt 20) = 0.35),
      128 at variance 5.
    - ``"kinked"``: for one field with a kink or jump at 0, Gauss on each half-line (an even count).  Exact to
      degree ``nodes`` - 1 on each side; 60 nodes reach 1e-13 for tanh(z) sign(z) at variance 1.  Two
      kinked fields are no product: use ``gaussian_average``.
    """
    if kind == "analytic":
        z = np.linspace(-8.6, 8.6, nodes)
        return z, (z[1] - z[0]) / np.sqrt(2 * np.pi) * np.exp(-z * z / 2)
    if kind == "kinked":
        if nodes % 2:
            raise InputError(f"a kinked rule has as many nodes on either side of 0; {nodes} is odd")
        r, w = radial_rule(1, nodes // 2)
        return np.concatenate([-r[::-1], r]), np.concatenate([w[::-1], w]) / np.sqrt(2 * np.pi)
    raise unknown_name("quadrature rule", kind, ("analytic", "kinked"))


def pair_factor(c11: ArrayLike, c12: ArrayLike, c22: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """l11, l21, l22 with fields u1 = l11 z1 and u2 = l21 z1 + l22 z2; elementwise over arrays of covariances.

    Never NaN: zero variances give zero rows, and collinear or slightly indefinite pairs l22 = 0.
    """
    v1, c, v2 = (np.asarray(a, dtype=np.float64) for a in (c11, c12, c22))
    l11 = np.sqrt(np.maximum(v1, 0))
    l21 = np.where(l11 > 0, c / np.where(l11 > 0, l11, 1), 0.0)
    return l11, l21, np.sqrt(np.maximum(v2 - l21 * l21, 0))


def covariance_factor(covariance: ArrayLike) -> np.ndarray:
    """L (n, d) with L L^T = covariance and d its rank: pivoted Cholesky, rows in the given order of fields.

    Raises InputError if the matrix is not square, symmetric, finite and positive semidefinite.
    """
    given = np.asarray(covariance, dtype=np.float64)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not np.isfinite(given).all():
        raise InputError(
            f"a covariance must be a square matrix of finite numbers; this one is {given.tolist()}"
        )
    if np.abs(given - given.T).max(initial=0) > 1e-12 * np.abs(given).max(initial=0):
        raise InputError(f"a covariance must be symmetric, not {given.tolist()}")
    lowest = np.linalg.eigvalsh(given).min(initial=0)
    if lowest < _INDEFINITE * np.trace(given):
        raise InputError(
            f"a covariance must be positive semidefinite; this one has the eigenvalue {lowest:.6g}"
        )
    # Correlations, so that fields of very different size keep their own precision.
    deviations = np.sqrt(np.maximum(np.diag(given), 0))
    scale = np.where(deviations > 0, deviations, 1)
    rest = given / scale / scale[:, None]
    columns: list[np.ndarray] = []
    while len(columns) < len(given):
        pivot = int(np.argmax(np.diag(rest)))
        if rest[pivot, pivot] <= _NEGLIGIBLE:
            break
        column = rest[:, pivot] / np.sqrt(rest[pivot, pivot])
        roots = np.sqrt(np.maximum(np.diag(rest), 0))
        rest = rest - np.outer(column, column)
        np.fill_diagonal(rest, (roots - column) * (roots + column))  # 1 - c^2 without cancellation
        rest[pivot] = rest[:, pivot] = 0
        columns.append(column)
    return np.array(columns).reshape(-1, len(given)).T * deviations[:, None]


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise InputError("the integrand is not finite everywhere; its Gaussian average cannot be computed")
    return values


def _reach(sample: Integrand, dimension: int) -> float:
    """The radius beyond which integrand times weight is negligible, from rays in many directions."""
    scattered = np.random.default_rng(0).standard_normal((8 * dimension, dimension))
    rays = np.concatenate([np.eye(dimension), scattered])
    rays = np.concatenate([rays, -rays]) / np.tile(np.linalg.norm(rays, axis=1), 2)[:, None]
    radii = np.linspace(0.5, _FAR, 147)
    with np.errstate(divide="ignore"):
        size = np.log(np.abs(_finite(sample(np.multiply.outer(rays.T, radii))))).max(axis=0)
    log = size + (dimension - 1) * np.log(radii) - radii**2 / 2
    alive = log > log.max() - _GONE
    if alive[-1] and np.isfinite(log.max()):
        raise InputError(
            "the integrand outgrows the Gaussian weight; its average does not exist or is out of reach"
        )
    return float(radii[alive].max(initial=0.5)) + 0.5


def _remaining(change: float, before: float) -> float:
    """The error expected after this change and the one before it: convergence is at least geometric here.

    A hundredth of the change is the least that is believed.
    """
    return change * min(1.0, max(change / before, 0.01)) if before else change


def _over_grids(sample: Integrand, dimension: int, radius: float, tolerance: float) -> Estimate:
    """Trapezoidal rules of shrinking step, until the value settles.

    Grids of one step that differ by a shift may agree by symmetry and tell nothing; those of steps in the
    ratio sqrt(2) cannot.
    """
    step, change = 1.0, np.inf
    value, size = _grid_sum(sample, dimension, radius, step)
    while True:
        step /= np.sqrt(2)
        coarse, before = value, change
        value, size = _grid_sum(sample, dimension, radius, step)
        change = abs(value - coarse)
        error = _remaining(change, before) + _ROUNDING * size
        if error <= tolerance * size or (2 * np.sqrt(2) * radius / step) ** dimension > _BUDGET:
            return Estimate(value, error)


def _grid_sum(sample: Integrand, dimension: int, radius: float, step: float) -> tuple[float, float]:
    """The sums of integrand times weight and of its size over a cubic grid's points within the radius."""
    half = int(radius / step) + 1
    axes = step * (np.arange(-half, half) + np.array(_SHIFTS[:dimension])[:, None])
    total = size = 0.0
    count = 2 * half
    for start in range(0, count**dimension, _BATCH):
        where = np.unravel_index(
            np.arange(start, min(start + _BATCH, count**dimension)), (count,) * dimension
        )
        z = np.array([axis[index] for axis, index in zip(axes, where, strict=True)])
        squares = (z * z).sum(axis=0)
        inside = squares <= radius * radius
        terms = _finite(sample(z[:, inside])) * np.exp(-squares[inside] / 2)
        total += float(terms.sum())
        size += float(np.abs(terms).sum())
    norm = (step / np.sqrt(2 * np.pi)) ** dimension
    return total * norm, size * norm


def _over_cones(sample: Integrand, cones: np.ndarray, tolerance: float) -> Estimate:
    """Refine directions and radius in turn, whichever leaves the larger error, until neither does."""
    dimension = cones.shape[1]
    orders = {"angular": 0, "radial": 0}
    errors = {"angular": np.inf if dimension > 1 else 0.0, "radial": np.inf}
    changes = dict.fromkeys(orders, np.inf)

    def rule(orders: dict[str, int]) -> tuple[int, int] | None:
        """The orders along each angle and the radius; None if there are none or they cost too much."""
        if orders["angular"] >= len(_ANGULAR) or orders["radial"] >= len(_RADIAL):
            return None
        angular, radial = _ANGULAR[orders["angular"]], _RADIAL[orders["radial"]]
        return (angular, radial) if len(cones) * angular ** (dimension - 1) * radial <= _BUDGET else None

    value, size = _cone_sum(sample, cones, _ANGULAR[0], _RADIAL[0])
    while True:
        for worst in sorted(errors, key=lambda name: -errors[name]):
            refined = orders | {worst: orders[worst] + 1}
            if errors[worst] > 0 and (chosen := rule(refined)):
                break
        else:
            return Estimate(value, sum(errors.values()) + _ROUNDING * size)
        before, (value, size) = value, _cone_sum(sample, cones, *chosen)
        change = abs(value - before)
        orders, errors[worst], changes[worst] = refined, _remaining(change, changes[worst]), change
        if sum(errors.values()) + _ROUNDING * size <= tolerance * size:
            return Estimate(value, sum(errors.values()) + _ROUNDING * size)


def _cone_sum(sample: Integrand, cones: np.ndarray, angular: int, radial: int) -> tuple[float, float]:
    """The sums of integrand times weight and of its size over all cones."""
    dimension = cones.shape[1]
    barycentric, simplex_weights = _simplex_rule(dimension, angular)
    radii, radial_weights = radial_rule(dimension, radial)
    total = size = 0.0
    batch = max(1, _BATCH // (len(simplex_weights) * radial))
    for start in range(0, len(cones), batch):
        part = cones[start : start + batch]
        rays = np.einsum("pk,mkd->dmp", barycentric, part)
        length = np.sqrt((rays * rays).sum(axis=0))
        solid = np.abs(np.linalg.det(part))[:, None] * simplex_weights / length**dimension
        values = _finite(sample(np.multiply.outer(rays / length, radii)))
        total += float((solid * (values @ radial_weights)).sum())
        size += float((solid * (np.abs(values) @ radial_weights)).sum())
    norm = (2 * np.pi) ** (-dimension / 2)
    return total * norm, size * norm


def _cones(factor: np.ndarray) -> np.ndarray:
    """Simplicial cones (m, d, d), rows: edges, that fill space; no plane of a vanishing field crosses one."""
    dimension = factor.shape[1]
    signs = np.array(list(product((1, -1), repeat=dimension)), dtype=np.float64)
    if len(factor) == dimension:
        # The orthants of the fields are simplicial already; if not too flat, they need only be narrowed.
        edges = np.linalg.inv(factor).T
        edges /= np.linalg.norm(edges, axis=1)[:, None]
        if np.abs(edges @ edges.T - np.eye(dimension)).max() < _FLAT:
            return np.array([piece for s in signs for piece in _narrowed(s[:, None] * edges)])
    # Cutting edges at most 90 degrees apart is well conditioned, however close two planes are.
    cones = [s[:, None] * np.eye(dimension) for s in signs]
    for normal in factor:
        length = np.linalg.norm(normal)
        if length > 0:
            cones = [piece for cone in cones for piece in _cut(cone, normal / length)]
    return np.array(cones)


def _narrowed(cone: np.ndarray) -> Iterator[np.ndarray]:
    """Bisect the widest edge until none is wider than 90 degrees (and a little)."""
    cosines = cone @ cone.T
    first, second = np.unravel_index(np.argmin(cosines), cosines.shape)
    if cosines[first, second] > _WIDEST:
        yield cone
        return
    edge = cone[first] + cone[second]
    edge /= np.linalg.norm(edge)
    for replaced in (first, second):
        piece = cone.copy()
        piece[replaced] = edge
        yield from _narrowed(piece)


def _cut(cone: np.ndarray, normal: np.ndarray) -> Iterator[np.ndarray]:
    """The simplicial cones into which a plane cuts a simplicial cone."""
    height = cone @ normal
    up, down = int(np.argmax(height)), int(np.argmin(height))
    if height[up] <= 1e-15 or height[down] >= -1e-15:
        yield cone
        return
    edge = height[up] * cone[down] - height[down] * cone[up]
    edge /= np.linalg.norm(edge)
    for replaced in (up, down):
        piece = cone.copy()
        piece[replaced] = edge
        yield from _cut(piece, normal)


@cache
def _simplex_rule(dimension: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric nodes (p, d) and weights of the simplex of d corners: Gauss-Legendre in collapsed axes."""
    nodes, weights = gauss_legendre(order)
    t, w = (nodes + 1) / 2, weights / 2
    points, total = np.ones((1, 1)), np.ones(1)
    for corner in range(1, dimension):
        # Split off one more corner: everything so far shrinks by t, in corner - 1 dimensions.
        points = np.concatenate(
            [np.multiply.outer(t, points).reshape(-1, corner), np.repeat(1 - t, len(points))[:, None]], axis=1
        )
        total = np.multiply.outer(w * t ** (corner - 1), total).ravel()
    return points, total


@cache
def radial_rule(dimension: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss nodes and weights for integrals over r > 0 with weight r^(dimension-1) exp(-r^2/2)."""
    # Stieltjes' recurrence on a fine discretization of the weight: ten panels of 64 nodes on [0, 40].
    panel, panel_weights = gauss_legendre(64)
    x = (2 * panel + 2 + 4 * np.arange(10)[:, None]).ravel()
    w = np.tile(2 * panel_weights, 10) * x ** (dimension - 1) * np.exp(-x * x / 2)
    mass = w.sum()
    previous, current = np.zeros_like(x), np.sqrt(w / mass)
    diagonal, beside = np.empty(order), np.zeros(order)
    for k in range(order):
        diagonal[k] = (x * current) @ current
        following = (x - diagonal[k]) * current - beside[k - 1] * previous
        beside[k] = np.linalg.norm(following)
        previous, current = current, following / beside[k]
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1))
    return nodes, mass * vectors[0] ** 2
