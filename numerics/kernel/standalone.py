"""A flow's right-hand side as one file that needs nothing of this project, its equations in comments."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING

import sympy

from numerics.kernel import emit_c, emit_cuda, emit_numpy
from numerics.kernel.flow import OBSERVABLES, RATES, flow_outputs, flow_program
from numerics.kernel.ir import Target
from numerics.kernel.program import Program
from numerics.kernel.special import arrays as special
from numerics.runtime.errors import unknown_name
from numerics.special import legendre, orthant

if TYPE_CHECKING:
    from derive.online import Flow

TARGETS = ("numpy", "cupy", "c", "cuda")


def generate(flow: Flow, target: str) -> str:
    """The text of a file with the rates and the observables of a flow, for one of TARGETS.

    - numpy, cupy: functions ``rates(...)`` and ``observables(...)`` of arrays, scalars and sizes by keyword,
      returning dicts of arrays;
    - c: ``int flow_rates(...)`` and ``int flow_observables(...)``: sizes, inputs, results, row-major; they
      return 0, or 1 where memory is short;
    - cuda: kernels ``rates_threads`` and ``observables_threads``, one thread a parameter set.

    Raises InputError for an unknown target.
    """
    if target not in TARGETS:
        raise unknown_name("target", target, TARGETS)
    program = flow_program(flow)
    header = f"{_equations(flow)}\n\n{program.describe()}"
    if target == "c":
        return f"/*\n{header}\n*/\n\n{_c(program)}"
    if target == "cuda":
        return f"/*\n{header}\n\n{_cuda_usage(program)}\n*/\n\n{emit_cuda.emit(program).text}"
    return "\n".join(f"# {line}".rstrip() for line in header.splitlines()) + f"\n\n{_arrays(program, target)}"


def _equations(flow: Flow) -> str:
    """Every equation as text, wrapped."""
    lines = []
    for output in flow_outputs(flow):
        left = output.note if not output.indices else f"{output.note} [{', '.join(map(str, output.indices))}]"
        text = f"{left} = {sympy.sstr(output.expression)}"
        lines += textwrap.wrap(text, 108, subsequent_indent="    ", break_long_words=False)
    return "\n".join(lines)


def _cuda_usage(program: Program) -> str:
    emitted = emit_cuda.emit(program)
    return (
        f"Arguments: {', '.join(program.size_names)}, the number of parameter sets, then double arrays "
        f"{', '.join(emitted.pointers)},\nelement-major with the sets side by side, and scratch memory. "
        "Every kernel computes the shared sums it needs."
    )


def _c(program: Program) -> str:
    emitted = emit_c.emit(program)
    parts = [emitted.text, "#include <stdlib.h>"]
    return (
        "\n\n".join([*parts, *(_c_function(program, emitted, group) for group in (RATES, OBSERVABLES))])
        + "\n"
    )


def _c_function(program: Program, emitted: emit_c.CSource, group: str) -> str:
    """A plain C function that fills the kernel's structure for one parameter set."""

    def length(axes: tuple[str, ...]) -> str:
        return " * ".join(a if a.isdigit() else f"size_{a}" for a in axes) or "1"

    results = [o.name for o in program.outputs if o.group == group]
    needed = program.group(group)
    given = [n for n in program.arrays if n not in program.constants]
    arguments = [f"long size_{n}" for n in program.size_names]
    arguments += [f"const double *{n}" for n in given]
    arguments += [f"double {n}" for n in program.scalars]
    arguments += [f"double *{n}" for n in results]
    work = [" + ".join(length(t) for t in nest) or "0" for nest in emitted.table_sizes]
    lines = [f"int flow_{group}({', '.join(arguments)})", "{"]
    lines += [
        f"    static const double {n}[] = {{{', '.join(repr(float(x)) for x in values)}}};"
        for n, values in program.constants.items()
    ]
    lines += ["    struct kernel k = {0};", "    long tables = 1;"]
    lines += [f"    if ({w} > tables) tables = {w};" for w in dict.fromkeys(work) if w != "0"]
    shared = [t for t in needed if t.name not in results]
    doubles = " + ".join(["tables * MAX_LANES", *(length(t.sizes) for t in shared)])
    integers = " + ".join(
        f"{max(1, len(sizes))} * ({length(sizes)} + MAX_LANES)" for sizes, _ in emitted.domains
    )
    lines += [
        f"    double *memory = malloc(sizeof(double) * ({doubles}));",
        f"    int *indices = malloc(sizeof(int) * ({integers}));",
        "    if (!memory || !indices) { free(memory); free(indices); return 1; }",
        "    double *next = memory + tables * MAX_LANES;",
        "    int *index = indices;",
        "    k.work = memory;",
    ]
    lines += [f"    k.size_{n} = size_{n};" for n in program.size_names]
    lines += [f"    k.{n} = {n};" for n in program.arrays]
    lines += [f"    k.{n}_ = &{n};" for n in program.scalars]
    lines += [f"    k.{n} = {n};" for n in results]
    for t in shared:
        lines += [f"    k.{t.name} = next;", f"    next += {length(t.sizes)};"]
    for number, (sizes, symmetric) in enumerate(emitted.domains):
        lines += _c_domain(number, sizes, symmetric)
    lines += [f"    {group}_units(&k);", "    free(memory);", "    free(indices);", "    (void)next;"]
    return "\n".join([*lines, "    return 0;", "}"])


def _c_domain(number: int, sizes: tuple[str, ...], symmetric: bool) -> list[str]:
    """Index values of every element of an output, the last one repeated up to a whole register."""

    def bound(axis: str) -> str:
        return axis if axis.isdigit() else f"size_{axis}"

    capacity = f"({' * '.join(bound(s) for s in sizes) or '1'} + MAX_LANES)"
    lines = ["    {", "        long count = 0;"]
    lines += [f"        int *at_{axis} = index + {axis} * {capacity};" for axis in range(len(sizes))]
    indent = "        "
    for axis, size in enumerate(sizes):
        start = "i0" if symmetric and axis == 1 else "0"
        lines.append(f"{indent}for (int i{axis} = {start}; i{axis} < {bound(size)}; ++i{axis})")
        indent += "    "
    assign = " ".join(f"at_{axis}[count] = i{axis};" for axis in range(len(sizes)))
    lines.append(f"{indent}{{ {assign} ++count; }}")
    lines.append(f"        k.count_{number} = count;")
    pad = " ".join(f"at_{axis}[count + l] = at_{axis}[count - 1];" for axis in range(len(sizes)))
    lines.append(f"        for (int l = 0; l < MAX_LANES; ++l) {{ {pad} }}")
    lines += [f"        k.index_{number}_{axis} = at_{axis};" for axis in range(len(sizes))]
    return [*lines, f"        index += {max(1, len(sizes))} * {capacity};", "    }"]


def _arrays(program: Program, module: str) -> str:
    """The functions of the numpy emitter with plain gathers, for one parameter set."""
    source = inspect.getsource(special).split("from typing import Any\n", 1)[1]
    # Without scipy the error function is the standard library's, element by element.
    source = source[: source.index("def four_signs(")]
    source = source.replace("_scipy_special(xp).erfc(x)", "_elementwise(math.erfc, xp, x)")
    source = source.replace("_scipy_special(xp).erf(x)", "_elementwise(math.erf, xp, x)")
    imports = ["import math", "import sys", "from typing import Any", "", "import numpy as np"]
    if module == "cupy":
        imports.append("import cupy")
    fallback = (
        "def _elementwise(function: Any, xp: Any, x: Any) -> Any:\n"
        "    return xp.asarray(np.vectorize(function)(x.get() if hasattr(x, 'get') else x))"
    )
    parts = ["\n".join(imports), f"xp = {'np' if module == 'numpy' else 'cupy'}", source.strip(), fallback]
    if program.uses("four_signs"):
        parts.append(_orthant())
    functions = [emit_numpy.emit(t) for t in program.targets]
    for name, values in program.constants.items():
        parts.append(f"{name} = xp.asarray({[float(x) for x in values]!r})")
    parts += [f.source.strip() for f in functions]
    parts += [_array_target(f) for f in functions]
    parts += [_array_group(program, group) for group in (RATES, OBSERVABLES)]
    return "\n\n\n".join(parts) + "\n"


def _orthant() -> str:
    """The average of four signs and what it needs, on numpy's side of the array module."""
    nodes = inspect.getsource(legendre).split("import numpy as np\n", 1)[1]
    rules = inspect.getsource(orthant).split("import gauss_legendre\n", 1)[1].replace("ArrayLike", "Any")
    rules = rules[: rules.index("def _four_signs_c(")].replace("def four_signs(", "def _four_signs(")
    imports = "from functools import cache\nfrom itertools import combinations"
    wrapper = inspect.getsource(special.four_signs)
    own_import = "    from numerics.special.orthant import four_signs as evaluate\n\n"
    wrapper = wrapper.replace(own_import, "    evaluate = _four_signs\n")
    return "\n\n\n".join([imports, nodes.strip(), rules.strip(), wrapper.strip()])


def _array_target(function: emit_numpy.ArrayFunction) -> str:
    """A function that computes one array from a dict of inputs."""
    target, depth = function.target, function.depth
    lines = [f"def compute_{target.name}(values: dict[str, Any], sizes: dict[str, int]) -> Any:"]
    if target.symmetric:
        lines.append(f"    lanes = xp.asarray(np.triu_indices({_size(target.sizes[0])}))")
    elif target.indices:
        shape = ", ".join(_size(s) for s in target.sizes)
        lines.append(f"    lanes = xp.asarray(np.indices(({shape},)).reshape({len(target.sizes)}, -1))")
    else:
        lines.append("    lanes = ()")
    for number, index in enumerate(target.indices):
        lines.append(f"    {_name(index)} = lanes[{number}].reshape({', '.join(['-1', *['1'] * depth])})")
    for index, size in dict.fromkeys(axis for g in function.gathers for axis in g.axes):
        axes = ["1"] * (1 + depth)
        axes[depth - emit_numpy.height(index)] = "-1"
        lines.append(f"    {_name(index, size)} = xp.arange({_size(size)}).reshape({', '.join(axes)})")
    gathered = []
    for g in function.gathers:
        own = dict(g.axes)
        at = [str(i) if isinstance(i, int) else _name(i, own.get(i)) for i in g.indices]
        if g.array == "=":
            gathered.append(f"1.0 * ({at[0]} == {at[1]})[None]")
        else:
            shaped = f"values[{g.array!r}][{', '.join(at) or '...'}]"
            gathered.append(
                f"xp.reshape({shaped}, (1, *xp.shape({shaped}), *[1] * {depth}))"
                if not any(isinstance(i, str) for i in g.indices)
                else f"{shaped}[None]"
            )
    lines.append("    gathered = [")
    lines += [f"        {text}," for text in gathered]
    lines += [
        "    ]",
        f"    found = {function.name}(xp, sys.modules[__name__], gathered, values, sizes)",
        _array_result(target),
    ]
    return "\n".join(lines)


def _array_result(target: Target) -> str:
    shape = "".join(f"{_size(s)}, " for s in target.sizes)
    if not target.symmetric:
        return (
            "    flat = xp.reshape(xp.asarray(found), (-1,))\n"
            f"    return xp.broadcast_to(flat, (math.prod(({shape})),)).reshape(({shape}))"
        )
    return "\n".join(
        [
            f"    out = xp.empty(({shape}))",
            "    out[lanes[0], lanes[1]] = out[lanes[1], lanes[0]] = xp.reshape(xp.asarray(found), (-1,))",
            "    return out",
        ]
    )


def _array_group(program: Program, group: str) -> str:
    results = [o.name for o in program.outputs if o.group == group]
    constants = "".join(f"{n!r}: {n}, " for n in program.constants)
    lines = [
        f"def {group}(**values: Any) -> dict[str, Any]:",
        f'    """{", ".join(results)} from the arrays and scalars by name and the sizes '
        f'{", ".join(program.size_names)}."""',
        f"    sizes = {{name: int(values[name]) for name in {list(program.size_names)!r}}}",
        f"    values = {{{constants}**{{name: xp.asarray(x, dtype=float) for name, x in values.items()}}}}",
    ]
    lines += [f"    values[{t.name!r}] = compute_{t.name}(values, sizes)" for t in program.group(group)]
    return "\n".join([*lines, f"    return {{name: values[name] for name in {results!r}}}"])


def _size(name: str) -> str:
    return name if name.isdigit() else f"sizes[{name!r}]"


def _name(index: str, size: str | None = None) -> str:
    text = index.replace("%", "r").replace("#", "a")
    return text if size is None else f"{text}_{size}"
