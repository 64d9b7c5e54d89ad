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

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sympy import Add, Derivative, Expr, Indexed, IndexedBase, S, Symbol

from derive.batch_normalization import expected_over_batch, gradient_noise
from derive.closing import Naming, close_averages, shape
from derive.equation import Equation, Step
from derive.errors import DerivationError
from derive.fields import expectation, i, j, n, overlap
from derive.gaussian.unevaluated import GaussianAverage
from derive.gradient import finite_batch, gradient_amplitude, regular_part, span_gradient
from derive.indexed import derivative
from derive.model import Model
from derive.symbols import K, M, Q, R, T, batch, eta, eta_g, eta_w, g, noise, tau, v, w, x, y

time = Symbol("t", real=True)
SOURCE = "derived from the sample loss"


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
    origin: tuple[Step, ...] = field(default=(), repr=False)
    """How the averages came about: loss, gradient, update."""

    def _defined(self) -> dict[Expr, str]:
        """The preactivation covariances that stand in the rate, in words with formulas."""
        from derive.latex import latex

        bases = {a.base for a in self.rate.atoms(Indexed)}
        return {
            base[indices]: f"${latex(definition)}$"
            for base, (indices, definition) in self.naming.definitions.items()
            if base in bases
        }

    @property
    def steps(self) -> tuple[Step, ...]:
        """The derivation: from the sample loss to inert averages, then each shape of average by its rules."""
        shapes = {shape(a) for a in sorted(self.averages.atoms(GaussianAverage), key=str)}
        closings = (
            Step(", ".join(s.rules), GaussianAverage(s.argument, s.fields, s.covariance), s.expression)
            for s in sorted(shapes, key=lambda s: str(s.argument))
        )
        return (*self.origin, *closings)

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
            meaning={**MEANING, **self._defined()},
            source=SOURCE,
            steps=self.steps,
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
        return close_averages(finite_batch(self.model))

    def _repr_latex_(self) -> str:
        from derive.latex import display

        return display(*self.equations)


MEANING: Mapping[Expr | str, str] = {
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
    population = model.statistics == "population"
    expected = model if population else expected_over_batch(model)
    amplitude, along = gradient_amplitude(expected), span_gradient(expected)

    # J_i . dJ_j: the gradient's overlap with another weight vector.
    student = amplitude(i) * x[j] + along(i, lambda k: overlap(Q, k, j), lambda m: R[j, m])
    mirrored = amplitude(j) * x[i] + along(j, lambda k: overlap(Q, k, i), lambda m: R[i, m])
    teacher = amplitude(i) * y[n] + along(i, lambda k: R[k, n], lambda m: overlap(T, m, n))

    drift = -eta * (expectation(student) + expectation(mirrored))
    noise_of_gradient = expectation(amplitude(i) * amplitude(j)) if population else gradient_noise(model)
    diffusion = eta**2 * tau / batch * noise_of_gradient
    rates: list[tuple[IndexedBase, tuple[Symbol, ...], Expr]] = [
        (Q, (i, j), drift + diffusion),
        (R, (i, n), -eta * expectation(teacher)),
    ]
    whole = expected.loss + expected.penalty
    for base, rate in ((g, eta_g), (w, eta_w)):
        if model.uses(base):
            slope = regular_part(derivative(whole, base, (i,)))
            rates.append((base, (i,), -rate * expectation(slope)))
    naming = Naming()
    gradient = _gradient_steps(expected, amplitude(i))
    state = [
        StateVariable(
            name=str(base.label),
            base=base,
            indices=indices,
            sizes=tuple(M if index == n else K for index in indices),
            symmetric=base == Q,
            averages=averages,
            naming=naming,
            origin=(*gradient, Step("update, averaged", Derivative(base[indices], time), averages)),
        )
        for base, indices, averages in rates
    ]
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


def _gradient_steps(model: Model, amplitude: Expr) -> tuple[Step, ...]:
    epsilon = Symbol("epsilon")
    steps = [
        Step("sample loss", epsilon, model.loss, model.name),
        Step("chain rule", Derivative(epsilon, x[i]), amplitude, "the gradient along the input"),
    ]
    if model.radial and (radial := derivative(model.loss, Q, (i, i))) != 0:
        steps.append(
            Step(
                "chain rule",
                Derivative(epsilon, Q[i, i]),
                radial,
                "half the gradient along the weight vector",
            )
        )
    return tuple(steps)
