"""The whole derivation, as equations in the order in which they follow from each other."""

from __future__ import annotations

from derive.equation import Equation
from derive.readout.bounds import loss_bound, sandwich, trace, trace_of_square
from derive.readout.features import batch_normalized_trace, centred_trace
from derive.readout.loss import gradient, hessian
from derive.readout.spectrum import secular_equation, uniform_spectrum
from derive.readout.structure import nullity, quadratic_form, rank


def equations() -> tuple[Equation, ...]:
    """Each with its steps: ``derive.latex.document(equations(), title)`` is a LaTeX document of them."""
    return (
        gradient(), hessian(), quadratic_form(), rank(), nullity(), secular_equation(), uniform_spectrum().equation(),
        trace(), trace_of_square(), sandwich(), loss_bound(), centred_trace(), batch_normalized_trace(),
    )  # fmt: skip
