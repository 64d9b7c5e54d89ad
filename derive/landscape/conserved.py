"""What a flow conserves at first order in the learning rates: left null vectors of its coefficients.

The drifts of Q_ii, g_i and w_i are sums over units of coefficients times Gaussian averages.  Taking each sum
as an independent direction, a combination a dQ_ii + b dg_i + c dw_i that vanishes identically, and is the
differential of a function, is a conservation law.  It holds at infinite batch size and without decay, and it
selects the member of a family of fixed points that the flow reaches.
"""

from __future__ import annotations

from sympy import Add, DiracDelta, Expr, Indexed, Matrix, Mul, S, Symbol, cancel, integrate, powsimp

from derive import symbols
from derive.fields import i, j
from derive.gaussian.unevaluated import GaussianAverage
from derive.indexed import summands, tidy
from derive.landscape.stability import UNDECAYED
from derive.online import Flow
from derive.sites import merge_fields


def conserved_quantities(flow: Flow) -> tuple[Expr, ...]:
    """Functions of Q[i,i], g[i], w[i] that the drift leaves constant for every unit."""
    rates = {symbols.Q[i, i]: flow.drift.xreplace({j: i})}
    rates |= {v.base[i]: v.averages for v in flow.state if v.name in ("g", "w")}
    columns: dict[Expr, int] = {}
    rows: list[dict[int, Expr]] = []
    for rate in rates.values():
        row: dict[int, Expr] = {}
        for summand in summands(rate.xreplace(UNDECAYED)):
            limits, body = tidy(summand, taken=(i,))
            for term in Add.make_args(expand_averages(merge_fields(body))):
                coefficient, kept = _own(term, {index for index, _ in limits})
                column = columns.setdefault(kept, len(columns))
                row[column] = row.get(column, S.Zero) + coefficient
        rows.append(row)
    matrix = Matrix(len(rows), max(len(columns), 1), lambda a, b: rows[a].get(b, S.Zero))
    names = list(rates)
    found = (_potential(vector, names) for vector in matrix.T.nullspace())
    return tuple(f for f in found if f is not None)


def expand_averages(expression: Expr) -> Expr:
    """Averages of sums as sums of averages, without the u delta(u) = 0 that kinks leave."""

    def parts(average: GaussianAverage) -> Expr:
        total: Expr = S.Zero
        for term in Add.make_args(average.expression.expand()):
            deltas = {d.args[0] for d in term.atoms(DiracDelta)}
            if not any(f.as_base_exp()[0] in deltas for f in Mul.make_args(term)):
                constant, kept = term.as_independent(*average.fields, as_Add=False)
                total += constant * GaussianAverage(kept, average.fields, average.covariance)
        return total

    return expression.xreplace({a: parts(a) for a in expression.atoms(GaussianAverage)}).expand()


def _own(term: Expr, bound: set[Symbol]) -> tuple[Expr, Expr]:
    """A term as a coefficient of unit i alone, times what depends on the units summed over."""
    averages = term.atoms(GaussianAverage)
    others = [a for a in term.atoms(Indexed) if set(a.indices) & bound]
    coefficient, rest = term.as_independent(*averages, *others, as_Add=False)
    return coefficient, rest.xreplace({a: _renamed(a) for a in averages})


def _renamed(average: GaussianAverage) -> GaussianAverage:
    names = {u: Symbol(f"u{k}", real=True) for k, u in enumerate(average.fields)}
    return GaussianAverage(average.expression.xreplace(names), list(names.values()), average.covariance)


def _potential(vector: Matrix, names: list[Expr]) -> Expr | None:
    """A function whose differential is a multiple of the vector, if one separates into the variables."""
    for lead, name in zip(vector, names, strict=True):
        for multiplier in (1 / lead, name / lead) if lead != 0 else ():
            scaled = [powsimp(cancel(entry * multiplier)) for entry in vector]
            if all(e.atoms(Indexed) <= {own} for e, own in zip(scaled, names, strict=True)):
                return Add(*(_integral(e, own) for e, own in zip(scaled, names, strict=True)))
    return None


def _integral(entry: Expr, name: Expr) -> Expr:
    variable = Symbol(str(name.base), positive=True)
    return integrate(entry.xreplace({name: variable}), variable).xreplace({variable: name})
