"""Averages over jointly Gaussian fields, closed by named rules."""

from derive.gaussian.average import Average, average, generic_covariance
from derive.gaussian.four_signs import FourSigns
from derive.gaussian.unevaluated import GaussianAverage

__all__ = ["Average", "FourSigns", "GaussianAverage", "average", "generic_covariance"]
