"""Batch normalization in the middle layers: Theorem 3.4, equations (20) to (23)."""

from __future__ import annotations

from itertools import pairwise

from sympy import Abs, Function, Heaviside, Rational, Symbol, limit, oo, simplify, solveset, sqrt, symbols
from sympy.sets import Interval

from derive.activation import activation, u
from derive.equation import LedgerEntry, Verdict
from derive.evaluate import evaluate
from derive.gaussian import average
from derive.ledger import judge, judge_equation
from derive.papers.karakida2019.setting import PAPER, claim, definition, entry, needs, points, settled
from derive.wide import network
from derive.wide.batch_middle import arc_cosine_argument, arc_cosine_kernel, batch_middle
from derive.wide.spectrum import lambda_max
from derive.wide.symbols import M, T, bias_variance

l, i, t = symbols("l i t", integer=True)
u_bar, u_, mu, sigma = (Function(name) for name in ("ubar", "u", "mu", "sigma"))
variance = Symbol("q", positive=True)
widths = symbols("alpha_0 alpha_1 alpha_2", positive=True)


def _relu(depth: int = 3):  # type: ignore[no-untyped-def]
    return batch_middle(network(depth, "relu", 2, bias_variance, widths[:depth], normalization="batch-middle"))


@entry
def eq20() -> LedgerEntry:
    right = (u_(i, t) - mu(i)) / sigma(i) * Symbol("gamma") + Symbol("beta")
    return definition("eq20", "batch normalization of a preactivation", u_bar(i, t), right, "karakida2019 (20)")


@entry
def eq21() -> LedgerEntry:
    right = sqrt(Symbol("E[u^2]") - mu(i) ** 2)
    words = "mean and deviation of a preactivation over samples"
    return definition("eq21", words, sigma(i), right, "karakida2019 (21)")


@entry
def eq22() -> LedgerEntry:
    """The weights of the last layer alone, for ReLU, whose order parameters are exact at every T."""
    found = _relu()
    printed = widths[2] * ((T - 1) / T * found.hat_st + found.hat_t / T) * M
    return judge_equation(
        f"{PAPER}.eq22", "lambda_max is at least what the last layer's weights give", lambda_max, printed,
        found.lower, source="karakida2019 (22)", points=points(),
    )  # fmt: skip


@entry
def claim_arc_cosine() -> LedgerEntry:
    J = arc_cosine_kernel()
    found = _relu()
    verdict = judge(J.xreplace({arc_cosine_argument: -1 / (T - 1)}) / 2, found.hat_st, points=points())
    half = found.hat_t == Rational(1, 2) and simplify(J.subs(arc_cosine_argument, 1)) == 1
    return claim(
        "claim-arc-cosine", "for ReLU qhat_t = 1/2 and qhat_st = J(-1/(T-1))/2, J the arc-cosine kernel with J(1) = 1",
        verdict if half else Verdict("refuted", "qhat_t is not 1/2"),
    )  # fmt: skip


@entry
def theorem_3_4() -> LedgerEntry:
    lower = _relu().lower
    order = limit(lower.subs(dict.fromkeys(widths, 1)).subs(M, 1), T, oo)
    return claim(
        "theorem-3-4", "with non-negative activations lambda_max stays of order M",
        settled(eq22().verdict.kind == "confirmed" and order > 0, "the bound (22) is of order M at every T",
                "the bound (22) vanishes", **{"bound/M for T to infinity": str(order)}),
    )  # fmt: skip


@entry
def claim_constants_positive() -> LedgerEntry:
    """At T = 2 the normalized preactivations are +1 and -1: a unit that is on for one sample is off for the other."""
    hat_st = _relu().hat_st
    values = {samples: hat_st.subs(T, samples) for samples in (2, 3, 4, 10, 1000)}
    at_two = simplify(values.pop(2))
    later = all(evaluate(value, {}, 20) > 0 for value in values.values())
    return claim(
        "claim-constants-positive", "qhat_t and qhat_st with batch normalization are positive constants",
        Verdict(
            "conditional" if at_two == 0 and later else "confirmed" if later else "refuted",
            "for ReLU qhat_st = 0 at T = 2, and positive from T = 3 on; the bound (22) stays positive"
            if at_two == 0 else "positive at every T tried",
            counterexample={"T": 2, "qhat_st": str(at_two)} if at_two == 0 else None,
            evidence={"T": list(values), "qhat_st": [str(evaluate(v, {}, 10)) for v in values.values()]},
        ),
    )  # fmt: skip


@entry
def claim_non_negative_is_non_centered() -> LedgerEntry:
    """The mean of a non-negative function that is not zero is positive, at every variance: Definition 2.1 suffices."""
    tried = {"relu": activation("relu").expression, "|u|": Abs(u), "u^2": u**2, "u relu(u)": u**2 * Heaviside(u)}
    means = {name: average(phi, {(u, u): variance}).expression for name, phi in tried.items()}
    return claim(
        "claim-non-negative-is-non-centered", "non-negative activations are non-centered",
        settled(all(mean.is_positive for mean in means.values()), "their Gaussian mean is positive at any variance",
                "a mean vanishes", **{name: str(mean) for name, mean in means.items()}),
    )  # fmt: skip


@entry
def claim_bias_cancels() -> LedgerEntry:
    found = _relu()
    free = found.uniform.free_symbols | found.trace.free_symbols
    return claim(
        "claim-bias-cancels", "sigma_b^2 does not enter: the mean subtraction cancels biases",
        settled(bias_variance not in free, "it is in no order parameter", "it enters"),
    )  # fmt: skip


@entry
def claim_middle_cannot() -> LedgerEntry:
    """To leading order for large T the middle layers add nothing to the uniform direction: the bound is tight."""
    found = _relu()
    ratio = limit(simplify((found.uniform / found.lower).subs(dict.fromkeys(widths, 1))), T, oo)
    return claim(
        "claim-middle-cannot", "normalization of the middle layers cannot remove the sharpness",
        settled(ratio == 1, "lambda_max of the uniform direction over the bound (22) tends to one",
                "the uniform direction exceeds the bound", ratio=str(ratio)),
    )  # fmt: skip


@entry
def claim_depth_explodes() -> LedgerEntry:
    """The trace that layer 1 adds grows by a factor a layer."""
    first = [
        limit(batch_middle(network(d, "relu", 2, normalization="batch-middle")).middle[0][1] / T, T, oo)
        for d in (3, 4, 5)
    ]
    growth = [simplify(b / a) for a, b in pairwise(first)]
    return claim(
        "claim-depth-explodes", "with batch normalization in every layer gradients explode with depth",
        settled(all(g == growth[0] and g > 1 for g in growth), "by a factor a layer, the same for each",
                "they do not", **{"factor for ReLU": str(growth[0])}),
    )  # fmt: skip


@entry
def eq23() -> LedgerEntry:
    """A quadratic loss: gradient descent multiplies a component by 1 - eta lambda."""
    eta = Symbol("eta", real=True)
    stable = solveset((1 - eta * 3) ** 2 < 1, eta, domain=Interval(-10, 10))
    return claim(
        "eq23", "convergence to a minimum needs eta < 2/lambda_max",
        settled(stable == Interval.open(0, Rational(2, 3)), "the exact range of stability of a quadratic loss",
                "not the range of stability", example="lambda_max = 3: 0 < eta < 2/3"),
    )  # fmt: skip


@entry
def claim_rate_predicts() -> LedgerEntry:
    return claim(
        "claim-rate-predicts", "training above 2/lambda_max of the initial weights explodes in wide networks",
        needs("learning_rate"),
    )  # fmt: skip


@entry
def claim_larger_rate() -> LedgerEntry:
    return claim(
        "claim-larger-rate", "with mean subtraction larger learning rates converge, whatever the width",
        needs("learning_rate"),
    )  # fmt: skip


@entry
def claim_rate_independent_of_width() -> LedgerEntry:
    return claim(
        "claim-rate-independent-of-width", "with mean subtraction the largest stable rate does not depend on width",
        needs("learning_rate"),
    )  # fmt: skip


@entry
def claim_trials() -> LedgerEntry:
    return claim(
        "claim-trials", "the best of several trials with mean subtraction has a low loss at every width",
        needs("learning_rate"),
    )  # fmt: skip
