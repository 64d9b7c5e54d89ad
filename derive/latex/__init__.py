"""Expressions, equations and whole derivations as LaTeX.

``latex`` prints an expression in the hand of the field, ``layout`` breaks an equation into rows with a
"where" list, ``document`` makes a file that texlive-latex-base compiles.
"""

from derive.latex.document import align, compile_pdf, derivation, display, document
from derive.latex.printer import latex
from derive.latex.rows import Block, Layout, Named, layout
from derive.latex.width import width
from derive.latex.words import escape, parts

__all__ = [
    "Block",
    "Layout",
    "Named",
    "align",
    "compile_pdf",
    "derivation",
    "display",
    "document",
    "escape",
    "latex",
    "layout",
    "parts",
    "width",
]
