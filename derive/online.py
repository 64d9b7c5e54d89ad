"""Online learning: from the loss of one sample to the closed ODEs of the order parameters.

With weights J_i, teacher B_n and inputs xi of variance tau, the chain rule gives the gradient of the sample
loss for every normalization at once,

    d loss / d J_i = A_i xi + 2 (d loss/d Q_ii) J_i + sum_{j != i} (d loss/d Q_ij) J_j
                     + sum_n (d loss/d R_in) B_n,

with A_i = d loss / d x_i.  One step J_i -= (eta/N) (mean gradient over a batch of b samples), multiplied out
with xi.xi / N -> tau and averaged over the fields, gives the flow of Q, R, g, w per unit of time steps / N
(Saad and Solla, Phys. Rev. E 52, 4225; Biehl and Schwarze, J. Phys. A 28, 643).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

from sympy import (
    Add,
    Derivative,
    DiracDelta,
    Dummy,
    Expr,
    Function,
    Indexed,
    IndexedBase,
    Mul,
    Poly,
    S,
    Sum,
    Symbol,
    factorial2,
)

from derive.equation import Equation
from derive.errors import DerivationError
from derive.gaussian.average import Average, average, generic_covariance
from derive.gaussian.unevaluated import GaussianAverage
from derive.indexed import Summand, derivative, index_symbol, summands, tidy
from derive.model import Model
from derive.symbols import (
    K,
    M,
    N,
    Q,
    R,
    T,
    batch,
    eta,
    eta_g,
    eta_w,
    g,
    label_noise,
    noise,
    tau,
    v,
    w,
    x,
    y,
)

time = Symbol("t", real=True)
i, j = index_symbol("i"), index_symbol("j")
n = index_symbol("n")
SOURCE = "derived from the sample loss"


class Naming:
    """Names for the covariances of normalized preactivations, as papers write Q' and R'.

    Q'[i, j] is the covariance of two preactivations of the student, R'[i, n] of one with the teacher's.
    """

    def __init__(self) -> None:
        self.definitions: dict[IndexedBase, tuple[tuple[Symbol, ...], Expr]] = {}

    def __call__(self, covariance: Expr) -> Expr:
        """The named form of a covariance, itself where it is an overlap already or has one index."""
        atoms = covariance.atoms(Indexed)
        crossed = sorted((a for a in atoms if len(set(a.indices)) == 2), key=str)
        if len(crossed) != 1 or not atoms - set(crossed):
            return covariance
        (pair,) = crossed
        name, own = {Q: ("Q'", (i, j)), R: ("R'", (i, n))}.get(pair.base, (None, ()))
        if name is None:
            return covariance
        base = IndexedBase(name, real=True)
        definition = covariance.xreplace(dict(zip(pair.indices, own, strict=True)))
        if self.definitions.setdefault(base, (own, definition))[1] != definition:
            return covariance
        return base[pair.indices]


@dataclass(frozen=True)
class StateVariable:
    """One family of order parameters and its rate of change."""

    name: str
    base: IndexedBase
    indices: tuple[Symbol, ...]
    sizes: tuple[Symbol, ...]
    symmetric: bool
    averages: Expr
    """The rate with its Gaussian averages left as they stand."""
    naming: Naming = field(repr=False)

    @cached_property
    def rate(self) -> Expr:
        """The rate in closed form, as far as the rules reach, in the flow's ``definitions``."""
        return close_averages(self.averages, self.naming)

    @cached_property
    def explicit_rate(self) -> Expr:
        """The rate in closed form in the order parameters alone."""
        return close_averages(self.averages)

    @property
    def equation(self) -> Equation:
        return Equation(
            name=f"d{self.name}/dt",
            left=Derivative(self.base[self.indices], time),
            right=self.rate,
            meaning=MEANING,
            source=SOURCE,
        )


@dataclass(frozen=True)
class Flow:
    """The closed order-parameter dynamics of a model, per unit of time steps / N.

    ``state`` holds the families Q, R and, where the model has them, g and w.  ``drift`` and ``diffusion``
    are the parts of dQ/dt of first and second order in the learning rate; ``finite_batch`` is the correction
    of relative size b/N from pairs of different samples, not part of the flow at N = infinity.
    """

    model: Model
    state: tuple[StateVariable, ...]
    constants: tuple[IndexedBase, ...]
    parameters: tuple[Symbol, ...]
    error_averages: Expr
    naming: Naming = field(repr=False)
    drift: Expr = field(repr=False)
    diffusion: Expr = field(repr=False)
    sizes: tuple[Symbol, ...] = (K, M)

    def __getitem__(self, name: str) -> StateVariable:
        for variable in self.state:
            if variable.name == name:
                return variable
        raise DerivationError(f"the flow has no {name!r}; it has {', '.join(s.name for s in self.state)}")

    @property
    def equations(self) -> tuple[Equation, ...]:
        return tuple(variable.equation for variable in self.state)

    @cached_property
    def generalization_error(self) -> Expr:
        """The average loss of a fresh sample without label noise and penalties."""
        return close_averages(self.error_averages, self.naming)

    @property
    def observables(self) -> dict[str, Expr]:
        return {"generalization_error": self.generalization_error}

    @property
    def definitions(self) -> dict[IndexedBase, tuple[tuple[Symbol, ...], Expr]]:
        """What Q' and R' in the rates stand for: their indices and their expression in the state."""
        for variable in self.state:
            _ = variable.rate
        _ = self.generalization_error
        return self.naming.definitions

    @cached_property
    def finite_batch(self) -> Expr:
        """d Q_ij / dt from the pairs u != v of one batch, eta^2 (1 - 1/b)/N <gradient_i>.<gradient_j>."""
        return close_averages(_finite_batch(self.model))

    def _repr_latex_(self) -> str:
        from derive.latex import latex

        lines = (rf"{latex(e.left)} &= {latex(e.right)}" for e in self.equations)
        return r"$$\begin{aligned}" + r"\\".join(lines) + r"\end{aligned}$$"


MEANING: Mapping[str, str] = {
    "Q": "overlaps of the student's weight vectors, Q_ij = J_i.J_j",
    "R": "overlaps with the teacher's, R_in = J_i.B_n",
    "T": "overlaps of the teacher's weight vectors",
    "g": "gains of the normalization",
    "w": "the student's second layer",
    "v": "the teacher's second layer",
    "tau": "variance of an input component",
    "eta": "learning rate",
    "b": "samples in a batch",
    "t": "steps / N",
}


def derive_flow(model: Model) -> Flow:
    """Derive the closed flow of Q, R, g and w for a model.

    Raises DerivationError when the loss has no gradient (a jump in the activation) or is not polynomial in
    its sums over units.
    """
    amplitude = gradient_amplitude(model)
    along = _overlap_gradient(model)

    # J_i . dJ_j: the gradient's overlap with another weight vector.
    student = amplitude(i) * x[j] + along(i, lambda k: overlap(Q, k, j), lambda m: R[j, m])
    mirrored = amplitude(j) * x[i] + along(j, lambda k: overlap(Q, k, i), lambda m: R[i, m])
    teacher = amplitude(i) * y[n] + along(i, lambda k: R[k, n], lambda m: overlap(T, m, n))

    drift = -eta * (expectation(student) + expectation(mirrored))
    diffusion = eta**2 * tau / batch * expectation(amplitude(i) * amplitude(j))
    naming = Naming()
    state = [
        StateVariable("Q", Q, (i, j), (K, K), True, drift + diffusion, naming),
        StateVariable("R", R, (i, n), (K, M), False, -eta * expectation(teacher), naming),
    ]
    whole = model.loss + model.penalty
    if model.uses(g):
        rate = -eta_g * expectation(regular_part(derivative(whole, g, (i,))))
        state.append(StateVariable("g", g, (i,), (K,), False, rate, naming))
    if model.uses(w):
        rate = -eta_w * expectation(derivative(whole, w, (i,)))
        state.append(StateVariable("w", w, (i,), (K,), False, rate, naming))
    error = expectation(model.loss.xreplace({noise: S.Zero}))
    used = Add(*(s.averages for s in state)) + error
    bases = {a.base for a in used.atoms(Indexed)}
    moving = {s.base for s in state}
    constants = tuple(base for base in (T, v) if base in bases and base not in moving)
    parameters = tuple(
        s
        for s in sorted(used.free_symbols, key=str)
        if isinstance(s, Symbol) and not s.is_integer and s not in {b.label for b in (Q, R, T, g, w, v)}
    )
    return Flow(model, tuple(state), constants, parameters, error, naming, drift, diffusion)


def gradient_amplitude(model: Model) -> Callable[[Symbol], Expr]:
    """A_i = d loss / d x_i as a function of the index."""
    template = regular_part(derivative(model.loss, x, (i,)))
    if template.has(DiracDelta):
        raise DerivationError(
            f"the loss of {model.name} jumps in a preactivation: it has no gradient to descend"
        )
    return lambda index: template.xreplace({i: index})


def regular_part(expression: Expr) -> Expr:
    """Drop u delta(u) = 0, which differentiating a kink such as u step(u) leaves behind."""

    def vanishes(product: Expr) -> bool:
        deltas = [f for f in product.args if isinstance(f, DiracDelta)]
        return any(
            field in product.args for d in deltas for field in d.atoms(Indexed) if field.base in (x, y)
        )

    return expression.replace(lambda e: isinstance(e, Mul) and vanishes(e), lambda e: S.Zero)


def _overlap_gradient(model: Model) -> Callable[..., Expr]:
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


def expectation(expression: Expr) -> Expr:
    """Average over fields and label noise, unit by unit: sums of coefficients times Gaussian averages."""
    return Add(*(_expected(s) for s in summands(expression)))


def _expected(s: Summand) -> Expr:
    s = tidy(s, taken=(i, j, n))
    body = s.body
    if body.has(noise):
        moments = Poly(body, noise)
        body = Add(*(c * label_noise**k * factorial2(k - 1) for (k,), c in moments.terms() if k % 2 == 0))
    return Summand(s.limits, average_of_fields(body)).total() if body != 0 else S.Zero


def average_of_fields(product: Expr) -> Expr:
    """<product> over the fields x[i], y[n] in it, as coefficient times one inert average."""
    atoms = sorted((a for a in product.atoms(Indexed) if a.base in (x, y)), key=str)
    if not atoms:
        return product
    coefficient, inside = product.as_independent(*atoms, as_Add=False)
    fields: dict[Symbol, tuple[Indexed, Expr]] = {}  # field symbol -> (base field, scale)
    for atom in atoms:
        scale = _preactivation_scale(inside, atom)
        plain = Symbol(f"{atom.base.label}_{atom.indices[0]}", real=True)
        hidden = plain if scale == 1 else Symbol(f"h_{atom.indices[0]}", real=True)
        factors = []
        for factor in Mul.make_args(inside):
            monomial = factor.as_base_exp()[0] == atom
            symbol, size = (plain, S.One) if monomial else (hidden, scale)
            if factor.has(atom):
                fields[symbol] = (atom, size)
                factor = factor.xreplace({atom: symbol / size})
            factors.append(factor)
        inside = Mul(*factors)
    constant, inside = inside.as_independent(*fields, as_Add=False)
    symbols = sorted(fields, key=str)
    covariance = [
        [fields[a][1] * fields[b][1] * field_covariance(fields[a][0], fields[b][0]) for b in symbols]
        for a in symbols
    ]
    return coefficient * constant * GaussianAverage(inside, symbols, covariance)


def _preactivation_scale(expression: Expr, atom: Indexed) -> Expr:
    """The common symbolic factor of a field inside the functions of an expression, 1 if there is none."""
    scales = set()
    for function in expression.atoms(Function):
        if function.has(atom) and not function.args[0].has(Function):
            polynomial = Poly(function.args[0], atom)
            degree = polynomial.degree()
            leading = polynomial.coeff_monomial(atom**degree).as_coeff_Mul()[1]
            pieces = (factor.as_base_exp() for factor in Mul.make_args(leading))
            scales.add(Mul(*(base ** (power / degree) for base, power in pieces if not base.is_number)))
    return scales.pop() if len(scales) == 1 else S.One


def field_covariance(a: Indexed, b: Indexed) -> Expr:
    """<x_i x_j> = tau Q_ij, <x_i y_n> = tau R_in, <y_n y_m> = tau T_nm."""
    (p,), (q,) = a.indices, b.indices
    if a.base == b.base:
        return tau * overlap(Q if a.base == x else T, p, q)
    return tau * (R[p, q] if a.base == x else R[q, p])


def overlap(base: IndexedBase, p: Symbol, q: Symbol) -> Expr:
    """An entry of a symmetric overlap matrix, free indices first, so that equal entries are one symbol."""
    return base[tuple(sorted((p, q), key=lambda index: (index not in (i, j, n), str(index))))]


def close_averages(expression: Expr, naming: Callable[[Expr], Expr] = lambda covariance: covariance) -> Expr:
    """Replace every inert average by its closed form, where the rules reach."""
    return expression.xreplace({a: closed_form(a, naming) for a in expression.atoms(GaussianAverage)})


def closed_form(inert: GaussianAverage, naming: Callable[[Expr], Expr]) -> Expr:
    """The closed form of an inert average, derived once per shape and then specialized."""
    names = [Symbol(f"u{k}", real=True) for k in range(len(inert.fields))]
    template = _template(inert.expression.xreplace(dict(zip(inert.fields, names, strict=True))), tuple(names))
    generic = generic_covariance(names)
    values = {
        generic[a, b]: naming(inert.covariance[p, q])
        for p, a in enumerate(names)
        for q, b in enumerate(names)
    }
    return template.expression.xreplace(values)


@cache
def _template(expression: Expr, names: tuple[Symbol, ...]) -> Average:
    return average(expression, generic_covariance(names))


def _finite_batch(model: Model) -> Expr:
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


@dataclass(frozen=True)
class Component:
    """``weight`` times the vector J or B of an index, summed over ``limits``."""

    weight: Expr
    vector: tuple[str, Symbol]
    limits: tuple[tuple[Symbol, int, Symbol], ...] = ()


def mean_gradient(model: Model, index: Symbol, mark: str) -> list[Component]:
    """The average gradient of the loss along J_index, as components on the weight vectors."""
    amplitude = gradient_amplitude(model)(index)
    k, m = index_symbol(f"k_{mark}"), index_symbol(f"m_{mark}")
    sums = {s: Dummy() for s in amplitude.atoms(Sum)}
    outer, back = amplitude.xreplace(sums), {d: s for s, d in sums.items()}
    explicit = outer.diff(x[index]).xreplace(back)

    def through_sums(base: IndexedBase, unit: Symbol) -> Expr:
        return Add(*(outer.diff(d).xreplace(back) * derivative(s, base, (unit,)) for s, d in sums.items()))

    loss = model.penalty + (model.loss if model.radial else S.Zero)
    at = {i: index}
    own = 2 * derivative(loss, Q, (i, i)).xreplace(at)
    pair = derivative(loss, Q, (i, k)).xreplace(at)
    cross = derivative(loss, R, (i, m)).xreplace(at)
    components = [
        Component(expectation(tau * explicit + own), ("J", index)),
        Component(expectation(tau * through_sums(x, k) + pair), ("J", k), ((k, 1, K),)),
        Component(expectation(tau * through_sums(y, m) + cross), ("B", m), ((m, 1, M),)),
    ]
    return [c for c in components if c.weight != 0]
