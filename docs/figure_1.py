"""Fig. 1 of karakida2019 beyond the paper's widths: lambda_max at T = M, with and without mean subtraction.

Networks are measured on a GPU (or slowly on numpy) until the time is up, and their numbers are kept:

    python docs/figure_1.py measure --seconds 165 docs/figure-1.json

The picture is drawn from them: python docs/figure_1.py draw docs/figure-1.json docs/images/figure-1.svg
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from numerics.runtime.devices import choose_backend
from validate.simulate.deep import Network, Parameters, architecture
from validate.simulate.deep.gram import gram_matrix
from validate.simulate.deep.network import PARAMETERS, draw, gaussian_inputs
from validate.simulate.deep.spectrum import largest

MODELS = {"relu": ("relu", 2.0, 0.0), "tanh": ("tanh", 3.0, 0.64)}
PLACES = ("none", "mean")
DEPTH, SEED, THREADS = 3, 32, 8
WIDTHS = [100, 200, 400, 800, 1600, 3200, 6400, 12800]
gpu = threading.Lock()
"""Networks are drawn side by side on the host, and differentiated one at a time."""


Numbers = dict[str, list[float]]
"""lambda_max and m_lambda by place."""


def network(name: str, width: int, replica: int, xp: Any, deadline: float) -> Numbers | None:
    """The numbers of one network, or None if its turn comes too late."""
    if time.monotonic() > deadline:
        return None
    shape = architecture((*(width,) * DEPTH, 1), *MODELS[name])
    seed = (SEED, list(MODELS).index(name), width)
    parameters = draw(shape, seed, replica, PARAMETERS, np, np.float64)
    inputs = gaussian_inputs(shape, width, seed, replica, np, np.float64)
    with gpu:
        return None if time.monotonic() > deadline else numbers(name, parameters, inputs, xp)


def numbers(name: str, parameters: Parameters, inputs: np.ndarray, xp: Any) -> Numbers:
    """Both normalizations of the same weights on the same inputs."""
    parameters, x = parameters.map(xp.asarray), xp.asarray(inputs)
    found = {}
    for place in PLACES:
        shape = architecture((*(len(inputs),) * DEPTH, 1), *MODELS[name], place)
        normalized = Network(shape, parameters, xp)
        gram = gram_matrix(normalized, normalized.forward(x))
        (top,), _ = largest(gram, 1, xp)
        found[place] = [float(top), float(xp.trace(gram)) / shape.parameters]
    return found


def measure(arguments: argparse.Namespace) -> None:
    """Both activations at every width; half the time is kept for the last one."""
    backend, device = choose_backend(arguments.backend, ("numpy", "cupy"))
    xp: Any = np
    if backend == "cupy":
        import cupy as xp  # type: ignore[no-redef, import-not-found]
    start = time.monotonic()
    values: dict[str, dict[str, dict[str, list[list[float]]]]] = {name: {} for name in MODELS}
    seconds: dict[str, float] = {}
    for width in arguments.widths:
        deadline = start + arguments.seconds * (1 if width == arguments.widths[-1] else 0.5)
        begun = time.monotonic()
        jobs = [(name, width, k, xp, deadline) for k in range(arguments.replicas) for name in MODELS]
        with ThreadPoolExecutor(arguments.threads) as pool:
            found = list(pool.map(network, *zip(*jobs, strict=True)))
        for name in MODELS:
            done = [
                each for job, each in zip(jobs, found, strict=True) if job[0] == name and each is not None
            ]
            values[name][str(width)] = {place: [each[place] for each in done] for place in PLACES}
        seconds[str(width)] = round(time.monotonic() - begun, 1)
        counts = ", ".join(f"{len(values[name][str(width)]['none'])} {name}" for name in MODELS)
        print(f"M = {width}: {counts}, {seconds[str(width)]} s", flush=True)
        record = {
            "device": device, "seconds": seconds, "seed": [SEED, "number of the activation", "width"],
            "columns": ["lambda_max", "m_lambda"], "networks": values,
        }  # fmt: skip
        arguments.file.write_text(json.dumps(record) + "\n")


def picture(arguments: argparse.Namespace) -> None:
    """Means over networks, two standard errors, Theorem 2.2, the lower bound of Theorem 3.3 and the derived
    edge of the bulk."""
    from matplotlib.ticker import NullFormatter

    from derive.wide import network as theory_of
    from numerics.wide import bulk
    from validate import plots
    from validate.experiments.karakida2019.sharpness import theory
    from validate.report.figures import BLUE, GREEN, INK, panels, theory_with_simulation
    from validate.statistics import estimate

    networks = json.loads(arguments.file.read_text())["networks"]
    figure, axes = panels(2, height=3.4, sharey=True)
    for ax, (name, by_width) in zip(axes, networks.items(), strict=True):
        widths = [int(M) for M in by_width if len(by_width[M]["none"]) > 1]
        line = np.geomspace(widths[0], widths[-1], 20).round().astype(int)
        for place, colour, label in (
            ("none", INK, "Theorem 2.2"),
            ("mean", BLUE, "Theorem 3.3, lower bound"),
        ):
            predicted = [theory(name, place, int(M), int(M)) for M in line]
            means = [estimate(np.array(by_width[str(M)][place])[:, 0]) for M in widths]
            theory_with_simulation(
                ax, line, [p.lambda_max if place == "none" else p.lower for p in predicted],
                [e.value for e in means], [e.error for e in means], simulated_at=widths, label=label, colour=colour,
            )  # fmt: skip
        limit = theory_of(DEPTH, *MODELS[name], normalization="mean")
        ax.plot(widths, [bulk(limit, 1.0, M).edge for M in widths], color=GREEN, label="derived edge")
        ax.set(title=name, xlabel="width $M = T$", xscale="log", yscale="log")
        ax.set_xticks(widths, [str(M) for M in widths])
        ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel(r"$\lambda_{\max}$")
    axes[0].legend()
    plots.save(figure, arguments.picture)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    wide = commands.add_parser("measure")
    wide.add_argument("file", type=Path)
    wide.add_argument("--backend", default="cupy")
    wide.add_argument("--widths", type=lambda text: [int(M) for M in text.split(",")], default=WIDTHS)
    wide.add_argument("--replicas", type=int, default=100)
    wide.add_argument("--seconds", type=float, default=165)
    wide.add_argument("--threads", type=int, default=THREADS)
    wide.set_defaults(run=measure)
    drawing = commands.add_parser("draw")
    drawing.add_argument("file", type=Path)
    drawing.add_argument("picture", type=Path)
    drawing.set_defaults(run=picture)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
