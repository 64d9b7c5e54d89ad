"""Luo, Wang, Shao and Peng (2019), Towards understanding regularization in batch normalization."""

EXPERIMENTS: tuple[str, ...] = (
    "dynamics",
    "stability",
    "boundary",
    "statistics",
    "claims",
    "finite_batch",
    "regression",
    "relu_generalization",
    "replica",
)
"""The modules of this package that are experiments, in the order of the report."""
