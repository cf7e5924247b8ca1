"""Reconstruction of pictures from stored embeddings, as a ladder of rungs."""

from attacks.inversion.attack import GanInversion
from attacks.inversion.fully_connected import FullyConnectedGan
from attacks.inversion.mse_decoder import MseDecoder

__all__ = ["FullyConnectedGan", "GanInversion", "MseDecoder"]
