"""Takagi, Yoshida and Okada (2020), The effect of batch normalization in the symmetric phase."""

EXPERIMENTS: tuple[str, ...] = (
    "trajectories", "real_normalization", "finite_batch", "input_laws", "spectra",
    "escape", "weight_norm", "learning_rate",
)  # fmt: skip
"""The modules of this package that are experiments, in the order of the report."""
