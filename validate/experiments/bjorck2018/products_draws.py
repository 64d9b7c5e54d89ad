"""Draws of products of Gaussian matrices, in pieces that a rerun finds again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from validate.experiments import Context
from validate.simulate.products import log_extremes, squared_singular_values

PIECES = 4
"""For every number of factors and size."""

Spectra = Mapping[tuple[int, int], np.ndarray]
"""Squared singular values (draw, N), descending, by number of factors and size."""


def spectra(factors: int, size: int, draws: int, seed: int) -> dict[str, np.ndarray]:
    """Squared singular values (draw, N)."""
    return {"x": squared_singular_values(factors, size, draws, seed)}


def extremes(factors: int, size: int, draws: int, seed: int) -> dict[str, np.ndarray]:
    """log sigma_max and log sigma_min (draw, number of factors, 2)."""
    return {"log": log_extremes(factors, size, draws, seed)}


def draw_spectra(context: Context, cases: Mapping[tuple[int, int], int]) -> Spectra:
    """``cases``: draws by number of factors and size."""
    found = _draw(context, spectra, cases, "products")
    return {case: np.concatenate([piece["x"] for piece in pieces]) for case, pieces in found.items()}


def draw_extremes(context: Context, cases: Mapping[tuple[int, int], int]) -> dict[int, np.ndarray]:
    """log sigma_max and log sigma_min (draw, number of factors, 2) by size."""
    found = _draw(context, extremes, cases, "deep products")
    return {size: np.concatenate([piece["log"] for piece in pieces]) for (_, size), pieces in found.items()}


def _draw(
    context: Context, function: Any, cases: Mapping[tuple[int, int], int], label: str
) -> dict[tuple[int, int], list[dict[str, np.ndarray]]]:
    """Every case in pieces, each with its own seed."""
    settings = []
    for (factors, size), draws in cases.items():
        counts = [draws // PIECES + (piece < draws % PIECES) for piece in range(PIECES)]
        settings += [
            {"factors": factors, "size": size, "draws": count, "seed": PIECES * factors + piece}
            for piece, count in enumerate(counts)
            if count
        ]
    done = context.pieces(function, settings, label)
    found: dict[tuple[int, int], list[dict[str, np.ndarray]]] = {}
    for each, arrays in zip(settings, done, strict=True):
        found.setdefault((each["factors"], each["size"]), []).append(arrays)
    return found
