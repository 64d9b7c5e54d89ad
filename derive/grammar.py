"""The grammar of expressions on the command line.  Our own parser: nothing is ever evaluated as Python.

::

    sum    = term { ("+" | "-") term }
    term   = sign { ("*" | "/") sign }
    sign   = { "+" | "-" } power
    power  = atom [ ("**" | "^") sign ]
    atom   = number | "(" sum ")" | "<" sum ">" | name | name { "'" } "(" sum { "," sum } ")"
           | name "[" name { "," name } "]"

Functions are the activations of ``derive.activation`` (``erf`` means erf(x/sqrt 2); a hyphen in a name is
written "_", and ``leaky_relu(u, slope)`` takes its slope), the elementary functions, and ``delta``; primes
are derivatives.  ``<...>`` is an average over the Gaussian fields inside, with covariances ``C_uv``.
Decimal numbers are exact rationals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

import sympy
from sympy import Expr, Integer, Rational, Symbol

from derive import symbols
from derive.activation import DEFINITIONS, slope, suggestion, u
from derive.errors import DerivationError

DEEPEST = 100
"""Nested brackets and signs beyond this are refused, before Python's own recursion limit."""
LARGEST_POWER = 1000
LARGEST_NUMBER = 10**1000
HIGHEST_DERIVATIVE = 10

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>C_\{\w+,\w+\}|[^\W\d]\w*)|(?P<mark>\*\*|[-+*/^()<>\[\],']))"
)

_ELEMENTARY: dict[str, Callable[[Expr], Expr]] = {
    "sqrt": sympy.sqrt, "exp": sympy.exp, "log": sympy.log, "sin": sympy.sin, "cos": sympy.cos,
    "tan": sympy.tan, "asin": sympy.asin, "acos": sympy.acos, "atan": sympy.atan, "sinh": sympy.sinh,
    "cosh": sympy.cosh, "delta": sympy.DiracDelta,
}  # fmt: skip
FUNCTIONS: dict[str, Expr] = {name.replace("-", "_"): body for name, body in DEFINITIONS.items()} | {
    name: function(u) for name, function in _ELEMENTARY.items()
}
"""Every function of one variable, as an expression in ``derive.activation.u``."""

_CONSTANTS: dict[str, Expr] = {"pi": sympy.pi} | {
    str(symbol): symbol for symbol in (symbols.K, symbols.M, symbols.N, symbols.eta, symbols.tau)
}
_ARRAYS = {name: getattr(symbols, name) for name in ("x", "y", "Q", "R", "T", "g", "w", "v")}
_DIAGONAL = re.compile(r"C_(?:(\w)\1|\{(\w+),\2\})")


@dataclass(frozen=True)
class Parsed:
    """An expression, and which of its symbols are Gaussian fields if it is averaged.

    Sizes, ``eta``, ``tau`` and slopes are not.
    """

    expression: Expr
    fields: tuple[Symbol, ...]


def parse(text: str) -> Parsed:
    """The expression that ``text`` writes.  Raises DerivationError that points at the place."""
    parser = _Parser(text)
    expression = parser.sum()
    if parser.token.kind != "end":
        parser.fail("expected an operator or the end")
    return Parsed(expression, parser.fields(expression))


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


@dataclass
class _Parser:
    text: str
    position: int = 0
    depth: int = 0
    slopes: set[Symbol] = field(default_factory=set)
    inside_average: bool = False

    def __post_init__(self) -> None:
        self.advance()

    def advance(self) -> _Token:
        """Read the next token and return the one before it."""
        previous = getattr(self, "token", _Token("start", "", 0))
        rest = self.text[self.position :]
        match = _TOKEN.match(self.text, self.position)
        if match is not None:
            kind = match.lastgroup or ""
            self.token = _Token(kind, match[kind], match.start(kind))
            self.position = match.end()
        else:
            start = self.position + len(rest) - len(rest.lstrip())
            self.token = _Token("end" if not rest.strip() else "unknown", self.text[start : start + 1], start)
            if self.token.kind == "unknown":
                self.fail("there is no such sign here")
        return previous

    def fail(self, what: str, at: int | None = None) -> NoReturn:
        at = self.token.start if at is None else at
        raise DerivationError(
            f"cannot read the expression: {what}: {self.text[:at]} -->HERE--> {self.text[at:]}"
        )

    def take(self, mark: str) -> bool:
        if self.token.kind == "mark" and self.token.text == mark:
            self.advance()
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.take(mark):
            self.fail(f"expected {mark!r}")

    def sum(self) -> Expr:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} nested brackets")
        total = self.term()
        while True:
            if self.take("+"):
                total += self.term()
            elif self.take("-"):
                total -= self.term()
            else:
                self.depth -= 1
                return total

    def term(self) -> Expr:
        product = self.sign()
        while True:
            if self.take("*"):
                product *= self.sign()
            elif self.take("/"):
                at = self.token.start
                divisor = self.sign()
                if divisor == 0:
                    self.fail("division by zero", at)
                product /= divisor
            else:
                return product

    def sign(self) -> Expr:
        negative = False
        while self.token.kind == "mark" and self.token.text in "+-":
            negative ^= self.advance().text == "-"
        value = self.power()
        return -value if negative else value

    def power(self) -> Expr:
        base = self.atom()
        if not (self.take("**") or self.take("^")):
            return base
        at = self.token.start
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} nested powers")
        exponent = self.sign()
        self.depth -= 1
        if exponent.is_number and abs(exponent) > LARGEST_POWER:
            self.fail(f"a power above {LARGEST_POWER}", at)
        if isinstance(base, Rational) and max(abs(base.p), base.q) ** abs(exponent) > LARGEST_NUMBER:
            self.fail("a number of more than 1000 digits", at)
        if base == 0 and exponent.is_negative:
            self.fail("division by zero", at)
        return base**exponent

    def atom(self) -> Expr:
        if self.token.kind == "number":
            number = self.advance()
            if len(number.text.lower().partition("e")[2].lstrip("+-")) > 3:
                self.fail("a number of more than 1000 digits", number.start)
            return Rational(number.text)
        if self.take("("):
            inside = self.sum()
            self.expect(")")
            return inside
        if self.token.kind == "mark" and self.token.text == "<":
            return self.average()
        if self.token.kind == "name":
            name = self.advance()
            if self.token.kind == "mark" and self.token.text in "('":
                return self.call(name)
            if self.take("["):
                return self.entry(name)
            return self.symbol(name)
        self.fail("expected a number, a name or a bracket")

    def average(self) -> Expr:
        from derive.gaussian import average, generic_covariance

        at = self.token.start
        if self.inside_average:
            self.fail("an average inside an average", at)
        self.expect("<")
        self.inside_average = True
        inside = self.sum()
        self.inside_average = False
        self.expect(">")
        return average(inside, generic_covariance(self.fields(inside))).expression

    def fields(self, expression: Expr) -> tuple[Symbol, ...]:
        parameters = self.slopes | set(_CONSTANTS.values())
        names = (symbol for symbol in expression.free_symbols - parameters if isinstance(symbol, Symbol))
        return tuple(sorted(names, key=str))

    def call(self, name: _Token) -> Expr:
        order = 0
        while self.take("'"):
            order += 1
        if name.text not in FUNCTIONS:
            self.fail(f"unknown function {name.text!r}; {suggestion(name.text, FUNCTIONS)}", name.start)
        if order > HIGHEST_DERIVATIVE:
            self.fail(f"a derivative above order {HIGHEST_DERIVATIVE}", name.start)
        self.expect("(")
        arguments = [self.sum()]
        while self.take(","):
            arguments.append(self.sum())
        self.expect(")")
        wanted = 2 if name.text == "leaky_relu" else 1
        if len(arguments) != wanted:
            words = "an argument and a slope" if wanted == 2 else "one argument"
            self.fail(f"{name.text} takes {words}", name.start)
        body = FUNCTIONS[name.text].diff(u, order) if order else FUNCTIONS[name.text]
        if wanted == 2:
            self.slopes |= arguments[1].free_symbols
            body = body.xreplace({slope: arguments[1]})
        return body.xreplace({u: arguments[0]})

    def entry(self, name: _Token) -> Expr:
        if name.text not in _ARRAYS:
            self.fail(f"unknown array {name.text!r}; known: {', '.join(_ARRAYS)}", name.start)
        indices = []
        while True:
            if self.token.kind == "number" and self.token.text.isdigit():
                indices.append(Integer(self.advance().text))
            elif self.token.kind == "name":
                indices.append(Symbol(self.advance().text, integer=True, positive=True))
            else:
                self.fail("expected an index")
            if not self.take(","):
                break
        self.expect("]")
        wanted = 2 if name.text in "QRT" else 1
        if len(indices) != wanted:
            self.fail(f"{name.text} has {wanted} indices", name.start)
        return _ARRAYS[name.text][tuple(indices)]

    def symbol(self, name: _Token) -> Expr:
        if name.text in FUNCTIONS:
            self.fail(f"the function {name.text!r} needs its argument in brackets", name.start)
        if name.text in _CONSTANTS:
            return _CONSTANTS[name.text]
        if _DIAGONAL.fullmatch(name.text):
            return Symbol(name.text, positive=True)
        return Symbol(name.text, real=True)
