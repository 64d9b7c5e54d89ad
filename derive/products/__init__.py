"""Products X = X_1 X_2 ... X_M of independent N x N Gaussian matrices with entries of variance 1/N.

Everything is about x, a *squared* singular value of X (an eigenvalue of X X^T); entries of variance
sigma_i^2/N multiply it by the product of the sigma_i^2.  ``limit`` derives the moments at N = infinity for
symbolic M and order, ``density`` the density, the distribution function and what follows from them, ``wick``
the moments at finite N, ``exponents`` the logarithms of single singular values.
"""

from derive.products.density import SpectralLaw, spectral_law, upper_end
from derive.products.exponents import lyapunov_exponent, mean_log_determinant
from derive.products.limit import M, log_cumulant, moment, moment_equation
from derive.products.wick import finite_moment

__all__ = [
    "M", "SpectralLaw", "finite_moment", "log_cumulant", "lyapunov_exponent", "mean_log_determinant",
    "moment", "moment_equation", "spectral_law", "upper_end",
]  # fmt: skip
