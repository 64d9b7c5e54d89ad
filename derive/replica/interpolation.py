"""Students whose every example's loss can be at its least: the minimum of shortest weights, in closed form.

At beta to infinity the ridge goes to zero and chi to infinity: the field of an example goes to the minimizer
of its loss nearest to m.  Where the average engine closes the moments of that projection, the saddle point is
two closed equations for q and R; their multiplier eta vanishes where interpolation ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath
from sympy import Expr, Rational, diff

from derive.errors import DerivationError
from derive.evaluate import evaluate
from derive.gaussian import average
from derive.replica.energy import Energy
from derive.replica.pieces import nearest_minimizer, pieces
from derive.replica.saddle import multiplier, response, saddle_point, square, teacher
from derive.replica.symbols import R, m, q, t


@dataclass(frozen=True)
class Interpolation:
    """Conditions in q, R, alpha and S that vanish at the saddle point; ``eta`` is positive where it exists."""

    overlap: Expr
    teacher: Expr
    eta: Expr
    floor: Expr
    """The least possible loss of an example, on average."""

    def at(self, load: Any, noise: Any, digits: int = 30) -> dict[str, Any]:
        """q, R and eta at a load below the end of interpolation, to ``digits`` digits.

        Raises DerivationError beyond it.
        """
        try:
            found = self._solve((self.overlap, self.teacher), {"alpha": load, "S": noise}, ("q", "R"), digits)
        except ValueError:
            raise DerivationError(f"no overlaps q and R interpolate at alpha = {load}") from None
        found["eta"] = evaluate(self.eta, {"alpha": load, "S": noise, **found}, digits)
        if any(mpmath.im(value) for value in found.values()) or found["eta"] <= 0:
            raise DerivationError(f"no weights interpolate at alpha = {load}")
        return found

    def threshold(self, noise: Any, digits: int = 30) -> dict[str, Any]:
        """alpha, q and R where interpolation ends."""
        conditions = (self.overlap, self.teacher, self.eta)
        return self._solve(conditions, {"S": noise}, ("q", "R", "alpha"), digits)

    def _solve(
        self, conditions: tuple[Expr, ...], given: dict[str, Any], unknown: tuple[str, ...], digits: int
    ) -> dict[str, Any]:
        def residual(*values: Any) -> list[Any]:
            return [evaluate(c, given | dict(zip(unknown, values, strict=True)), digits) for c in conditions]

        load = float(given.get("alpha", 1))
        noise = float(given["S"])
        if len(unknown) == 2:
            # Damped iteration of the two conditions, each of which gives its unknown.
            start = [load / 2 + load**2 / 4, load / 2]
            for _ in range(200):
                overlap, along = residual(*start)
                start = [start[0] - overlap / 2, start[1] + along / (2 * (1 + noise))]
        else:
            start = [(1 + noise) ** 2 + 20 * noise, 1 + noise, mpmath.mpf("1.5")]
        with mpmath.workdps(digits + 10):
            root = mpmath.findroot(residual, start, tol=mpmath.mpf(10) ** -digits, maxsteps=60)
            return dict(zip(unknown, [+v for v in root], strict=True))


def interpolation(energy: Energy) -> Interpolation:
    """The closed equations of an energy with a Gaussian prior whose ridge vanishes.

    Raises DerivationError where the nearest minimizer or its moments do not close.
    """
    loss, variance, separate = energy.target
    found = pieces(loss)
    if found is None or separate:
        raise DerivationError(f"the minimizers of {energy.name} are not known in closed form")
    nearest, floor = nearest_minimizer(found)
    covariance = {(m, m): q, (m, t): R, (t, m): R, (t, t): variance}

    def closed(inside: Expr) -> Expr:
        result = average(inside.expand(), covariance)
        if not result.closed:
            raise DerivationError(f"<{inside}> does not close")
        return result.expression

    values = {
        square: closed((nearest - m) ** 2),
        teacher: closed((nearest - m) * t),
        response: closed(1 - diff(nearest, m)),
    }
    point = saddle_point(energy)
    return Interpolation(
        point.overlap.right.xreplace(values),
        point.teacher.right.xreplace(values),
        point.norm.right.xreplace({**values, multiplier: Rational(0)}),
        closed(floor),
    )
