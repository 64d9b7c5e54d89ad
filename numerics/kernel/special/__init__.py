"""Special functions of the kernels: one body for array modules, one for C and CUDA."""
