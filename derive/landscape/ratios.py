"""The flow of scale-free ratios: what is left of a normalized student when its norm drifts.

Under a normalization the loss does not depend on the norms of the J_i, but noise makes them grow: dQ/dt at
order eta^2 / b is positive and nothing pulls back.  The ratios R / sqrt(Q), S / sqrt(Q), C / Q and g close
among themselves at a given *effective* learning rate eta / Q, which then falls slowly as Q grows.
"""

from __future__ import annotations

from sympy import Expr, S, Symbol

from derive.errors import DerivationError
from derive.sites import C_, Q_, R_, S_, SiteFlow, g_


def ratio_rates(site: SiteFlow) -> dict[Symbol, Expr]:
    """d/dt of R / sqrt(Q), S / sqrt(Q), C / Q and g, in these ratios, under the names R, S, C, g.

    ``eta`` stands for the effective learning rate eta / Q: by scale invariance the rates at (R, S, Q, C) and
    eta are those at Q = 1, the ratios and eta / Q.

    Raises DerivationError without a normalization: the norm then has a fixed point of its own.
    """
    if g_ not in site.state:
        raise DerivationError(
            "without a normalization the norm has a fixed point; there is nothing to divide out"
        )
    growth = site.rates[Q_]
    degree = {R_: S.Half, S_: S.Half, C_: S.One, g_: S.Zero}
    return {s: (site.rates[s] - degree[s] * s * growth).xreplace({Q_: S.One}) for s in site.state if s != Q_}
