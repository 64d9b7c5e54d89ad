"""Equations (1) to (9): the model, its order parameters, the Fisher information and the Hessian."""

from __future__ import annotations

import random
from functools import cache

from sympy import Expr, Function, IndexedBase, Matrix, Rational, S, Sum, Symbol, diff

from derive.activation import u
from derive.equation import Equation, LedgerEntry, Verdict
from derive.ledger import compare, judge, judge_equation
from derive.papers.karakida2019.setting import (
    GENERIC,
    PAPER,
    D_phi,
    I_phi,
    claim,
    definition,
    entry,
    points,
    settled,
    slope,
)
from derive.wide.propagation import c, propagation, q
from derive.wide.signals import backward_step, forward_step
from derive.wide.symbols import bias_variance, hat_st, hat_t, l, q_st, q_t, tilde_st, tilde_t, weight_variance

overlap = Symbol("overlap", real=True)


@entry
def eq1() -> LedgerEntry:
    i, j = Symbol("i", integer=True), Symbol("j", integer=True)
    W, h, b = IndexedBase("W"), IndexedBase("h"), IndexedBase("b")
    right = Sum(W[i, j] * h[j], (j, 1, Symbol("M_{l-1}", integer=True))) + b[i]
    return definition("eq1", "preactivations and activations of a layer", Function("u")(i), right, "karakida2019 (1)")


@entry
def eq2() -> LedgerEntry:
    left, right = Symbol("Var(W)"), weight_variance / Symbol("M_{l-1}")
    return definition("eq2", "the law of weights and biases", left, right, "karakida2019 (2)")


@entry
def eq3() -> LedgerEntry:
    return definition("eq3", "inputs are standard normal", Symbol("Var(x)"), S.One, "karakida2019 (3)")


class Small:
    """A network of explicit parameters, widths 2, 2, 2, 2: what the chain rule is checked on."""

    def __init__(self) -> None:
        self.W = [Matrix(2, 2, lambda i, j, n=n: Symbol(f"W{n}_{i}{j}")) for n in (1, 2, 3)]
        self.b = [Matrix(2, 1, lambda i, _, n=n: Symbol(f"b{n}_{i}")) for n in (1, 2, 3)]
        self.parameters = [x for block in (*self.W, *self.b) for x in block]
        draw = random.Random(5)
        self.point = {x: Rational(draw.randint(-9, 9), 7) for x in self.parameters}
        self.inputs = [Matrix([Rational(draw.randint(-9, 9), 5) for _ in range(2)]) for _ in range(3)]
        self.labels = [Matrix([Rational(draw.randint(-9, 9), 5) for _ in range(2)]) for _ in range(3)]

    def fields(self, x: Matrix) -> list[Matrix]:
        """u^1, u^2, u^3 = f."""
        found, h = [], x
        for W, b in zip(self.W, self.b, strict=True):
            found.append(W * h + b)
            h = found[-1].applyfunc(GENERIC)
        return found

    @cache  # noqa: B019
    def jacobian(self, sample: int) -> Matrix:
        """df_k/dtheta by differentiation, in symbols."""
        return self.fields(self.inputs[sample])[-1].jacobian(self.parameters)

    def at(self, expression: Matrix) -> Matrix:
        return expression.subs(self.point)


@cache
def small() -> Small:
    return Small()


@entry
def eq4() -> LedgerEntry:
    """Backpropagation against plain differentiation of an explicit network, exactly, at a rational point."""
    net = small()
    fields = [net.at(f) for f in net.fields(net.inputs[0])]
    W = [net.at(w) for w in net.W]
    steep = [f.applyfunc(lambda x: slope(GENERIC).subs(u, x)) for f in fields]
    deltas = [Matrix.eye(2)]
    for n in (1, 0):
        deltas.insert(0, deltas[0] * W[n + 1] * Matrix.diag(*steep[n]))
    h = [net.inputs[0], *(f.applyfunc(GENERIC) for f in fields[:-1])]
    printed = [deltas[n][0, i] * h[n][j] for n in range(3) for i in range(2) for j in range(2)]
    exact = net.at(net.jacobian(0))[0, : len(printed)]
    return claim(
        "eq4", "The gradient df_k/dW_ij = delta_i h_j, delta_i = phi'(u_i) sum_j delta_j W_ji",
        settled(list(exact) == printed, "equals direct differentiation", "differs from direct differentiation",
                method="12 weights of a network 2-2-2-2, exact rationals"),
    )  # fmt: skip


def _hidden_only(name: str, statement: str, left: Expr, printed: Expr, derived: Equation, readout: Expr) -> LedgerEntry:
    """A printed recursion that holds in hidden layers; the printed range includes the linear readout."""
    inside = judge(printed, derived.right, points=points())
    last = compare(printed, readout, points=points())
    if inside.kind == "confirmed" and not last.equal:
        verdict = Verdict(
            "conditional",
            "holds for hidden layers; the printed range l + 1 = L includes the linear readout, where "
            "qhat^L = q^L instead",
            corrected=derived.right, counterexample=last.counterexample, evidence=inside.evidence,
        )  # fmt: skip
    else:
        verdict = inside
    as_printed = Equation(f"{PAPER}.{name} as printed", left, printed, source=f"karakida2019 ({name[2]})")
    return LedgerEntry(f"{PAPER}.{name}", PAPER, statement, verdict, as_printed, derived)


def _derived(name: str, left: Expr, right: Expr) -> Equation:
    return Equation(f"{PAPER}.{name}", left, right, source="derived from the definition of a layer")


@entry
def eq5() -> LedgerEntry:
    """The overlap of two samples; the mean square is the same at c = q."""
    rule = propagation(GENERIC)
    return _hidden_only(
        "eq5", "overlaps of activations are Gaussian integrals", hat_st[l + 1], I_phi(GENERIC.expression, q, c),
        _derived("eq5", hat_st[l + 1], rule.overlap.expression), c,
    )  # fmt: skip


@entry
def eq5_power() -> LedgerEntry:
    rule = propagation(GENERIC)
    return _hidden_only(
        "eq5-power", "mean squares of activations are Gaussian integrals", hat_t[l + 1],
        D_phi(GENERIC.expression, q), _derived("eq5-power", hat_t[l + 1], rule.power.expression), q,
    )  # fmt: skip


@entry
def eq6() -> LedgerEntry:
    printed = weight_variance * overlap + bias_variance
    step = forward_step()
    derived = Equation("q_st", q_st[l + 1], step.expression, source="independent weights and biases", steps=step.steps)
    return judge_equation(
        f"{PAPER}.eq6", "variances and covariances of preactivations", q_t[l + 1], printed, derived,
        source="karakida2019 (6)", points=points(),
    )  # fmt: skip


@entry
def eq7() -> LedgerEntry:
    """Right where it means something: l = 1 .. L-1; at the printed l = 0 there is no preactivation u^0."""
    rule, steep, back = propagation(GENERIC), slope(GENERIC), backward_step().expression
    judged = [
        judge(weight_variance * overlap * integral, back * average.expression, points=points())
        for integral, average in (
            (D_phi(steep, q), rule.slope_power), (I_phi(steep, q, c), rule.slope_overlap),
        )
    ]  # fmt: skip
    printed = weight_variance * tilde_st[l + 1] * I_phi(steep, q, c)
    derived = _derived("eq7", tilde_st[l], (back * rule.slope_overlap.expression).xreplace({overlap: tilde_st[l + 1]}))
    holds = all(v.kind == "confirmed" for v in judged)
    layers = range(5)
    undefined = set(layers) - {below + 1 for below in layers}  # (6) defines q^(l+1) for l = 0 .. L-1
    verdict = Verdict(
        ("conditional" if undefined else "confirmed") if holds else "refuted",
        "holds for l = 1 .. L-1; the printed range starts at l = 0, where q^0 is not defined: inputs have no "
        "preactivation" if holds else "differs from the derived recursion",
        corrected=derived.right, evidence=judged[1].evidence,
    )  # fmt: skip
    as_printed = Equation(f"{PAPER}.eq7 as printed", tilde_t[l], printed, source="karakida2019 (7)")
    return LedgerEntry(f"{PAPER}.eq7", PAPER, "the recursion of backward overlaps", verdict, as_printed, derived)


@entry
def eq8() -> LedgerEntry:
    k, t = Symbol("k", integer=True), Symbol("t", integer=True)
    g = Function("grad f")
    right = Sum(g(k, t) * g(k, t), (k, 1, Symbol("C")), (t, 1, Symbol("T"))) / Symbol("T")
    return definition("eq8", "the Fisher information matrix", Symbol("F"), right, "karakida2019 (8)")


@cache
def _hessian_parts() -> tuple[Matrix, Matrix, Matrix]:
    """H, F, and (1/T) sum (y - f) d^2 f, exactly, for three weights of the small network."""
    net = small()
    chosen = [net.parameters[k] for k in (0, 5, 9)]
    loss, fisher, rest = S.Zero, Matrix.zeros(3, 3), Matrix.zeros(3, 3)
    for x, y in zip(net.inputs, net.labels, strict=True):
        f = net.fields(x)[-1].subs({p: v for p, v in net.point.items() if p not in chosen})
        f = f.applyfunc(lambda e: e.expand())
        loss += sum((y[k] - f[k]) ** 2 for k in range(2)) / 6
        for k in range(2):
            gradient = Matrix([diff(f[k], p) for p in chosen])
            fisher += net.at(gradient * gradient.T) / 3
            second = Matrix(3, 3, lambda a, b, k=k, f=f: diff(f[k], chosen[a], chosen[b]))
            rest += net.at((y[k] - f[k]) * second) / 3
    hessian = net.at(Matrix(3, 3, lambda a, b: diff(loss, chosen[a], chosen[b])))
    return hessian, fisher, rest


@entry
def eq9() -> LedgerEntry:
    hessian, fisher, rest = _hessian_parts()
    return claim(
        "eq9", "the Hessian of the squared loss is F minus residuals times second derivatives",
        settled(hessian == fisher - rest, "an identity of the squared loss", "not an identity",
                method="3 parameters of a network 2-2-2-2, 3 samples, 2 outputs, exact rationals"),
    )  # fmt: skip


@entry
def claim_hessian_is_fisher() -> LedgerEntry:
    """At zero residuals (y = f) the second term of (9) is gone."""
    hessian, fisher, rest = _hessian_parts()
    holds = hessian + rest == fisher and rest != Matrix.zeros(3, 3)
    return claim(
        "claim-hessian-is-fisher", "where the training error is zero the Hessian is the Fisher information",
        settled(holds, "the rest of (9) is linear in the residuals", "the rest of (9) does not vanish"),
    )  # fmt: skip
