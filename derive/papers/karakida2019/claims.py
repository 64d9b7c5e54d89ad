"""Claims that belong to no single equation."""

from __future__ import annotations

from sympy import Matrix, Rational, simplify

from derive.equation import LedgerEntry
from derive.evaluate import evaluate
from derive.papers.karakida2019.model import small
from derive.papers.karakida2019.setting import claim, entry, needs, settled
from derive.wide import network, signals
from derive.wide.gram import kappas
from derive.wide.symbols import bias_variance, weight_variance


@entry
def claim_order_parameters_depend() -> LedgerEntry:
    model = network(4, "relu", weight_variance, bias_variance, (1, 2, 3, 4))
    free = {s for column in vars(signals(model)).values() for e in column for s in e.free_symbols}
    return claim(
        "claim-order-parameters-depend", "order parameters depend on variances, activation and depth only",
        settled(free <= {weight_variance, bias_variance}, "no width, sample or output enters", "more enters"),
    )  # fmt: skip


@entry
def claim_kappa_gap() -> LedgerEntry:
    """qhat_t - qhat_st and qtilde_t - qtilde_st are variances: positive unless the activation is constant."""
    gaps = {}
    for name in ("relu", "erf", "gelu", "identity"):
        for weight, bias in ((Rational(1, 2), Rational(1, 10)), (2, Rational(1, 3)), (4, 1)):
            model = network(3, name, weight, bias)
            one, two = (evaluate(k, {}, 20) for k in kappas(model, signals(model)))
            gaps[f"{name}, {weight}, {bias}"] = (one > one - two > 0, float(one - two))
    return claim(
        "claim-kappa-gap", "kappa_1 > kappa_1 - kappa_2 > 0 in non-centered networks",
        settled(all(ok for ok, _ in gaps.values()), "kappa_2 > 0, and correlations of two samples stay below one",
                "an activation violates it", **{key: gap for key, (_, gap) in gaps.items()}),
    )  # fmt: skip


@entry
def claim_duality() -> LedgerEntry:
    """J^T J and J J^T of the small network: equal traces of the first powers, as many as there are outputs."""
    net = small()
    J = Matrix.vstack(*(net.at(net.jacobian(k)) for k in range(3)))
    dual, fisher = J * J.T / 3, J.T * J / 3
    powers, a, b = [], dual, fisher
    for _ in range(3):
        powers.append(simplify(a.trace() - b.trace()) == 0)
        a, b = a * dual, b * fisher
    return claim(
        "claim-duality", "the Fisher information and the T C x T C Gram matrix share their nonzero eigenvalues",
        settled(all(powers), "equal traces of powers", "they do not", method="exact, 6 x 6 against 18 x 18"),
    )  # fmt: skip


@entry
def claim_centered_order_one() -> LedgerEntry:
    return claim(
        "claim-centered-order-one", "in a centered shallow network lambda_max is of order one for T of order M",
        needs("proportional"),
    )  # fmt: skip


@entry
def claim_last_layer_is_vital() -> LedgerEntry:
    return claim(
        "claim-last-layer-is-vital", "batch normalization in the last layer, not elsewhere, removes the sharpness",
        needs("batch_middle"),
    )  # fmt: skip

