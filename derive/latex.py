"""Expressions, equations and whole derivations as LaTeX."""

from __future__ import annotations

from typing import Any

from sympy import Derivative, Indexed
from sympy.printing.latex import LatexPrinter

from derive.equation import Equation

SETTINGS = {"inv_trig_style": "full", "mul_symbol": None}


class Printer(LatexPrinter):
    """sympy's LaTeX in the hand of the field: Q_{ij}, and a rate of change as d Q_{ij} / d t."""

    def _print_Indexed(self, expr: Indexed) -> str:
        indices = [self._print(i) for i in expr.indices]
        separator = "" if all(len(i) == 1 for i in indices) else ","
        return f"{self._print(expr.base)}_{{{separator.join(indices)}}}"

    def _print_Derivative(self, expr: Derivative) -> str:
        if isinstance(expr.expr, Indexed) and expr.derivative_count == 1:
            return rf"\frac{{d {self._print(expr.expr)}}}{{d {self._print(expr.variables[0])}}}"
        return str(super()._print_Derivative(expr))


def latex(expression: Any) -> str:
    """``expression`` as LaTeX mathematics, without delimiters."""
    return str(Printer(SETTINGS).doprint(expression))


def display(equation: Equation) -> str:
    """An equation as displayed mathematics."""
    return f"$$ {latex(equation.left)} = {latex(equation.right)} $$"
