"""The C emitter: a header, the special functions, and every target's nest in both schedules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path

import numpy as np

from numerics.kernel.emit_body import BodyEmitter, Lanes, arrays_read, scalars_read
from numerics.kernel.inputs import shape_of
from numerics.kernel.ir import Target
from numerics.kernel.program import Program

LANES = 8
"""Doubles of one 512-bit register."""

FUNCTIONS = (Path(__file__).parent / "special" / "functions.c").read_text()


@dataclass(frozen=True)
class CSource:
    """The text of a program's kernels, and the size of the scratch memory their tables need."""

    text: str
    table_sizes: tuple[tuple[tuple[str, ...], ...], ...]  # of every nest, the axes of every table
    domains: tuple[tuple[tuple[str, ...], bool], ...]

    def work_length(self, sizes: dict[str, int]) -> int:
        """Doubles of scratch memory."""
        return max(
            (sum(prod(shape_of(t, sizes)) for t in nest) * LANES for nest in self.table_sizes), default=0
        )


def emit(program: Program) -> CSource:
    """The C source of a program.

    For every group of outputs, ``<group>_units`` evaluates one parameter set, lanes over the elements of each
    output, and ``<group>_sets`` evaluates LANES parameter sets that lie side by side (element-major).
    """
    axes = program.shapes
    domains = tuple(dict.fromkeys((t.sizes, t.symmetric) for t in program.targets))
    parts = ["/*\n" + program.describe() + "\n*/", PRELUDE, library(program), _structure(program, domains)]
    tables = []
    for target in program.targets:
        for over_sets in (False, True):
            emitter = BodyEmitter(program.graph, target, Lanes(over_sets, threads=False), axes)
            parts.append(_nest(program, target, emitter, over_sets, domains))
            sizes = [tuple(loop.size for loop in table.loops) for table in emitter.tables]
            tables.append((*sizes, *((size,) for size in emitter.scratch.values())))
        parts.append(_loops(program, target))
    parts += [_entry(program, group, schedule) for group in program.groups for schedule in ("units", "sets")]
    parts += [_blocks(program, group) for group in program.groups]
    return CSource("\n\n".join(parts) + "\n", tuple(tables), domains)


def library(program: Program) -> str:
    """The special functions that a program may call."""
    if not program.uses("four_signs"):
        return FUNCTIONS
    from numerics.special.orthant import FOUR_SIGNS_C

    arguments = "double c12, double c13, double c14, double c23, double c24, double c34"
    return f"""{FUNCTIONS}
{FOUR_SIGNS_C}
/* Not inlined: its body is large, and a nest may hold it many times. */
static __attribute__((noinline)) double op_four_signs({arguments})
{{
    return four_signs(c12, c13, c14, c23, c24, c34);
}}"""


PRELUDE = f"""#include <math.h>
#include <string.h>

#define OP static inline __attribute__((always_inline))
#define LANES _Pragma("omp simd") for (int l = 0; l < W; ++l)
enum {{ MAX_LANES = {LANES} }};"""


def _structure(program: Program, domains: tuple[tuple[tuple[str, ...], bool], ...]) -> str:
    lines = ["struct kernel {"]
    lines += [f"    long size_{name};" for name in program.size_names]
    lines += [f"    const double *{name};" for name in program.arrays]
    lines += [f"    const double *{name}_;" for name in program.scalars]
    lines += [f"    double *{t.name};" for t in program.targets]
    lines += ["    double *work;"]
    for number, (sizes, _) in enumerate(domains):
        lines.append(
            f"    long count_{number};  /* elements of an output over {', '.join(sizes) or 'nothing'} */"
        )
        lines += [f"    const int *index_{number}_{axis};" for axis in range(len(sizes))]
    return "\n".join([*lines, "};"])


def _nest(
    program: Program,
    target: Target,
    emitter: BodyEmitter,
    over_sets: bool,
    domains: tuple[tuple[tuple[str, ...], bool], ...],
) -> str:
    domain = domains.index((target.sizes, target.symmetric))
    schedule = "sets" if over_sets else "units"
    note = next((o.note for o in program.outputs if o.name == target.name), "")
    indices = "".join(f"[{i}]" for i in target.indices)
    body = emitter.write(1)
    signature = "const struct kernel *k" if over_sets else "const struct kernel *k, long first, const int W"
    lines = [
        f"/* {target.name}{indices}{': ' + note if note else ''} */",
        f"OP void nest_{target.name}_{schedule}({signature})",
        "{",
    ]
    if over_sets:
        lines.append("    enum { W = MAX_LANES };")
    lines += [f"    const long size_{n} = k->size_{n}; (void)size_{n};" for n in program.size_names]
    lines += [f"    const double *restrict {n} = k->{n};" for n in arrays_read(target)]
    lines += [f"    const double *restrict {n}_ = k->{n}_;" for n in scalars_read(target)]
    lines.append(f"    double *restrict {target.name} = k->{target.name};")
    offset = "k->work"
    for table in emitter.tables:
        lines.append(f"    double *restrict {table.name} = {offset};")
        length = " * ".join(emitter.size(loop.size) for loop in table.loops)
        offset = f"{table.name} + {length} * MAX_LANES"
    for name, size in emitter.scratch.items():
        lines.append(f"    double *restrict {name} = {offset};")
        offset = f"{name} + {emitter.size(size)} * MAX_LANES"
    if not over_sets:
        lines.append(f"    const long count = k->count_{domain} - first;")
        for axis, index in enumerate(target.indices):
            lines.append(
                f"    const int *restrict lane_{index.replace('#', 'a')} = k->index_{domain}_{axis} + first;"
            )
    text = "\n".join([*lines, *body, "}"])
    return text.replace("[W];", "[MAX_LANES];")


def _loops(program: Program, target: Target) -> str:
    """Functions that compute a whole target: for one set block by block, for LANES sets at once."""
    domain = _domain_number(program, target)
    units, sets = f"nest_{target.name}_units", f"nest_{target.name}_sets"
    # Whole registers first; a rest of at most half a register takes half a register's work.
    return f"""static __attribute__((noinline)) void all_{target.name}_units(const struct kernel *k)
{{
    const long count = k->count_{domain};
    long first = 0;
    for (; count - first > MAX_LANES / 2; first += MAX_LANES)
        {units}(k, first, MAX_LANES);
    if (count > first) {units}(k, first, MAX_LANES / 2);
}}

static __attribute__((noinline)) void all_{target.name}_sets(const struct kernel *k)
{{
    {sets}(k);
}}"""


def _entry(program: Program, group: str, schedule: str) -> str:
    calls = [f"    all_{t.name}_{schedule}(k);" for t in program.group(group)]
    return "\n".join([f"void {group}_{schedule}(const struct kernel *k)", "{", *calls, "}"])


def _blocks(program: Program, group: str) -> str:
    """A loop over blocks of LANES sets, one behind the other in every array."""
    steps = []
    for name, axes in program.shapes.items():
        steps.append((name, " * ".join(a if a.isdigit() else f"k.size_{a}" for a in axes) or "1"))
    steps += [(f"{name}_", "1") for name in program.scalars]
    temporary = {t.name for t in program.temporaries}
    advance = [
        f"        if (k.{name}) k.{name} += {length} * MAX_LANES;"
        for name, length in steps
        if name not in temporary
    ]
    return "\n".join(
        [
            f"void {group}_blocks(const struct kernel *first, long blocks)",
            "{",
            "    struct kernel k = *first;",
            "    for (long block = 0; block < blocks; ++block) {",
            f"        {group}_sets(&k);",
            *advance,
            "    }",
            "}",
        ]
    )


def _domain_number(program: Program, target: Target) -> int:
    domains = list(dict.fromkeys((t.sizes, t.symmetric) for t in program.targets))
    return domains.index((target.sizes, target.symmetric))


@lru_cache(maxsize=256)
def domain_indices(shape: tuple[int, ...], symmetric: bool) -> tuple[np.ndarray, ...]:
    """The index values of every element of a domain, padded by LANES with the last one (read only)."""
    grid = np.array(np.triu_indices(shape[0])) if symmetric else np.indices(shape).reshape(len(shape), prod(shape))
    return tuple(np.ascontiguousarray(np.pad(row, (0, LANES), mode="edge").astype(np.int32)) for row in grid)
