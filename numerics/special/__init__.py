"""Special functions and Gaussian averages: the four-sign orthant function and independent quadrature."""
