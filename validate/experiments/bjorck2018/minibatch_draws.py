"""Mini-batch gradients of small classifiers and of a normalized regression, in pieces that a rerun finds again."""

from __future__ import annotations

import numpy as np

from validate.simulate.classifier import Classifier
from validate.simulate.minibatch import draw, normalized_regression

GROUPS = 20
"""Of draws, whose mean gradients are kept: products of different ones estimate the squared bias without bias."""


class Problem:
    """A classifier at initialization and its samples: standard normal inputs, labelled by a noisy linear rule."""

    def __init__(
        self, normalization: str, samples: int, inputs: int, hidden: int, classes: int, seed: int
    ) -> None:
        generator = np.random.default_rng((seed, 1))
        self.inputs = generator.standard_normal((inputs, samples))
        fields = generator.standard_normal((classes, inputs)) @ self.inputs
        self.labels = (fields + inputs**0.5 * generator.standard_normal(fields.shape)).argmax(axis=0)
        self.network = Classifier(inputs, hidden, classes, normalization, seed)
        self.everything = np.arange(samples)

    def gradient(self, drawn: np.ndarray) -> np.ndarray:
        """Of the mean loss of these samples, all parameters in one vector."""
        _, found = self.network.gradients(self.inputs[:, drawn], self.labels[drawn])
        return np.concatenate([part.ravel() for part in found.values()])


def classifier(
    normalization: str, sampling: str, batch: int, draws: int, samples: int, inputs: int, hidden: int,
    classes: int, seed: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Errors of batch gradients: squared norms and components along the full gradient (draw), mean errors of
    groups (group, parameter); and the full gradient's square, with the variance of single samples' gradients.

    Under batch normalization a single sample's gradient does not exist; the variance is then NaN.
    """
    problem = Problem(normalization, samples, inputs, hidden, classes, seed)
    full = problem.gradient(problem.everything)
    generator = np.random.default_rng((seed, 2, batch))
    squares, along, groups = np.empty(draws), np.empty(draws), np.zeros((GROUPS, len(full)))
    for number in range(draws):
        drawn = draw(samples, batch, sampling, generator)
        # The sum over the drawn samples over the nominal size of the batch.
        error = (problem.gradient(drawn) * (len(drawn) / batch) if len(drawn) else 0 * full) - full
        squares[number], along[number] = error @ error, error @ full / (full @ full)
        groups[number % GROUPS] += error * GROUPS / draws
    variance = np.nan
    if normalization == "none":
        singles = np.array([problem.gradient(np.array([i])) for i in range(samples)])
        variance = ((singles - full) ** 2).sum(axis=1).mean()
    return {"squares": squares, "along": along, "groups": groups, "full": full @ full, "variance": variance}


def epoch(
    batch: int, draws: int, samples: int, inputs: int, hidden: int, classes: int, seed: int
) -> dict[str, np.ndarray]:
    """Scalar products of the errors of the first two batches of shuffled data (draw), without normalization, and
    the variance of single samples' gradients."""
    problem = Problem("none", samples, inputs, hidden, classes, seed)
    singles = np.array([problem.gradient(np.array([i])) for i in range(samples)])
    full = problem.gradient(problem.everything)
    generator = np.random.default_rng((seed, 3))
    products = np.empty(draws)
    for number in range(draws):
        order = generator.permutation(samples)
        first, second = (problem.gradient(order[s : s + batch]) - full for s in (0, batch))
        products[number] = first @ second
    return {"products": products, "variance": ((singles - full) ** 2).sum(axis=1).mean()}


def regression_data(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs off centre, and labels that depend on them."""
    generator = np.random.default_rng((seed, 4))
    inputs = 0.5 + generator.standard_normal(samples)
    return inputs, 1.5 * inputs + generator.standard_normal(samples)


def regression(
    samples: int, batch: int, draws: int, weight: float, epsilon: float, seed: int
) -> dict[str, np.ndarray]:
    """Errors (draw) of the gradient in one weight after batch normalization, batches drawn with replacement."""
    estimate = normalized_regression(*regression_data(samples, seed), weight, epsilon)
    full = estimate(np.arange(samples))[0]
    generator = np.random.default_rng((seed, 5, batch))
    errors = [
        estimate(generator.integers(samples, size=(count, batch)))[:, 0] - full
        for count in np.diff(np.append(np.arange(0, draws, 2000), draws))
    ]
    return {"errors": np.concatenate(errors)}
