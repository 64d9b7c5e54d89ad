"""What the paper writes as formulas; none of them is numbered.

Statistics of a batch run over its n samples, which the paper counts by m, the letter of its hidden units.
"""

from __future__ import annotations

import random
from dataclasses import replace

from sympy import Expr, IndexedBase, Integer, Max, Rational, S, Sum, Symbol, exp, log, sqrt

from derive import readout
from derive.equation import Equation, LedgerEntry, Verdict
from derive.indexed import index_symbol
from derive.ledger import Condition, Point, judge, judge_equation
from derive.papers.reyes2020.setting import CLASSES, HIDDEN, INPUTS, paper
from derive.symbols import K

gamma, beta = Symbol("gamma", real=True), Symbol("beta", real=True)
epsilon = Symbol("epsilon", nonnegative=True)
n = Symbol("n", integer=True, positive=True)
N = Symbol("N", integer=True, positive=True)
i, j, k, l, s, t = (index_symbol(name) for name in "ijklst")
mu, sigma = Symbol("mu", real=True), Symbol("sigma", nonnegative=True)
x, z, y, g, f, normalized = (IndexedBase(name, real=True) for name in ("x", "z", "y", "g", "f", "xhat"))
W, b, V, c = (IndexedBase(name, real=True) for name in "WbVc")
"""The paper's W_1, b_1, W_2 and b_2."""
units, pixels = Symbol("m", integer=True, positive=True), Symbol("p", integer=True, positive=True)


def points() -> tuple[Point, ...]:
    """Random batches of one unit, logits, and the parameters of a normalization."""
    found = []
    for seed in (1, 2, 3):
        draw = random.Random(seed)
        found.append({
            "K": 4, "z": [Rational(draw.randint(-200, 200), 100) for _ in range(4)],
            "n": 5, "x": [Rational(draw.randint(-200, 200), 100) for _ in range(5)],
            "epsilon": Rational(draw.randint(1, 99), 1000), "gamma": Rational(draw.randint(20, 200), 100),
        })  # fmt: skip
    return tuple(found)


POINTS = points()
NO_EPSILON = Condition("epsilon = 0", lambda point: point | {"epsilon": 0})


def _softmax(of: Expr) -> Expr:
    return exp(of) / Sum(exp(z[l]), (l, 1, K))


@paper.entry
def hidden_layer() -> LedgerEntry:
    field = Sum(W[i, j] * x[j], (j, 1, pixels)) + b[i]
    return paper.definition(
        "hidden-layer",
        "the hidden layer g(x) = sigma(W_1 x + b_1), with sigma(s) = max(s, 0)",
        g[i],
        Max(field, 0),
        "reyes2020, Sec. 1",
    )


@paper.entry
def logits() -> LedgerEntry:
    right = Sum(V[k, i] * g[i], (i, 1, units)) + c[k]
    return paper.definition("logits", "the logits z = W_2 g(x) + b_2", z[k], right, "reyes2020, Sec. 1")


@paper.entry
def softmax() -> LedgerEntry:
    return paper.definition(
        "softmax",
        "the output: exp z_j over its sum for all classes",
        f[j],
        _softmax(z[j]),
        "reyes2020, Sec. 1",
    )


@paper.entry
def claim_softmax_normalizes() -> LedgerEntry:
    total = Sum(_softmax(z[k]), (k, 1, K))
    return judge_equation(
        f"{paper.name}.claim-softmax-normalizes", "the softmax makes a probability distribution of the outputs",
        Symbol("total"), S.One, total, source="reyes2020, Sec. 3.1", points=POINTS,
    )  # fmt: skip


@paper.entry
def batch_normalization() -> LedgerEntry:
    right = (x[s] - mu) / sqrt(sigma**2 + epsilon)
    return paper.definition(
        "batch-normalization",
        "normalized units: the deviation from the mean over sqrt(sigma^2 + epsilon)",
        normalized[s],
        right,
        "reyes2020, Sec. 2.1",
    )


def _mean() -> Expr:
    return Sum(x[t], (t, 1, n)) / n


def _variance() -> Expr:
    return Sum((x[s] - _mean()) ** 2, (s, 1, n)) / n


@paper.entry
def batch_mean() -> LedgerEntry:
    return paper.definition("batch-mean", "the mean over the batch", mu, _mean(), "reyes2020, Sec. 2.1")


@paper.entry
def batch_variance() -> LedgerEntry:
    return paper.definition(
        "batch-variance", "the mean square deviation over the batch", sigma**2, _variance(),
        "reyes2020, Sec. 2.1",
    )  # fmt: skip


@paper.entry
def claim_unit_mean() -> LedgerEntry:
    right = Sum((x[s] - _mean()) / sqrt(_variance().xreplace({s: k}) + epsilon), (s, 1, n)) / n
    return judge_equation(
        f"{paper.name}.claim-unit-mean", "normalized units have mean 0", Symbol("E"), S.Zero, right,
        source="reyes2020, Sec. 2.1", points=POINTS,
    )  # fmt: skip


@paper.entry
def claim_unit_variance() -> LedgerEntry:
    """Dead units have variance 0 and stay at 0, for any epsilon > 0."""
    right = Sum((x[s] - _mean()) ** 2, (s, 1, n)) / n / (_variance() + epsilon)
    return judge_equation(
        f"{paper.name}.claim-unit-variance", "normalized units have variance 1", Symbol("var"), S.One, right,
        conditions=(NO_EPSILON,), source="reyes2020, Sec. 2.1", points=POINTS,
    )  # fmt: skip


@paper.entry
def scale_and_shift() -> LedgerEntry:
    right = gamma * normalized[s] + beta
    return paper.definition(
        "scale-and-shift",
        "scaled and shifted units: gamma times the normalized one, plus beta",
        y[s],
        right,
        "reyes2020, Sec. 2.1",
    )


@paper.entry
def loss() -> LedgerEntry:
    """A sum over samples, where frameworks take the mean: eigenvalues differ by N, their ratios do not."""
    term = -y[s, k] * log(f[s, k])
    return paper.definition(
        "loss", "the loss: the categorical cross-entropy, summed over the images", Symbol("L"),
        Sum(term, (k, 1, K), (s, 1, N)), "reyes2020, Sec. 2.2",
    )  # fmt: skip


@paper.entry
def last_layer_gradient() -> LedgerEntry:
    entry = paper.claim(
        "last-layer-gradient", "the gradient of the loss in the weights of the last layer; no formula is printed",
        Verdict("definition", "follows from softmax and cross-entropy, for any number of classes"),
    )  # fmt: skip
    return replace(entry, derived=readout.gradient())


@paper.entry
def last_layer_hessian() -> LedgerEntry:
    entry = paper.claim(
        "last-layer-hessian",
        "the Hessian in the weights $W_2$ is calculated exactly, by a program; no formula is printed",
        Verdict("definition", "follows from softmax and cross-entropy: a Kronecker product of classes and features, "
                "summed over samples, without the labels"),
    )  # fmt: skip
    return replace(entry, derived=readout.hessian())


@paper.entry
def block_sizes() -> LedgerEntry:
    """Weights and biases of the two layers."""
    first, last = (INPUTS + 1) * HIDDEN, (HIDDEN + 1) * CLASSES
    printed = INPUTS * HIDDEN + HIDDEN * CLASSES
    verdict = judge(Integer(printed), Integer(first + last), points=POINTS)
    if verdict.kind == "misprint" and first + last - HIDDEN - CLASSES == printed:
        verdict = Verdict(
            "conditional", "holds for the weights alone, without the biases that both layers of its network have",
            corrected=Integer(first + last), counterexample=verdict.counterexample, evidence=verdict.evidence,
        )  # fmt: skip
    return paper.claim("block-sizes", "the blocks of the Hessian have 784 x 100 and 100 x 10 rows", verdict)


@paper.entry
def pseudo_condition() -> LedgerEntry:
    """At uniform predictions, where training begins, and for the ten classes of the paper."""
    law = readout.uniform_spectrum()
    ratio = (law.eigenvalue(1) / law.eigenvalue(K)).subs(K, CLASSES)
    entry = paper.definition(
        "pseudo-condition", "the pseudo-condition number lambda_1/lambda_10", Symbol("kappa"),
        Symbol("lambda_1") / Symbol("lambda_10"),
        "reyes2020, Sec. 4.3",
    )  # fmt: skip
    derived = Equation(
        f"{paper.name}.pseudo-condition", Symbol("kappa"), ratio,
        meaning={"mu_s": "eigenvalues of the second moments of the features, the largest first"},
        source="derived for uniform predictions", steps=law.steps,
    )  # fmt: skip
    return replace(entry, derived=derived)
