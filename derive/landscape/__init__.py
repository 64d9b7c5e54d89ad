"""The landscape of the generalization error at the symmetric fixed point, and the flow's stability there."""

from derive.landscape.asymptotics import leading
from derive.landscape.conserved import conserved_quantities
from derive.landscape.curvature import Curvature, curvature
from derive.landscape.fixed_point import FixedPoint, symmetric_fixed_point
from derive.landscape.stability import Jacobian, Mode, jacobian, slow_manifold
from derive.landscape.weight_space import WeightSector, weight_hessian

__all__ = [
    "Curvature",
    "FixedPoint",
    "Jacobian",
    "Mode",
    "WeightSector",
    "conserved_quantities",
    "curvature",
    "jacobian",
    "leading",
    "slow_manifold",
    "symmetric_fixed_point",
    "weight_hessian",
]
