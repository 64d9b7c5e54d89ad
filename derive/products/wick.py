"""Moments of the squared singular values at finite N, exactly, for symbolic M and N.

Wick's theorem for tr (X X^T)^k pairs, for each factor X_i, the 2k places where it stands: a perfect matching
of 2k points.  Two places that are paired share both of their indices.  The indices between X_i and X_(i+1)
are identified by the matchings of both, so a pair of neighbouring matchings leaves N^loops, where the loops
are those of their union; the indices at the two ends are joined by the product itself.  Hence, with the
matrix G[m, m'] = N^loops(m, m') over matchings,

    <tr (X X^T)^k> = N^(-M k) (G^(M + 1))[left end, right end].

Permutations of the points that keep the right end commute with G, so it reduces to coset types: the lengths
of the loops with the right end, a partition of k.  Its eigenvalues are polynomials in N, and M an exponent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from math import prod

from sympy import Expr, Integer, Matrix, Poly, Symbol, cancel, expand, factor, factor_list

from derive.errors import DerivationError
from derive.products.limit import M, check_factors
from derive.symbols import N

LARGEST_ORDER = 5
"""945 matchings and five seconds; the next order has eleven times as many."""

Matching = tuple[int, ...]
"""The partner of every point."""

_value = Symbol("value")


def matchings(points: int) -> Iterator[Matching]:
    """All perfect matchings of an even number of points."""
    yield from (_partners(pairs, points) for pairs in _pairs(tuple(range(points))))


def _pairs(points: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], ...]]:
    if not points:
        yield ()
        return
    first, *rest = points
    for place, partner in enumerate(rest):
        for others in _pairs((*rest[:place], *rest[place + 1 :])):
            yield ((first, partner), *others)


def _partners(pairs: tuple[tuple[int, int], ...], points: int) -> Matching:
    partner = [0] * points
    for a, b in pairs:
        partner[a], partner[b] = b, a
    return tuple(partner)


def loop_type(one: Matching, other: Matching) -> tuple[int, ...]:
    """Half the lengths of the loops of the union of two matchings, descending: a partition of k."""
    seen, lengths = set(), []
    for start in range(len(one)):
        if start in seen:
            continue
        point, length = start, 0
        while point not in seen:
            seen |= {point, one[point]}
            point, length = other[one[point]], length + 1
        lengths.append(length)
    return tuple(sorted(lengths, reverse=True))


@cache
def _transfer(order: int) -> tuple[tuple[tuple[int, ...], ...], Matrix, int, int]:
    """Coset types, the reduced matrix G, and the places of the left and of the right end among the types."""
    points = 2 * order
    right = _partners(tuple((a, a + 1) for a in range(0, points, 2)), points)
    left = _partners(tuple((a, (a + 1) % points) for a in range(1, points, 2)), points)
    everything = list(matchings(points))
    types = [loop_type(m, right) for m in everything]
    distinct = tuple(sorted(set(types)))
    rows = []
    for kind in distinct:
        representative = everything[types.index(kind)]
        loops: Counter[tuple[tuple[int, ...], int]] = Counter()
        for m, its_type in zip(everything, types, strict=True):
            loops[its_type, len(loop_type(representative, m))] += 1
        rows.append(
            [sum(n * N**power for (t, power), n in loops.items() if t == column) for column in distinct]
        )
    return distinct, Matrix(rows), distinct.index(loop_type(left, right)), distinct.index((1,) * order)


@cache
def _spectral(order: int) -> tuple[tuple[Expr, Expr], ...]:
    """Pairs (eigenvalue, amplitude) with (G^j)[left, right] = sum of amplitude eigenvalue^j.

    The eigenvalues are the roots of the characteristic polynomial, products of factors linear in N; the
    amplitudes follow from the first powers of G (Vandermonde).
    """
    types, matrix, left, right = _transfer(order)
    polynomial = matrix.charpoly(_value).as_expr()
    roots = []
    for each, _ in factor_list(polynomial, _value, N)[1]:
        linear = Poly(each, _value)
        if linear.degree() != 1:
            raise DerivationError(f"the Wick contractions of order {order} have an eigenvalue that is no polynomial")
        roots.append(factor(cancel(-linear.nth(0) / linear.nth(1))))
    column = Matrix([int(t == right) for t in range(len(types))])
    powers = []
    for _ in roots:
        powers.append(column[left])
        column = (matrix * column).applyfunc(expand)
    pairs = []
    for root in roots:
        others = [other for other in roots if other != root]
        # Lagrange's polynomial of this root, applied to G, projects on its eigenvectors.
        interpolation = Poly(prod((_value - o for o in others), start=_value**0), _value)
        numerator = sum(interpolation.nth(j) * powers[j] for j in range(len(roots)))
        amplitude = factor(cancel(numerator / prod((root - o for o in others), start=N**0)))
        if amplitude != 0:
            pairs.append((root, amplitude))
    return tuple(pairs)


def finite_moment(order: int, factors: int | Expr = M, size: int | Expr = N) -> Expr:
    """The exact mean of (1/N) tr (X X^T)^order: for numbers a rational, else closed in the symbols M and N.

    Raises DerivationError for an order outside of 1 to LARGEST_ORDER, and a number of factors or a size below 1.
    """
    if not 1 <= order <= LARGEST_ORDER:
        raise DerivationError(f"the order must lie between 1 and {LARGEST_ORDER}, not {order}")
    check_factors(factors)
    if not isinstance(size, Expr) and size < 1:
        raise DerivationError(f"the size N must be at least 1, not {size}")
    # Eigenvalues over N^order, so that the limit of large N can be read off.
    terms = (
        cancel(amplitude * root / N) * cancel(root / N**order) ** factors
        for root, amplitude in _spectral(order)
    )
    return sum((term.subs(N, size) for term in terms), start=expand(0))


def norm_spread(factors: int, size: int) -> Expr:
    """The variance of tr X X^T over its squared mean, exactly, a rational.

    In a product of two traces the left end joins the places as the right end does.
    """
    check_factors(factors)
    _, matrix, _, right = _transfer(2)
    power = matrix.subs(N, size) ** (factors + 1)
    return power[right, right] / Integer(size) ** (2 * factors + 2) - 1


def correction(order: int, power: int = 1) -> Expr:
    """The coefficient of N^(-power) in the moment at large N, a polynomial in M; power 0 is the limit."""
    inverse = Symbol("y", positive=True)
    series = finite_moment(order).subs(N, 1 / inverse)
    terms = sum(_binomial_series(term, inverse, power + order + 1) for term in series.as_ordered_terms())
    return factor(expand(terms).coeff(inverse, power))


def _binomial_series(term: Expr, y: Symbol, orders: int) -> Expr:
    """A term amplitude(y) (1 + ...)^M to the given order in y, M a symbol."""
    return term.series(y, 0, orders).removeO()
