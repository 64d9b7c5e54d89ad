"""Numbers as people read them; a power of ten is a formula in ``$...$``, as in all words of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sympy import Basic, Number

from derive.equation import plain
from derive.latex import latex
from numerics.runtime.results import to_plain

MANY = 6
"""Of a longer sequence the ends are shown."""


def number(value: Any, error: Any = None) -> str:
    """A number, or a short sequence, with its standard error: as many digits as the error supports."""
    if value is None:
        return "—"
    if isinstance(value, Basic) and not isinstance(value, Number):
        return f"${latex(value)}$"
    value = to_plain(plain(value))
    error = to_plain(plain(error))
    if isinstance(value, list):
        errors = error if isinstance(error, list) else [error] * len(value)
        pieces = [
            f"[{number(v, e)}]" if isinstance(v, list) else number(v, e)
            for v, e in zip(value, errors, strict=True)
        ]
        shown = pieces if len(pieces) <= MANY else [*pieces[:3], "…", pieces[-1]]
        return ", ".join(shown) or "none"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {number(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and isinstance(error, int | float) and 0 < error < math.inf:
        return _measured(value, error)
    return _plain(value) if isinstance(value, int | float) else str(value)


def _measured(value: float, error: float) -> str:
    """To two digits of the error, with a common power of ten where the numbers are small or large."""
    size = max(abs(value), error)
    power = 0 if 1e-3 <= size < 1e5 else math.floor(math.log10(size))
    value, error = value / 10.0**power, error / 10.0**power
    digits = max(0, 1 - math.floor(math.log10(error)))
    text = f"{value:.{digits}f} ± {error:.{digits}f}".replace("-", "−")
    return rf"({text}) $\times 10^{{{power}}}$" if power else text


def _plain(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, int) or value == 0:
        return f"{value:.0f}".replace("-", "−")
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:.5g}".replace("-", "−")
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$"


def probability(value: float | None) -> str:
    if value is None:
        return "—"
    if 0.99 < value <= 0.999:
        return f"{value:.3f}"
    return "< 0.0001" if value < 1e-4 else "> 0.999" if value > 0.999 else f"{value:.2g}"


def score(value: float | None) -> str:
    """A z-score: noise about zero, so two decimals, and powers of ten only where it is absurd."""
    return "—" if value is None else f"{value:.2f}".replace("-", "−") if abs(value) < 1e4 else f"{value:.1e}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "—"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def listed(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as flat pairs of name and value."""
    pairs: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            pairs += listed(value, f"{prefix}{key}.")
        elif isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
            for position, item in enumerate(value):
                pairs += listed(item, f"{prefix}{key}.{position}.")
        else:
            pairs.append((f"{prefix}{key}", number(value)))
    return pairs
