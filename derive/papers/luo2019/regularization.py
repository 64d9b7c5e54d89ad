"""Sec. 2 and appendix C: the priors of the batch statistics, Theorem 1, the linear student, deep networks."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sympy import Add, Expr, Integer, Matrix, Rational, S, Symbol, expand, gamma, simplify, sqrt

from derive.batch_layer import layer_parts
from derive.batch_statistics import (
    cosine,
    decay_coefficient,
    deviation_expansion,
    deviation_moment,
    fluctuation,
    gain,
    gaussian,
    joint_spread,
    kurtosis,
    samples,
    skewness,
    t,
    y,
)
from derive.equation import LedgerEntry, Verdict
from derive.ledger import Condition, Point, compare, judge_equation
from derive.papers.luo2019.setting import PAPER, in_words, paper
from derive.symbols import label_noise

slope, curvature, target = Symbol("A_1", real=True), Symbol("A_2", real=True), Symbol("Y", real=True)
"""A'(h), A''(h) of one sample, and its label, of the loss A(h) - Y h."""
other, cross = Symbol("t_2", real=True), Symbol("H_12", real=True)
_pulls = (Symbol("G_1", real=True), Symbol("G_2", real=True))
_bends = (Symbol("H_11", real=True), Symbol("H_22", real=True))
_gains = (gain, Symbol("gamma_2", positive=True))


def _point(seed: int) -> Point:
    draw = random.Random(seed)

    def number(low: int = -150, high: int = 150) -> Rational:
        return Rational(draw.randint(low, high), 100)

    names = ("rho", "mu_3", "t", "t_2", "A_1", "A_2", "Y", "H_12", "G_1", "G_2", "H_11", "H_22")
    return {
        "M": Integer(draw.randint(8, 60)), "gamma": number(30, 150), "gamma_2": number(30, 150),
        "R": number(-80, 80), "sigma_0": number(10, 90), **{name: number() for name in names},
    }  # fmt: skip


POINTS: Sequence[Point] = tuple(_point(seed) for seed in range(1, 6))
AT_OPTIMUM = Condition(
    "no first-order term is left, A'(h) = y, and the preactivations are not skewed",
    lambda p: p | {"Y": p["A_1"], "mu_3": 0},
)
FLAT = Condition(
    "the gradient vanishes, units are uncorrelated, and their preactivations are not skewed",
    lambda p: p | {"G_1": 0, "G_2": 0, "R": 0, "mu_3": 0},
)
UNIT_RESIDUAL = Condition(
    "gamma is the best gain and the residual has variance one",
    lambda p: p | {"gamma": p["R"], "sigma_0": p["R"]},
)


def _judge(
    name: str, statement: str, left: Expr, printed: Expr, derived: Expr, *conditions: Condition
) -> LedgerEntry:
    return judge_equation(
        f"{PAPER}.{name}", statement, left, printed, derived, (), conditions, source=f"luo2019, {name}",
        points=POINTS,
    )  # fmt: skip


@paper.entry
def prior_mean() -> LedgerEntry:
    """The variance of mu_B, in units of sigma_P^2."""
    derived = joint_spread()[0].subs(cosine, 1) / samples
    return _judge("prior-mean", "the variance of mu_B", Symbol("Var_m"), 1 / samples, derived)


@paper.entry
def prior_deviation() -> LedgerEntry:
    """The variance of sigma_B at leading order, in units of sigma_P^2."""
    derived = (deviation_expansion(2) - 2 * deviation_expansion(1)) / samples
    return _judge(
        "prior-deviation", "the variance of sigma_B, at order 1/M", Symbol("Var_s"),
        (kurtosis + 2) / (4 * samples), derived,
    )  # fmt: skip


@paper.entry
def prior_deviation_mean() -> LedgerEntry:
    """The mean of sigma_B, of which the prior keeps nothing beyond sigma_P."""
    shift = deviation_expansion(1)
    same = compare(S.Zero, shift, points=POINTS)
    return paper.claim(
        "prior-deviation-mean", "sigma_B has the mean sigma_P, up to what is smaller than its fluctuations count",
        Verdict(
            "confirmed" if same.equal else "refuted",
            f"<sigma_B>/sigma_P - 1 is ({in_words(shift)})/M, of the same order as the terms that Theorem 1 keeps",
            counterexample=same.counterexample, evidence={"M (<sigma_B>/sigma_P - 1)": shift},
        ),
    )  # fmt: skip


@paper.entry
def c3_inverse() -> LedgerEntry:
    printed = sqrt(samples / 2) * gamma((samples - 2) / 2) / gamma((samples - 1) / 2)
    return _judge(
        "c3-inverse", "<1/sigma_B> of Gaussian preactivations", Symbol("A_m1"), printed, deviation_moment(-1)
    )


@paper.entry
def c3_inverse_square() -> LedgerEntry:
    printed = samples / 2 * gamma((samples - 3) / 2) / gamma((samples - 1) / 2)
    return _judge(
        "c3-inverse-square", "<1/sigma_B^2> of Gaussian preactivations", Symbol("A_m2"), printed,
        deviation_moment(-2),
    )  # fmt: skip


@paper.entry
def c3_zeta() -> LedgerEntry:
    """Half the mean square of what the statistics of another batch do to a preactivation, exactly."""
    over = gamma((samples - 1) / 2)
    printed = (
        1 + (1 + 1 / samples) * samples * gamma((samples - 3) / 2) / (2 * over)
        - sqrt(2 * samples) * gamma((samples - 2) / 2) / over
    ) / 2  # fmt: skip
    one, two = deviation_moment(-1), deviation_moment(-2)
    # <(t (1/s - 1) - m/s)^2> with <t^2> = 1, <m^2> = 1/M, m and s independent.
    derived = (two - 2 * one + 1 + two / samples) / 2
    return _judge(
        "c3-zeta", "zeta of the linear student, from the second order", Symbol("zeta"), printed, derived
    )


def _spread_of_linear(kind: str) -> Expr:
    return gaussian(expand(fluctuation(kind).spread.subs({kurtosis: 0, skewness: 0}))) / (2 * samples)


@paper.entry
def c3_simplified() -> LedgerEntry:
    return _judge(
        "c3-simplified", "the same at leading order, 3/(4M)", Symbol("zeta"), 3 / (4 * samples),
        _spread_of_linear("batch"),
    )  # fmt: skip


@paper.entry
def c3_without_mean() -> LedgerEntry:
    return _judge(
        "c3-without-mean", "the same without mu_B, 1/(4M)", Symbol("zeta"), 1 / (4 * samples),
        _spread_of_linear("root-mean-square"),
    )  # fmt: skip


@paper.entry
def c3_squared_error() -> LedgerEntry:
    return _judge(
        "c3-squared-error", "that of a squared error without the factor 1/2, 1/(2M)", Symbol("zeta"),
        1 / (2 * samples), 2 * _spread_of_linear("root-mean-square"),
    )  # fmt: skip


@paper.entry
def claim_inverse_batch() -> LedgerEntry:
    """Sec. 1.1 (3), for the best gain R <sigma_B> of a linear unit, which is known at every M."""
    lost = {M: M * (1 - deviation_moment(1, Integer(M)).evalf(20)) for M in (8, 32, 1024)}
    leading = -deviation_expansion(1).subs(kurtosis, 0)
    exact = all(abs(value - leading) < Rational(1, 10**9) for value in lost.values())
    return paper.claim(
        "claim-inverse-batch", "the strength of the regularization is inversely proportional to M",
        Verdict(
            "confirmed" if exact else "conditional",
            f"at leading order in 1/M: the best gain of a linear unit is R (1 - c/M) with c = {leading}, exactly "
            + ", ".join(f"{float(value):.4f} at M = {M}" for M, value in lost.items()),
            evidence={"c": {M: str(value) for M, value in lost.items()}},
        ),
    )  # fmt: skip


@paper.entry
def claim_linear_decay() -> LedgerEntry:
    """What moves the best gain of a linear student as batch normalization does."""
    found = {
        f"{kind}, {'statistics of another batch' if independent else 'in the batch'}": decay_coefficient(
            "identity", kind, independent
        )
        / samples
        for kind in ("batch", "variance-only", "root-mean-square")
        for independent in (False, True)
    }
    printed = {"with mu_B": Rational(3, 4) / samples, "without": Rational(1, 4) / samples}
    holds = {simplify(value) for value in found.values()} & set(printed.values())
    words = {name: in_words(value) for name, value in found.items()}
    exact = deviation_moment(1)
    return paper.claim(
        "claim-linear-decay",
        "batch normalization of a linear student is gamma decay with zeta = 3/(4M), without mu_B 1/(4M)",
        Verdict(
            "conditional" if holds else "refuted",
            f"in a batch the squares of normalized preactivations add up to M, so only the overlap shrinks: the "
            f"best gain is R <sigma_B>, as with zeta = {words['batch, in the batch']} at leading order, half of "
            f"what is printed; without the mean {words['root-mean-square, in the batch']}, half again. With the "
            f"statistics of another batch it would be {words['batch, statistics of another batch']}: the "
            "first-order terms count as much as those kept",
            evidence={"zeta that gives the best gain": found, "best gain in the batch / R": exact},
        ),
    )


def _first_order(independent: bool) -> Expr:
    return gain * (slope - target) * fluctuation("batch", independent).shift / samples


def _second_order() -> Expr:
    return gain**2 * curvature * fluctuation("batch").spread / (2 * samples)


@paper.entry
def eq3() -> LedgerEntry:
    """The change of one sample's expected loss A(h) - Y h, statistics of its own batch."""
    printed = gain**2 * curvature / 2 * ((kurtosis + 2) / 4 * t**2 + 1) / samples
    return _judge(
        "eq3", "Theorem 1: the expected loss is that of population normalization plus gamma decay",
        Symbol("Delta_l"), printed, _first_order(False) + _second_order(), AT_OPTIMUM,
    )  # fmt: skip


def _printed_remainder() -> Expr:
    return (kurtosis + 2) / (4 * samples) * (slope - target) * gain * t


@paper.entry
def theorem1_remainder() -> LedgerEntry:
    """The first-order remainder, for statistics of the sample's own batch."""
    return _judge(
        "theorem1-remainder", "the remainder R_f of one sample", Symbol("R_f"), _printed_remainder(),
        _first_order(False),
    )  # fmt: skip


@paper.entry
def theorem1_remainder_independent() -> LedgerEntry:
    """The same for statistics of another batch, which the proof's expectation is over."""
    return _judge(
        "theorem1-remainder-independent", "the remainder R_f, statistics of another batch", Symbol("R_f"),
        _printed_remainder(), _first_order(True),
    )  # fmt: skip


@paper.entry
def claim_remainder_vanishes() -> LedgerEntry:
    """For a linear student: A(h) = h^2/2, the label y of correlation R with the preactivation."""
    integrand = {
        kind: expand((gain * t - y) * gain * fluctuation("batch", kind == "another batch").shift)
        for kind in ("own batch", "another batch")
    }
    plain = {kurtosis: 0, skewness: 0}
    found = {kind: simplify(gaussian(e.subs(plain))) for kind, e in integrand.items()}
    at_best = {kind: simplify(e.subs(gain, cosine)) for kind, e in found.items()}
    slopes = {kind: simplify(e.diff(gain).subs(gain, cosine)) for kind, e in found.items()}
    vanishes = all(e == 0 for e in found.values())
    (own, another), (own_slope, another_slope) = (map(in_words, e.values()) for e in (found, slopes))
    return paper.claim(
        "claim-remainder-vanishes", "the first-order remainder vanishes for P > 30 samples",
        Verdict(
            "confirmed" if vanishes else "refuted",
            f"the number of samples has no part in it: for a linear student M R_f is {own} with the statistics of the "
            f"own batch and {another} with those of another, zero only at the best gain gamma = R; there its slope, "
            f"{own_slope} and {another_slope}, moves the best gain as much as the terms kept",
            evidence={"M R_f": found, "at gamma = R": at_best, "its slope at gamma = R": slopes},
        ),
    )  # fmt: skip


@paper.entry
def theorem1_fisher() -> LedgerEntry:
    """I(gamma) as the mean of A'' h^2 and as that of (dl/dgamma)^2, for a linear student."""
    squared = gaussian(expand((gain * t - y) ** 2 * t**2)) + label_noise**2
    return _judge(
        "theorem1-fisher", "the two printed forms of I(gamma) agree: A'' h^2, and the squared gradient",
        Symbol("I"), gaussian(t**2), squared, UNIT_RESIDUAL,
    )  # fmt: skip


@paper.entry
def c4() -> LedgerEntry:
    """Two units: gradients G and Hessian H of the loss at their preactivations, correlated by R."""
    hessian, correlation = Matrix([[_bends[0], cross], [cross, _bends[1]]]), Matrix([[1, cosine], [cosine, 1]])
    derived = Add(*layer_parts(_pulls, hessian, (t, other), _gains, correlation))
    printed = Add(*(
        bend * scale**2 * (field**2 / 2 + 1) / 2
        for scale, field, bend in zip(_gains, (t, other), _bends, strict=True)
    ))  # fmt: skip
    return _judge(
        "c4", "in a deep network, Gaussian preactivations: the diagonal of the Hessian decays the gains",
        Symbol("Delta_l"), printed / samples, derived / samples, FLAT,
    )  # fmt: skip


@paper.entry
def claim_committee_decay() -> LedgerEntry:
    """Sec. 2.1, Extensions: what holds for one unit is said to hold for the units of a network."""
    return paper.claim(
        "claim-committee-decay",
        "in networks of several units batch normalization is population normalization and a decay of gains",
        paper.needs("finite_batch"),
    )


@paper.entry
def claim_mean_and_variance() -> LedgerEntry:
    """Fig. 2 (c), (d), at the size of one unit."""
    return paper.claim(
        "claim-mean-and-variance",
        "the noises of mean and of deviation regularize with different strengths, and both are needed",
        paper.needs("claims"),
    )


@paper.entry
def claim_gain_grows() -> LedgerEntry:
    """Fig. 2 (e), at the size of one unit."""
    return paper.claim(
        "claim-gain-grows",
        "gamma^2 grows with M, as larger batches regularize less",
        paper.needs("claims"),
    )


@paper.entry
def claim_released_gain() -> LedgerEntry:
    """Fig. 4, at the size of one unit."""
    return paper.claim(
        "claim-released-gain",
        "the effective norm gamma grows when the noise of the statistics is switched off",
        paper.needs("claims"),
    )
