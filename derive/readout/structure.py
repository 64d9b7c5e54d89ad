"""Null space and rank of the readout's Hessian, exactly.

A displacement X of the weights changes the logits of a sample by a_k = sum_i X_ki h_i, and the quadratic form
of the Hessian at X is the variance of a_k under the predicted probabilities, averaged over samples.  Every
probability of a softmax is positive: the form vanishes where a_k does not depend on the class, and only there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sympy import Add, Expr, IndexedBase, Min, S, Sum, Symbol, expand

from derive.equation import Equation, Step
from derive.errors import DerivationError
from derive.readout.loss import curvature
from derive.readout.symbols import K, a, d, l, m, over_classes, p, r
from derive.wide.blocks import Blocks


@cache
def row_sum() -> Expr:
    """sum_m A_lm: what the curvature does to a vector that is the same for all classes."""
    return over_classes(curvature().value, m)


@cache
def quadratic_form() -> Equation:
    """sum_lm a_l A_lm a_m, a variance over the classes."""
    product = a[l] * curvature().value * a[m]
    right = over_classes(over_classes(product, m), l)
    pairs = p[l] * p[m] * (a[l] - a[m]) ** 2 / 2
    if expand(over_classes(over_classes(pairs, m), l) - right) != 0:
        raise DerivationError("the quadratic form is no sum over pairs of classes")
    steps = (
        Step("sum over classes", Sum(product, (l, 1, K), (m, 1, K)), right, "probabilities sum to one"),
        Step("pairs", right, Sum(pairs, (l, 1, K), (m, 1, K)),
             "with positive p_k it vanishes only where all a_k are equal"),
    )  # fmt: skip
    return Equation(
        "readout.quadratic-form", Sum(a[l] * IndexedBase("A")[l, m] * a[m], (l, 1, K), (m, 1, K)), right,
        meaning={"a_k": "change of the logit of class k", "p_k": "predicted probability of class k"},
        source="derived from the curvature of softmax cross-entropy", steps=steps,
    )  # fmt: skip


def without_common() -> Blocks:
    """I - 11^T/K: what is left of weights when the same is taken from all classes."""
    return Blocks.of_entries(1 - 1 / K, -1 / K, K)


@cache
def rank() -> Equation:
    """The rank of the Hessian for d features of rank r, at any weights.

    X lies in the null space where (I - 11^T/K) X h = 0 for every sample, a Kronecker product of a projection
    and the features: its rank is the product of theirs.
    """
    classes = sum((e.multiplicity for e in without_common().eigenspaces if e.value != 0), start=S.Zero)
    form = quadratic_form().right
    steps = (
        Step("null vectors", form, None, "for every sample, a_k must not depend on k"),
        Step(
            "projection",
            classes,
            None,
            "the rank of I - 11^T/K, which takes from all classes what they have alike",
        ),
        Step("Kronecker product", classes * r, None, "times the rank of the features over the samples"),
    )
    return Equation(
        "readout.rank", Symbol("rank"), classes * r,
        meaning={"K": "number of classes", "r": "rank of the features over the samples, the bias's included"},
        source="derived from the quadratic form", steps=steps,
    )  # fmt: skip


@cache
def nullity() -> Equation:
    """How many directions of the K d weights leave every probability as it is."""
    difference = Add(K * d, -rank().right, evaluate=False)
    return Equation(
        "readout.nullity", Symbol("nullity"), expand(difference),
        meaning={"K": "number of classes", "d": "number of features, the bias's included",
                 "r": "rank of the features over the samples"},
        source="derived from the rank",
        steps=(*rank().steps, Step("complement", difference, expand(difference), "all weights, less the rank")),
    )  # fmt: skip


def null_vectors(features: int, classes: int, relations: Sequence[Sequence[Expr]] = ()) -> list[list[Expr]]:
    """A basis of the null space, classes outermost as in the Hessian.

    The same weights may be added to all classes, for each of the ``features``; a linear relation among the features
    (coefficients c with sum_i c_i h_i = 0 on every sample: a dead unit has a single 1) may be added to any class.
    """
    alike = [
        [S(int(i == feature)) for _ in range(classes) for i in range(features)] for feature in range(features)
    ]
    own = [
        [c * (k == chosen) for k in range(classes) for c in relation]
        for relation in relations
        for chosen in range(classes - 1)  # in all classes it is among the first kind
    ]
    return [*alike, *own]


def generic_feature_rank(
    samples: Expr | int, alive: Expr | int, constant: bool, centred: bool = False
) -> Expr:
    """r for features in general position: ``alive`` units that vary, and (``constant``) a bias.

    Dead units (zero on every sample) add nothing, and units that are constant count once together with the bias.
    Centred features sum to zero over the samples.  Raises DerivationError for numbers that cannot be.
    """
    for name, number, least in (("samples", samples, 1), ("units", alive, 0)):
        if not isinstance(number, Expr) and (number != int(number) or number < least):
            raise DerivationError(
                f"the number of {name} must be a whole number of at least {least}, not {number}"
            )
    if centred:
        return Min(samples - 1, alive) + int(constant)
    return Min(samples, alive + int(constant))
