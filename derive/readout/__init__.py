"""The last layer of a classifier: gradient and Hessian of softmax cross-entropy in its weights.

Logits z_k = sum_i W_ki h_i of K classes from d features; a bias is the weight of a feature that is always 1.
``loss`` differentiates the loss of a sample, ``structure`` has null space and rank, ``spectrum`` eigenvalues in
closed form, ``bounds`` traces and inequalities, ``features`` what centring and scaling do, ``invariance`` which
quantities belong to the function and which to its coordinates.  ``equations()`` is the whole derivation.
"""

from derive.readout.bounds import loss_bound, sandwich, steepest, trace, trace_of_square
from derive.readout.derivation import equations
from derive.readout.features import batch_normalized_trace, centred_trace, exchangeable
from derive.readout.invariance import QUANTITIES, TRANSFORMATIONS, effects
from derive.readout.loss import curvature, gradient, hessian
from derive.readout.spectrum import lopsided_classes, secular_equation, uniform_classes, uniform_spectrum
from derive.readout.structure import generic_feature_rank, null_vectors, nullity, quadratic_form, rank
from derive.readout.symbols import K, d, r

__all__ = [
    "QUANTITIES", "TRANSFORMATIONS", "K", "batch_normalized_trace", "centred_trace", "curvature", "d", "effects",
    "equations", "exchangeable", "generic_feature_rank", "gradient", "hessian", "lopsided_classes", "loss_bound",
    "null_vectors", "nullity", "quadratic_form", "r", "rank", "sandwich", "secular_equation", "steepest", "trace",
    "trace_of_square", "uniform_classes", "uniform_spectrum",
]  # fmt: skip
