"""Experiment (b): the spectra at the plateau against K and tau (Figs. 1 and 2), and what they say of escape.

The paper reads the lowest eigenvalue of the Hessian of eps_g in (R, S, Q[, g]).  Beside it stands what the
flow itself says: the positive eigenvalue of its Jacobian.  The Hessian is checked against finite differences
of the simulator's own generalization error, the Jacobian against the integrated flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from numerics.integrate import solve
from validate.experiments import Context, Experiment
from validate.experiments.takagi2020 import spectra_findings as judge
from validate.experiments.takagi2020.spectra_figures import eigenvalue_figure, rate_figure
from validate.experiments.takagi2020.spectra_points import CHOICES, PRINTED, VANILLA, Point, point
from validate.experiments.theory import committee_flow
from validate.report.model import Check, ExperimentResult, Table
from validate.simulate import Setup
from validate.simulate.generalization import generalization_error

HESSIAN_TOLERANCE = 1e-7
"""Central differences of step h and h/2, extrapolated: h^4 and rounding / h^2 are both below 1e-8."""
STEP = 5e-3

GROWTH_TOLERANCE = 1e-6
"""The growth differs from linear by the square of the tilt, and by the tolerance of the integration."""
TILT, GROWTH = 1e-5, 3.0


@dataclass(frozen=True)
class Settings:
    """``students`` at tau = 1, ``variances`` at K = 2, as in the figures; ``far`` for the limits of both.

    ``norms`` are further members Q* of the family; ``checked`` are (K, tau).
    """

    students: tuple[int, ...] = tuple(range(2, 21))
    variances: tuple[float, ...] = tuple(float(t) for t in np.geomspace(0.1, 10.0, 33))
    norms: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    far: tuple[int, ...] = (100, 1000)
    checked: tuple[tuple[int, float], ...] = ((2, 1.0), (3, 0.5), (5, 2.0))


def run(settings: Settings, context: Context) -> ExperimentResult:
    along_k = {c: [point(c, k, 1.0) for k in settings.students] for c in CHOICES}
    along_tau = {c: [point(c, 2, t) for t in settings.variances] for c in CHOICES}
    family = [point(PRINTED, 2, 1.0, q) for q in settings.norms]
    far_k = [point(PRINTED, k, 1.0) for k in settings.far]
    far_tau = [point(PRINTED, 2, float(t)) for t in settings.far]
    checked = [point(c, k, t) for k, t in settings.checked for c in CHOICES]
    return context.result(
        judge.answer(along_k, along_tau),
        checks=[*(_hessian_check(p) for p in checked), *(_growth_check(p) for p in checked)],
        findings=(
            judge.flat("claim-flat-direction", "K", [*along_k[PRINTED], *far_k]),
            judge.flat("claim-flat-direction-tau", "tau", [*along_tau[PRINTED], *far_tau]),
            judge.smaller("claim-negative-eigenvalue-k", "K", along_k),
            judge.smaller("claim-negative-eigenvalue-tau", "tau", along_tau),
            judge.gap_conserved([p for row in (*along_k.values(), *along_tau.values()) for p in row]),
            judge.sets_escape(along_k, along_tau, family),
        ),
        figures={
            "eigenvalues-k": eigenvalue_figure(settings.students, along_k, "K"),
            "eigenvalues-tau": eigenvalue_figure(settings.variances, along_tau, "tau"),
            "hessian-and-rate": rate_figure(settings.students, along_k, settings.variances, along_tau),
        },
        tables=(
            _table("K at tau = 1", [p for c in CHOICES for p in along_k[c] if p.students in (2, 5, 10, 20)]),
            _table(
                "tau at K = 2", [p for c in CHOICES for p in along_tau[c][:: len(along_tau[c]) // 4 or 1]]
            ),
        ),
    )


def _hessian_check(at: Point) -> Check:
    """The Hessian against differences of the error that the simulator computes from full overlaps."""
    names = at.landscape["hessian"]["variables"]
    centre = np.array([at.landscape["fixed_point"][name] for name in names])
    coarse, fine = (_differences(at, centre, step) for step in (STEP, STEP / 2))
    measured, predicted = (4 * fine - coarse) / 3, np.array(at.landscape["hessian"]["matrix"])
    deviation = float(np.abs(measured - predicted).max() / np.abs(predicted).max())
    return Check(
        name=f"takagi2020.spectra: Hessian, {_where(at)}",
        statement="the second derivatives of the simulator's generalization error are the derived Hessian "
        f"({_where(at)})",
        predicted=[float(x) for x in at.eigenvalues],
        measured=[float(x) for x in np.linalg.eigvalsh((measured + measured.T) / 2)],
        criterion=f"largest deviation below {HESSIAN_TOLERANCE:g} of the largest entry",
        passed=deviation < HESSIAN_TOLERANCE,
        details={"largest relative deviation": deviation, "coordinates": ", ".join(names)},
    )


def _differences(at: Point, centre: np.ndarray, relative: float) -> np.ndarray:
    """Central second differences of eps_g, all displaced points in one call."""
    count, steps = len(centre), np.diag(relative * centre)
    moved = [
        centre + i * steps[a] + j * steps[b]
        for a in range(count) for b in range(count) for i, j in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    ]  # fmt: skip
    values = _errors(at, np.array(moved)).reshape(count, count, 4) @ np.array([1.0, -1.0, -1.0, 1.0])
    return values / (4 * np.outer(relative * centre, relative * centre))


def _errors(at: Point, coordinates: np.ndarray) -> np.ndarray:
    """The simulator's error at site-symmetric overlaps with C = Q: coordinates (points, 3 or 4)."""
    K, count = at.students, len(coordinates)
    own = np.eye(K)
    setup = Setup(
        K, K, normalization="none" if at.choice == VANILLA else "batch",
        input_variance=at.input_variance, Q=own, R=0 * own,
    )  # fmt: skip
    R, S, Q = (coordinates[:, k, None, None] for k in range(3))
    gains = coordinates[:, 3] if coordinates.shape[1] == 4 else np.ones(count)
    return generalization_error(
        setup, Q * np.ones((K, K)), R * own + S * (1 - own), own,
        np.repeat(gains[:, None], K, axis=1), np.ones((count, K)), np.zeros((count, K)),
    )  # fmt: skip


def _growth_check(at: Point) -> Check:
    """A small tilt towards specialization grows, in the flow of all overlaps, at the Jacobian's rate."""
    K, values = at.students, at.landscape["fixed_point"]
    own = np.eye(K)
    signs = np.array([1.0, -1.0])[:, None, None]
    R = values["R"] + signs * TILT * values["R"] * (own - 1 / K)
    initial = {"Q": R @ R.swapaxes(1, 2), "R": R, "w": np.ones(K)}
    if "g" in values:
        initial["g"] = np.full(K, values["g"])
    times = np.linspace(0.0, GROWTH / at.rate, 3)
    parameters = {
        "eta": 1.0, "eta_g": 1.0, "eta_w": 0.0, "tau": at.input_variance, "b": np.inf, "sigma_0": 0.0,
        "lambda": 0.0, "zeta": 0.0, "T": own, "v": np.ones(K),
    }  # fmt: skip
    flow = committee_flow("erf", "none" if at.choice == VANILLA else "batch")
    solution = solve(flow, initial, times, parameters, rtol=1e-12, atol=1e-15)
    # The difference of opposite tilts has no term of second order.
    towards, away = solution["R"][..., 0, 0] - solution["R"][..., 0, 1]
    tilt = towards - away
    measured = float(np.log(tilt[-1] / tilt[0]) / times[-1])
    return Check(
        name=f"takagi2020.spectra: Jacobian, {_where(at)}",
        statement=f"a tilt towards specialization grows at the positive eigenvalue of the Jacobian ({_where(at)})",
        predicted=at.rate,
        measured=measured,
        criterion=f"relative deviation below {GROWTH_TOLERANCE:g}",
        passed=abs(measured / at.rate - 1) < GROWTH_TOLERANCE,
        details={"tilt": TILT, "time x rate": GROWTH},
    )


def _where(at: Point) -> str:
    return f"{at.choice}, K={at.students}, tau={at.input_variance:g}"


def _table(what: str, points: Sequence[Point]) -> Table:
    rows = tuple(
        (
            p.choice, p.students, f"{p.input_variance:.3g}", f"{p.landscape['fixed_point']['Q']:.4g}",
            ", ".join(f"{e:.4g}" for e in p.eigenvalues), f"{p.breaking:.4g}", f"{p.rate:.4g}",
        )
        for p in points
    )  # fmt: skip
    return Table(
        f"Spectra at the plateau against {what}: Hessian of eps_g in (R, S, Q[, g]), escape rate of the flow",
        ("training", "K", "tau", "Q*", "Hessian", "its breaking direction", "escape rate"),
        rows,
    )


EXPERIMENT = Experiment(
    title="Spectra at the plateau",
    question="Does the Hessian in the order parameters say how long training stays on the plateau?",
    run=run,
    full=Settings(),
    quick=Settings(
        variances=tuple(float(t) for t in np.geomspace(0.1, 10.0, 13)), checked=((2, 1.0), (3, 0.5)),
    ),
)  # fmt: skip
