"""Sec. 2.1: the noise of mini-batch gradients, equation (2)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from sympy import Expr, Integer, Rational, S, Symbol, cancel, diff, limit, log, oo

from derive.equation import LedgerEntry, Verdict, VerdictKind
from derive.ledger import Condition, Point, compare, judge, judge_equation
from derive.minibatch import B, C, alpha, centred_bias, epoch_covariance, n, noise, noise_per_time
from derive.papers.bjorck2018.setting import PAPER, paper, words

PRINTED_BOUND = alpha**2 * C / B


def _point(seed: int) -> Point:
    draw = random.Random(seed)
    batch = draw.randint(2, 40)
    return {
        "alpha": Rational(draw.randint(1, 200), 100), "B": Integer(batch),
        "n": Integer(batch + draw.randint(1, 100)), "C": Rational(draw.randint(10, 900), 100),
        "G": Rational(draw.randint(10, 900), 100),
    }  # fmt: skip


POINTS: Sequence[Point] = tuple(_point(seed) for seed in range(1, 6))
SINGLE = Condition("a batch is one sample", lambda p: p | {"B": 1})


@paper.entry
def eq2() -> LedgerEntry:
    """With replacement, the model of SGD that the paper states."""
    entry = judge_equation(
        f"{PAPER}.eq2", "the noise of a gradient step, for batches drawn with replacement, is at most this",
        Symbol("E"), PRINTED_BOUND, noise("with replacement"), source="bjorck2018, (2)", points=POINTS,
    )  # fmt: skip
    if entry.verdict.kind != "confirmed":
        return entry
    reason = "for a loss that is a mean over samples, and batches drawn with replacement, the noise equals the bound"
    return replace(entry, verdict=replace(entry.verdict, reason=reason))


@paper.entry
def eq2_epochs() -> LedgerEntry:
    """Without replacement, as training passes through shuffled data; at batch size 1 nothing is shared."""
    entry = judge_equation(
        f"{PAPER}.eq2-epochs", "the same with equality where training draws without replacement, in epochs",
        Symbol("E"), PRINTED_BOUND, noise("without replacement"), conditions=(SINGLE,),
        source="bjorck2018, (2)", points=POINTS,
    )  # fmt: skip
    ratio = cancel(noise("without replacement").right / PRINTED_BOUND)
    below = all(ratio.subs({n: p["n"], B: p["B"]}) <= 1 for p in POINTS)
    if entry.verdict.kind != "conditional" or not below or limit(ratio, n, oo) != 1:
        return entry
    reason = (
        f"drawn without replacement the noise is {words(ratio)} times the bound, which it equals only if "
        f"{SINGLE.statement} or the data are many, and vanishes for the full batch; the errors of two batches of one "
        f"epoch have the mean product {words(epoch_covariance())}"
    )
    return replace(entry, verdict=replace(entry.verdict, reason=reason))


@paper.entry
def claim_unbiased() -> LedgerEntry:
    """Unbiased for a sum over samples; a batch that centres itself shrinks what it averages."""
    kept = centred_bias("with replacement")
    same = compare(S.One, kept, points=POINTS)
    return paper.claim(
        "claim-unbiased",
        "the gradient of a batch is unbiased, since samples are drawn uniformly",
        Verdict(
            "confirmed" if same.equal else "conditional",
            "the gradient of a batch is unbiased only if the loss is a sum over samples. Under batch normalization in "
            f"training it is not: what a batch averages around its own mean is {words(kept)} times its value over "
            "all data",
            counterexample=same.counterexample,
            evidence={"kept by centring": kept, "without replacement": centred_bias("without replacement")},
        ),
    )  # fmt: skip


@paper.entry
def claim_bound_networks() -> LedgerEntry:
    return paper.claim(
        "claim-bound-networks",
        "noise goes as 1/|B|, with a constant C that depends on the architecture alone, also with batch "
        "normalization",
        paper.needs("minibatch_noise"),
    )


def _power(expression: Expr, variable: Symbol) -> Expr:
    """The exponent of ``variable`` in a product of powers."""
    return cancel(variable * diff(log(expression), variable))


@paper.entry
def claim_noise_alike() -> LedgerEntry:
    """Compare the powers of the learning rate and of the inverse batch size."""
    step, time = noise("with replacement").right, noise_per_time("with replacement")
    powers = {
        name: (_power(each, alpha), -_power(each, B)) for name, each in (("a step", step), ("time", time))
    }

    def words(rate: Expr, size: Expr) -> str:
        return " and as ".join(x if p == 1 else f"{x}^{p}" for x, p in (("alpha", rate), ("1/B", size)))

    alike = [name for name, (rate, size) in powers.items() if judge(rate, size, points=POINTS).kind == "confirmed"]
    kind: VerdictKind = "refuted" if not alike else "confirmed" if len(alike) == len(powers) else "conditional"
    return paper.claim(
        "claim-noise-alike",
        "the noise depends on the learning rate as on the inverse batch size",
        Verdict(
            kind,
            f"the noise of a step goes as {words(*powers['a step'])}; summed over a stretch of training time, steps "
            f"times alpha, it goes as {words(*powers['time'])}. "
            f"Alike {'over ' + ' and '.join(alike) if alike else 'in no sense'}",
            evidence={"powers of alpha and of 1/B": {k: list(v) for k, v in powers.items()}},
        ),
    )  # fmt: skip
