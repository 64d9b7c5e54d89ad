"""What the spectra say to the paper's claims on the Hessian; every verdict follows from the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from derive.equation import VerdictKind
from validate.experiments.takagi2020.spectra_points import EQUAL, PRINTED, VANILLA, Point
from validate.report.model import Finding

Rows = Mapping[str, Sequence[Point]]

EXACT = 1e-9
"""Relative deviation below which two numbers, each correct to double precision, count as equal."""
ROUNDING = 1e-12


def flat(claim: str, along: str, points: Sequence[Point]) -> Finding:
    """Whether the smallest |eigenvalue| of the Hessian goes on to zero at the end of a sequence of points."""
    start, before, last = points[0].flattest, points[-2].flattest, points[-1].flattest
    vanishes = last < before / 10
    return Finding(
        f"takagi2020.{claim}",
        f"with batch normalization an eigenvalue of the Hessian tends to zero for large {along}",
        f"With Q* = 1/g*^2 the smallest |eigenvalue| goes from {start:.3g} to {last:.3g} at "
        f"{along} = {_parameter(points[-1], along):g}" + ("." if vanishes else ": it does not vanish."),
        "confirmed" if vanishes else "refuted",
        {f"{along} = {_parameter(p, along):.4g}": p.flattest for p in points},
    )


def _parameter(at: Point, along: str) -> float:
    return at.students if along == "K" else at.input_variance


def smaller(claim: str, along: str, rows: Rows) -> Finding:
    """Whether the lowest eigenvalue is smaller in size with batch normalization, at the paper's Q* and at
    equal norm."""
    printed = [abs(p.most_negative) < abs(v.most_negative) for p, v in _pairs(rows, PRINTED)]
    equal = [abs(p.most_negative) < abs(v.most_negative) for p, v in _pairs(rows, EQUAL)]
    verdict: VerdictKind
    if not all(printed):
        verdict, words = (
            "refuted",
            f"It is smaller at {sum(printed)} of {len(printed)} values of {along} only.",
        )
    elif all(equal):
        verdict, words = "confirmed", f"It is smaller at every {along}, whichever the norm."
    else:
        verdict = "conditional"
        words = (
            f"It is smaller at every {along} for Q* = 1/g*^2; at the norm that training without normalization "
            f"selects it is larger at {len(equal) - sum(equal)} of {len(equal)}."
        )
    return Finding(
        f"takagi2020.{claim}",
        f"the negative eigenvalue is smaller in absolute value with batch normalization, for every {along}",
        words,
        verdict,
        {
            choice: {f"{along} = {_parameter(p, along):.4g}": p.most_negative for p in _ends(points)}
            for choice, points in rows.items()
        },
    )


def _pairs(rows: Rows, choice: str) -> list[tuple[Point, Point]]:
    return list(zip(rows[choice], rows[VANILLA], strict=True))


def _ends(points: Sequence[Point]) -> Sequence[Point]:
    return (points[0], points[len(points) // 2], points[-1])


def gap_conserved(points: Sequence[Point]) -> Finding:
    """Whether d(Q - C)/dt has a first-order term anywhere."""
    largest = max(p.drift_of_gap for p in points)
    holds = largest < ROUNDING
    return Finding(
        "takagi2020.claim-qc-conserved",
        "Q = C is conserved to first order in perturbations",
        f"The derivative of d(Q - C)/dt at the plateau is at most {largest:.1g} of the Jacobian, "
        f"over {len(points)} points.",
        "confirmed" if holds else "refuted",
        {"largest derivative / largest entry of the Jacobian": largest},
    )


def sets_escape(along_k: Rows, along_tau: Rows, family: Sequence[Point]) -> Finding:
    """Compare |negative eigenvalue| and escape rate: ranks, reversed pairs, and the metric that joins them."""
    everything = [p for rows in (along_k, along_tau) for points in rows.values() for p in points]
    everything += family
    groups = {
        "K, no normalization": along_k[VANILLA],
        "K, batch, Q* = 1/g*^2": along_k[PRINTED],
        "tau, no normalization": along_tau[VANILLA],
        "tau, batch, Q* = 1/g*^2": along_tau[PRINTED],
        "Q*, batch": family,
        "all points": everything,
    }
    ranks = {name: _ranks(points) for name, points in groups.items()}
    in_weights = max(abs(-p.curvature_in_weights / p.rate - 1) for p in everything)
    equal = [(b, v) for rows in (along_k, along_tau) for b, v in _pairs(rows, EQUAL)]
    rate_ratio = max(abs(b.rate / v.rate - 1) for b, v in equal)
    hessian_ratio = [b.most_negative / v.most_negative for b, v in equal]
    law = [p.rate * p.landscape["fixed_point"]["Q"] for p in family]
    reversed_pairs = ranks["all points"]["reversed pairs, lowest eigenvalue"]
    verdict: VerdictKind
    if reversed_pairs == 0:
        verdict, words = "confirmed", "The order of the two is the same at every pair of points."
    elif in_weights < EXACT:
        verdict = "conditional"
        lowest = sum(p.lowest_sector == "symmetric" for p in everything)
        words = (
            "It holds for the curvature along the specialization direction, counted per overlap R_in (R stands "
            "for K, S for K(K-1)): that is minus the escape rate at every point. It fails for the eigenvalues in "
            f"(R, S, Q[, g]): the lowest belongs to a direction that keeps R = S at {lowest} of "
            f"{len(everything)} points, where no escape leads, and {reversed_pairs:.0%} of all pairs of points "
            f"have the opposite order (rank correlation over K without normalization "
            f"{ranks['K, no normalization']['rank correlation, lowest eigenvalue']:.2f}). At equal norm the two "
            f"ways to train escape at one rate (to {max(rate_ratio, 1e-16):.0e}), while the lowest eigenvalue is "
            f"{min(hessian_ratio):.2g} to {max(hessian_ratio):.2g} times larger with batch normalization."
        )
    else:
        verdict, words = "refuted", f"{reversed_pairs:.0%} of all pairs of points have the opposite order."
    return Finding(
        "takagi2020.claim-hessian-sets-escape",
        "a small negative eigenvalue of the Hessian in the order parameters means a long escape",
        words,
        verdict,
        {
            **ranks,
            "curvature in the weights' metric / rate + 1, largest": in_weights,
            "rate with / without normalization - 1 at equal norm, largest": rate_ratio,
            "lowest eigenvalue with / without normalization at equal norm": [
                min(hessian_ratio), max(hessian_ratio),
            ],
            "rate x Q* over the family": [min(law), max(law)],
        },
    )  # fmt: skip


def _ranks(points: Sequence[Point]) -> dict[str, Any]:
    """How the Hessian's lowest eigenvalue, and the one of the breaking direction, rank the escape rates."""
    from scipy.stats import spearmanr

    rates = np.array([p.rate for p in points])
    found: dict[str, Any] = {"points": len(points)}
    for name, values in (
        ("lowest eigenvalue", [p.most_negative for p in points]),
        ("breaking eigenvalue", [p.breaking for p in points]),
    ):
        sizes = np.abs(values)
        found[f"rank correlation, {name}"] = float(spearmanr(sizes, rates).statistic)
        found[f"reversed pairs, {name}"] = reversed_share(sizes, rates)
    return found


def reversed_share(sizes: np.ndarray, rates: np.ndarray) -> float:
    """The share of pairs that the two order differently; equal to within EXACT is no order."""
    a, b = np.triu_indices(len(sizes), 1)

    def order(values: np.ndarray) -> np.ndarray:
        difference = values[a] - values[b]
        return np.where(np.abs(difference) > EXACT * np.maximum(values[a], values[b]), np.sign(difference), 0)

    return float(np.mean(order(sizes) * order(rates) < 0))


def answer(along_k: Rows, along_tau: Rows) -> str:
    """The two figures in words."""
    vanilla, batch = along_k[VANILLA], along_k[PRINTED]
    return (
        f"From K = {vanilla[0].students} to {vanilla[-1].students} without normalization the Hessian's lowest "
        f"eigenvalue goes from {vanilla[0].most_negative:.3g} to {vanilla[-1].most_negative:.3g} while the rate "
        f"of escape goes from {vanilla[0].rate:.3g} to {vanilla[-1].rate:.3g}: steeper, and slower. With batch "
        f"normalization at Q* = 1/g*^2 the rate goes from {batch[0].rate:.3g} to {batch[-1].rate:.3g}, because "
        f"Q* grows from {batch[0].landscape['fixed_point']['Q']:.3g} to "
        f"{batch[-1].landscape['fixed_point']['Q']:.3g} and rate x Q* does not depend on the normalization. "
        f"From tau = {along_tau[VANILLA][0].input_variance:g} to {along_tau[VANILLA][-1].input_variance:g} "
        "without normalization both the lowest eigenvalue and the rate grow "
        f"({along_tau[VANILLA][-1].most_negative:.3g}, {along_tau[VANILLA][-1].rate:.3g})."
    )
