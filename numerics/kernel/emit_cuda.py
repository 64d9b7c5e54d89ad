"""The CUDA emitter: the body of the C emitter with one thread a parameter set."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from numerics.kernel.emit_body import BodyEmitter, Lanes
from numerics.kernel.emit_c import library
from numerics.kernel.inputs import shape_of
from numerics.kernel.program import Program

PRELUDE = "#define OP static __device__ __forceinline__"


@dataclass(frozen=True)
class CudaSource:
    """The text of a program's kernels, the order of their array arguments, and their scratch memory."""

    text: str
    pointers: tuple[str, ...]
    table_sizes: tuple[tuple[tuple[str, ...], ...], ...]

    def work_length(self, sizes: dict[str, int]) -> int:
        """Doubles of scratch memory a thread."""
        return max((sum(prod(shape_of(t, sizes)) for t in nest) for nest in self.table_sizes), default=0)


def emit(program: Program) -> CudaSource:
    """CUDA text: for every group of outputs a kernel ``<group>_threads(sizes..., stride, arrays..., work)``.

    All arrays are element-major with ``stride`` parameter sets side by side.
    """
    inputs = [*program.arrays, *(f"{s}_" for s in program.scalars)]
    targets = [t.name for t in program.targets]
    sizes = "".join(f"long long size_{n}, " for n in program.size_names)
    signature = (
        f"{sizes}long long stride, "
        + "".join(f"const double *{n}, " for n in inputs)
        + "".join(f"double *{n}, " for n in targets)
        + "double *work"
    )
    names = ", ".join([*(f"size_{n}" for n in program.size_names), "stride", *inputs, *targets, "work"])
    functions = library(program).replace(
        "static __attribute__((noinline)) double", "static __device__ double"
    )
    parts = ["/*\n" + program.describe() + "\n*/", PRELUDE, functions]
    tables = []
    for target in program.targets:
        emitter = BodyEmitter(program.graph, target, Lanes(over_sets=True, threads=True), program.shapes)
        body = [f"static __device__ void nest_{target.name}(long long lane, {signature})", "{"]
        offset = "work"
        for table in emitter.tables:
            body.append(f"    double *{table.name} = {offset};")
            length = " * ".join(emitter.size(loop.size) for loop in table.loops)
            offset = f"{table.name} + {length} * stride"
        parts.append("\n".join([*body, *emitter.write(1), "}"]))
        tables.append(tuple(tuple(loop.size for loop in t.loops) for t in emitter.tables))
    for group in program.groups:
        calls = [f"    nest_{t.name}(lane, {names});" for t in program.group(group)]
        parts.append(
            "\n".join(
                [
                    f'extern "C" __global__ void {group}_threads({signature})',
                    "{",
                    "    const long long lane = (long long)blockIdx.x * blockDim.x + threadIdx.x;",
                    "    if (lane >= stride) return;",
                    *calls,
                    "}",
                ]
            )
        )
    pointers = (*program.arrays, *program.scalars, *targets)
    return CudaSource("\n\n".join(parts) + "\n", pointers, tuple(tables))
