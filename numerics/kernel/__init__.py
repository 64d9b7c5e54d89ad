"""From sympy expressions over unit indices to kernels: numpy and cupy, C, CUDA.

``compile_kernel(outputs, backend)`` lowers (lower.py) into an indexed SSA (ir.py), runs the passes (passes/)
and hands the program to an emitter; sizes K and M are run-time arguments and a leading batch axis runs over
parameter sets.
"""

from numerics.kernel.kernel import Kernel, choose_backend, compile_kernel
from numerics.kernel.program import Output, Program, build_program

__all__ = ["Kernel", "Output", "Program", "build_program", "choose_backend", "compile_kernel"]
