"""The pictures of the experiment on the first steps, after Figures 3 and 4 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from validate.report.figures import BLUE, GREEN, VERMILION, panels
from validate.report.model import Picture

Record = Mapping[str, np.ndarray]
COLOURS = {"none": VERMILION, "last": GREEN, "batch": BLUE}


def losses(own: Mapping[str, Record], names: Mapping[str, str]) -> Picture:
    """Figure 3: the loss along the gradient of the first batch, over its start."""
    figure, axes = panels(2, sharey=True)
    for network, record in own.items():
        for k, ax in enumerate(axes):
            for seed in range(len(record["loss"])):
                x = record["steps"][seed, 0] / (record["natural"][seed, 0] if k else 1)
                y = record["losses"][seed, 0] / record["loss"][seed, 0]
                label = names[network] if seed == 0 else None
                ax.plot(x, np.where(np.isfinite(y), y, np.nan), color=COLOURS[network], lw=0.9, label=label)
    for ax, label in zip(axes, ("step", "step / where a linear loss vanishes"), strict=True):
        ax.axhline(1, color="0.6", lw=0.8)
        ax.set(xscale="log", yscale="log", ylim=(3e-3, 1e3), xlabel=label)
    axes[0].set(ylabel="loss / loss before the step")
    axes[1].legend(loc="upper left", title="normalization")
    return Picture(
        figure,
        "As the paper's Figure 3: the loss of the first batch after a step along its gradient, a line a network; on "
        "the right in units of the loss over the squared gradient.",
    )


def step(record: Record, fractions: Sequence[float], shown: Sequence[int]) -> Picture:
    """Figure 4: variances of channels during a step that diverges, and of all layers."""
    figure, axes = panels(4, height=3.2, width_ratios=(1, 1, 1, 1.6))
    percent = 100 * np.asarray(fractions)
    count = len(percent)  # what lies beyond the step is not shown
    values = [np.log10(record[f"channels{k}"][0, :count, :, 1] + 1e-30) for k in range(len(shown))]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    for k, (ax, layer) in enumerate(zip(axes, shown, strict=False)):
        picture = ax.imshow(
            values[k], aspect="auto", origin="lower", cmap="magma", vmin=max(low, high - 20), vmax=high,
            extent=(0.5, values[k].shape[1] + 0.5, percent[0], percent[-1]), interpolation="nearest",
        )  # fmt: skip
        ax.set(title=f"layer {layer}", xlabel="channel")
        ax.grid(False)
        if k:
            ax.set_yticklabels([])
    axes[0].set(ylabel="percent of the step")
    figure.colorbar(picture, ax=axes[len(shown) - 1], label="log10 variance")
    variance = np.log10(record["moments"][..., 1])
    layers = 1 + np.arange(variance.shape[2])
    for place, style in ((0, ":"), (len(percent) // 2, "--"), (len(percent) - 1, "-")):
        middle = np.median(variance[:, place], axis=0)
        axes[-1].plot(layers, middle, style, color=VERMILION, lw=1.2, label=f"{percent[place]:.0f} %")
    axes[-1].set(xlabel="layer", title="log10 variance, all layers")
    axes[-1].legend(loc="upper left")
    return Picture(
        figure,
        "As the paper's Figure 4: the variance of every channel of three convolutions during the first step, at the "
        "smallest rate at which it diverges, first seed; on the right the mean over channels, median over seeds.",
        raster=True,
    )
