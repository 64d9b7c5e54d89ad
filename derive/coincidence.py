"""Three units that coincide: what the closed forms of kinked activations miss there.

A closed form for distinct units holds asin(n / sqrt(d1 d2)), the average of two signs on a plane u = 0.  With
sign(0) = 0 it is right where one or two units coincide.  Where three do, u = v = w, it is not: (sign u)^3 =
sign u needs delta(u) sign(v) sign(w) = delta(u)/3, and the convention makes it 0.  In a sum over units that
happens at i = j = k, always.  The missing thirds are added here, with Kronecker deltas that the sums absorb.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations

from sympy import Add, Expr, Indexed, KroneckerDelta, Mul, S, Sum, Symbol, expand

from derive.gaussian.average import generic_covariance, thirds
from derive.gaussian.unevaluated import GaussianAverage
from derive.symbols import T, v

Naming = Callable[[Expr], Expr]


def missing_thirds(expression: Expr, close: Callable[[Expr], Expr], naming: Naming) -> Expr:
    """What to add to ``close(expression)``, which closes its inert averages as if all units were distinct."""
    if isinstance(expression, GaussianAverage):
        return _of_average(expression, naming)
    if not expression.has(GaussianAverage):
        return S.Zero
    if isinstance(expression, Add):
        return Add(*(missing_thirds(a, close, naming) for a in expression.args))
    if isinstance(expression, Mul):
        total, before = S.Zero, S.One
        for k, factor in enumerate(expression.args):
            missing = missing_thirds(factor, close, naming)
            if missing != 0:
                total += before * missing * close(Mul(*expression.args[k + 1 :]))
            before *= close(factor) + missing
        return total
    if isinstance(expression, Sum):
        missing = expand(missing_thirds(expression.function, close, naming), deep=False)
        return Add(*(_summed(term, expression.limits) for term in Add.make_args(missing)))
    return S.Zero


def _summed(term: Expr, limits: tuple[tuple[Symbol, Expr, Expr], ...]) -> Expr:
    """The sum of a term, its Kronecker deltas taken where they bind an index of the sum."""
    left = {limit[0]: limit for limit in limits}
    for delta in [f for f in Mul.make_args(term) if isinstance(f, KroneckerDelta)]:
        bound = [index for index in delta.args if index in left]
        if bound:
            (other,) = set(delta.args) - {bound[0]}
            term = (term / delta).xreplace({bound[0]: other})
            del left[bound[0]]
    return Sum(term, *left.values()) if left and term != 0 else term


def _of_average(inert: GaussianAverage, naming: Naming) -> Expr:
    names = tuple(Symbol(f"u{k}", real=True) for k in range(len(inert.fields)))
    template = inert.expression.xreplace(dict(zip(inert.fields, names, strict=True)))
    units = [_unit(inert.covariance[a, a]) for a in range(len(names))]
    generic = generic_covariance(names)
    total: Expr = S.Zero
    for three in combinations(range(len(names)), 3):
        first, second, third = (units[a] for a in three)
        if first is None or second is None or third is None or len({first, second, third}) < 3:
            continue
        if not first[0] == second[0] == third[0]:
            continue
        missing = _thirds(template, names, three)
        if missing == 0:
            continue
        same = {second[1]: first[1], third[1]: first[1]}
        covariance = inert.covariance.xreplace(same)
        numbers = {
            generic[a, b]: naming(covariance[p, q]) for p, a in enumerate(names) for q, b in enumerate(names)
        }
        deltas = KroneckerDelta(first[1], second[1]) * KroneckerDelta(first[1], third[1])
        total += deltas * missing.xreplace(numbers)
    return total


def _unit(variance: Expr) -> tuple[bool, Symbol] | None:
    """Whether a field is the teacher's, and its index, read off its variance."""
    atoms = variance.atoms(Indexed)
    indices = {index for atom in atoms for index in atom.indices}
    if len(indices) != 1 or not indices <= variance.free_symbols:
        return None
    return any(atom.base in (T, v) for atom in atoms), indices.pop()


@cache
def _thirds(template: Expr, names: tuple[Symbol, ...], three: tuple[int, int, int]) -> Expr:
    return thirds(template, names, tuple(names[k] for k in three))
