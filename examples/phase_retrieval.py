"""A model of one's own: hidden units that square, so that the sign of a weight vector cannot be seen."""

from sympy import Sum, symbols

from derive.symbols import K, M, noise, v, w, x, y

i, n = symbols("i n", integer=True, positive=True)
target = Sum(v[n] * y[n] ** 2 / 2, (n, 1, M)) + noise
output = Sum(w[i] * x[i] ** 2 / 2, (i, 1, K))
loss = (target - output) ** 2 / 2
