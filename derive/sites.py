"""Site symmetry: the flow of a few parameters, for a symbolic number of hidden units.

Where every student is like every other, the order parameters are

    Q_ij = Q d_ij + C (1 - d_ij)     R_in = R d_in + S (1 - d_in)     T_nm = T d_nm + U (1 - d_nm)

and g_i = g, w_i = w, v_n = v.  The ansatz is invariant under the flow, because permuting students and
teachers alike leaves it alone.  A summand then depends on its indices only through which of them coincide,
so that a sum over units is a sum over set partitions of its indices: each new block costs a factor
K - (blocks so far), a falling factorial of K.

Units that coincide are merged inside the Gaussian average, before any closed form is made: the two fields
are one, and a closed form of the merged average holds where one of distinct fields would be 0/0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sympy import Add, Expr, Indexed, IndexedBase, S, Symbol

from derive import symbols
from derive.closing import close_averages
from derive.errors import DerivationError
from derive.fields import i, j, n
from derive.gaussian.unevaluated import GaussianAverage
from derive.indexed import summands
from derive.online import Flow
from derive.symbols import K, M

R_, S_ = Symbol("R", real=True), Symbol("S", real=True)
Q_, C_ = Symbol("Q", positive=True), Symbol("C", real=True)
g_, w_, v_ = Symbol("g", positive=True), Symbol("w", real=True), Symbol("v", real=True)
T_, U_ = Symbol("T", positive=True), Symbol("U", real=True)
"""The parameters of the ansatz: diagonal and off-diagonal overlaps, gain, second layers."""

Label = tuple[Symbol, int]
"""A unit: the pool it belongs to, and its number there in order of appearance."""

_SAME = {symbols.Q: Q_, symbols.R: R_, symbols.T: T_}
_DIFFERENT = {symbols.Q: C_, symbols.R: S_, symbols.T: U_}
_SINGLE = {symbols.g: g_, symbols.w: w_, symbols.v: v_}


@dataclass(frozen=True)
class SiteFlow:
    """The flow of the site-symmetric parameters, for symbolic K (and M).

    ``averages`` and ``error_averages`` keep the Gaussian averages inert; ``rates``, ``drift`` and
    ``generalization_error`` are closed.  ``rates`` hold the terms of order eta^2 / b, ``drift`` does not.
    """

    flow: Flow
    state: tuple[Symbol, ...]
    averages: Mapping[Symbol, Expr] = field(repr=False)
    drift_averages: Mapping[Symbol, Expr] = field(repr=False)
    error_averages: Expr = field(repr=False)

    @cached_property
    def rates(self) -> dict[Symbol, Expr]:
        """d parameter / dt per unit of time steps / N, closed as far as the rules reach."""
        return {s: close_averages(rate) for s, rate in self.averages.items()}

    @cached_property
    def drift(self) -> dict[Symbol, Expr]:
        """The rates at infinite batch size: first order in the learning rates."""
        return {s: close_averages(rate) for s, rate in self.drift_averages.items()}

    @cached_property
    def generalization_error(self) -> Expr:
        return close_averages(self.error_averages)


def reduce_flow(
    flow: Flow, paired: bool = True, second_layer: bool = False, orthonormal: bool = True
) -> SiteFlow:
    """The flow on the site-symmetric ansatz.

    ``paired``: teacher unit n stands to student n as R, to the others as S; needs M = K, and M disappears.
    Without it every student stands to every teacher as R and K, M stay apart: the unspecialized phase of any
    K and M.
    ``second_layer``: keep w and v and let w move; otherwise both are 1.
    ``orthonormal``: T_nm = d_nm; otherwise T and U stay.
    """
    fixed: dict[Expr, Expr] = {} if second_layer else {w_: S.One, v_: S.One}
    if orthonormal:
        fixed |= {T_: S.One, U_: S.Zero}
    if not paired:
        fixed |= {S_: R_}
    at = _Ansatz(paired, fixed)
    names = {v.name for v in flow.state}
    first, second = at.pool(K), at.pool(M)
    equal, apart = {i: (first, 0), j: (first, 0)}, {i: (first, 0), j: (first, 1)}
    targets: dict[Symbol, tuple[str, Mapping[Symbol, Label]]] = {R_: ("R", {i: (first, 0), n: (second, 0)})}
    if paired:
        targets[S_] = ("R", {i: (first, 0), n: (second, 1)})
    targets |= {Q_: ("Q", equal), C_: ("Q", apart)}
    if "g" in names:
        targets[g_] = ("g", {i: (first, 0)})
    if "w" in names and second_layer:
        targets[w_] = ("w", {i: (first, 0)})

    averages = {s: at.reduce(flow[name].averages, labels) for s, (name, labels) in targets.items()}
    drift = {
        s: at.reduce(flow.drift, labels) if name == "Q" else averages[s]
        for s, (name, labels) in targets.items()
    }
    return SiteFlow(flow, tuple(targets), averages, drift, at.reduce(flow.error_averages, {}))


@dataclass(frozen=True)
class _Ansatz:
    """What an indexed quantity is, once it is known which units coincide."""

    paired: bool
    fixed: Mapping[Expr, Expr]

    def pool(self, size: Symbol) -> Symbol:
        """The units that can coincide with one another: with M = K, teacher n is the partner of student n."""
        if size not in (K, M):
            raise DerivationError(f"a sum over units runs to K or M, not to {size}")
        return K if self.paired else size

    def reduce(self, expression: Expr, labels: Mapping[Symbol, Label]) -> Expr:
        """The expression with its free indices labelled and its sums done."""
        total: list[Expr] = []
        for summand in summands(expression):
            for assigned, weight in self.partitions([(x, self.pool(s)) for x, s in summand.limits], labels):
                total.append(weight * merge_fields(self.substitute(summand.body, assigned)))
        return Add(*total)

    def partitions(
        self, indices: Sequence[tuple[Symbol, Symbol]], labels: Mapping[Symbol, Label]
    ) -> Iterator[tuple[Mapping[Symbol, Label], Expr]]:
        """Every way for the indices to coincide with each other and with the labelled, with its count."""
        if not indices:
            yield labels, S.One
            return
        (index, pool), *rest = indices
        used = sorted({label for label in labels.values() if label[0] == pool})
        for label in (*used, (pool, len(used))):
            count = S.One if label in used else pool - len(used)
            for assigned, weight in self.partitions(rest, {**labels, index: label}):
                yield assigned, count * weight

    def substitute(self, body: Expr, labels: Mapping[Symbol, Label]) -> Expr:
        return body.xreplace({atom: self.value(atom, labels) for atom in body.atoms(Indexed)})

    def value(self, atom: Indexed, labels: Mapping[Symbol, Label]) -> Expr:
        base: IndexedBase = atom.base
        if base in _SINGLE:
            value = _SINGLE[base]
        else:
            first, second = (labels[index] for index in atom.indices)
            value = (_SAME if first == second else _DIFFERENT)[base]
        return self.fixed.get(value, value)


def merge_fields(expression: Expr) -> Expr:
    """Write every pair of collinear fields in an inert average as one field."""
    return expression.xreplace({a: _merged(a) for a in expression.atoms(GaussianAverage)})


def _merged(average: GaussianAverage) -> Expr:
    body = average.expression
    kept: list[int] = []
    for a, name in enumerate(average.fields):
        for b in kept:
            variance, shared = average.covariance[b, b], average.covariance[a, b]
            if (variance * average.covariance[a, a] - shared**2).expand() == 0:
                body = body.xreplace({name: shared / variance * average.fields[b]})
                break
        else:
            kept.append(a)
    fields = [average.fields[a] for a in kept]
    constant, body = body.as_independent(*fields, as_Add=False)
    return constant * GaussianAverage(body, fields, average.covariance.extract(kept, kept))
