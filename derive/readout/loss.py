"""The loss of one sample, and its derivatives in the last layer's weights, for any number of classes.

L = -sum_k y_k log p_k with p_k = exp(z_k) / sum_l exp(z_l) and z_k = sum_i W_ki h_i.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sympy import (
    Add,
    Derivative,
    Expr,
    Indexed,
    IndexedBase,
    KroneckerDelta,
    S,
    Sum,
    Symbol,
    exp,
    expand,
    expand_log,
    log,
    simplify,
)

from derive.equation import Equation, Step
from derive.indexed import derivative
from derive.readout.symbols import K, W, d, h, i, j, k, l, m, p, y, z

L = Symbol("L", real=True)
_PARTITION = Sum(exp(z[k]), (k, 1, K))
_Z = Symbol("Z", positive=True)

MEANING = {
    "p_k": "predicted probability of class k", "y_k": "1 for the right class, else 0",
    "h_i": "feature i of the sample; that of a bias is 1", "W_ki": "weight from feature i to class k",
}  # fmt: skip


@dataclass(frozen=True)
class Derived:
    """An expression, and the steps that led to it."""

    value: Expr
    steps: tuple[Step, ...]


@cache
def sample_loss() -> Expr:
    """-sum_k y_k log p_k in the logits, the logarithm of exp(z_k)/Z taken apart."""
    terms = Add.make_args(expand(-y[k] * expand_log(log(exp(z[k]) / _Z))))
    sums = (
        constant * Sum(rest, (k, 1, K))
        for constant, rest in (t.as_independent(k, as_Add=False) for t in terms)
    )
    return Add(*sums).subs(_Z, _PARTITION)


def in_probabilities(expression: Expr) -> Expr:
    """exp(z_k) = p_k Z, and labels that sum to one."""
    bare = expression.xreplace({_PARTITION: _Z, Sum(y[k], (k, 1, K)): S.One})
    return simplify(expand(bare.xreplace({exp(z[c]): p[c] * _Z for c in (k, l, m)})))


def _definition() -> Step:
    return Step("definition", L, sample_loss(), "with the logarithm of the softmax taken apart")


def _derivative(*variables: Indexed) -> Expr:
    """The sign for a derivative of the loss, as it prints."""
    return Derivative(L, *variables, evaluate=False)


@cache
def residual() -> Derived:
    """dL/dz_l."""
    slope = along(sample_loss(), z, l)
    value = in_probabilities(slope)
    return Derived(
        value, (_definition(), Step("differentiate", _derivative(z[l]), slope), Step("softmax", slope, value))
    )


@cache
def curvature() -> Derived:
    """A_lm = d2L/dz_l dz_m.  Labels drop out."""
    first = along(sample_loss(), z, l).xreplace({Sum(y[k], (k, 1, K)): S.One})
    second = along(first, z, m)
    value = in_probabilities(second)
    return Derived(
        value,
        (
            _definition(),
            Step("differentiate twice", _derivative(z[l], z[m]), second),
            Step("softmax", second, value),
        ),
    )


@cache
def feature_of() -> Expr:
    """dz_l/dW_li, from one row of the weights."""
    row = IndexedBase("w", real=True)
    return derivative(Sum(row[j] * h[j], (j, 1, d)), row, (i,))


@cache
def gradient() -> Equation:
    """dL/dW_li of one sample."""
    right = residual().value * feature_of()
    steps = (
        *residual().steps,
        Step("chain rule", _derivative(W[l, i]), right, "a logit is linear in its weights"),
    )
    return Equation(
        "readout.gradient", IndexedBase("G")[l, i], right, meaning=MEANING,
        source="derived from softmax and cross-entropy", steps=steps,
    )  # fmt: skip


@cache
def hessian() -> Equation:
    """d2L/dW_li dW_mj of one sample: a Kronecker product of classes and features.

    It holds no label, and is the Gauss-Newton and the Fisher matrix as well, for the logits are linear.
    """
    right = curvature().value * feature_of() * feature_of().subs(i, j)
    note = "logits are linear in the weights: nothing but A_lm times h_i h_j"
    steps = (*curvature().steps, Step("chain rule", _derivative(W[l, i], W[m, j]), right, note))
    return Equation(
        "readout.hessian", IndexedBase("H")[l, i, m, j], right, meaning=MEANING,
        source="derived from softmax and cross-entropy", steps=steps,
    )  # fmt: skip


def along(expression: Expr, base: IndexedBase, index: Symbol) -> Expr:
    """d expression / d base[index], for a function of sums over classes and of single entries."""
    names = {s: Symbol(f"sum{number}", positive=True) for number, s in enumerate(_sums(expression))}
    back = {symbol: s for s, symbol in names.items()}
    outer = expression.xreplace(names)
    own = sorted((e for e in outer.atoms(Indexed) if e.base == base), key=str)
    explicit = (outer.diff(e) * KroneckerDelta(e.indices[0], index) for e in own)
    through = (outer.diff(symbol) * derivative(s, base, (index,)) for s, symbol in names.items())
    return Add(*explicit, *through).xreplace(back)


def _sums(expression: Expr) -> list[Sum]:
    return sorted(expression.atoms(Sum), key=str)
