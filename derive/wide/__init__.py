"""Wide random networks: signals through the layers, the Fisher information matrix and its eigenvalues."""

from derive.wide.network import NORMALIZATIONS, Layer, Network, network
from derive.wide.signals import Signals, signals

__all__ = ["NORMALIZATIONS", "Layer", "Network", "Signals", "network", "signals"]
