"""ResNet-110 forward and backward on a batch of 32 x 32 images in float32, on one core or on a GPU.

    python bench/bench_residual.py [--batch 16] [--device cuda]

On one core: seconds of CPU time, and of torch for the same network with the same weights where torch is
installed.  With ``--device cuda``: seconds of the same network on cupy, and on one core.  "gradients" is how far
the two are apart: the largest difference in any kernel's gradient, relative to its largest entry, in float32 and,
on four images, in float64.  (Depth amplifies rounding: what is 1e-7 in a layer flips rectifiers later.)
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from numerics.runtime.devices import to_host
from validate.simulate.layers import softmax_cross_entropy
from validate.simulate.residual import Architecture, ResNet

TARGET = 3.0
"""Seconds for a pass forward and backward at batch 16 on one core."""
ROUNDS = 5
NORMALIZATIONS = ("batch", "none")

Gradients = dict[str, np.ndarray]


def problem(batch: int, dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Images (channel, batch, 32, 32) of Gaussian noise, and labels."""
    generator = np.random.default_rng(1)
    return generator.standard_normal((3, batch, 32, 32)).astype(dtype), generator.integers(0, 10, batch)


def ours(normalization: str, images: np.ndarray, labels: np.ndarray, xp: Any = np) -> Callable[[], Any]:
    """A pass through our network: the gradients by parameter."""
    network = ResNet(Architecture(normalization=normalization), 0, images.dtype, xp)
    x, y = xp.asarray(images), xp.asarray(labels)

    def run() -> Any:
        logits, pullback = network.forward(x)
        return pullback(softmax_cross_entropy(logits, y, xp)[1]())

    return run


def of_torch(normalization: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], Gradients]:
    """The same network with the same weights, as one writes it with torch."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    network = ResNet(Architecture(normalization=normalization), 0, images.dtype)
    p = {k: torch.from_numpy(v.copy()).requires_grad_() for k, v in network.parameters.items()}
    x0, y = torch.from_numpy(np.ascontiguousarray(images.swapaxes(0, 1))), torch.from_numpy(labels)

    def layer(x: Any, number: int) -> Any:
        x = functional.conv2d(x, p[f"layer{number}.kernel"], stride=network.strides[number], padding=1)
        if normalization == "none":
            return x
        gain, shift = p[f"layer{number}.gamma"], p[f"layer{number}.beta"]
        return functional.batch_norm(x, None, None, gain, shift, training=True)

    def run() -> Gradients:
        for parameter in p.values():
            parameter.grad = None
        x = functional.relu(layer(x0, 1))
        for number in range(2, network.architecture.depth - 1, 2):
            branch = layer(functional.relu(layer(x, number)), number + 1)
            if network.strides[number] == 2:
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))
            x = functional.relu(x + branch)
        logits = functional.linear(x.mean((2, 3)), p["dense.weights"], p["dense.bias"])
        functional.cross_entropy(logits, y).backward()
        return {name: parameter.grad.numpy() for name, parameter in p.items()}

    return run


def seconds(run: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> float:
    """The best of several passes, after one that warms up."""
    run()
    times = []
    for _ in range(ROUNDS):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def difference(found: Any, expected: Any) -> float:
    """Largest difference of a kernel's gradient, relative to its largest entry."""
    return max(
        float(np.abs(to_host(found[name]) - to_host(value)).max() / np.abs(to_host(value)).max())
        for name, value in expected.items()
        if name.endswith("kernel")
    )


def core(batch: int) -> None:
    """numpy, and torch, on one core."""
    images, labels = problem(batch)
    for normalization in NORMALIZATIONS:
        run = ours(normalization, images, labels)
        own = seconds(run)
        goal = f"   (goal {TARGET:g} s)" if batch == 16 else ""
        print(f"{normalization:6} numpy {own:7.3f} s{goal}")
        if find_spec("torch") is None:
            print("       torch is not installed: pip install torch, to compare with it")
            continue
        other = of_torch(normalization, images, labels)
        theirs = seconds(other)
        single = difference(run(), other())
        double = difference(*(make(normalization, *problem(4, np.float64))() for make in (ours, of_torch)))
        print(
            f"{normalization:6} torch {theirs:7.3f} s   numpy/torch {own / theirs:5.2f}   "
            f"gradients {single:.1e} (float32), {double:.1e} (float64)"
        )


def device(batch: int) -> None:
    """cupy against numpy on one core."""
    import cupy

    def finished(run: Callable[[], Any]) -> Callable[[], Any]:
        def wait() -> Any:
            gradients = run()
            cupy.cuda.Device().synchronize()
            return gradients

        return wait

    print(cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())
    images, labels = problem(batch)
    for normalization in NORMALIZATIONS:
        on_host, on_device = (ours(normalization, images, labels, xp) for xp in (np, cupy))
        host, there = seconds(on_host), seconds(finished(on_device), time.perf_counter)
        single = difference(on_device(), on_host())
        double = difference(*(ours(normalization, *problem(4, np.float64), xp)() for xp in (cupy, np)))
        print(
            f"{normalization:6} numpy {host:7.3f} s   cupy {there:7.4f} s   ratio {host / there:6.1f}   "
            f"gradients {single:.1e} (float32), {double:.1e} (float64)"
        )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    (device if arguments.device == "cuda" else core)(arguments.batch)


if __name__ == "__main__":
    main()
