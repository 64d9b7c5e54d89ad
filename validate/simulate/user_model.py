"""A user's model: a sample loss as an expression, differentiated by the chain rule.

With A_i = dloss/dx_i, the gradient with respect to the weights of student i is

    A_i xi + 2 (dloss/dQ_ii) J_i + sum_{j != i} (dloss/dQ_ij) J_j + sum_n (dloss/dR_in) B_n.

An attribute ``radial`` that is False drops the terms through Q and R; an attribute ``penalty`` is added
without data, and its gradient is followed always. Weight and gain decay act through a penalty only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from numerics.runtime.errors import InputError
from validate.simulate.arrays import Array, semidefinite_cholesky
from validate.simulate.committee import Gradient, Sample
from validate.simulate.expressions import derivative, lambdify_on, symbol, written_out
from validate.simulate.setup import Setup

TEST_FIELDS = 1 << 14
"""Points at which the fields of the test error are taken: a scrambled Sobol sequence, the same for all
replicas and times. On committee machines with K + M = 5 the error was below 3e-4."""


class UserModel:
    """Gradient and test error of a loss written by a user."""

    def __init__(self, setup: Setup, xp: Any) -> None:
        self.setup, self.xp = setup, xp
        sizes = {"K": setup.students, "M": setup.teachers}
        loss = written_out(getattr(setup.model, "loss", setup.model), sizes)
        penalty = written_out(getattr(setup.model, "penalty", 0), sizes)
        self._check_decay(penalty)
        followed = penalty + loss if getattr(setup.model, "radial", True) else penalty
        K, M = setup.students, setup.teachers
        units, teachers = range(1, K + 1), range(1, M + 1)
        self.arguments = [symbol(name) for name in ("tau", "noise", "lambda", "zeta", "sigma_0")]
        self.arguments += [symbol("x", i) for i in units] + [symbol("y", n) for n in teachers]
        self.arguments += [symbol("g", i) for i in units] + [symbol("w", i) for i in units]
        self.arguments += [symbol("v", n) for n in teachers]
        self.arguments += [symbol("Q", i, j) for i in units for j in units if i <= j]
        self.arguments += [symbol("R", i, n) for i in units for n in teachers]
        self.arguments += [symbol("T", n, m) for n in teachers for m in teachers if n <= m]
        free = (loss + penalty).free_symbols
        names = {atom.name.split("_")[0] for atom in free}
        self.has_gain = "g" in names
        self.needs_norms, self.needs_overlaps = False, bool(names & {"Q", "R"})
        slots: dict[tuple[Any, ...], sympy.Expr] = {}
        for i in units:
            slots["inputs", i - 1] = derivative(loss, symbol("x", i))
            slots["g", i - 1] = derivative(loss + penalty, symbol("g", i))
            slots["w", i - 1] = derivative(loss + penalty, symbol("w", i))
            for j in units:
                factor = 2 if i == j else 1
                slots["students", i - 1, j - 1] = factor * derivative(
                    followed, symbol("Q", min(i, j), max(i, j))
                )
            for n in teachers:
                slots["teachers", i - 1, n - 1] = derivative(followed, symbol("R", i, n))
        self.slots = {place: expression for place, expression in slots.items() if expression != 0}
        self.derivatives = lambdify_on(self.arguments, list(self.slots.values()), xp)
        self.loss = loss

    def _check_decay(self, penalty: sympy.Expr) -> None:
        for name, letter in (("weight_decay", "lambda"), ("gain_decay", "zeta")):
            if getattr(self.setup, name) and symbol(letter) not in penalty.free_symbols:
                raise InputError(f"{name} needs a penalty in the model that holds the symbol {letter}")

    def gradient(self, sample: Sample) -> Gradient:
        """The gradient of the loss averaged over the batch, and of the penalty."""
        xp, K, M = self.xp, self.setup.students, self.setup.teachers
        (S, b), dtype = sample.noise.shape, sample.noise.dtype
        gradient = Gradient(xp.zeros((S, b, K), dtype))
        if self.needs_overlaps:
            gradient.students, gradient.teachers = xp.zeros((S, K, K), dtype), xp.zeros((S, K, M), dtype)
        gradient.g = xp.zeros((S, K), dtype) if self.has_gain else None
        gradient.w = xp.zeros((S, K), dtype)
        T = xp.broadcast_to(xp.asarray(self.setup.T, dtype), (S, M, M))
        values = self.derivatives(*self._values(sample, T))
        for (name, *place), value in zip(self.slots, values, strict=True):
            of_samples = xp.broadcast_to(xp.asarray(value, dtype), (S, b))
            getattr(gradient, name)[(..., *place)] = (
                of_samples if name == "inputs" else of_samples.mean(axis=1)
            )
        return gradient

    def generalization_error(
        self, Q: np.ndarray, R: np.ndarray, T: np.ndarray, g: np.ndarray, w: np.ndarray, shift: np.ndarray
    ) -> np.ndarray:
        """The loss without label noise, averaged over Gaussian fields at these overlaps (S, P, ...)."""
        K, tau = self.setup.students, self.setup.input_variance
        points = _sobol_normals(K + self.setup.teachers)
        loss = lambdify_on(self.arguments, self.loss, np)
        errors = np.empty(Q.shape[:2])
        for s, p in np.ndindex(*errors.shape):
            place = slice(s, s + 1), p
            teachers = T[s : s + 1, 0]
            joint = np.block([[Q[place], R[place]], [R[place].swapaxes(1, 2), teachers]])
            fields = points @ semidefinite_cholesky(tau * joint, np).swapaxes(1, 2)
            sample = Sample(
                fields[:, :, :K],
                fields[:, :, K:],
                np.zeros((1, TEST_FIELDS)),
                g[place],
                w[place],
                shift[place],
                Q=Q[place],
                R=R[place],
            )
            value = loss(*self._values(sample, teachers))
            errors[s, p] = np.broadcast_to(value, (1, TEST_FIELDS)).mean()
        return errors

    def _values(self, sample: Sample, T: Array) -> list[Any]:
        """One value an argument, each (S, b) or (S, 1) or a number."""
        setup = self.setup
        K, M = range(setup.students), range(setup.teachers)
        values = [
            setup.input_variance, sample.noise, setup.weight_decay, setup.gain_decay, setup.label_noise,
        ]  # fmt: skip
        values += [sample.x[:, :, i] for i in K] + [sample.y[:, :, n] for n in M]
        values += [sample.g[:, i, None] for i in K] + [sample.w[:, i, None] for i in K]
        values += [float(v) for v in setup.v]
        if sample.Q is None or sample.R is None:
            values += [0.0] * (len(K) * (len(K) + 1) // 2 + len(K) * len(M))
        else:
            values += [sample.Q[:, i, j, None] for i in K for j in K if i <= j]
            values += [sample.R[:, i, n, None] for i in K for n in M]
        return values + [T[:, n, m, None] for n in M for m in M if n <= m]


def _sobol_normals(dimensions: int) -> np.ndarray:
    """Standard normal points (TEST_FIELDS, dimensions) of a scrambled Sobol sequence with a fixed seed."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    return ndtri(qmc.Sobol(dimensions, seed=0).random(TEST_FIELDS))
