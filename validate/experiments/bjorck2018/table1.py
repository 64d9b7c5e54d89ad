"""Table 1 and appendix J of the paper: do the terms of a kernel's gradient agree or cancel?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from derive.equation import VerdictKind
from validate import statistics
from validate.experiments.bjorck2018.shapes import geometric, ratio
from validate.experiments.judging import CRITERION, judge
from validate.report.model import Finding, Table

PAPER = "bjorck2018"
NETWORKS = ("none", "batch")
Records = Mapping[str, dict[str, np.ndarray]]
"""By network ("none", "batch"): arrays over seeds."""
Scaled = Mapping[tuple[int, int], Records]
"""By the number of images and of their pixels to a side."""

SMALL_RATIO, ORDER_ONE = 2.0, 5.0
"""The paper's bound on a/b, and ours on what may be called of order one."""


def exponents(scaled: Scaled, network: str) -> statistics.Estimate:
    """Of a/b in the number of summands, images times pixels: a fit to each seed, the mean over layers."""
    size = np.log([batch * side**2 for batch, side in scaled])
    values = np.log([ratio(records[network]).T for records in scaled.values()])  # (size, layer, seed)
    values = values - values.mean(axis=0)
    slopes = np.tensordot(size - size.mean(), values, 1) / ((size - size.mean()) ** 2).sum()
    return statistics.estimate(slopes.mean(axis=0))


def sums(scaled: Scaled) -> tuple[Finding, Finding]:
    """The claims about a/b, at the first of the sizes."""
    (batch, side), own = next(iter(scaled.items()))
    layers = own["none"]["layers"][0].tolist()
    words, exponent = {}, {}
    for network in NETWORKS:
        values = geometric(ratio(own[network]))
        words[network] = ", ".join(f"{v:.3g} at layer {l}" for v, l in zip(values, layers, strict=True))
        exponent[network] = exponents(scaled, network)
    free, tied = (geometric(ratio(own[network])) for network in NETWORKS)
    powers = {n: f"{float(e.value):.3f} ± {float(e.error):.3f}" for n, e in exponent.items()}
    grows = bool(exponent["batch"].value - 5 * exponent["batch"].error > 0.25)
    hundred = bool(30 < tied.mean() < 300)
    size = f"{batch} images of {side} x {side}"
    with_verdict: VerdictKind = "conditional" if grows else "confirmed" if hundred else "refuted"
    return (
        Finding(
            f"{PAPER}.claim-table1-without",
            "without normalization the sum of |d| is at most about twice the |sum of d| (Table 1)",
            f"For {size}, a/b without normalization is {words['none']}; it hardly depends on how many terms are "
            f"summed (exponent {powers['none']}).",
            "confirmed" if (free < SMALL_RATIO).all() else "conditional" if (free < ORDER_ONE).all() else "refuted",
            {"criterion": f"geometric means over seeds below {SMALL_RATIO:g} at every layer, or of order one (below "
             f"{ORDER_ONE:g})", "a/b": free.tolist(),
             "exponent": powers["none"]},
        ),
        Finding(
            f"{PAPER}.claim-table1-with",
            "with normalization the two differ by a factor of about 100 (Table 1)",
            f"For {size}, a/b with normalization is {words['batch']}; it grows with the number of images and of "
            f"pixels to the power {powers['batch']}: a sum of terms of random sign. The factor of the paper belongs "
            "to its 128 images of 32 x 32, and it falls by two from stage to stage because the images get smaller.",
            with_verdict,
            {"criterion": "conditional where the factor depends on the number of summands (exponent above 1/4 by "
             "five standard errors); else confirmed within a factor of three of 100", "a/b": tied.tolist(),
             "exponent": powers["batch"]},
        ),
    )  # fmt: skip


def single(own: Records) -> Finding:
    """Appendix J, which is missing: the ratio of every parameter on its own, by its distribution over the kernel."""
    layers = own["none"]["layers"][0].tolist()
    pairs = judge(
        {
            f"layer {layer}": np.log(own["none"]["single"][:, k, 10] / own["batch"]["single"][:, k, 90])
            for k, layer in enumerate(layers)
        }
    )
    words = {
        network: ", ".join(
            f"{share[50]:.2g} ({share[10]:.2g} to {share[90]:.2g}) at layer {layer}"
            for layer, share in zip(layers, geometric(own[network]["single"]), strict=True)
        )
        for network in NETWORKS
    }
    within = (own["none"]["single"] > 1 / SMALL_RATIO).mean()
    return Finding(
        f"{PAPER}.claim-single-parameters",
        "single parameters show what the averages of Table 1 show (appendix J)",
        f"The share that |sum of d| is of the sum of |d|, median and the range of the middle 80% of a kernel's "
        f"parameters: without normalization {words['none']}; with it {words['batch']}. The tenth percentile without "
        f"exceeds the ninetieth with normalization {pairs.where()}. Of single parameters without normalization "
        f"{within:.0%} agree within a factor of {SMALL_RATIO:g}.",
        pairs.verdict,
        {"criterion": "differences are logarithms of the tenth percentile without over the ninetieth with "
         "normalization; " + CRITERION,
         "share of parameters without any d, without normalization": own["none"]["silent"].mean(axis=0).tolist()},
    )  # fmt: skip


def table(scaled: Scaled) -> Table:
    """Table 1, for every size."""
    rows: list[tuple[Any, ...]] = []
    for (batch, side), records in scaled.items():
        for network in NETWORKS:
            record = records[network]
            for k, layer in enumerate(record["layers"][0]):
                a, b, r = record["a"][:, k], record["b"][:, k], ratio(record)[:, k]
                rows.append(
                    (f"{batch} of {side} x {side}", "with" if network == "batch" else "without", int(layer),
                     f"{geometric(a):.3g}", f"{geometric(b):.3g}", f"{geometric(r):.3g}",
                     f"{r.min():.3g} to {r.max():.3g}")
                )  # fmt: skip
    return Table(
        "As the paper's Table 1, with other batches and images: geometric means over seeds, and the range of a/b",
        ("images", "normalization", "layer", "a", "b", "a/b", "over seeds"), tuple(rows),
    )  # fmt: skip
