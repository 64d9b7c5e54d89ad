"""Innermost loops cut in two at their arcsines.

Sine, cosine (a root) and angle (a polynomial) are one chain of dependent operations, some 130 cycles long.  A
processor looks ahead by two or three turns of a loop whose turns are such chains; cut in the middle, by twice
as many.  Measured on a Zen 4 core at K = M = 8 and 16: a tenth less time for the whole right-hand side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from numerics.kernel.ir import Node
from numerics.kernel.schedule import Schedule, Scope, Stage

COSINES = {"ratio_arcsine": "ratio_cosine", "noisy_arcsine": "noisy_cosine"}


@dataclass(frozen=True)
class Parts:
    """What the sines and cosines of ``arcsines`` need, and what comes after their angles.

    A value that both parts need is computed in both.
    """

    arcsines: list[Node]
    before: Stage
    after: Stage


def cut_at_arcsines(schedule: Schedule, scope: Scope) -> Parts | None:
    """The two parts of an innermost loop, or None where it has no arcsine that differs between lanes."""
    if len(scope.stages) != 1 or scope.stages[0].inner:
        return None
    stage = scope.stages[0]
    here = set(stage.values)
    arcsines = [
        n for n in stage.values if n.op == "call" and n.data in COSINES and schedule.lane_dependent(n)
    ]
    before = _needs((a for call in arcsines for a in call.args), here, set())
    if not arcsines or before & set(arcsines):
        return None
    results = [*(node.args[0] for node in stage.additions), *(table.node for table in stage.stores)]
    after = _needs(results, here, set(arcsines))
    return Parts(
        arcsines,
        Stage(values=[n for n in stage.values if n in before]),
        Stage([n for n in stage.values if n in after], stage.additions, stage.stores),
    )


def _needs(nodes: Iterable[Node], here: set[Node], given: set[Node]) -> set[Node]:
    """The values of ``here`` that the nodes are made of, those that are ``given`` not taken apart."""
    found: set[Node] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node in here and node not in found:
            found.add(node)
            if node not in given:
                stack.extend(node.args)
    return found
