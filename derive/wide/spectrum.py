"""Statistics of the eigenvalues of the Fisher information, from the blocks of its dual Gram matrix.

A statistic stands as an ``Equation`` in kappa_1, kappa_2, alpha, M, T, C.  Bounds follow from the eigenvalues
being nonnegative: tr F^2 / tr F <= lambda_max <= sqrt(tr F^2).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sympy import Expr, Symbol, factor, limit, sqrt

from derive.equation import Equation, Step
from derive.wide.blocks import Blocks, symmetry_steps
from derive.wide.gram import gram_blocks
from derive.wide.symbols import MEANING, C, M, T, alpha, rho

m_lambda = Symbol("m_lambda", nonnegative=True)
lambda_max = Symbol("lambda_max", nonnegative=True)
eta_max = Symbol("eta_max", positive=True)

PARAMETERS = alpha * M**2
"""P to leading order in M."""


@dataclass(frozen=True)
class Statistics:
    """Mean and largest eigenvalue, bounds, and the largest stable learning rate; what lambda_max belongs to.

    ``lower`` and ``upper`` bound lambda_max where fluctuations of the entries matter (T of order M), with
    the blocks alone: both lack nonnegative constants that fluctuations add to tr F^2.
    """

    mean: Equation
    largest: Equation
    lower: Equation | None
    upper: Equation | None
    blocks: Blocks = field(repr=False)
    eigenvectors: str = ""

    @property
    def learning_rate(self) -> Equation:
        """2 / lambda_max: gradient descent on a quadratic loss multiplies a component by 1 - eta lambda."""
        right = 2 / self.largest.right
        note = "|1 - eta lambda| < 1 for every eigenvalue"
        steps = (*self.largest.steps, Step("stability of gradient descent", right, None, note))
        return Equation("learning_rate", eta_max, right, MEANING, "derived from the Gram matrix", steps)


def statistics_of(blocks: Blocks, copies: Expr = C, bounds: bool = False, words: str = "") -> Statistics:
    """The statistics of ``copies`` equal blocks."""
    trace, square = copies * blocks.trace, copies * blocks.trace_of_square
    steps = symmetry_steps(T)
    mean = factor(trace / PARAMETERS)
    largest = next(e for e in blocks.eigenspaces if e.value != 0).value

    def equation(name: str, left: Symbol, right: Expr, rule: str, before: Expr) -> Equation:
        own = Step(rule, before, right)
        return Equation(name, left, right, MEANING, "derived from the Gram matrix", (*steps, own))

    return Statistics(
        equation("m_lambda", m_lambda, mean, "trace over the number of parameters", trace / PARAMETERS),
        equation("lambda_max", lambda_max, largest, "largest eigenvalue of a block", largest),
        equation("lower", lambda_max, factor(square / trace), "tr F^2 / tr F", square / trace)
        if bounds
        else None,
        equation("upper", lambda_max, sqrt(factor(square)), "sqrt tr F^2", sqrt(square)) if bounds else None,
        blocks,
        words,
    )


def without_normalization() -> Statistics:
    """C-fold lambda_max, order M; dual eigenvector (1, ..., 1), so the eigenspace is spanned by E[grad f_k]."""
    return statistics_of(gram_blocks(), words="E[grad f_k], k = 1 .. C")


def mean_subtraction() -> Statistics:
    """The uniform vector is projected out; what is left has no preferred direction."""
    return statistics_of(gram_blocks().centered(), bounds=True, words="orthogonal to every E[grad f_k]")


def proportional(expression: Expr) -> Expr:
    """The leading order of a statistic for T = M / rho, M to infinity, per power of M that it grows with."""
    at = expression.xreplace({T: M / rho})
    for power in (M, sqrt(M), 1, 1 / M):
        coefficient = limit(at / power, M, "oo")
        if coefficient != 0:
            return coefficient * power
    return at
