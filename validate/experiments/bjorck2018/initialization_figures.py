"""The pictures of the experiment on initialization, after Figures 2, 5, 6 and 7 of the paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from validate.report.figures import BLUE, VERMILION, panels
from validate.report.model import Picture

LOOKS = {"none": (VERMILION, "without normalization"), "batch": (BLUE, "with normalization")}
Records = Mapping[str, dict[str, np.ndarray]]


def histograms(own: Records) -> Picture:
    """Figure 2: gradients in the middle kernel, in units of their root mean square."""
    figure, ax = panels()
    bins = np.linspace(-8, 8, 81)
    centres = (bins[1:] + bins[:-1]) / 2
    for network, (colour, label) in LOOKS.items():
        x = own[network]["middle"].reshape(len(own[network]["middle"]), -1).astype(float)
        x = x / np.sqrt((x**2).mean(axis=1, keepdims=True))
        density, _ = np.histogram(x, bins, density=True)
        ax.step(centres, np.where(density > 0, density, np.nan), where="mid", color=colour, label=label)
    ax.plot(
        centres,
        np.exp(-(centres**2) / 2) / np.sqrt(2 * np.pi),
        color="0.5",
        lw=0.9,
        ls="--",
        label="Gaussian",
    )
    ax.set(yscale="log", ylim=(1e-5, 3), xlabel="gradient / its root mean square", ylabel="density")
    ax.legend()
    return Picture(
        figure,
        "As the paper's Figure 2: gradients in the kernel at half depth, all seeds, each in its own units.",
    )


def moments(own: Records) -> Picture:
    """Figure 5: means and variances of channels against depth."""
    figure, axes = panels(2, sharex=True)
    for network, (colour, label) in LOOKS.items():
        for what, style in (("stream", "-"), ("convolution", ":")):
            values = np.log10(own[network][what])
            count = values.shape[1]
            layers = 1 + np.arange(count) * (2 if what == "stream" else 1)
            for k, ax in enumerate(axes):
                middle, spread = values[..., k].mean(axis=0), values[..., k].std(axis=0, ddof=1)
                ax.plot(layers, 10**middle, style, lw=1.2, color=colour, label=f"{what}, {label.split()[0]}")
                if what == "stream":
                    ax.fill_between(layers, 10 ** (middle - spread), 10 ** (middle + spread), color=colour,
                                    alpha=0.2, lw=0)  # fmt: skip
    for ax, label in zip(axes, ("|mean| of a channel", "variance of a channel"), strict=True):
        ax.set(yscale="log", xlabel="layer", ylabel=label)
    axes[0].legend()
    return Picture(
        figure,
        "As the paper's Figure 5: means over channels, geometric means over seeds, bands of one standard deviation. "
        "Convolutions before any normalization of their output; the stream after every block.",
    )


def output_gradients(own: Records) -> Picture:
    """Figure 6: gradients in the logits, an image a row, for the first seed."""
    figure, axes = panels(2, height=3.6)
    for ax, (network, (_, label)) in zip(axes, LOOKS.items(), strict=True):
        shown = own[network]["rows"][0].T[:32]
        picture = ax.imshow(shown, aspect="auto", cmap="viridis", vmin=-1, vmax=1, interpolation="nearest")
        ax.set(title=label, xlabel="class", ylabel="image")
        ax.grid(False)
    figure.colorbar(picture, ax=axes)
    return Picture(
        figure,
        "As the paper's Figure 6: the gradient of each image's loss in the outputs, first seed, for digits.",
        raster=True,
    )


def channels(own: Records) -> Picture:
    """Figure 7: gradients by input and output channel, for the first seed."""
    figure, axes = panels(2, height=3.6)
    for ax, (network, (_, label)) in zip(axes, LOOKS.items(), strict=True):
        matrix = own[network]["channels"][0]
        picture = ax.imshow(matrix / matrix.mean(), cmap="magma", vmin=0, vmax=4, interpolation="nearest")
        ax.set(title=label, xlabel="channel in", ylabel="channel out")
        ax.grid(False)
    figure.colorbar(picture, ax=axes)
    return Picture(
        figure,
        "As the paper's Figure 7: sums over a kernel of the gradient's absolute values, over their mean, ten layers "
        "before half depth, first seed.",
        raster=True,
    )
