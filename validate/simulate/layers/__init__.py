"""Layers of networks, written from their definitions: forward, and backward by hand.

Every layer is a function that returns its output and a *pullback*, the function that takes the gradient of a
scalar with respect to the output to those with respect to the inputs.  Images are arrays
(channel, batch, height, width), features (unit, batch): the unit that a weight belongs to comes first, so that
a convolution is one matrix product and the statistics of a channel run over adjacent memory.  All of them work
in the precision of their inputs, on numpy or any module with the same names (``xp``), and on complex inputs,
whose imaginary parts they treat as infinitesimal.
"""

from validate.simulate.layers.adam import Adam
from validate.simulate.layers.convolution import convolution, kernel_gradient
from validate.simulate.layers.dense import dense, relu
from validate.simulate.layers.initialize import INITIALIZATIONS, draw_weights
from validate.simulate.layers.loss import softmax, softmax_cross_entropy
from validate.simulate.layers.momentum import Momentum
from validate.simulate.layers.normalization import batch_normalization, normalize
from validate.simulate.layers.shortcut import global_average_pool, zero_padding_shortcut

__all__ = [
    "INITIALIZATIONS", "Adam", "Momentum", "batch_normalization", "convolution", "dense", "draw_weights",
    "global_average_pool", "kernel_gradient", "normalize", "relu", "softmax", "softmax_cross_entropy",
    "zero_padding_shortcut",
]  # fmt: skip
