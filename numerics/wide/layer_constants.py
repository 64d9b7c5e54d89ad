"""The constants of layer normalization: moments of a normalized last layer with C units.

u_k(t) = sqrt(q_st) z_k + sqrt(q_t - q_st) xi_k(t), orthogonal to 1: C - 1 components, of which one lies along z.
With r^2 = C sigma^2 the squared length, x the component along z, and ell = |z|^2 given, r^2/(q_t - q_st) is a
noncentral chi-square: a Poisson mixture over j of central ones with C - 1 + 2j degrees of freedom, in which
x^2/r^2 is independent of r and Beta((1 + 2j)/2, (C - 2)/2) distributed.  So for many samples

    eta_1 = E[C/r^2],  eta_2 = E[C^2/r^4],  p_1 = E[C x^2/r^4],  p_2 = E[C^2 x^2/r^6]   given z,
    eta_3^2 = p_1^2 + (eta_1 - p_1)^2 / (C - 2),

E over z is over ell ~ chi-square with C - 1 degrees of freedom.  E[1/r^2] needs C > 3, E[1/r^4] C > 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, poisson

from numerics.runtime.errors import InputError

NODES = 400
"""Quantile midpoints of |z|^2, over which constants are averaged: integrands are smooth in the quantile."""


@dataclass(frozen=True)
class Constants:
    """eta_1, eta_2, eta_3^2 and the overlaps p_1, p_2 with z, an entry for each value of |z|^2; equal weights.

    ``inverse``: the average of C/r^2; ``square`` that of C^2/r^4, infinite for C < 6.
    """

    inverse: np.ndarray
    square: np.ndarray
    along: np.ndarray
    along_square: np.ndarray
    outputs: int
    weights: np.ndarray

    @property
    def eta_3_squared(self) -> np.ndarray:
        return self.along**2 + (self.inverse - self.along) ** 2 / (self.outputs - 2)

    @property
    def top(self) -> np.ndarray:
        """The C - 2 equal, largest eigenvalues of <P_t / sigma_t^2> over samples."""
        return self.inverse - (self.inverse - self.along) / (self.outputs - 2)

    @property
    def top_square(self) -> np.ndarray:
        """The same of <P_t / sigma_t^4>."""
        return self.square - (self.square - self.along_square) / (self.outputs - 2)

    def mean(self, values: np.ndarray) -> float:
        """Over z."""
        return float(self.weights @ values)


def check_outputs(outputs: int) -> None:
    """Refuse a number of outputs for which the constants do not exist."""
    if outputs <= 2:
        raise InputError(
            f"layer normalization of {outputs} outputs leaves no gradient at all: the outputs are constant; "
            "take at least 6"
        )
    if outputs < 6:
        which = "E[1/sigma^2]" if outputs == 3 else "E[1/sigma^4]"
        raise InputError(
            f"with {outputs} outputs the moment {which} of the last layer diverges "
            "(1/sigma^2 needs at least 4 outputs, 1/sigma^4 at least 6): take at least 6"
        )


def constants(outputs: int, variance: float, covariance: float) -> Constants:
    """The constants for C outputs whose preactivations have this variance and covariance over two samples.

    Raises InputError for C < 6, with the moment that diverges.
    """
    check_outputs(outputs)
    own = variance - covariance
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    lengths = chi2.ppf((nodes + 1) / 2, outputs - 1)
    half = covariance * lengths / own / 2
    most = int(half.max() + 12 * np.sqrt(half.max()) + 40)
    j = np.arange(most)
    mixture = poisson.pmf(j, half[:, None])
    degrees = outputs - 1 + 2 * j
    share = (1 + 2 * j) / degrees
    inverse, square = 1 / (degrees - 2), 1 / ((degrees - 2) * (degrees - 4))

    def average(values: np.ndarray, power: int) -> np.ndarray:
        return (mixture @ values) * (outputs / own) ** power

    return Constants(
        average(inverse, 1),
        average(square, 2),
        average(share * inverse, 1),
        average(share * square, 2),
        outputs,
        weights / 2,
    )
