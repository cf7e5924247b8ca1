"""What PIS minimises: Eq. 4, 5 and 6 of the paper, and the regulariser of its ablation.

Deviations. The paper subtracts the KL divergence in a loss that is minimised, which would push the
posterior away from the prior; VUNet, which it follows, adds it, and so does this. Divergences are
means over the latent numbers, not sums, and each layer's error is measured against the layer's own
mean activation, so that one set of weights serves every backbone, picture size and latent size.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from auditor.metrics.perceptual import PerceptualDistance


def unit_kl(means: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """KL of unit Gaussians at ``means`` from those at ``others``, per latent number ``(B,)``.

    Args:
        means: one ``(B, C, h, w)`` per scale.
        others: of the same shapes.
    """
    gaps = torch.cat([(a - b).flatten(1) for a, b in zip(means, others, strict=True)], dim=1)
    return gaps.square().mean(1) / 2


def ramp(progress: float, begin: float, end: float) -> float:
    """Weight of the KL term: 1e-6 until ``begin``, 1 from ``end``, and straight between.

    Args:
        progress: share of the first stage that is over.
        begin: share at which the weight starts to grow.
        end: share at which it is whole.

    >>> [ramp(p, 0.5, 0.75) for p in (0.2, 0.625, 1.0)]
    [1e-06, 0.5000005, 1.0]
    """
    risen = min(1.0, max(0.0, (progress - begin) / max(end - begin, 1e-9)))
    return 1e-6 + (1 - 1e-6) * risen


def perceptual_loss(network: PerceptualDistance, images: Tensor, originals: Tensor) -> Tensor:
    """L1 between pixels, and between each layer's activations, as shares of their mean size.

    Args:
        network: whose layers are compared (Johnson et al., ECCV 2016).
        images: ``(B, 3, H, W)``.
        originals: of the same shape; no gradient goes there.
    """
    with torch.no_grad():
        wanted = [originals, *network.activations(originals)]
    drawn = [images, *network.activations(images)]
    return torch.stack(
        [
            (a - b).abs().mean() / b.abs().mean().clamp_min(1e-6)
            for a, b in zip(drawn, wanted, strict=True)
        ]
    ).sum()


class Critic(nn.Module):
    """Guesses how much of somebody else is in a picture (ACAI, Berthelot et al., ICLR 2019)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        channels = (3, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(channels)
        )
        self.last = nn.Conv2d(channels[-1], 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to the guessed share ``(B,)``."""
        for layer in self.layers:
            images = F.leaky_relu(layer(images), 0.2)
        guess: Tensor = self.last(images)
        return guess.mean((1, 2, 3))


def adversarial_loss(
    critic: Critic, mixed: Tensor, shares: Tensor, drawn: Tensor, images: Tensor
) -> Tensor:
    """Both players' loss: the critic learns the shares, the autoencoder that none can be guessed.

    Each player's term leaves the other's weights alone, so that one optimizer can serve both. The
    critic is kept steady by real pictures blended with their reconstructions, whose share is 0.

    Args:
        critic: one player.
        mixed: ``(B, 3, H, W)`` pictures of mixed means, with the other player's graph.
        shares: ``(B,)`` of the second person in them, 0 to 0.5.
        drawn: reconstructions ``(B, 3, H, W)``.
        images: what they are reconstructions of.
    """
    blended = 0.2 * images + 0.8 * drawn.detach()
    guessing = F.mse_loss(critic(mixed.detach()), shares) + critic(blended).square().mean()
    frozen = {name: weight.detach() for name, weight in critic.named_parameters()}
    fooling: Tensor = functional_call(critic, frozen, (mixed,)).square().mean()
    both: Tensor = guessing + 0.5 * fooling
    return both
