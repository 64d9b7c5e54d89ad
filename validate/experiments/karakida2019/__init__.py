"""Karakida, Akaho and Amari (2019), The normalization method for alleviating pathological sharpness."""

EXPERIMENTS: tuple[str, ...] = (
    "largest_eigenvalue",
    "finite_width",
    "sharpness",
    "learning_rate",
    "backward_overlaps",
    "batch_middle",
    "layer_normalization",
    "proportional",
    "bulk",
)
"""The modules of this package that are experiments, in the order of the report."""
