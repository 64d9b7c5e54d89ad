"""From outputs (names, indices, sympy expressions) to a program: targets in order, ready for any emitter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy

from numerics.kernel.ir import Graph, Target, walk
from numerics.kernel.lower import Lowering, size_names
from numerics.kernel.passes import PassCount, run_passes

REFERENCE_SIZE = 8
"""Operation counts are given with every size at this value."""


@dataclass(frozen=True)
class Output:
    """An array to compute: element ``name[indices]`` is ``expression``; ``sizes`` name the axes' lengths.

    ``symmetric``: both indices have one size and the element does not change when they are exchanged.
    ``group``: outputs of one group are computed by one entry point of compiled code.
    ``note``: what stands in the comments of generated source, such as the equation's name.
    """

    name: str
    indices: tuple[sympy.Symbol, ...]
    sizes: tuple[str, ...]
    expression: sympy.Expr
    symmetric: bool = False
    note: str = ""
    group: str = "outputs"


@dataclass(frozen=True)
class Program:
    """What an emitter needs: targets in order of computation (shared sums first), and the inputs' shapes.

    ``constants`` are the arrays whose values are known already: nodes and weights of quadrature.
    """

    graph: Graph
    targets: tuple[Target, ...]
    outputs: tuple[Output, ...]
    arrays: dict[str, tuple[str, ...]]
    scalars: tuple[str, ...]
    size_names: tuple[str, ...]
    counts: tuple[PassCount, ...]
    constants: dict[str, np.ndarray]

    @property
    def temporaries(self) -> tuple[Target, ...]:
        """The shared sums."""
        names = {o.name for o in self.outputs}
        return tuple(t for t in self.targets if t.name not in names)

    @property
    def shapes(self) -> dict[str, tuple[str, ...]]:
        """The axes of every array of the program: inputs, shared sums, outputs."""
        return {**self.arrays, **{t.name: t.sizes for t in self.targets}}

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of the outputs."""
        return tuple(dict.fromkeys(o.group for o in self.outputs))

    @cached_property
    def _members(self) -> dict[str, tuple[Target, ...]]:
        return {name: self._needed(name) for name in self.groups}

    def group(self, name: str) -> tuple[Target, ...]:
        """The targets that a group of outputs needs, shared sums among them, in order."""
        return self._members[name]

    def _needed(self, name: str) -> tuple[Target, ...]:
        wanted = {o.name for o in self.outputs if o.group == name}
        found = []
        for target in reversed(self.targets):
            if target.name in wanted:
                found.append(target)
                wanted |= {n.data[0] for n in walk([target.node]) if n.op == "leaf"}
        return tuple(reversed(found))

    def uses(self, function: str) -> bool:
        """Whether a library function is called."""
        return any(n.op == "call" and n.data == function for n in walk([t.node for t in self.targets]))

    def describe(self) -> str:
        """A header for generated source: the outputs and the operation count after each pass."""
        lines = []
        for o in self.outputs:
            axes = "".join(f"[{i}]" for i in o.indices)
            lines.append(f"{o.name}{axes}" + (f": {o.note}" if o.note else ""))
        lines.append(f"scalar operations with all sizes {REFERENCE_SIZE}, after each pass:")
        lines += [f"  {c.operations:>10,}  {c.name}" for c in self.counts]
        return "\n".join(lines)


def build_program(outputs: Sequence[Output], symmetric: Iterable[str] = ()) -> Program:
    """Lower the outputs and run the passes.  ``symmetric`` names the inputs that are symmetric matrices."""
    graph = Graph(symmetric)
    known = {s for o in outputs for s in o.sizes}.union(*(size_names(o.expression) for o in outputs))
    lower = Lowering(graph, known)
    targets = []
    for o in outputs:
        letters = dict(zip(o.indices, zip("ijkl", o.sizes, strict=False), strict=True))
        node = lower(o.expression, letters)
        targets.append(Target(o.name, tuple(n for n, _ in letters.values()), o.sizes, node, o.symmetric))
    names = sorted(n for n in known if not n.isdigit())
    finished, counts = run_passes(graph, targets, dict.fromkeys(names, REFERENCE_SIZE))
    arrays = {name: tuple(a or "1" for a in axes) for name, axes in lower.arrays.items()}
    return Program(
        graph,
        tuple(finished),
        tuple(outputs),
        arrays,
        tuple(lower.scalars),
        tuple(names),
        tuple(counts),
        lower.constants,
    )
