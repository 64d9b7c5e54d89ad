"""The letters of the last layer, and sums over its classes."""

from __future__ import annotations

from sympy import Add, Expr, IndexedBase, KroneckerDelta, Mul, S, Sum, Symbol, expand

from derive.indexed import index_symbol
from derive.symbols import K

d = Symbol("d", integer=True, positive=True)
"""The number of features, the bias's included."""

r = Symbol("r", integer=True, positive=True)
"""The rank of the features: how many of them are linearly independent over the samples."""

n = Symbol("n", integer=True, positive=True)
"""The number of samples."""

z, y, p, a = (IndexedBase(name, real=True) for name in "zypa")
"""Logits, labels (1 for the right class, else 0), predicted probabilities, and any numbers, a class each."""

W = IndexedBase("W", real=True)
h = IndexedBase("h", real=True)

k, l, m = (index_symbol(name) for name in "klm")
"""Classes."""

i, j = (index_symbol(name) for name in "ij")
"""Features."""

NORMALIZED = (p, y)
"""What sums to one over the classes."""


def over_classes(expression: Expr, index: Symbol) -> Expr:
    """The sum of a polynomial over the classes: a Kronecker delta picks its term, p and y sum to one."""
    total: Expr = S.Zero
    for term in Add.make_args(expand(expression)):
        deltas = [f for f in Mul.make_args(term) if isinstance(f, KroneckerDelta) and f.has(index)]
        if deltas:
            (other,) = set(deltas[0].args) - {index}
            total += (term / deltas[0]).subs(index, other)
            continue
        outside, inside = term.as_independent(index, as_Add=False)
        total += outside * (S.One if inside in [base[index] for base in NORMALIZED] else _sum(inside, index))
    return expand(total)


def _sum(inside: Expr, index: Symbol) -> Expr:
    """Sums are named by one index, so that equal ones are equal expressions."""
    return K if inside == 1 else Sum(inside.subs(index, k), (k, 1, K))
