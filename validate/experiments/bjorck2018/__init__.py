"""Bjorck, Gomes, Selman and Weinberger (2018), Understanding batch normalization."""

EXPERIMENTS: tuple[str, ...] = (
    "initialization", "depth_growth", "first_steps", "products", "minibatch_noise", "channel_means",
)  # fmt: skip
"""The modules of this package that are experiments, in the order of the report."""
