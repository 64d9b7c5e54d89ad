"""Claims about the last layer's Hessian that its derivation settles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import mpmath
from sympy import Matrix, Rational, diag, expand, eye

from derive import readout
from derive.equation import LedgerEntry, Verdict, VerdictKind
from derive.papers.reyes2020.setting import CLASSES, HIDDEN, paper
from derive.readout.symbols import K, d, r

DIGITS = 50


@paper.entry
def claim_singular() -> LedgerEntry:
    """The fewest zeros are those of features of full rank."""
    fewest = expand(readout.nullity().right.subs(r, d))
    evidence = {
        "zeros at the least": fewest,
        "in the 1000 weights of the paper": fewest.subs({d: HIDDEN, K: CLASSES}),
        "in weights and biases": fewest.subs({d: HIDDEN + 1, K: CLASSES}),
    }
    holds = bool(fewest.is_positive)
    entry = paper.claim(
        "claim-singular",
        "the last layer's Hessian has eigenvalues near zero, so that its condition number means nothing",
        Verdict(
            "confirmed" if holds else "refuted",
            "some are exactly zero, at any weights: the same may be added to the weights of all classes, and "
            "whatever is orthogonal to all features to those of any" if holds else "it may be regular",
            evidence=evidence,
        ),
    )  # fmt: skip
    return replace(entry, derived=replace(readout.nullity(), name=entry.name))


@paper.entry
def claim_singularity_grows() -> LedgerEntry:
    """One more unit, which is either independent of the others or not."""
    form = readout.nullity().right
    more = [
        expand(form.subs({d: d + 1, r: r + independent}, simultaneous=True) - form) for independent in (1, 0)
    ]
    holds = all(bool(change.is_positive) for change in more)
    return paper.claim(
        "claim-singularity-grows", "the Hessian is the more singular the more hidden units there are",
        Verdict("confirmed" if holds else "refuted",
                f"a unit adds {more[0]} zero eigenvalue to the last layer's Hessian, or {more[1]} if it depends "
                "linearly on the others", evidence={"of an independent unit": more[0], "of a dependent one": more[1]}),
    )  # fmt: skip


@paper.entry
def claim_smallest_eigenvalues() -> LedgerEntry:
    return paper.claim(
        "claim-smallest-eigenvalues", "several eigenvalues are of the order of 10^-0.9, in our copy of the text",
        paper.lacking("a copy in which the exponent can be read (the derivation has the least eigenvalues at exactly "
                      "zero, and numbers in their place are rounding)"),
    )  # fmt: skip


@paper.entry
def claim_preconditioning() -> LedgerEntry:
    """At uniform predictions the Hessian's nonzero eigenvalues are those of the features' second moments."""
    mean, deviations = Matrix([3, 0]), diag(1, 2, 2)
    tight, loose = Rational(9, 10), Rational(7, 10)
    correlations = Matrix([[1, loose, loose], [loose, 1, tight], [loose, tight, 1]])
    examples = {
        "centring, large mean": (eye(2) + mean * mean.T, eye(2)),
        "centring, mean along a flat direction": (diag(2, 2), diag(2, 1)),  # the mean is (0, 1)
        "scaling, units of very different variance": (diag(1, 100), eye(2)),
        "scaling, three correlated units": (deviations * correlations * deviations, correlations),
    }
    numbers = {name: (_condition(before), _condition(after)) for name, (before, after) in examples.items()}
    better = [name for name, (before, after) in numbers.items() if after < before]
    worse = {name: pair for name, pair in numbers.items() if name not in better}
    verdict: VerdictKind = "confirmed" if not worse else "conditional" if better else "refuted"
    return paper.claim(
        "claim-preconditioning",
        "recentring and rescaling the inputs of a layer improves the conditioning of its Hessian",
        Verdict(
            verdict,
            "they need not: centring lowers every eigenvalue of the second moments, but their ratio only where the "
            "mean stands for the largest, and unit variances are not the best scales of correlated units",
            counterexample=_printed(worse, DIGITS) or None,
            evidence={"lambda_1 over the least that is not zero, before and after":
                      _printed(numbers, 8),
                      "second moments, before and after":
                      {name: [str(m.tolist()) for m in pair] for name, pair in examples.items()}},
        ),
    )  # fmt: skip


def _printed(pairs: Mapping[str, Sequence[mpmath.mpf]], digits: int) -> dict[str, list[str]]:
    return {name: [mpmath.nstr(value, digits) for value in pair] for name, pair in pairs.items()}


def _condition(moments: Matrix) -> mpmath.mpf:
    with mpmath.workdps(DIGITS):
        rows = [[mpmath.mpf(e.p) / e.q for e in moments.row(k)] for k in range(moments.rows)]
        values = sorted(mpmath.eigsy(mpmath.matrix(rows), eigvals_only=True))
        return values[-1] / values[0]
