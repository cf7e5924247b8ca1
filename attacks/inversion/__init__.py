"""Reconstruction of pictures from stored embeddings."""

from attacks.inversion.attack import GanInversion

__all__ = ["GanInversion"]
