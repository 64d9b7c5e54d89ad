"""sympy's LaTeX printer, in the hand of the field.

Q_{ij} instead of Q_{i,j}; d Q_{ij}/d t for rates of change; constants before the sum they do not depend on;
fractions that hold coefficients, with sums, averages and tall functions standing behind them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sympy import Derivative, Expr, Indexed, Mul, Number, Pow, Product, S, Sum, Symbol, fraction, sympify
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE

from derive.gaussian.unevaluated import GaussianAverage
from derive.symbols import eta

WORD = re.compile(r"\\mathrm\{\w+\}$")

SETTINGS = {"inv_trig_style": "full", "fold_frac_powers": True}


def latex(expression: Any) -> str:
    """``expression`` as LaTeX mathematics, without delimiters."""
    if isinstance(expression, Expr):
        expression = pull_constants(expression)
    return str(Printer(SETTINGS).doprint(expression))


def pull_constants(expression: Expr) -> Expr:
    """Every sum with the factors that its indices do not touch in front of it."""
    if not expression.has(Sum) or isinstance(expression, Derivative):
        return expression
    if isinstance(expression, Sum):
        body = pull_constants(expression.function)
        if body.is_Add:
            return Sum(body, *expression.limits)
        constant, body = body.as_independent(*(limit[0] for limit in expression.limits), as_Add=False)
        return constant * Sum(body, *expression.limits)
    return expression.func(*(pull_constants(a) for a in expression.args))


class Printer(LatexPrinter):
    """See the module."""

    def expression(self, expr: Any) -> str:
        return str(self._print(expr))

    def _print_Symbol(self, expr: Symbol, style: str = "plain") -> str:
        if "{" in expr.name:  # a name that is LaTeX, such as C_{u0,u1}
            return re.sub(r"([A-Za-z])(\d+)", r"\1_{\2}", expr.name)
        if " " in expr.name:
            return r"\ ".join(self._print(Symbol(word)) for word in expr.name.split())
        called = re.fullmatch(r"(\w+)([([])(.+)([)\]])", expr.name)
        if called:  # such as h(t) or E[u^2]
            return f"{self._print(Symbol(called[1]))}{called[2]}{self._print(Symbol(called[3]))}{called[4]}"
        if "." in expr.name:
            return r" \cdot ".join(self._print(Symbol(vector)) for vector in expr.name.split("."))
        text = str(super()._print_Symbol(expr, style=style))
        return rf"\mathrm{{{text}}}" if len(text) > 1 and text.isascii() and text.isalpha() else text

    def _hprint_Function(self, func: str) -> str:
        if func.startswith("grad "):
            return rf"(\nabla {super()._hprint_Function(func.removeprefix('grad '))})"
        return str(super()._hprint_Function(func))

    def _print_Indexed(self, expr: Indexed) -> str:
        indices = [self._print(i) for i in expr.indices]
        separator = "" if all(len(i) == 1 for i in indices) else ","
        base = str(self._print(expr.base))
        own = re.fullmatch(r"(.*)_\{([^{}]*)\}", base)  # TeX takes one subscript
        if own:
            return f"{own[1]}_{{{own[2]},{separator.join(indices)}}}"
        return f"{base}_{{{separator.join(indices)}}}"

    def _print_Pow(self, expr: Pow) -> str:
        base, power = expr.as_base_exp()
        if isinstance(base, Indexed) and power.is_Integer and power > 1:
            letter, _, indices = self._print_Indexed(base).partition("_")
            if "^" in letter:  # nor two superscripts
                return rf"\left({letter}_{indices}\right)^{{{power}}}"
            primes = letter.count("'") * r"\prime "  # TeX takes no power after a prime and an index
            return f"{letter.rstrip(chr(39))}_{indices}^{{{primes}{power}}}"
        return str(super()._print_Pow(expr))

    def _print_Derivative(self, expr: Derivative) -> str:
        if not isinstance(expr.expr, Symbol | Indexed) or expr.derivative_count != 1:
            return str(super()._print_Derivative(expr))
        variable = expr.variables[0]
        d = "d" if variable.name == "t" else r"\partial"
        return rf"\frac{{{d} {self._print(expr.expr)}}}{{{d} {self._print(variable)}}}"

    def _print_ExpBase(self, expr: Expr, exp: Any = None) -> str:
        above, below = fraction(expr.exp)
        if exp is not None or below == 1:
            return str(super()._print_ExpBase(expr, exp))
        sign, above = ("- ", -above) if is_negative(above) else ("", above)
        top = self._print(above)
        top = rf"\left({top}\right)" if above.is_Add else top
        bottom = self._print(below)
        bottom = rf"\left({bottom}\right)" if below.is_Mul or below.is_Add else bottom
        return rf"e^{{{sign}{top} / {bottom}}}"

    _print_exp = _print_ExpBase

    def _print_Add(self, expr: Expr, order: Any = None) -> str:
        return "".join(
            (f" {sign} " if k or sign == "-" else "") + text
            for k, (sign, text) in enumerate(self.signed_terms(expr))
        ).lstrip()

    def signed_terms(self, expr: Expr) -> list[tuple[str, str]]:
        """The terms of a sum in printed order, as sign and text; a positive one first where there is one."""
        return [(sign, self._print_summand(term)) for sign, term in ordered_terms(expr)]

    def _print_summand(self, term: Expr) -> str:
        return str(self.parenthesize(term, PRECEDENCE["Add"]))

    def _print_Sum(self, expr: Sum) -> str:
        inner = self._print(expr.function)
        return self.sum_sign(expr) + (rf"\left({inner}\right)" if expr.function.is_Add else inner)

    def sum_sign(self, expr: Sum) -> str:
        r"""``\sum_{k,l=1}^{K} \sum_{m=1}^{M} ``: indices with the same range share a sign."""
        ranges: dict[Any, list[str]] = {}
        for limit in expr.limits:
            ranges.setdefault(tuple(limit[1:]), []).append(self._print(limit[0]))
        signs = []
        for bounds, names in ranges.items():
            joined = ",".join(names)
            if len(bounds) == 2:
                signs.append(rf"\sum_{{{joined}={self._print(bounds[0])}}}^{{{self._print(bounds[1])}}} ")
            else:
                signs.append(rf"\sum_{{{joined}}} ")
        return "".join(signs)

    def _print_Mul(self, expr: Expr) -> str:
        if not expr.is_commutative:
            return str(super()._print_Mul(expr))
        factors = list(Mul.make_args(expr))
        head, *rest = factors
        if isinstance(head, Number) and head.is_negative:
            return "- " + self.product([-head, *rest])
        return self.product(factors)

    def product(self, factors: Sequence[Expr]) -> str:
        """The product of factors: a fraction of coefficients, then sums, averages and tall functions."""
        above, below = [], []
        for factor in factors:
            if factor.is_Rational:
                above += [S(factor.p)] if factor.p != 1 else []
                below += [S(factor.q)] if factor.q != 1 else []
            elif factor.is_Pow and factor.exp.is_Rational and factor.exp.is_negative:
                below.append(Pow(factor.base, -factor.exp))
            else:
                above.append(factor)
        _rationalize(above, below)
        above.sort(key=_rank)
        below.sort(key=_rank)
        tail = [f for f in above if _stands_behind(f, self)]
        above = [f for f in above if f not in tail]
        if below:
            only = len(above) == 1
            top = self._print(above[0]) if only else self._juxtapose(above) if above else "1"
            bottom = self._print(below[0]) if len(below) == 1 else self._juxtapose(below)
            pieces = [rf"\frac{{{top}}}{{{bottom}}}"]
        else:
            pieces = [self._juxtapose(above)] if above else []
        if tail:
            pieces.append(self._juxtapose(tail) if pieces or len(tail) > 1 else self._print(tail[0]))
        return " ".join(pieces) or "1"

    def _juxtapose(self, factors: Sequence[Expr]) -> str:
        text = ""
        for factor in factors:
            piece = self._print(factor)
            if factor.is_Add or (isinstance(factor, Number) and factor.is_negative):
                piece = rf"\left({piece}\right)"
            if text and piece[0].isdigit() and text[-1].isdigit():
                text += r" \cdot "
            elif WORD.search(text) or (text and piece.startswith(r"\mathrm")):
                text += r" \, "
            elif text:
                text += " "
            text += piece
        return text


def _rationalize(above: list[Expr], below: list[Expr]) -> None:
    """Write sqrt(2)/2 as 1/sqrt(2), in place."""
    for root in [f for f in above if f.is_Pow and f.exp == S.Half and f.base.is_Integer]:
        for whole in [f for f in below if f.is_Integer and f % root.base == 0]:
            above.remove(root)
            below.remove(whole)
            below += [f for f in (whole / root.base, root) if f != 1]
            break


def ordered_terms(expr: Expr) -> list[tuple[str, Expr]]:
    """The terms of a sum in printed order, as sign and term without it.

    By rising power of the learning rate, then as sympy orders them, but with a positive term first among
    terms of one power.
    """
    terms = expr.as_ordered_terms()
    powers = {term: sympify(term.as_powers_dict().get(eta, 0)) for term in terms}
    order = {term: power if power.is_Rational else S.Zero for term, power in powers.items()}
    if len(set(order.values())) > 1:
        terms.sort(key=order.__getitem__)
    else:
        first = next((k for k, term in enumerate(terms) if not is_negative(term)), 0)
        terms = [terms[first], *terms[:first], *terms[first + 1 :]]
    return [("-", -term) if is_negative(term) else ("+", term) for term in terms]


def is_negative(term: Expr) -> bool:
    return bool(term.as_coeff_Mul()[0].is_negative)


def _rank(factor: Expr) -> tuple[int, str]:
    base = factor.as_base_exp()[0]
    if base.is_number:
        kind = 0
    elif base.is_Symbol:
        kind = 1
    elif isinstance(base, Indexed):
        kind = 2
    elif base.is_Add and factor.is_Add:
        kind = 4
    elif isinstance(base, Sum | Product):
        kind = 7
    elif isinstance(base, GaussianAverage):
        kind = 6
    elif base.is_Function:
        kind = 5
    else:
        kind = 3
    return kind, "" if kind == 0 else str(factor.sort_key())


def _stands_behind(factor: Expr, printer: Printer) -> bool:
    base = factor.as_base_exp()[0]
    if isinstance(base, Sum | Product | GaussianAverage) or (base.is_Add and base.has(Sum)):
        return True
    return bool(base.is_Function) and r"\frac" in printer._print(factor)
