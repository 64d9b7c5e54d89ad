"""Energies of two fields, and what they know of the teachers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from sympy import Expr, ImmutableMatrix, Integer, S, Symbol, diag

from derive.replica.energy import Prior
from derive.replica.pair.symbols import t, y
from derive.replica.symbols import noise, noise_variance


@dataclass(frozen=True)
class Targets:
    """``loss`` in x and ``fields`` t, whose covariance is ``variance``; t = ``mixing`` y + noise of its own."""

    loss: Expr
    fields: tuple[Symbol, ...]
    mixing: ImmutableMatrix
    variance: ImmutableMatrix


@dataclass(frozen=True)
class PairEnergy:
    """The energy of students J_1, J_2: sum over examples of ``loss``, plus lambda (|J_1|^2 + |J_2|^2)/2.

    loss       of the fields x1, x2 and y1 (y2), and the label ``noise``
    error      what a new example costs, a function of the fields; its average is the generalization error
    teachers   1 or 2
    prior      ``gaussian``: density exp(-precision (|J_1|^2 + |J_2|^2)/2); ``spherical``: |J_1|^2 = |J_2|^2 = N
    """

    name: str
    loss: Expr
    error: Expr
    teachers: int = 1
    prior: Prior = "gaussian"
    precision: Expr = S.Zero

    @property
    def fields(self) -> tuple[Symbol, ...]:
        """Of the teachers."""
        return y[: self.teachers]

    @property
    def quiet(self) -> PairEnergy:
        """The energy without label noise."""
        return replace(self, loss=self.loss.xreplace({noise: S.Zero}))

    @cached_property
    def targets(self) -> Targets:
        """One field t where the loss knows the teachers and the noise by one sum of them, else all of them."""
        sources: list[Symbol] = [s for s in (*self.fields, noise) if self.loss.has(s)] or [self.fields[0]]
        spread = {**dict.fromkeys(self.fields, Integer(1)), noise: noise_variance}
        joined = self._joined(sources)
        if joined is not None:
            loss, weights = joined
            mixing = ImmutableMatrix([[weights.get(s, 0) for s in self.fields]])
            variance = sum((weights[s] ** 2 * spread[s] for s in sources), S.Zero)
            return Targets(loss, t[:1], mixing, ImmutableMatrix([[variance]]))
        fields = t[: len(sources)]
        mixing = ImmutableMatrix([[Integer(s == z) for z in self.fields] for s in sources])
        variances = ImmutableMatrix(diag(*(spread[s] for s in sources)))
        loss = self.loss.xreplace(dict(zip(sources, fields, strict=True)))
        return Targets(loss, fields, mixing, variances)

    def _joined(self, sources: list[Symbol]) -> tuple[Expr, dict[Symbol, Expr]] | None:
        """The loss in t = s + sum of weights times the other sources, and the weights; None where there is no
        such sum."""
        pivot, rest = sources[-1], sources[:-1]
        slope = self.loss.diff(pivot)
        weights: dict[Symbol, Expr] = {pivot: Integer(1)}
        for s in rest:
            ratio = (self.loss.diff(s) / slope).simplify() if slope != 0 else S.NaN
            if not (ratio.is_number and ratio.is_finite):
                return None
            weights[s] = ratio
        loss = self.loss.subs(pivot, t[0] - sum((weights[s] * s for s in rest), S.Zero))
        if loss.has(*rest):
            loss = loss.expand()
        return None if rest and loss.has(*rest) else (loss, weights)


__all__ = ["PairEnergy", "Targets"]
