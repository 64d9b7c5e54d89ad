"""Numbers of the theory of residual networks: moments of the stream, block by block, and its growth."""

from numerics.residual.growth import Growth, growth
from numerics.residual.pair import unnormalized_correlation
from numerics.residual.stream import Moments, NormalizedMoments, normalized_stream, unnormalized_stream

__all__ = [
    "Growth", "Moments", "NormalizedMoments", "growth", "normalized_stream", "unnormalized_correlation",
    "unnormalized_stream",
]  # fmt: skip
