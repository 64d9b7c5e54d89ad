"""Equations as LaTeX: the text must say what the expression says, and fit on the page."""

from __future__ import annotations

import math
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

import pytest
from sympy import (
    Add,
    Expr,
    Function,
    Indexed,
    IndexedBase,
    Mul,
    Rational,
    Sum,
    Symbol,
    acos,
    asin,
    erf,
    exp,
    pi,
    sqrt,
    symbols,
)

from derive.equation import Equation, LedgerEntry, Step, Verdict
from derive.errors import DerivationError
from derive.gaussian import GaussianAverage, average
from derive.indexed import index_symbol
from derive.latex import Layout, compile_pdf, display, document, escape, latex, layout, parts, width
from derive.latex.naming import Names, canonical
from derive.latex.printer import ordered_terms, pull_constants
from derive.latex.rows import ROOM
from derive.ledger import PAPERS, committee_points, compare, entries
from derive.model import committee
from derive.online import derive_flow
from derive.symbols import K, M, Q, R, eta, tau, w

i, j, k, m = (index_symbol(name) for name in "ijkm")
needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")


@pytest.fixture(scope="module")
def flow_equations() -> tuple[Equation, ...]:
    flow = derive_flow(committee("erf", "batch"))
    return (*flow.equations, Equation("error", Symbol("epsilon_g"), flow.generalization_error))


# An independent reader of the LaTeX that is written ------------------------------------------------


class Reader:
    """Evaluates printed mathematics without sums: a second opinion on what the text says."""

    TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|[^\s]")
    FUNCTIONS: ClassVar = {r"\arcsin": math.asin, r"\arccos": math.acos, "erf": math.erf}

    def __init__(self, text: str, values: dict[str, float]) -> None:
        self.tokens, self.values, self.at = self.TOKEN.findall(text), values, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        assert expected is None or token == expected, (expected, token, self.tokens)
        self.at += 1
        return token

    def whole(self) -> float:
        value = self.sum()
        assert self.peek() == "", self.tokens[self.at :]
        return value

    def sum(self) -> float:
        total, sign = 0.0, 1.0
        if self.peek() in "+-" and self.peek():
            sign = -1.0 if self.take() == "-" else 1.0
        while True:
            total += sign * self.product()
            if self.peek() not in ("+", "-"):
                return total
            sign = -1.0 if self.take() == "-" else 1.0

    def product(self) -> float:
        value, empty = 1.0, True
        while self.peek() not in ("", "+", "-", "/", "}", r"\right", r"\biggr", r"\Bigr", r"\bigr"):
            value, empty = value * self.power(), False
        assert not empty, self.tokens[self.at :]
        return value

    def power(self) -> float:
        base = self.factor()
        if self.peek() == "^":
            self.take()
            return base ** self.group()
        return base

    def group(self) -> float:
        self.take("{")
        value = self.sum()
        while self.peek() == "/":
            self.take()
            value /= self.product()
        self.take("}")
        return value

    def factor(self) -> float:
        token = self.take()
        if token[0].isdigit():
            return float(token)
        if token == "e":
            return math.e
        if token == r"\pi":
            return math.pi
        if token == r"\cdot":
            return 1.0
        if token == r"\frac":
            return self.group() / self.group()
        if token == r"\sqrt":
            return math.sqrt(self.group())
        if token in (r"\left", r"\biggl", r"\Bigl", r"\bigl"):
            self.take()
            value = self.sum()
            assert self.take().rstrip("r") in (r"\right", r"\bigg", r"\Big", r"\big", r"\righ")
            self.take()
            return value
        if token == r"\operatorname":
            self.take("{")
            token = ""
            while self.peek() != "}":
                token += self.take()
            self.take("}")
        if token in self.FUNCTIONS:
            self.take("{")
            value = self.sum()
            self.take("}")
            return self.FUNCTIONS[token](value)
        name = token
        if self.peek() == "'":
            name += self.take()
        if self.peek() == "_":
            name += self.take()
            while not name.endswith("}"):
                name += self.take()
        return self.values[name]


def read(shown: Layout, values: dict[str, float]) -> float:
    """The value of the right-hand side of an equation in rows, with its where list."""
    values = dict(values)
    for block in reversed(shown.where):  # a later name may stand in an earlier definition
        values[block.left[0]] = Reader(" ".join(block.right), values).whole()
    return Reader(" ".join(shown.equation.right), values).whole()


@pytest.mark.parametrize(
    "product",
    [
        "erf(u/sqrt(2))*erf(v/sqrt(2))",
        "u*erf(v/sqrt(2))*exp(-z**2/2)",
        "Heaviside(u)*v*Heaviside(z)*z",
        "u**2*v**2*z*q",
    ],
)
@pytest.mark.parametrize("room", [18.0, ROOM])
def test_the_text_says_what_the_expression_says(product: str, room: float) -> None:
    from sympy import sympify

    u, v, z, q = symbols("u v z q", real=True)
    closed = average(sympify(product, locals={"u": u, "v": v, "z": z, "q": q})).expression
    draw = random.Random(7)
    values = {}
    for symbol in sorted(closed.free_symbols, key=str):
        a, b = str(symbol)[2:]
        values[symbol] = 1 + draw.random() if a == b else draw.uniform(-0.4, 0.4)
    shown = layout(Equation("I", Symbol("I"), closed), room)
    read_back = read(shown, {latex(symbol): value for symbol, value in values.items()})
    assert read_back == pytest.approx(float(closed.subs(values)), rel=1e-12)


def test_the_reader_reads_products_powers_and_nested_brackets() -> None:
    """Every branch of the printer's own products: coefficients, roots, tall functions, quotients, powers."""
    a, b, c = symbols("a b c", positive=True)
    values = {a: 0.31, b: 0.47, c: 1.3}
    expressions = [
        -a / b,
        Rational(2, 3) * a**2 / (b + c),
        a ** Rational(3, 2) / b ** Rational(1, 2) * (a - b),
        -(a - b) * (b - c) / (a + c) ** 2,
        2 * asin(a / (b + c)) * b / pi,
        acos(a) * erf(b / sqrt(2)) * exp(-(a**2) / 2) * Rational(7, 2),
        a * (b - c * (a - 2 * (b + 3))) - 2 * (c - 1) / 3,
        2 * 3 ** Rational(1, 2) * a - 5,
        (a + b) ** 3 * sqrt(c) / sqrt(a * b + 1),
    ]
    for expression in expressions:
        text = latex(expression)
        got = Reader(text, {str(s): v for s, v in values.items()}).whole()
        assert got == pytest.approx(float(expression.subs(values)), rel=1e-13), text


# The hand of the field ------------------------------------------------------------------------------


def test_symbols_print_as_the_literature_writes_them() -> None:
    assert latex(Q[i, j]) == "Q_{ij}"
    assert latex(R[1, 12]) == "R_{1,12}"
    assert latex(Q[i, j] ** 2) == "Q_{ij}^{2}"
    assert latex(asin(tau)) == r"\arcsin{\left(\tau \right)}"
    assert latex(Symbol("noise")) == r"\mathrm{noise}"
    assert latex(tau * Symbol("overlap")) == r"\mathrm{overlap} \, \tau"
    assert latex(Symbol("Var(x_1)")) == r"\mathrm{Var}(x_{1})"
    assert latex(Symbol("E[u^2]")) == "E[u^{2}]"
    assert latex(Symbol("w.x")) == r"w \cdot x"
    assert latex(Symbol("mean of u")) == r"\mathrm{mean}\ \mathrm{of}\ u"
    assert latex(Function("grad f")(tau)) == r"(\nabla f){\left(\tau \right)}"
    assert latex(GaussianAverage(Symbol("x_i") ** 2, [Symbol("x_i")], [[Q[i, i]]])) == (
        r"\left\langle x_{i}^{2} \right\rangle"
    )


def test_a_power_of_a_primed_symbol_is_legal_tex() -> None:
    primed = IndexedBase("Q'")[i, j]
    assert latex(primed) == "Q'_{ij}"
    assert latex(primed**2) == r"Q_{ij}^{\prime 2}"


def test_an_index_joins_the_subscript_of_its_letter() -> None:
    assert latex(IndexedBase("qhat_st")[i + 1]) == r"\hat{q}_{st,i + 1}"
    assert latex(IndexedBase("mu_B")[i, j] ** 2) == r"\mu_{B,ij}^{2}"
    assert latex(IndexedBase("sigma^2")[i] ** 2) == r"\left(\sigma^{2}_{i}\right)^{2}"


def test_constants_stand_before_their_sum_and_ranges_share_a_sign() -> None:
    total = Sum(-2 * tau * w[k] * Q[i, k], (k, 1, K))
    assert latex(total) == r"- 2 \tau \sum_{k=1}^{K} Q_{ik} w_{k}"
    double = Sum(w[i] * w[j] * R[i, m], (i, 1, K), (j, 1, K), (m, 1, M))
    assert latex(double).startswith(r"\sum_{i,j=1}^{K} \sum_{m=1}^{M} ")
    assert pull_constants(total) == -2 * tau * Sum(w[k] * Q[i, k], (k, 1, K))


def test_terms_keep_their_signs() -> None:
    a, b = symbols("a b")
    for expression in (
        a - b,
        -a - b,
        -a + b**2 - 3,
        -Sum(Q[i, i], (i, 1, K)) * eta**2 + eta * Sum(w[i], (i, 1, K)),
    ):
        assert (
            Add(*(term if sign == "+" else -term for sign, term in ordered_terms(expression))) == expression
        )
    assert latex(b - a) == "b - a"
    assert latex(eta**2 * a - eta * b) == r"- b \eta + a \eta^{2}"
    assert latex(eta**a - b) == r"\eta^{a} - b"


# Rows and names -------------------------------------------------------------------------------------


def restore(expression: Expr, names: Names) -> Expr:
    """Put the definitions back, each with the indices it is used with."""
    for named in reversed(names.where):
        if isinstance(named.symbol, Indexed):
            for used in [a for a in expression.atoms(Indexed) if a.base == named.symbol.base]:
                rename = dict(zip(named.symbol.indices, used.indices, strict=True))
                expression = expression.xreplace({used: named.expression.xreplace(rename)})
        else:
            expression = expression.xreplace({named.symbol: named.expression})
    return expression


def test_naming_changes_nothing(flow_equations: tuple[Equation, ...]) -> None:
    """Names put back give the same numbers, to 45 digits at random overlaps, K and M."""
    plain = derive_flow(committee("erf", "none")).equations
    for equation in plain:
        names = Names(equation.right)
        short = names.shorten(equation.right)
        assert short != equation.right or not names.where
        assert compare(restore(short, names), equation.right, points=committee_points([(2, 3)])).equal
    assert max(len(layout(e).names) for e in plain) >= 6


def test_equal_up_to_indices_share_a_name_and_nothing_else_does() -> None:
    def minor(a: Symbol, b: Symbol) -> Expr:
        return tau**2 * Q[a, a] * Q[b, b] - tau**2 * Q[a, b] ** 2 + tau * Q[a, a] + tau * Q[b, b] + 1

    assert canonical(minor(i, j))[0] == canonical(minor(j, k))[0] == canonical(minor(k, i))[0]
    assert canonical(minor(i, j))[0] != canonical(minor(i, j) + 1)[0]
    assert canonical(R[i, m])[0] == canonical(R[k, j])[0]
    assert canonical(Q[i, i] * Q[j, k])[0] != canonical(Q[i, j] * Q[i, k])[0]
    # The overlap R is not symmetric: exchanging its indices is another quantity.
    skew = R[i, j] + 2 * R[j, i]
    assert (
        canonical(skew)[1]
        != canonical(
            skew.xreplace(
                {i: j, j: i},
            )
        )[1]
    )


def test_short_equations_stay_as_they_are() -> None:
    shown = layout(Equation("short", Symbol("I"), 2 * asin(tau * Q[i, j]) / pi))
    assert shown.equation.right == (latex(2 * asin(tau * Q[i, j]) / pi),)
    assert shown.where == ()


def test_a_notebook_shows_a_system(flow_equations: tuple[Equation, ...]) -> None:
    shown = display(*flow_equations)
    assert shown.startswith(r"$$\begin{aligned}") and shown.endswith(r"\end{aligned}$$")
    assert [shown.count(rf"\frac{{d {left}}}{{d t}} &=") for left in ("Q_{ij}", "R_{in}", "g_{i}")] == [
        1,
        1,
        1,
    ]
    assert shown.count(r"\text{where}") >= 3
    assert flow_equations[0]._repr_latex_() == display(flow_equations[0])


@pytest.mark.parametrize("room", [24.0, ROOM])
def test_rows_fit_and_brackets_close(flow_equations: tuple[Equation, ...], room: float) -> None:
    for equation in flow_equations:
        shown = layout(equation, room)
        for block in (shown.equation, *shown.where):
            assert all(width(row) <= room for row in block.right)
            text = " ".join(block.right)
            for size in ("bigg", "Big", "big"):
                assert text.count(f"\\{size}l") == text.count(f"\\{size}r")


def test_averages_are_explained_by_their_covariances() -> None:
    a, b = Symbol("x_i", real=True), Symbol("x_k", real=True)
    term = GaussianAverage(
        a * Function("phi")(b), [a, b], [[tau * Q[i, i], tau * Q[i, k]], [tau * Q[i, k], tau * Q[k, k]]]
    )
    shown = layout(Equation("mean", Symbol("m"), Sum(w[k] * term, (k, 1, K))))
    lefts = [block.left[0] for block in shown.where]
    assert lefts == [r"\left\langle x_{i}^{2} \right\rangle", r"\left\langle x_{i} x_{k} \right\rangle"]


# Words ----------------------------------------------------------------------------------------------


def test_words_hold_formulas() -> None:
    assert list(parts("at J_i.J_j, $x^2$")) == [
        (False, "at "), (True, "J_{i}"), (False, "."), (True, "J_{j}"), (False, ", "), (True, "x^2"),
    ]  # fmt: skip
    assert list(parts("eta^2 of claim-eta2 in gain_rate")) == [
        (True, r"\eta^{2}"),
        (False, " of claim-eta2 in gain_rate"),
    ]
    assert list(parts("m_lambda, delta_i")) == [(True, r"m_{\lambda}"), (False, ", "), (True, r"\delta_{i}")]
    assert list(parts("M^-0.15, N^(-1/2) and q_t^l.")) == [
        (True, "M^{-0.15}"), (False, ", "), (True, "N^{-1/2}"), (False, " and "), (True, "q_{t}^{l}"), (False, "."),
    ]  # fmt: skip
    assert list(parts("M^(1 ± 0.1)")) == [(True, r"M^{1 \pm 0.1}")]
    assert list(parts("e^(i tau) or X^tail-")) == [
        (False, "e^(i "), (True, r"\tau"), (False, ") or X^tail-"),
    ]  # fmt: skip
    assert list(parts("from 1e-09 to 2.50e+05")) == [
        (False, "from "), (True, "10^{-9}"), (False, " to "), (True, r"2.50 \times 10^{5}"),
    ]  # fmt: skip
    assert list(parts("mu_B + pi")) == [(True, r"\mu_{B}"), (False, " + "), (True, r"\pi")]
    assert "allowbreak" not in escape("0.124") and "allowbreak" in escape("luo2019.claim")
    assert list(parts("10^2.6 $10^3$.")) == [(True, "10^{2.6}"), (False, " "), (True, "10^3"), (False, ".")]
    assert escape("50 % & more_words {x}") == r"50 \% \& more\_\allowbreak{}words \{x\}"


# Documents ------------------------------------------------------------------------------------------


def compile_log(text: str, folder: Path) -> str:
    (folder / "a.tex").write_text(text)
    run = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-2000:]
    return (folder / "a.log").read_text(errors="replace")


def scripts_of_one_letter(text: str) -> list[str]:
    """Where a subscript follows a subscript, or a superscript a superscript: TeX refuses both."""
    found = []
    for sign in "_^":
        other = "^" if sign == "_" else "_"
        for match in re.finditer(rf"(?<!\\)\{sign}", text):
            end = after_group(text, match.end())
            if text[end : end + 1] == other:
                end = after_group(text, end + 1)
            if text[end : end + 1] == sign:
                found.append(text[match.start() - 10 : end + 10])
    return found


def after_group(text: str, start: int) -> int:
    """The end of the group in braces, the command or the letter at ``start``, and of blanks after it."""
    if text[start] == "{":
        depth, end = 0, start
        while True:
            if text[end - 1] != "\\":
                depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
            if depth == 0:
                break
    else:
        end = re.compile(r"\\[a-zA-Z]+|.", re.DOTALL).match(text, start).end()
    return re.compile(" *").match(text, end).end()


def test_the_search_for_double_scripts_finds_them() -> None:
    assert scripts_of_one_letter(r"a_{i}^{2} + \hat{q}_{st,l} - x_i x_j + \sigma^{2}_{c}") == []
    for wrong in (r"\hat{q}_{st}_{l}", r"\mu _{B} _{il}", r"\sigma^{2}_{c}^{2}", "x_i_j"):
        assert len(scripts_of_one_letter(wrong)) == 1


@pytest.mark.parametrize("paper", PAPERS)
def test_every_ledger_is_legal_tex(paper: str, tmp_path: Path) -> None:
    """No double scripts; compiled where there is a pdflatex, which a warning of ours would tell of."""
    text = document(entries(paper), paper)
    assert scripts_of_one_letter(text) == []
    made = compile_pdf(text, tmp_path / "ledger.pdf")
    assert (made is None) == (shutil.which("pdflatex") is None)


@needs_latex
def test_what_pdflatex_refuses_is_said(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="Double subscript"):
        assert compile_pdf(document([], "$a_b_c$"), tmp_path / "a.pdf") is None


def difficult_equations() -> list[Equation]:
    letters = symbols("alpha beta gamma p_1:22", positive=True)
    polynomial = Add(
        *(a * b**2 / (c + 1) for a, b, c in zip(letters, letters[1:], letters[2:], strict=False))
    )
    nested = sqrt(1 + sqrt(2 + sqrt(3 + polynomial) / (1 + polynomial**2)))
    return [
        Equation("a polynomial of many terms", Symbol("P"), polynomial),
        Equation("one long product", Symbol("P"), Mul(*letters)),
        Equation("nested_roots & 100 % of {braces}", Symbol("P"), asin(polynomial / nested) * nested),
        Equation("a wide left side", polynomial, Symbol("P"), {"P": "ümläut, τ → ∞, 漢"}, "J. Phys. A_28 #3"),
        Equation("a long average", Symbol("P"), GaussianAverage(nested, [letters[0]], [[letters[1]]])),
    ]


@needs_latex
def test_no_box_is_overfull(flow_equations: tuple[Equation, ...], tmp_path: Path) -> None:
    u, v = symbols("u v", real=True)
    steps = tuple(Step(s.rule, s.before, None, s.after) for s in average(u * erf(v) * exp(-(u**2))).steps)
    steps += (Step("expand", difficult_equations()[0].right, Symbol("P"), "everything"),)
    with_steps = Equation("derived", Symbol("I"), u + v, {u: "a field with variance tau"}, "here", steps)
    misprint = Verdict(
        "misprint", "it differs", u, {"C_uu": "0." + "1234567890" * 6, "point": {"Q": [[1, 2]]}}
    )
    entry = LedgerEntry(
        "paper2020.claim-with-a-rather-long-name", "paper2020", "Q_ij is so", misprint, with_steps, with_steps
    )
    log = compile_log(
        document([*flow_equations, *difficult_equations(), with_steps, entry], "Überschrift"), tmp_path
    )
    assert "Overfull" not in log
    assert "Missing character" not in log


@needs_latex
def test_widths_agree_with_tex(flow_equations: tuple[Equation, ...], tmp_path: Path) -> None:
    """Never narrower than TeX's own box by more than 2 %, never wider by more than a quarter."""
    texts = []
    for equation in (*flow_equations, *difficult_equations()):
        shown = layout(equation)
        texts += [
            row for block in (shown.equation, *shown.where) for row in block.right if r"\bigg" not in row
        ]
    boxes = "\n".join(rf"\setbox0\hbox{{$\displaystyle {text}$}}\typeout{{WIDTH \the\wd0}}" for text in texts)
    log = compile_log(document([], "widths", before=boxes), tmp_path)
    measured = [float(points) / 10.00002 for points in re.findall(r"WIDTH ([\d.]+)pt", log)]
    assert len(measured) == len(texts) > 40
    ratios = [width(text) / em for text, em in zip(texts, measured, strict=True)]
    assert min(ratios) > 0.98
    assert max(ratios) < 1.25


# Records --------------------------------------------------------------------------------------------


def test_records_become_json_and_refuse_unknown_verdicts() -> None:
    import json

    equation = Equation(
        "I2", Symbol("I"), 2 * asin(tau) / pi, {tau: "a variance"}, "here", (Step("sheppard", tau),)
    )
    entry = LedgerEntry(
        "p.eq1", "p", "says so", Verdict("misprint", "half", tau / 2, {tau: Rational(1, 3)}), equation
    )
    record = json.loads(json.dumps(entry.to_json()))
    assert record["verdict"] == "misprint"
    assert (
        record["printed"]["latex"]
        == equation.latex()
        == r"I = \frac{2}{\pi} \arcsin{\left(\tau \right)}".replace(
            r"\frac{2}{\pi} \arcsin{\left(\tau \right)}", latex(equation.right)
        )
    )
    assert record["counterexample"] == {"tau": "1/3"}
    assert record["derived"] is None
    assert record["printed"]["srepr"].startswith("Equality(")
    assert hash(equation) == hash(equation)
    assert "$$" in entry._repr_latex_()  # type: ignore[operator]
    with pytest.raises(DerivationError, match="unknown verdict 'right'"):
        Verdict("right", "")  # type: ignore[arg-type]
