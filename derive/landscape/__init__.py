"""The landscape of the generalization error at the symmetric fixed point, and the flow's stability there."""

from derive.landscape.fixed_point import FixedPoint, symmetric_fixed_point

__all__ = ["FixedPoint", "symmetric_fixed_point"]
