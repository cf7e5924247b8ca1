"""Reconstruction of pictures from stored embeddings, as a ladder of rungs."""

from attacks.inversion.composite import Composite
from attacks.inversion.conditional_gan import GanInversion
from attacks.inversion.copied_descent import CopiedDescent
from attacks.inversion.diffusion import Diffusion
from attacks.inversion.fully_connected import FullyConnectedGan
from attacks.inversion.identity_decoder import IdentityDecoder
from attacks.inversion.latent_descent import LatentDescent
from attacks.inversion.mse_decoder import MseDecoder
from attacks.inversion.optimization import Optimization
from attacks.inversion.prior_inversion import PriorInversion

__all__ = [
    "Composite",
    "CopiedDescent",
    "Diffusion",
    "FullyConnectedGan",
    "GanInversion",
    "IdentityDecoder",
    "LatentDescent",
    "MseDecoder",
    "Optimization",
    "PriorInversion",
]
