"""Experiment: what the noise of mean and of deviation do to the gain, apart and together, and without it.

A ReLU unit learns its gain online while its weights are too long to turn, at a fixed cosine R.  M samples a step are
normalized by their mean and deviation, by one of them, or by the population's.  M times the relative change of the
gain at rest is continued to infinite M by a parabola in 1/M.  Criterion: for every kind it is the derived
coefficient, by Holm's procedure at a family-wise level of 1 %.  Then the noise is switched off.  And linear units are
trained on as many noisy examples as they have weights, where regularization is needed most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from derive.batch_statistics import best_gain, cosine, gain_shift
from validate import statistics
from validate.experiments import Context, Experiment
from validate.report.model import Check, ExperimentResult, Finding, Picture, Table
from validate.simulate.batch_training import train_with_batches
from validate.simulate.perceptron import PerceptronSetup, simulate_perceptron
from validate.simulate.regression import draw_examples, generalization_error
from validate.statistics import FAMILY_LEVEL, Estimate

KINDS = ("batch", "mean-only", "variance-only")
CRITERION = f"not rejected by Holm's procedure over all kinds, level {FAMILY_LEVEL:g}"
SMALLEST = 0
TRAINED = ("population", *KINDS)


@dataclass(frozen=True)
class Settings:
    """``norm`` keeps the weights from turning: their rate falls as its square.  ``trained`` replicas of ``inputs``
    weights learn ``inputs`` examples, of label noise of variance ``noise``, in batches of ``batch``."""

    replicas: int
    samples: tuple[int, ...] = (8, 16, 32, 64)
    overlap: float = 0.6
    norm: float = 500.0
    size: int = 10
    times: tuple[float, float, int] = (16.0, 48.0, 17)
    trained: int = 48
    inputs: int = 128
    noise: float = 0.25
    batch: int = 16
    epochs: int = 300
    seed: int = 71

    @property
    def best(self) -> float:
        """The best gain under the population's statistics."""
        return float(best_gain("relu").subs(cosine, self.overlap))


def rested(
    setup: Mapping[str, Any], times: Sequence[float], replicas: int, size: int, seed: int
) -> dict[str, np.ndarray]:
    """Gains of each replica, averaged over ``times``; and, from the last ones, under the population's statistics."""
    noisy = simulate_perceptron(PerceptronSetup(**setup), times, replicas, size, seed)
    off = PerceptronSetup(**{**setup, "statistics": "population"})
    start = (noisy.gain[:, -1], noisy.cosine[:, -1])
    quiet = simulate_perceptron(off, times, replicas, size, seed + 1, start=start)
    return {"noisy": noisy.gain.mean(axis=1), "quiet": quiet.gain.mean(axis=1), "cosine": quiet.cosine[:, -1]}


def trained(
    kind: str, replicas: int, inputs: int, noise: float, batch: int, epochs: int, seed: int
) -> dict[str, np.ndarray]:
    """Errors after training on a fixed set of examples; the same sets for every kind."""
    errors = []
    for replica in range(replicas):
        e = draw_examples(inputs, 1.0, noise, (seed, replica))
        found = train_with_batches(e, batch, "linear", epochs, (seed, replica), statistics=kind)
        errors.append(float(generalization_error(found.weights, e.teacher, "linear")))
    return {"error": np.array(errors)}


def run(settings: Settings, context: Context) -> ExperimentResult:
    """Simulate every kind at every M, and compare the gains."""
    times = np.linspace(*settings.times).tolist()
    jobs = [
        {"setup": asdict(PerceptronSetup(
            "relu", kind, learning_rate=1.0, batch_size=M, gain=settings.best, cosine=settings.overlap,
            norm=settings.norm)),
         "times": times, "replicas": settings.replicas, "size": settings.size,
         "seed": 1000 * settings.seed + 10 * (len(settings.samples) * k + m)}
        for k, kind in enumerate(KINDS)
        for m, M in enumerate(settings.samples)
    ]  # fmt: skip
    pieces = context.pieces(rested, jobs, "gains at rest")
    count = len(settings.samples)
    found = {kind: pieces[k * count : (k + 1) * count] for k, kind in enumerate(KINDS)}
    noisy, quiet = (
        {kind: [statistics.estimate(p[name]) for p in found[kind]] for kind in KINDS} for name in ("noisy", "quiet")
    )
    jobs = [
        {"kind": kind, "replicas": settings.trained, "inputs": settings.inputs, "noise": settings.noise,
         "batch": settings.batch, "epochs": settings.epochs, "seed": settings.seed}
        for kind in TRAINED
    ]  # fmt: skip
    errors = dict(zip(TRAINED, (p["error"] for p in context.pieces(trained, jobs, "fixed examples")), strict=True))
    limits = {kind: _limit(settings, noisy[kind]) for kind in KINDS}
    z = np.array([float(statistics.z_score(limits[kind], shift(settings, kind))) for kind in KINDS])
    bad = statistics.holm(statistics.p_value(z))
    checks = [
        _check(settings, kind, limits[kind], float(score), not wrong)
        for kind, score, wrong in zip(KINDS, z, bad, strict=True)
    ]
    return context.result(
        f"The gain changes by {_listed(limits)} (standard errors in brackets), derived "
        f"{', '.join(f'{shift(settings, kind):.3f}' for kind in KINDS)}: the deviation shrinks it, the mean does the "
        "opposite. It grows with M towards that of the population's statistics, and returns there when the noise is "
        "switched off.",
        checks=checks,
        findings=[
            _strengths(settings, limits, noisy, errors), _growth(settings, noisy["batch"]),
            _release(settings, noisy["batch"], quiet["batch"]),
        ],
        figures={"gain-at-rest": _figure(settings, noisy)},
        tables=[_table(settings, noisy), _errors(settings, errors)],
        seeds={"seed": settings.seed, "of a job": "1000 seed + 10 number"},
    )  # fmt: skip


def shift(settings: Settings, kind: str) -> float:
    """M times the relative change of the best gain, as derived."""
    return float(gain_shift("relu", kind).subs(cosine, settings.overlap))


def _scaled(settings: Settings, gains: Sequence[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """M times the relative change at every M, and its error."""
    M = np.array(settings.samples)
    values = np.array([float(e.value) for e in gains]) / settings.best - 1
    return M * values, M * np.array([float(e.error) for e in gains]) / settings.best


def _limit(settings: Settings, gains: Sequence[Estimate]) -> Estimate:
    values, errors = _scaled(settings, gains)
    weighted = np.vander(1 / np.array(settings.samples), 3, increasing=True) / errors[:, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    return Estimate(
        np.array((covariance @ weighted.T @ (values / errors))[0]), np.array(np.sqrt(covariance[0, 0]))
    )


def _listed(limits: Mapping[str, Estimate]) -> str:
    return ", ".join(f"{float(e.value):.3f} ({float(e.error):.3f})/M with {kind}" for kind, e in limits.items())


def _check(settings: Settings, kind: str, limit: Estimate, z: float, passed: bool) -> Check:
    level = statistics.single_level(len(KINDS))
    right = shift(settings, kind)
    wrong = {
        "statistics of another batch": float(gain_shift("relu", kind, True).subs(cosine, settings.overlap)),
        "no change": 0.0,
    }
    return Check(
        name=f"claims: gain at rest, {kind}",
        statement="M times the relative change of the gain is the derived one", predicted=right,
        measured=float(limit.value), standard_error=float(limit.error), criterion=CRITERION, passed=passed, z=z,
        p_value=float(statistics.p_value(z)),
        power={name: float(statistics.power(w - right, limit.error, level)) for name, w in wrong.items()},
        details={"z of wrong theories": {n: float(statistics.z_score(limit, w)) for n, w in wrong.items()}},
    )  # fmt: skip


def _strengths(
    settings: Settings, limits: Mapping[str, Estimate], noisy: Mapping[str, Sequence[Estimate]],
    errors: Mapping[str, np.ndarray],
) -> Finding:  # fmt: skip
    score = {kind: float(statistics.z_score(noisy[kind][SMALLEST], settings.best)) for kind in KINDS}
    opposite = score["mean-only"] > 4 and score["variance-only"] < -4
    # On the same examples: how much each is better than without noise, and the deviation alone than both.
    gained = {kind: statistics.estimate(errors["population"] - errors[kind]) for kind in KINDS}
    alone = statistics.estimate(errors["batch"] - errors["variance-only"])
    better = float(alone.value / alone.error)
    return Finding(
        claim="luo2019.claim-mean-and-variance",
        says="the noises of mean and of deviation regularize with different strengths, and both are needed",
        answer=(
            f"Different they are, to the point of opposite signs: the gain changes by {_listed(limits)}. The mean "
            "alone raises it, against the decay that (3) gives it. Nor are both needed: trained on as many noisy "
            f"examples as weights, a linear unit's error falls by "
            f"{', '.join(f'{float(g.value):.3f} ({float(g.error):.3f}) with {k}' for k, g in gained.items())}, and "
            f"with the deviation alone it is {float(alone.value):.3f} ({float(alone.error):.3f}) lower than with both."
        ),
        verdict="conditional" if opposite and better > 4 else "open",
        evidence={
            "M times the relative change": {k: float(e.value) for k, e in limits.items()},
            f"(gain - best) over error, M = {settings.samples[SMALLEST]}": score,
            "error without noise less error with": {k: float(g.value) for k, g in gained.items()},
            "deviation alone against both, over error": better,
        },
    )


def _errors(settings: Settings, errors: Mapping[str, np.ndarray]) -> Table:
    return Table(
        f"Generalization error of linear units trained on {settings.inputs} examples with {settings.inputs} inputs "
        f"(label noise of variance {settings.noise:g}, batches of {settings.batch}, {settings.epochs} epochs, the same "
        f"{settings.trained} sets for all), and how much it is lower than without noise.",
        ("normalized by", "error", "standard error", "lower by", "standard error"),
        tuple(
            (kind, *(float(f"{float(v):.4g}") for v in (found.value, found.error)),
             *(("", "") if kind == "population" else (float(f"{float(v):.3g}") for v in (less.value, less.error))))
            for kind, found, less in (
                (k, statistics.estimate(errors[k]), statistics.estimate(errors["population"] - errors[k]))
                for k in TRAINED
            )
        ),
    )  # fmt: skip


def _growth(settings: Settings, gains: Sequence[Estimate]) -> Finding:
    steps = [float((b - a).value / (b - a).error) for a, b in pairwise(gains)]
    squares = {M: float(e.value) ** 2 for M, e in zip(settings.samples, gains, strict=True)}
    # The last steps shrink as 1/M: what must show is the first, and that no step goes down.
    grows = steps[0] > 4 and min(steps) > -3
    return Finding(
        claim="luo2019.claim-gain-grows",
        says="gamma^2 grows with M, as larger batches regularize less",
        answer=(
            f"gamma^2 is {', '.join(f'{s:.4f} (M = {M})' for M, s in squares.items())}, and "
            f"{settings.best**2:.4f} under the population's statistics."
        ),
        verdict="confirmed" if grows else "open",
        evidence={"gamma^2": squares, "steps over their errors": steps, "replicas": settings.replicas},
    )  # fmt: skip


def _release(settings: Settings, noisy: Sequence[Estimate], quiet: Sequence[Estimate]) -> Finding:
    before, after = noisy[SMALLEST], quiet[SMALLEST]
    rise = after - before
    score = float(rise.value / rise.error)
    return Finding(
        claim="luo2019.claim-released-gain",
        says="the effective norm gamma grows when the noise of the statistics is switched off",
        answer=(
            f"At M = {settings.samples[SMALLEST]} the gain rises from {float(before.value):.4f} to "
            f"{float(after.value):.4f} ({score:.0f} standard errors); {settings.best:.4f} is the best gain without "
            "noise."
        ),
        verdict="confirmed" if score > 4 else "refuted" if score < -4 else "open",
        evidence={"before": float(before.value), "after": float(after.value), "over error": score},
    )  # fmt: skip


def _table(settings: Settings, noisy: Mapping[str, Sequence[Estimate]]) -> Table:
    return Table(
        f"The gain at rest over the best one under the population's statistics, {settings.best:.5f} (ReLU, R = "
        f"{settings.overlap:g}).",
        ("normalized by", *(f"M = {M}" for M in settings.samples)),
        tuple((kind, *(round(float(e.value) / settings.best, 5) for e in noisy[kind])) for kind in KINDS),
    )


def _figure(settings: Settings, noisy: Mapping[str, Sequence[Estimate]]) -> Picture:
    from validate.report.figures import COLOURS, panels, trend

    figure, ax = panels(1, 1)
    for colour, kind in zip(COLOURS, KINDS, strict=False):
        values, errors = _scaled(settings, noisy[kind])
        trend(ax, 1 / np.array(settings.samples), values, errors, label=kind, colour=colour)
        ax.axhline(shift(settings, kind), color=colour, lw=1.2)
    ax.set_xlabel("$1/M$")
    ax.set_ylabel(r"$M (\gamma/\gamma_0 - 1)$")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Picture(
        figure,
        f"M times the relative change of the gain at rest (ReLU, R = {settings.overlap:g}; bars two standard errors), "
        "with the mean and the deviation of the batch, and with one of them. Lines: derived coefficients. Criterion: "
        "at infinite M the points lie on them.",
    )


EXPERIMENT = Experiment(
    title="Mean, deviation, and the gain",
    question="What does the noise of the mean do to the gain, what that of the deviation, and what is left without?",
    run=run,
    full=Settings(replicas=4000),
    quick=Settings(replicas=1000, trained=20),
)
