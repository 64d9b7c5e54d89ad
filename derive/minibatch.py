"""The noise of a mini-batch gradient, exactly, for every way of drawing the batch.

The loss is a mean over n samples, and the estimate of its gradient is (1/B) sum_i c_i g_i, where c_i counts
how often sample i was drawn.  Only the first two moments of the counts enter: with E[c_i] = B/n and
E[c_i c_j] = a + d delta_ij, the mean squared error is

    (1/B^2) sum_ij E[(c_i - B/n)(c_j - B/n)] g_i.g_j = (d n C + (d n + (a - B^2/n^2) n^2) |g|^2) / B^2,

where g is the full gradient and C = (1/n) sum_i |g_i - g|^2.  The moments of the counts follow from the
probabilities with which two slots of the batch hold two given samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sympy import Expr, Poly, Rational, S, Symbol, diff, factor, simplify, sqrt

from derive.equation import Equation, Step
from derive.errors import DerivationError

n = Symbol("n", integer=True, positive=True)
"""The number of samples in the data."""

B = Symbol("B", integer=True, positive=True)
"""The (expected) number of samples in a batch."""

C = Symbol("C", nonnegative=True)
"""(1/n) sum_i |g_i - g|^2, the variance of the gradient of a single sample."""

G = Symbol("G", nonnegative=True)
"""|g|^2, the squared norm of the full gradient."""

alpha = Symbol("alpha", positive=True)
"""The learning rate."""


@dataclass(frozen=True)
class Sampling:
    """A way to draw a batch: the second moments of the counts, E[c_i^2] and E[c_i c_j] for i != j."""

    name: str
    same: Expr
    different: Expr
    note: str


def _slots(name: str, coincide: Expr, note: str) -> Sampling:
    """B slots, each uniform over the samples; two slots hold the same sample with probability ``coincide``."""
    # Sum over pairs of slots (u, v) of the probability that u holds i and v holds j.
    pairs = B * (B - 1)
    same = B / n + pairs * coincide / n
    different = pairs * (1 - coincide) / (n * (n - 1))
    return Sampling(name, factor(same), factor(different), note)


@cache
def samplings() -> dict[str, Sampling]:
    """The ways to draw a batch, by name."""
    inclusion = B / n
    every = (
        _slots("with replacement", 1 / n, "slots are independent"),
        _slots("without replacement", S.Zero, "a batch of an epoch that passes through shuffled data"),
        Sampling(
            "independent inclusion", inclusion, inclusion**2,
            "each sample enters with probability B/n, and the sum is divided by B",
        ),
    )  # fmt: skip
    return {each.name: each for each in every}


@cache
def noise(name: str) -> Equation:
    """E|alpha g - alpha g_batch|^2 in alpha, B, n, C and G = |g|^2.

    Raises DerivationError for a way of sampling that is not known.
    """
    law = _known(name)
    own = law.same - law.different
    spread = n * own  # the counts' diagonal part multiplies sum_i |g_i|^2 = n (C + G)
    mean = n * own + n**2 * (law.different - (B / n) ** 2)
    result = factor(simplify(alpha**2 / B**2 * (spread * C + mean * G)))
    steps = (
        Step("counts", law.same, law.different, f"E[c_i^2] and E[c_i c_j]; {law.note}"),
        Step("expansion", spread * C + mean * G, result, "of (1/B^2) sum_ij cov(c_i, c_j) g_i.g_j"),
    )
    return Equation(
        f"minibatch.{name.replace(' ', '-')}", Symbol("E"), result,
        meaning={"C": "variance of the gradient of a single sample", "G": "squared norm of the full gradient",
                 "n": "samples in the data", "B": "batch size", "alpha": "learning rate"},
        source="derived from the law of the batch", steps=steps,
    )  # fmt: skip


@cache
def epoch_covariance() -> Expr:
    """The mean scalar product of the noises of two different batches of one epoch of shuffled data, at alpha
    = 1: slots of different batches never hold the same sample."""
    # E[c_i c'_j] = B^2/(n (n - 1)) for i != j and 0 for i = j; the full gradient drops out.
    different = B**2 / (n * (n - 1))
    return factor(simplify((S.Zero - different) * n * C / B**2))


def noise_per_time(name: str) -> Expr:
    """The summed noise of independent steps over a stretch of training time alpha * steps = 1."""
    return factor(noise(name).right / alpha)


@cache
def centred_bias(name: str) -> Expr:
    """The factor by which a product of two centred quantities shrinks when the batch centres itself.

    Under batch normalization in training mode the loss of a batch is no sum over samples: with the batch's
    own mean subtracted, the mean of (1/B) sum_i c_i (x_i - mean)(y_i - mean) is this factor times the value
    over all data.  The gradient of the loss is biased by it.  Raises DerivationError for a way of sampling
    that is not known or does not fix the size of the batch.
    """
    law = _known(name)
    if simplify(n * law.same + n * (n - 1) * law.different - B**2) != 0:  # E[(sum_i c_i)^2]
        raise DerivationError(f"with {name} the size of a batch is random; centred_bias needs a fixed one")
    # (1/B) sum c_i x_i y_i - (1/B^2) sum_ij c_i c_j x_i y_j, for x and y centred over the data.
    return factor(simplify(1 - (law.same - law.different) * n / B**2))


x, y = Symbol("x", real=True), Symbol("y", real=True)
"""Input and label of a sample."""

weight, epsilon = Symbol("w", real=True), Symbol("epsilon", positive=True)


def mean(first: int, second: int) -> Expr:
    """The symbol of the mean of x^first y^second over the samples."""
    return Symbol(f"m_{first}{second}", real=True) if first + second else S.One


@cache
def normalized_gradient() -> Expr:
    """d/dw of the mean of (w x' - y)^2/2, with x' = x normalized by the same samples' mean and variance, in
    means of powers of x and y: a smooth function of means, and no mean itself."""
    normalized = (x - mean(1, 0)) / sqrt(mean(2, 0) - mean(1, 0) ** 2 + epsilon)
    terms = Poly(diff((weight * normalized - y) ** 2 / 2, weight), x, y).terms()
    return sum((coefficient * mean(*powers) for powers, coefficient in terms), start=S.Zero)


def response(function: Expr) -> tuple[Expr, Expr]:
    """What drawing a batch does to a smooth ``function`` of means, at first order: (bias, variance).

    Both are to be multiplied by ``spread(name)``, 1/B for batches drawn with replacement.  The covariance of two
    means is that of their powers over the data; the bias comes from the curvature of the function.
    """
    powers = [(a, b) for a in range(5) for b in range(5) if a + b and function.has(mean(a, b))]
    bias, variance = S.Zero, S.Zero
    for one in powers:
        for other in powers:
            product = mean(one[0] + other[0], one[1] + other[1])
            covariance = product - mean(*one) * mean(*other)
            bias += Rational(1, 2) * diff(function, mean(*one), mean(*other)) * covariance
            variance += diff(function, mean(*one)) * diff(function, mean(*other)) * covariance
    return bias, variance


def spread(name: str) -> Expr:
    """The variance of a mean over a batch, in units of that over the data."""
    return noise(name).right.subs({alpha: 1, C: 1, G: 0})


def _known(name: str) -> Sampling:
    known = samplings()
    if name not in known:
        raise DerivationError(f"unknown sampling {name!r}; known: {', '.join(known)}")
    return known[name]
