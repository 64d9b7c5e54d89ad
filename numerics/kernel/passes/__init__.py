"""The passes: pure functions of nodes, in the order they run, with an operation count after each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from numerics.kernel.ir import Graph, Node, Target
from numerics.kernel.passes.cancellation import guard_cancellation
from numerics.kernel.passes.counting import count_operations
from numerics.kernel.passes.polynomials import collect, expand
from numerics.kernel.passes.powers import reduce_powers
from numerics.kernel.passes.reductions import halve_symmetric, name_alike, pull_factors, split_reductions
from numerics.kernel.passes.sharing import share_reductions
from numerics.kernel.passes.splitting import split_arcsines, split_products, split_roots

PASSES: tuple[tuple[str, Callable[[Graph, Node], Node]], ...] = (
    ("reduce powers", reduce_powers),
    ("split roots", split_roots),
    ("expand polynomials", expand),
    ("guard cancellation", guard_cancellation),
    ("split reductions", split_reductions),
    ("halve symmetric sums", halve_symmetric),
    ("pull factors out", pull_factors),
    ("name equal sums alike", name_alike),
    ("collect by index", collect),
    ("split arcsines", split_arcsines),
    ("split products", split_products),
)


@dataclass(frozen=True)
class PassCount:
    """What stood after a pass: scalar operations at the sizes that were asked for."""

    name: str
    operations: int


def run_passes(
    graph: Graph, targets: list[Target], sizes: Mapping[str, int]
) -> tuple[list[Target], list[PassCount]]:
    """The targets after all passes, and the operation count after each, at the given sizes."""
    counts = [
        PassCount("as written", count_operations(targets, sizes, hoisted=False)),
        PassCount("each operation at its own indices", count_operations(targets, sizes)),
    ]
    for name, change in PASSES:
        targets = [Target(t.name, t.indices, t.sizes, change(graph, t.node), t.symmetric) for t in targets]
        counts.append(PassCount(name, count_operations(targets, sizes)))
    targets = share_reductions(graph, targets)
    counts.append(PassCount("share reductions", count_operations(targets, sizes)))
    return targets, counts
