"""Equations as native MathML, which browsers show without a script.

Rows are split by ``derive.latex``; each is converted alone, because a converter's own alignment cannot be
trusted, and laid out in a table of ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert
from markupsafe import Markup, escape

from derive.equation import Equation, Step
from derive.latex import Block, latex, layout, parts

ROOM = 46.0
"""The width of a row in em, for a column of the report's width."""

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
CHILDREN = {
    "mfrac": 2,
    "msub": 2,
    "msup": 2,
    "msubsup": 3,
    "munder": 2,
    "mover": 2,
    "munderover": 3,
    "mroot": 2,
}
LIMITS = {"msubsup": "munderover", "msub": "munder"}


def mathml(text: str, inline: bool = False) -> Markup:
    """LaTeX mathematics as a ``<math>`` element; what cannot be converted is shown as its source."""
    try:
        element = convert(text, display="inline" if inline else "block")
        tree = ElementTree.fromstring(element.replace(f' xmlns="{NAMESPACE}"', ""))
    except Exception:  # the converter raises whatever its parser happens to
        return Markup('<code class="unrendered">{}</code>').format(text)
    if faults(tree):
        return Markup('<code class="unrendered">{}</code>').format(text)
    _repair(tree, inline)
    tree.set("xmlns", NAMESPACE)
    return Markup(ElementTree.tostring(tree, encoding="unicode"))


def faults(tree: Element) -> list[str]:
    """What a converter let through: macros it did not know, alignment marks, fractions without a bottom."""
    stray = [text for node in tree.iter() if (text := node.text or "") and re.search(r"\\|&|\$", text)]
    return stray + [node.tag for node in tree.iter() if len(node) != CHILDREN.get(node.tag, len(node))]


def _repair(tree: Element, inline: bool) -> None:
    """Mend limits of sums inside brackets, the space before functions, and signs that start a row."""
    for node in tree.iter():
        if node.tag in LIMITS and len(node) and node[0].tag == "mo" and node[0].text in ("∑", "∏"):
            node.tag = LIMITS[node.tag]
        for place in reversed(range(1, len(node))):
            name = node[place]
            if (
                node.tag == "mrow"
                and name.tag == "mi"
                and len(name.text or "") > 1
                and node[place - 1].tag != "mo"
            ):
                node.insert(place, Element("mspace", width="0.17em"))
    first = tree.find("mrow/mo")
    if not inline and first is not None and tree[0][0] is first and first.text in ("+", "−"):
        first.set("form", "infix")  # it continues a sum, and keeps the spaces of one


def words(text: str) -> Markup:
    """Words with formulas in them as HTML."""
    return Markup("").join(
        mathml(part, inline=True) if formula else escape(part) for formula, part in parts(text)
    )


def equation(shown: Equation, room: float = ROOM) -> Markup:
    """An equation as a table of rows, followed by what its letters stand for."""
    broken = layout(shown, room)
    html = _table([broken.equation])
    if broken.where:
        html += Markup('<p class="where">where</p>') + _table(broken.where)
    return html


def derivation(steps: Sequence[Step], room: float = ROOM - 2) -> Markup:
    """The steps of a derivation as a numbered list."""
    items = []
    for step in steps:
        note = Markup(" — ") + words(step.note) if step.note else Markup("")
        if step.after is None:
            broken = layout(Equation(step.rule, step.before, step.before), room)
            body = _table([Block((), broken.equation.right, inline=False), *broken.where])
        else:
            body = equation(Equation(step.rule, step.before, step.after), room)
        items.append(Markup("<li><b>{}</b>{}{}</li>").format(step.rule, note, body))
    return Markup('<ol class="derivation">') + Markup("").join(items) + Markup("</ol>")


def meanings(shown: Equation) -> Markup:
    """What the symbols of an equation mean, as one line."""
    listed = (
        mathml(latex(symbol) if not isinstance(symbol, str) else _name(symbol), inline=True)
        + " "
        + words(meaning)
        for symbol, meaning in shown.meaning.items()
    )
    return Markup("; ").join(listed)


def _name(symbol: str) -> str:
    from sympy import Symbol

    return latex(Symbol(symbol))


def _table(blocks: Sequence[Block]) -> Markup:
    lines = Markup("").join(_block(block) for block in blocks)
    return Markup('<div class="equation"><table role="presentation">{}</table></div>').format(lines)


def _block(block: Block) -> Markup:
    whole = Markup('<tr><td colspan="2" class="{}">{}</td></tr>')
    more = Markup('<tr><td></td><td class="more">{}</td></tr>')
    if not block.left:
        return Markup("").join(whole.format("all", mathml(row)) for row in block.right)
    first, *rest = block.right
    if not block.inline:
        lines = [whole.format("all", mathml(row)) for row in block.left]
        lines.append(whole.format("more", mathml(f"= {first}")))
        return Markup("").join([*lines, *(whole.format("more", mathml(row)) for row in rest)])
    head = Markup('<tr><td class="left">{}</td><td>{}</td></tr>').format(
        mathml(block.left[0]), mathml(f"= {first}")
    )
    return Markup("").join([head, *(more.format(mathml(row)) for row in rest)])
