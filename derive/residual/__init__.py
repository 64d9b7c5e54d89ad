"""Residual networks at initialization, infinitely wide: what depth does to the stream that runs through them."""

from derive.residual.branch import branch, weight_gain
from derive.residual.walk import first_moment, second_moment, walk

__all__ = ["branch", "first_moment", "second_moment", "walk", "weight_gain"]
