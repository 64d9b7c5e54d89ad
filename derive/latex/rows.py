"""Long equations as rows of bounded width and a list of what the letters in them stand for."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, Indexed, Mul, Sum, Symbol

from derive.equation import Equation
from derive.gaussian.unevaluated import GaussianAverage
from derive.latex.naming import Named, Names, canonical, visible
from derive.latex.printer import SETTINGS, Printer, is_negative, latex, ordered_terms, pull_constants
from derive.latex.width import width

ROOM = 44.0
"""The width of a row in em: what an A4 page holds at 10 pt between margins of 2.5 cm, less a little."""

INLINE = 0.4
"""A left-hand side wider than this part of a row gets rows of its own."""

BRACKETS = ((r"\biggl[ ", r" \biggr]"), (r"\Bigl( ", r" \Bigr)"), (r"\bigl[ ", r" \bigr]"))
RELATION = 1.8
WHOLE = (Indexed, GaussianAverage, Sum)
"""What a name never stands for."""


@dataclass(frozen=True)
class Block:
    """``left`` = ``right`` in rows.  ``inline``: the first row of the right stands beside the left."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    inline: bool


@dataclass(frozen=True)
class Layout:
    """An equation in rows; ``where`` explains its letters in rows, ``names`` as expressions."""

    equation: Block
    where: tuple[Block, ...]
    names: tuple[Named, ...]


def layout(equation: Equation, room: float = ROOM) -> Layout:
    """Break ``equation`` into rows at most ``room`` em wide.

    An equation that fits on one row stays as it is.  In a longer one, nested sums of six operations or more
    get a letter, the outer sums are split between terms, and where a term is still too wide more of it is
    named.  Averages are explained by the covariances of their fields.
    """
    names = Names(equation.left, equation.right)
    left, right = latex(equation.left), pull_constants(equation.right)
    if width(left) + RELATION + width(latex(right)) > room:
        right = pull_constants(names.shorten(right))
    block = _block(left, equation.left, right, names, room)
    where = []
    done = 0
    while done < len(names.where):  # naming a part of a definition adds another
        named = names.where[done]
        where.append(_block(latex(named.symbol), named.symbol, named.expression, names, room))
        done += 1
    where += [_block(text, None, value, names, room) for text, value in covariances(right)]
    return Layout(block, tuple(where), tuple(names.where))


def _block(text: str, left: Expr | None, right: Expr, names: Names, room: float) -> Block:
    beside = room - width(text) - RELATION
    if left is None or width(text) <= INLINE * room or width(text) + RELATION + width(latex(right)) <= room:
        return Block((text,), rows(right, names, beside), inline=True)
    return Block(rows(left, names, room), rows(right, names, room - RELATION - 1), inline=False)


def rows(expression: Expr, names: Names, room: float) -> tuple[str, ...]:
    """Print ``expression`` in rows at most ``room`` em wide, naming parts where a term is too wide."""
    filled = [""]
    for piece in pieces(expression, names, room):
        if filled[-1] and width(filled[-1]) + width(piece) > room:
            filled.append(piece)
        else:
            filled[-1] = f"{filled[-1]} {piece}".strip()
    return tuple(filled)


def pieces(expression: Expr, names: Names, room: float, depth: int = 0) -> list[str]:
    """The unbreakable parts of a sum, each with its sign; brackets around long sums open and close inside."""
    printer = Printer(SETTINGS)
    if expression.is_Add:
        terms = ordered_terms(expression)
    else:
        terms = [("-", -expression)] if is_negative(expression) else [("+", expression)]
    out: list[str] = []
    for sign, term in terms:
        lead = f"{sign} " if out or sign == "-" else ""
        free = room - width(lead)
        text = printer.expression(term)
        group = _bracketed(term, printer) if width(text) > free and depth < len(BRACKETS) else None
        if width(text) <= free:
            out.append(lead + text)
        elif group is not None and width(group[0]) < free / 2:
            opening, closing = BRACKETS[depth]
            inner = pieces(group[1], names, free - width(group[0]) - 1.5, depth + 1)
            inner[0] = lead + group[0] + opening + inner[0]
            inner[-1] += closing
            out += inner
        else:
            out.append(lead + printer.expression(_shrink(term, names, free)))
    return out


def _bracketed(term: Expr, printer: Printer) -> tuple[str, Expr] | None:
    """A product with a sum as a printed prefix and the sum, which may be broken."""
    if isinstance(term, Sum) and term.function.is_Add:
        return printer.sum_sign(term), term.function
    if not isinstance(term, Mul):
        return None
    inner = [f for f in term.args if f.is_Add or (isinstance(f, Sum) and f.function.is_Add)]
    if not inner:
        return None
    widest = max(inner, key=lambda f: width(printer.expression(f)))
    prefix = printer.expression(Mul(*(f for f in term.args if f != widest))) + " "
    if widest.is_Add:
        return prefix, widest
    return prefix + printer.sum_sign(widest), widest.function


def _shrink(term: Expr, names: Names, room: float) -> Expr:
    """Name parts of a term until it is no wider than ``room``.

    First the innermost sums that are too wide themselves (their definitions break into rows), then the widest
    parts that fit on a row, then halves of products.
    """
    while (excess := width(latex(term))) > room:
        parts = [p for p in dict.fromkeys(visible(term)) if p.args and p != term and not isinstance(p, WHOLE)]
        sizes = {p: width(latex(p)) for p in parts}
        long = [p for p in parts if p.is_Add and sizes[p] > room]
        fitting = [p for p in parts if sizes[p] <= room]
        shorter = term
        if long:
            part = min(long, key=lambda p: sizes[p])
            shorter = term.xreplace({part: names.name(part)})
        elif fitting:
            part = max(fitting, key=lambda p: sizes[p])
            shorter = term.xreplace({part: names.name(part)})
        if width(latex(shorter)) >= excess and isinstance(term, Mul):
            half = len(term.args) // 2
            shorter = names.name(Mul(*term.args[:half])) * Mul(*term.args[half:])
        if width(latex(shorter)) >= excess:
            return term  # atoms only: nothing left to name
        term = shorter
    return term


def covariances(expression: Expr) -> list[tuple[str, Expr]]:
    """The covariance of every pair of fields under the averages, up to renaming unit indices."""
    found: dict[tuple[str, str, str], tuple[str, Expr]] = {}
    for average in sorted(expression.atoms(GaussianAverage), key=str):
        for a, u in enumerate(average.fields):
            for b, z in enumerate(average.fields[a:], start=a):
                value = average.covariance[a, b]
                key = (min(_family(u), _family(z)), max(_family(u), _family(z)), canonical(value)[0])
                text = latex(u) + "^{2}" if u == z else f"{latex(u)} {latex(z)}"
                found.setdefault(key, (rf"\left\langle {text} \right\rangle", value))
    return list(found.values())


def _family(field: Symbol) -> str:
    return str(field.name.partition("_")[0])
