"""What the figures of these experiments share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from validate import statistics
from validate.report.figures import trend
from validate.statistics import Extrapolation


def approach(
    ax: Axes, widths: Sequence[int], samples: Sequence[np.ndarray], fit: Extrapolation, predicted: float,
    label: str, colour: str,
) -> None:  # fmt: skip
    """Means over networks against 1/M with their extrapolation, in units of the prediction."""
    estimates = [statistics.estimate(each) for each in samples]
    trend(
        ax, 1 / np.array(widths), [e.value / predicted for e in estimates],
        [e.error / abs(predicted) for e in estimates], label=label, colour=colour,
        fit=(float(fit.limit.value) / predicted, float(fit.slope.value) / predicted),
    )  # fmt: skip
