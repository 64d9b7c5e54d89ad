"""The gradient of the sample loss with respect to a weight vector, by the chain rule.

d loss / d J_i = A_i xi + 2 (d loss/d Q_ii) J_i + sum_{j != i} (d loss/d Q_ij) J_j
                 + sum_n (d loss/d R_in) B_n,          A_i = d loss / d x_i
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sympy import Add, Derivative, DiracDelta, Dummy, Expr, Indexed, IndexedBase, Mul, S, Sum, Symbol

from derive.errors import DerivationError
from derive.fields import expectation, i, j, overlap
from derive.indexed import derivative, index_symbol
from derive.model import Model
from derive.symbols import K, M, N, Q, R, T, batch, eta, tau, x, y


def gradient_amplitude(model: Model) -> Callable[[Symbol], Expr]:
    """A_i = d loss / d x_i as a function of the index."""
    template = regular_part(derivative(model.loss, x, (i,)))
    if template.has(DiracDelta):
        raise DerivationError(
            f"the loss of {model.name} jumps in a preactivation: it has no gradient to descend"
        )
    for unknown in template.atoms(Derivative):
        raise DerivationError(
            f"the loss of {model.name} holds {type(unknown.expr).__name__}, whose derivative sympy does not know: "
            "it has no gradient to descend"
        )
    return lambda index: template.xreplace({i: index})


def amplitude_slopes(model: Model, base: IndexedBase, unit: Symbol) -> tuple[Expr, Expr]:
    """dA_i/dx_i where A_i holds x_i outside its sums over units, and dA_i/d base[unit] through those sums."""
    amplitude = gradient_amplitude(model)(i)
    sums = {s: Dummy() for s in amplitude.atoms(Sum)}
    outer, back = amplitude.xreplace(sums), {d: s for s, d in sums.items()}
    through = Add(*(outer.diff(d).xreplace(back) * derivative(s, base, (unit,)) for s, d in sums.items()))
    return regular_part(outer.diff(x[i])).xreplace(back), through


def regular_part(expression: Expr) -> Expr:
    """Drop u delta(u) = 0, which differentiating a kink such as u step(u) leaves behind."""

    def vanishes(product: Expr) -> bool:
        deltas = [f for f in product.args if isinstance(f, DiracDelta)]
        bases = {f.as_base_exp()[0] for f in product.args}
        return any(field in bases for d in deltas for field in d.atoms(Indexed) if field.base in (x, y))

    return expression.replace(lambda e: isinstance(e, Mul) and vanishes(e), lambda e: S.Zero)


def span_gradient(model: Model) -> Callable[..., Expr]:
    """The part of the gradient in the span of the weight vectors, dotted with some vector.

    The vector is given by its overlaps: ``onto_student(k)`` with J_k and ``onto_teacher(m)`` with B_m.
    """
    loss = model.penalty + (model.loss if model.radial else S.Zero)
    k, m = index_symbol("k0"), index_symbol("m0")
    own, pair, cross = (
        regular_part(derivative(loss, base, indices))
        for base, indices in ((Q, (i, i)), (Q, (i, k)), (R, (i, m)))
    )

    def along(
        index: Symbol, onto_student: Callable[[Symbol], Expr], onto_teacher: Callable[[Symbol], Expr]
    ) -> Expr:
        at = {i: index}
        total = 2 * own.xreplace(at) * onto_student(index)
        if pair != 0:
            total += Sum(pair.xreplace(at) * onto_student(k), (k, 1, K))
        if cross != 0:
            total += Sum(cross.xreplace(at) * onto_teacher(m), (m, 1, M))
        return total

    return along


@dataclass(frozen=True)
class Component:
    """``weight`` times the vector J or B of an index, summed over ``limits``."""

    weight: Expr
    vector: tuple[str, Symbol]
    limits: tuple[tuple[Symbol, int, Symbol], ...] = ()


def mean_gradient(model: Model, index: Symbol, mark: str) -> list[Component]:
    """The average gradient of the loss along J_index, as components on the weight vectors."""
    k, m = index_symbol(f"k_{mark}"), index_symbol(f"m_{mark}")
    at = {i: index}
    explicit, of_students = (slope.xreplace(at) for slope in amplitude_slopes(model, x, k))
    of_teachers = amplitude_slopes(model, y, m)[1].xreplace(at)
    loss = model.penalty + (model.loss if model.radial else S.Zero)
    own = 2 * derivative(loss, Q, (i, i)).xreplace(at)
    pair = derivative(loss, Q, (i, k)).xreplace(at)
    cross = derivative(loss, R, (i, m)).xreplace(at)
    components = [
        Component(expectation(tau * explicit + own), ("J", index)),
        Component(expectation(tau * of_students + pair), ("J", k), ((k, 1, K),)),
        Component(expectation(tau * of_teachers + cross), ("B", m), ((m, 1, M),)),
    ]
    return [c for c in components if c.weight != 0]


def finite_batch(model: Model) -> Expr:
    """eta^2 (1 - 1/b)/N <gradient_i>.<gradient_j>, the pairs of different samples in a batch.

    Stein's lemma gives the mean gradient in the span of the weight vectors,
    <A_i xi> = tau (sum_k <dA_i/dx_k> J_k + sum_m <dA_i/dy_m> B_m).
    """
    ours, theirs = mean_gradient(model, i, "1"), mean_gradient(model, j, "2")

    def product(a: tuple[str, Symbol], b: tuple[str, Symbol]) -> Expr:
        if a[0] == b[0]:
            return overlap(Q if a[0] == "J" else T, a[1], b[1])
        return R[a[1], b[1]] if a[0] == "J" else R[b[1], a[1]]

    total = Add(
        *(
            Sum(p.weight * q.weight * product(p.vector, q.vector), *p.limits, *q.limits)
            if p.limits or q.limits
            else p.weight * q.weight * product(p.vector, q.vector)
            for p in ours
            for q in theirs
        )
    )
    return eta**2 * (1 - 1 / batch) / N * total
