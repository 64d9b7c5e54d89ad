"""The cases of the experiment on batch statistics, with what theory says of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from sympy import Expr, Symbol, exp, log, tanh

from numerics.batch_layer import layer_correction
from numerics.batch_statistics import Correction, expected_correction, gain_slope, law
from validate.simulate import batch_layer
from validate.simulate.batch_layer import LayerDraw
from validate.simulate.batch_statistics import Draw

GAIN, OVERLAP = 0.9, 0.6
LAWS = ("gaussian", "uniform", "binary", "exponential")


@dataclass(frozen=True)
class Case:
    """Activation, law of the preactivations, kind of normalization, and whether the statistics are another batch's."""

    phi: str
    law: str = "gaussian"
    kind: str = "batch"
    other: bool = False

    @property
    def label(self) -> str:
        return f"{self.phi}, {self.law}, {self.kind}, {'another batch' if self.other else 'own batch'}"

    def draw(self, samples: int) -> dict[str, Any]:
        return asdict(Draw(self.law, samples, self.kind, self.other, self.phi, GAIN, OVERLAP))

    @cached_property
    def derived(self) -> Correction:
        """M times the change of the expected loss."""
        return expected_correction(self.phi, self.kind, self.other, GAIN, OVERLAP, self.law)

    @cached_property
    def slope(self) -> float:
        """M times the change of its slope in the gain."""
        return gain_slope(self.phi, self.kind, self.other, GAIN, OVERLAP, self.law)

    @property
    def theorem(self) -> float | None:
        """What Theorem 1 has for the change, of a linear unit: its second order alone, at zero skewness."""
        if (self.phi, self.kind) != ("identity", "batch"):
            return None
        return GAIN**2 / 2 * ((law(self.law).moment(4) - 3 + 2) / 4 + 1)

    @property
    def wrong(self) -> Mapping[str, float]:
        """Wrong values of the change."""
        apart = expected_correction(self.phi, self.kind, not self.other, GAIN, OVERLAP, self.law)
        wrong = {"statistics of the wrong batch": apart.total, "second order alone": self.derived.second}
        if self.law != "gaussian":
            plain = expected_correction(self.phi, self.kind, self.other, GAIN, OVERLAP)
            wrong["Gaussian preactivations"] = plain.total
        return wrong | ({} if self.theorem is None else {"Theorem 1": self.theorem})


CASES = (
    *(Case("identity", law, other=other) for law in LAWS for other in (False, True)),
    *(Case("identity", kind=kind) for kind in ("mean-only", "variance-only", "root-mean-square")),
    *(Case(phi, law) for phi in ("relu", "softplus") for law in LAWS),
    *(Case("relu", kind=kind) for kind in ("mean-only", "variance-only")),
    *(Case(phi, law, other=True) for phi in ("relu", "softplus") for law in ("gaussian", "exponential")),
)


@dataclass(frozen=True)
class LayerCase:
    """Two units of a layer inside a network, and their statistics."""

    kind: str = "batch"
    other: bool = False
    correlation: float = 0.5

    @property
    def label(self) -> str:
        return f"two units, {self.kind}, {'another batch' if self.other else 'own batch'}, R = {self.correlation:g}"

    def draw(self, samples: int) -> dict[str, Any]:
        return asdict(LayerDraw(samples, self.kind, self.other, self.correlation))

    def _correction(self, other: bool, coupled: bool) -> Correction:
        inputs, fields, loss = _network()
        return layer_correction(
            loss, inputs, fields, batch_layer.GAINS, batch_layer.SHIFTS, self.correlation, self.kind, other, coupled
        )

    @cached_property
    def derived(self) -> Correction:
        return self._correction(self.other, True)

    @property
    def printed(self) -> float:
        """Appendix C.4: the second order, of the Hessian's diagonal."""
        return self._correction(self.other, False).second

    @property
    def wrong(self) -> Mapping[str, float]:
        return {
            "appendix C.4": self.printed,
            "statistics of the wrong batch": self._correction(not self.other, True).total,
            "the Hessian's diagonal": self._correction(self.other, False).total,
        }


def _network() -> tuple[tuple[Symbol, ...], tuple[Symbol, ...], Expr]:
    """Inputs, preactivations, and the loss of the network that ``validate.simulate.batch_layer`` draws."""
    inputs = (Symbol("h_1", real=True), Symbol("h_2", real=True))
    fields = (Symbol("t_1", real=True), Symbol("t_2", real=True))

    def softplus(argument: Expr) -> Expr:
        return log(1 + exp(argument))

    hidden = [tanh(h) for h in inputs]
    upper = [softplus(sum(w * a for w, a in zip(row, hidden, strict=True))) for row in batch_layer.UPPER]
    output = sum(w * a for w, a in zip(batch_layer.OUTPUT, upper, strict=True))
    label = 1 / (1 + exp(-sum(s * f for s, f in zip(batch_layer.SLOPES, fields, strict=True))))
    return inputs, fields, softplus(output) - label * output


LAYER_CASES = (LayerCase(), LayerCase(other=True), LayerCase("variance-only", correlation=-0.8))
