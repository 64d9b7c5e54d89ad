"""Expressions as plain text in the grammar that the command line reads."""

from __future__ import annotations

from typing import Any

from sympy import DiracDelta, Expr, Heaviside
from sympy.printing.str import StrPrinter


class _Printer(StrPrinter):
    """sympy's text with the names and the power sign of ``derive.grammar``."""

    def _print_DiracDelta(self, expr: DiracDelta) -> str:
        order = int(expr.args[1]) if len(expr.args) > 1 else 0
        return f"delta{chr(39) * order}({self._print(expr.args[0])})"

    def _print_Heaviside(self, expr: Heaviside) -> str:
        return f"step({self._print(expr.args[0])})"

    def _print_Pow(self, expr: Expr, rational: bool = False) -> str:
        return str(super()._print_Pow(expr, rational)).replace("**", "^")


def text(expression: Any) -> str:
    """An expression as a user would write it."""
    return str(_Printer().doprint(expression))
