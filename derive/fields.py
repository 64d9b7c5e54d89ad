"""Fields of the units, x_i = J_i.xi and y_n = B_n.xi, and averages over them unit by unit.

An expression in x[i], y[n] and sums over units becomes a sum of coefficients times inert Gaussian averages,
whose covariances are tau times overlaps.
"""

from __future__ import annotations

from sympy import Add, Expr, Function, Indexed, IndexedBase, Mul, Poly, S, Symbol, factorial2

from derive.gaussian.unevaluated import GaussianAverage
from derive.indexed import Summand, index_symbol, summands, tidy
from derive.symbols import Q, R, T, label_noise, noise, tau, x, y

i, j = index_symbol("i"), index_symbol("j")
n = index_symbol("n")
FREE = (i, j, n)
"""The free indices of equations: two of the student's units and one of the teacher's."""


def expectation(expression: Expr) -> Expr:
    """Average over fields and label noise, unit by unit: sums of coefficients times Gaussian averages."""
    return Add(*(_expected(s) for s in summands(expression)))


def _expected(s: Summand) -> Expr:
    s = tidy(s, taken=FREE)
    body = s.body
    if body.has(noise):
        moments = Poly(body, noise)
        body = Add(*(c * label_noise**k * factorial2(k - 1) for (k,), c in moments.terms() if k % 2 == 0))
    return Summand(s.limits, average_of_fields(body)).total() if body != 0 else S.Zero


def average_of_fields(product: Expr) -> Expr:
    """<product> over the fields x[i], y[n] in it, as coefficient times one inert average."""
    atoms = sorted((a for a in product.atoms(Indexed) if a.base in (x, y)), key=str)
    if not atoms:
        return product
    coefficient, inside = product.as_independent(*atoms, as_Add=False)
    fields: dict[Symbol, tuple[Indexed, Expr]] = {}  # field symbol -> (base field, scale)
    for atom in atoms:
        scale = _preactivation_scale(inside, atom)
        plain = Symbol(f"{atom.base.label}_{atom.indices[0]}", real=True)
        hidden = plain if scale == 1 else Symbol(f"h_{atom.indices[0]}", real=True)
        factors = []
        for factor in Mul.make_args(inside):
            monomial = factor.as_base_exp()[0] == atom
            symbol, size = (plain, S.One) if monomial else (hidden, scale)
            if factor.has(atom):
                fields[symbol] = (atom, size)
                factor = factor.xreplace({atom: symbol / size})
            factors.append(factor)
        inside = Mul(*factors)
    constant, inside = inside.as_independent(*fields, as_Add=False)
    symbols = sorted(fields, key=str)
    covariance = [
        [fields[a][1] * fields[b][1] * field_covariance(fields[a][0], fields[b][0]) for b in symbols]
        for a in symbols
    ]
    return coefficient * constant * GaussianAverage(inside, symbols, covariance)


def _preactivation_scale(expression: Expr, atom: Indexed) -> Expr:
    """The common symbolic factor of a field inside the functions of an expression, 1 if there is none."""
    scales = set()
    for function in expression.atoms(Function):
        if function.has(atom) and not function.args[0].has(Function):
            polynomial = Poly(function.args[0], atom)
            degree = polynomial.degree()
            leading = polynomial.coeff_monomial(atom**degree).as_coeff_Mul()[1]
            pieces = (factor.as_base_exp() for factor in Mul.make_args(leading))
            scales.add(Mul(*(base ** (power / degree) for base, power in pieces if not base.is_number)))
    return scales.pop() if len(scales) == 1 else S.One


def field_covariance(a: Indexed, b: Indexed) -> Expr:
    """<x_i x_j> = tau Q_ij, <x_i y_n> = tau R_in, <y_n y_m> = tau T_nm."""
    (p,), (q,) = a.indices, b.indices
    if a.base == b.base:
        return tau * overlap(Q if a.base == x else T, p, q)
    return tau * (R[p, q] if a.base == x else R[q, p])


def overlap(base: IndexedBase, p: Symbol, q: Symbol) -> Expr:
    """An entry of a symmetric overlap matrix, free indices first, so that equal entries are one symbol."""
    return base[tuple(sorted((p, q), key=lambda index: (index not in FREE, str(index))))]
