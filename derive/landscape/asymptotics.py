"""Leading behaviour of closed forms: many hidden units, small and large input variance."""

from __future__ import annotations

from sympy import Add, Dummy, Expr, Mul, S, Symbol, oo, powsimp

from derive.landscape.radicals import canonical


def leading(expression: Expr, symbol: Symbol, towards: Expr = oo) -> Expr:
    """The leading term of an algebraic expression as a positive symbol goes to infinity or to 0."""
    small = Dummy("t", positive=True)
    path = 1 / small if towards == oo else small
    total: Expr = S.Zero
    for term in Add.make_args(canonical(expression)):
        # A product of powers: each factor's own leading term, so that no root is ever taken apart.
        factors = (f.xreplace({symbol: path}).as_base_exp() for f in Mul.make_args(term))
        total += Mul(*(base.as_leading_term(small) ** exponent for base, exponent in factors))
    # Terms of one order that do not cancel make the leading one; the rest is dropped.
    lead = powsimp(total).as_leading_term(small)
    return canonical(lead.xreplace({small: 1 / symbol if towards == oo else symbol}))
