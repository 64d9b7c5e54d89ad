"""A model of learning: the loss of one sample, from which everything else follows."""

from __future__ import annotations

from dataclasses import dataclass, field

from sympy import Expr, Idx, Indexed, IndexedBase, S, Sum, Symbol, preorder_traversal, sqrt

from derive.activation import Activation, activation
from derive.errors import DerivationError
from derive.symbols import (
    K,
    M,
    Q,
    R,
    T,
    g,
    gain_decay,
    label_noise,
    noise,
    tau,
    v,
    w,
    weight_decay,
    x,
    y,
)

NORMALIZATIONS = ("none", "batch", "batch-without-radial", "weight")
BATCH_STATISTICS = {"batch-statistics": "batch", "batch-statistics-uncentred": "root-mean-square"}
"""Normalizations by the statistics of the batch itself, to first order in 1/b, and the kinds of
``derive.batch_statistics`` that they are."""

unit = Symbol("k", integer=True, positive=True)
teacher_unit = Symbol("m", integer=True, positive=True)


@dataclass(frozen=True)
class Model:
    """A student that learns from a teacher by gradient descent on ``loss``, one fresh batch a step.

    ``loss`` is the loss of one sample: an expression in the fields x[i] and y[n], the overlaps Q[i,j] and
    R[i,n] (through which normalizations enter), gains g[i], second layers w[i] and v[n], and ``noise``.
    ``penalty`` is what is added to it without data: weight and gain decay.
    ``radial`` says whether the gradient through the overlaps is followed (the exact gradient) or dropped.
    ``statistics``: "population", or the kind of batch statistics (``derive.batch_statistics``) that really
    normalize each field by its mean and size; the flow then holds their effect to first order in 1/b.
    ``parameters`` declare further scalars.
    """

    loss: Expr
    penalty: Expr = S.Zero
    radial: bool = True
    name: str = "model"
    statistics: str = "population"
    parameters: frozenset[Symbol] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        known = {K, M, tau, noise, label_noise, weight_decay, gain_decay, *self.parameters}
        bases = {base: base for base in (x, y, Q, R, T, g, w, v)}
        bound = {limit[0] for s in self.loss.atoms(Sum) for limit in s.limits}
        for atom in (self.loss + self.penalty).atoms(Indexed):
            if atom.base not in bases:
                raise DerivationError(
                    f"the loss of {self.name} depends on {atom}, which is not declared; "
                    "arrays are x, y, Q, R, T, g, w, v"
                )
        labels = {base.label for base in bases}
        for symbol in self.loss.free_symbols - known - bound - labels:
            if isinstance(symbol, Symbol) and not isinstance(symbol, Idx | Indexed):
                raise DerivationError(
                    f"the loss of {self.name} depends on {symbol}, which is not declared; "
                    "pass it in parameters"
                )

    def uses(self, base: IndexedBase) -> bool:
        return any(a.base == base for a in preorder_traversal(self.loss) if isinstance(a, Indexed))


def student_sum(summand: Expr) -> Expr:
    """The sum over the student's hidden units of a summand in x[unit], g[unit], w[unit], Q[unit, unit]."""
    return Sum(summand, (unit, 1, K))


def teacher_sum(summand: Expr) -> Expr:
    """The sum over the teacher's hidden units of a summand in y[teacher_unit], v[teacher_unit]."""
    return Sum(summand, (teacher_unit, 1, M))


def committee(
    phi: str | Activation = "erf",
    normalization: str = "none",
    teacher_phi: str | Activation | None = None,
) -> Model:
    """The soft committee machine with trainable second layer, under one of the normalizations.

    The preactivation of unit i is x_i without normalization; g_i x_i / sqrt(tau Q_ii) under batch
    normalization with population statistics (followed exactly, or with the gradient along J_i dropped as in
    takagi2020 (2)); and g_i x_i / sqrt(Q_ii) under weight normalization.

    Raises DerivationError for an unknown normalization or an activation without a gradient.
    """
    known = (*NORMALIZATIONS, *BATCH_STATISTICS)
    if normalization not in known:
        raise DerivationError(f"unknown normalization {normalization!r}; known: {', '.join(known)}")
    student, teacher = activation(phi), activation(phi if teacher_phi is None else teacher_phi)
    if not student.has_gradient:
        raise DerivationError(
            f"the activation {student.name!r} has no gradient to descend; "
            "its averages exist, its learning does not"
        )
    i, n = unit, teacher_unit
    preactivation = {"none": x[i], "weight": g[i] * x[i] / sqrt(Q[i, i])}.get(
        normalization, g[i] * x[i] / sqrt(tau * Q[i, i])
    )
    target = teacher_sum(v[n] * teacher(y[n])) + noise
    output = student_sum(w[i] * student(preactivation))
    penalty = weight_decay / 2 * student_sum(Q[i, i])
    if normalization != "none":
        penalty += gain_decay / 2 * student_sum(g[i] ** 2)
    return Model(
        loss=(target - output) ** 2 / 2,
        penalty=penalty,
        radial=normalization != "batch-without-radial",
        name=f"{student.name} committee, {normalization} normalization",
        statistics=BATCH_STATISTICS.get(normalization, "population"),
        parameters=frozenset({Symbol("a", real=True)})
        if student.expression.has(Symbol("a", real=True))
        else frozenset(),
    )
