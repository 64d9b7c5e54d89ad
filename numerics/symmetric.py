"""Symmetric fixed points at finite learning rate and batch size, for any K and M.

The terms of order eta^2 / b leave no closed form: Newton's method on the derived reduced rates, in any
precision, following the fixed point as the noise is turned on.  Identical students stay identical, noise or
not (C = Q), but they may be unstable; the fixed point with C < Q then branches off.  Under a normalization
the norm drifts, and the fixed point is that of the ratios R / sqrt(Q), C / Q, g at a given effective learning
rate eta / Q.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath

from numerics.runtime.errors import InputError
from numerics.runtime.runfile import Parameters

DIGITS = 30
GAPS = ("0.001", "0.03", "0.3")
"""Guesses of (Q - C) / Q where the students part."""
STEPS = 12
"""Steps in which the noise is turned on."""


@dataclass(frozen=True)
class SymmetricPoint:
    """A zero of the reduced rates at R = S.

    ``values`` holds R, Q, C (and g); under a normalization Q is 1, the rest are ratios, and the learning rate
    is eta / Q.  ``residual`` is the largest rate there, ``condition`` that of the Jacobian of the symmetric
    sector, whose ``eigenvalues`` are given by falling real part.  ``escape_rate`` is the growth rate of
    R - S; it is None unless K = M.
    """

    values: dict[str, Any]
    residual: Any
    condition: Any
    eigenvalues: list[Any]
    escape_rate: Any | None

    @property
    def stable(self) -> bool:
        """Whether the symmetric sector is attracting: whether there is a plateau to wait on."""
        return bool(mpmath.re(self.eigenvalues[0]) < 0)


def symmetric_point(parameters: Parameters, digits: int = DIGITS) -> SymmetricPoint:
    """The symmetric fixed point at ``parameters``; orthonormal teachers, unit and fixed second layers.

    Raises InputError where Newton's method finds none: the learning rate may be above the largest with one.
    """
    if parameters.activation != "erf":
        raise InputError(
            f"symmetric fixed points start from the closed one of erf, not {parameters.activation!r}"
        )
    rates = _rates(parameters.normalization)
    with mpmath.workdps(digits):
        settings = _settings(parameters)
        merged = _follow(rates, settings)
        roots = [] if merged is None else [merged]
        roots += [r for gap in GAPS if (r := _root(rates, settings, _parted(rates, settings, merged, gap)))]
        found = [p for r in roots if (p := _point(rates, parameters, settings, r)) is not None]
        if not found:
            raise InputError(
                f"no symmetric fixed point was found at learning_rate {parameters.learning_rate:g} and "
                f"batch_size {parameters.batch_size:g}; lower the one or raise the other"
            )
        return max(found, key=lambda p: (p.stable, -p.residual))


def _parted(rates: _Rates, settings: Sequence[Any], merged: list[Any] | None, gap: str) -> list[Any]:
    guess = list(rates.start(*settings[:3]) if merged is None else merged)
    guess[rates.names.index("C")] *= 1 - mpmath.mpf(gap)
    return guess


def _settings(p: Parameters) -> list[Any]:
    values = (
        p.students, p.teachers, p.input_variance, p.learning_rate, p.gain_learning_rate, p.batch_size,
        p.label_noise, p.weight_decay, p.gain_decay,
    )  # fmt: skip
    return [mpmath.mpf(x) for x in values]


BATCH = 5
"""The place of the batch size among the settings."""


@dataclass(frozen=True)
class _Rates:
    names: tuple[str, ...]
    """The unknowns: R, Q, C without a normalization, R, C, g with one."""
    start: Callable[..., list[Any]]
    values: Callable[..., list[Any]]
    breaking: Callable[..., Any]


@cache
def _rates(normalization: str) -> _Rates:
    from sympy import Dummy, S, lambdify

    from derive.landscape.fixed_point import symmetric_fixed_point
    from derive.landscape.ratios import ratio_rates
    from derive.model import committee
    from derive.online import derive_flow
    from derive.sites import Q_, R_, S_, reduce_flow
    from derive.symbols import K, M, batch, eta, eta_g, gain_decay, label_noise, tau, weight_decay

    flow = derive_flow(committee("erf", normalization))
    common, paired = reduce_flow(flow, paired=False), reduce_flow(flow)
    closed = symmetric_fixed_point(flow, paired=False)
    if normalization == "none":
        rates, split = common.rates, paired.rates[R_]
    else:
        rates = {s: r for s, r in ratio_rates(common).items()}
        split = ratio_rates(paired)[R_]
    unknowns = list(rates)
    settings = [K, M, tau, eta, eta_g, batch, label_noise, weight_decay, gain_decay]
    start = [closed.values[s].xreplace({Q_: S.One} if closed.free else {}) for s in unknowns]
    # The breaking direction (K-1, -1) of (R, S) is an eigenvector: J_RR - J_RS / (K-1).
    breaking = split.diff(R_) - split.diff(S_) / (K - 1)
    at_plateau = Dummy("R", real=True)
    breaking = breaking.xreplace({R_: at_plateau, S_: at_plateau}).xreplace({at_plateau: R_})
    return _Rates(
        tuple(str(s) for s in unknowns),
        lambdify([K, M, tau], start, "mpmath"),
        lambdify([*unknowns, *settings], [rates[s] for s in unknowns], "mpmath", cse=True),
        lambdify([*unknowns, *settings], breaking, "mpmath", cse=True),
    )


def _follow(rates: _Rates, settings: Sequence[Any]) -> list[Any] | None:
    """The root that the closed fixed point, C = Q, turns into as the batch size falls from infinity."""
    root: list[Any] | None = rates.start(*settings[:3])
    for k in range(1, STEPS + 1):
        stage = list(settings)
        stage[BATCH] = settings[BATCH] * STEPS / k
        root = _root(rates, stage, root) if root is not None else None
    return root


def _root(rates: _Rates, settings: Sequence[Any], guess: Sequence[Any]) -> list[Any] | None:
    tolerance = mpmath.eps ** mpmath.mpf("1.5")
    try:
        found = list(mpmath.findroot(lambda *x: rates.values(*x, *settings), guess, tol=tolerance))
    except (ValueError, ZeroDivisionError):
        return None
    return None if any(mpmath.im(x) != 0 for x in found) else found


def _point(rates: _Rates, p: Parameters, settings: Sequence[Any], root: list[Any]) -> SymmetricPoint | None:
    def zero(*x: Any) -> list[Any]:
        return rates.values(*x, *settings)

    values = dict(zip(rates.names, root, strict=True))
    values.setdefault("Q", mpmath.mpf(1))
    if not _realizable(values, p.students, p.teachers):
        return None
    jacobian = _jacobian(zero, root)
    singular = mpmath.svd_r(jacobian, compute_uv=False)
    eigenvalues = sorted(mpmath.eig(jacobian, left=False, right=False), key=mpmath.re, reverse=True)
    return SymmetricPoint(
        values,
        max(abs(x) for x in zero(*root)),
        singular[0] / singular[len(root) - 1],
        eigenvalues,
        rates.breaking(*root, *settings) if p.students == p.teachers and p.students > 1 else None,
    )


def _jacobian(function: Callable[..., list[Any]], x: list[Any]) -> Any:
    """Central differences at a third of the working digits: good to two thirds of them."""
    step = mpmath.eps ** (mpmath.mpf(1) / 3)
    columns = []
    for b in range(len(x)):
        ends = ([*x[:b], x[b] + side * step, *x[b + 1 :]] for side in (1, -1))
        up, down = (function(*end) for end in ends)
        columns.append([(p - q) / (2 * step) for p, q in zip(up, down, strict=True)])
    return mpmath.matrix(columns).T


def _realizable(values: dict[str, Any], students: int, teachers: int) -> bool:
    """Whether weight vectors have these overlaps: students that differ, with a mean off the teachers."""
    q, c, r = values["Q"], values["C"], values["R"]
    return bool(
        c <= q * (1 + mpmath.sqrt(mpmath.eps))
        and (q + (students - 1) * c) / students >= teachers * r**2 * (1 - mpmath.sqrt(mpmath.eps))
    )
