"""Sec. 5: initialization and the condition number kappa of linear networks and of least squares."""

from __future__ import annotations

from itertools import product

from sympy import Matrix, Symbol, cancel, diff, factor, limit, oo, simplify, solve, symbols

from derive.equation import LedgerEntry, Verdict
from derive.papers.bjorck2018.setting import paper, words
from derive.products import M, upper_end
from derive.products.density import condition_exponent
from derive.products.exponents import log_condition_rate
from derive.residual.branch import BOUNDS, weight_gain
from derive.residual.symbols import fan_in
from derive.symbols import N

largest, smallest = symbols("sigma_max sigma_min", positive=True)
kappa, rate = Symbol("kappa", positive=True), Symbol("eta", positive=True)


@paper.entry
def claim_pathological() -> LedgerEntry:
    """Weights 0 or 100: the probability at which the mean square of a layer's outputs is that of its inputs."""
    probability, inputs = Symbol("p", positive=True), Symbol("n", integer=True, positive=True)
    found = solve(inputs * probability * 100**2 - 1, probability)
    possible = len(found) == 1 and bool((1 - found[0].subs(inputs, 1)).is_positive)
    return paper.claim(
        "claim-pathological",
        "weights of 0 or 100 with some probability keep the variance constant, as initializations ask for",
        Verdict(
            "confirmed" if possible else "refuted",
            f"with n inputs, and the probability {words(found[0])} of 100" if possible
            else "there is no such probability",
            evidence={"probability": found},
        ),
    )  # fmt: skip


@paper.entry
def claim_exponent() -> LedgerEntry:
    """Variance of a weight times the number of inputs, for layers that keep their width."""
    gains = {scheme: weight_gain(scheme) for scheme in BOUNDS}
    same = all(not gain.has(fan_in) for gain in gains.values())
    return paper.claim(
        "claim-exponent",
        "Xavier's and He's initializations scale weights as n^(-1/2), as Theorem 1 does, with other constants",
        Verdict(
            "confirmed" if same else "refuted",
            f"n <w^2> is {', '.join(f'{gain} ({scheme})' for scheme, gain in gains.items())}; Theorem 1 has "
            "sigma_i^2 there",
            evidence={"n <w^2>": gains},
        ),
    )  # fmt: skip


@paper.entry
def claim_scale_factors() -> LedgerEntry:
    """kappa of c X is kappa of X; and it does not stay bounded, whatever c."""
    c = Symbol("c", positive=True)
    changed = cancel((c * largest) / (c * smallest) - largest / smallest)
    power = factor(condition_exponent())
    unbounded = limit(N ** power.subs(M, 1), N, oo) == oo
    return paper.claim(
        "claim-scale-factors",
        "random initialization gives ill-conditioned products, whatever the scale factors",
        Verdict(
            "confirmed" if changed == 0 and unbounded else "refuted",
            f"sigma_max/sigma_min keeps its value under any factors, and grows as N^({words(power)}) with the width "
            "at M factors, N large",
            evidence={"power of N": power},
        ),
    )  # fmt: skip


@paper.entry
def claim_condition_depth() -> LedgerEntry:
    """The power of N at fixed M rises with M; at fixed N and many factors, log kappa grows by a rate a factor."""
    power, rates = factor(condition_exponent()), {size: simplify(log_condition_rate(size)) for size in (2, 3, 10)}
    grows = bool(diff(power, M).is_positive) and all(bool(r.is_positive) for r in rates.values())
    return paper.claim(
        "claim-condition-depth",
        "sigma_max/sigma_min increases with depth; shallow linear networks are better conditioned",
        Verdict(
            "confirmed" if grows else "refuted",
            f"it goes as N^({words(power)}) for N large, and grows by the factor e^(rate) with every further factor "
            "once these are many more than N; the rate is "
            f"{', '.join(f'{words(each)} at N = {size}' for size, each in rates.items())}",
            evidence={"power of N": power, "rate by N": rates},
        ),
    )  # fmt: skip


@paper.entry
def claim_kappa_convergence() -> LedgerEntry:
    """The error along sigma shrinks by |1 - eta sigma^2| a step: at the best eta, the same at both ends."""
    (best,) = solve((1 - rate * smallest**2) + (1 - rate * largest**2), rate)
    contraction = factor(cancel((1 - best * smallest**2).subs(largest, kappa * smallest)))
    slower = simplify(diff(contraction, kappa))
    return paper.claim(
        "claim-kappa-convergence",
        "gradient descent on least squares converges more slowly the larger the condition number",
        Verdict(
            "confirmed" if slower.is_positive else "refuted",
            f"at the best learning rate, {words(best)}, the slowest error shrinks by {words(contraction)} a step",
            evidence={"best learning rate": best, "shrinks by": contraction, "slope in kappa": slower},
        ),
    )  # fmt: skip


@paper.entry
def claim_kappa_rate() -> LedgerEntry:
    """The learning rate at which the error along some sigma grows: 1 - eta sigma^2 = -1."""
    edges = [solve(1 - rate * s**2 + 1, rate)[0] for s in (smallest, largest)]
    stable = edges[1].subs(largest, kappa * smallest)
    fixed_smallest = simplify(diff(stable, kappa))
    fixed_largest = diff(edges[1], smallest)
    needed = bool(fixed_smallest.is_negative)
    return paper.claim(
        "claim-kappa-rate",
        "a larger condition number needs a smaller learning rate",
        Verdict(
            "confirmed" if needed and fixed_largest.is_negative else "conditional" if needed else "refuted",
            f"the largest stable learning rate is {words(edges[1])}, whatever sigma_min: it falls with kappa only if "
            f"sigma_min is kept. For M factors of unit variance it falls as 2 over {words(upper_end())}, and not as "
            "1/kappa^2",
            evidence={"largest stable rate": edges[1], "its slope in sigma_min": fixed_largest},
        ),
    )  # fmt: skip


@paper.entry
def claim_kappa_gradients() -> LedgerEntry:
    """The gradient along sigma is sigma^2 times the error along it."""
    error = Symbol("epsilon", positive=True)
    along = [diff((s * error) ** 2 / 2, error) for s in (largest, smallest)]
    ratio = cancel((along[0] / along[1]).subs(largest, kappa * smallest))
    return paper.claim(
        "claim-kappa-gradients",
        "the ratio of gradients in different subspaces increases with the condition number",
        Verdict(
            "confirmed" if diff(ratio, kappa).is_positive else "refuted",
            f"for equal errors the gradients differ by up to {words(ratio)}",
            evidence={"ratio": ratio},
        ),
    )  # fmt: skip


@paper.entry
def claim_single_matrix() -> LedgerEntry:
    """|A_3 A_2 A_1 x - y|^2 in A_2 alone, from its definition: its Hessian is A_3' A_3 (x) (A_1 x)(A_1 x)'."""
    size = 2
    last, middle, first = (_matrix(name, size) for name in ("a", "b", "c"))
    x, y = (Matrix(symbols(f"{name}1:{size + 1}", real=True)) for name in ("x", "y"))
    residual = last * middle * first * x - y
    loss = (residual.T * residual)[0] / 2
    places = list(product(range(size), repeat=2))
    hessian = Matrix(len(places), len(places), lambda p, q: diff(loss, middle[places[p]], middle[places[q]]))
    gram, inside = last.T * last, first * x
    claimed = Matrix(
        len(places), len(places),
        lambda p, q: gram[places[p][0], places[q][0]] * inside[places[p][1]] * inside[places[q][1]],
    )  # fmt: skip
    right = (hessian - claimed).expand().is_zero_matrix
    return paper.claim(
        "claim-single-matrix",
        "in a single factor A_i the loss of a linear network is like least squares with the product",
        Verdict(
            "conditional" if right else "refuted",
            "for one input x the Hessian in A_i is the Kronecker product of L'L and (R x)(R x)', L being the product "
            "after A_i and R that before it. Its nonzero eigenvalues are those of L'L times |R x|^2: the conditioning "
            "is that of L, and only for the first factor that of (nearly) the whole product",
            evidence={"method": f"differentiated for {size} x {size} matrices of symbols"},
        ),
    )  # fmt: skip


def _matrix(name: str, size: int) -> Matrix:
    return Matrix(size, size, symbols(f"{name}1:{size + 1}(1:{size + 1})", real=True))

