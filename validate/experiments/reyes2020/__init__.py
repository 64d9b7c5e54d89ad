"""Reyes and Levy (2020), Investigating the effect of batch normalization on the Hessian of a two-layer network."""

EXPERIMENTS: tuple[str, ...] = ("readout", "training", "rates", "parts", "halves", "full_hessian")
"""The modules of this package that are experiments, in the order of the report."""
