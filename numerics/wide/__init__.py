"""Numbers of the theory of wide networks: order parameters, kappa_1 and kappa_2, eigenvalue statistics."""

from numerics.wide.predict import Prediction, order_parameters, predict
from numerics.wide.proportional import Bulk, bulk

__all__ = ["Bulk", "Prediction", "bulk", "order_parameters", "predict"]
