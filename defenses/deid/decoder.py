"""The De-ID decoder and the pictures it has to draw."""

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from attacks.inversion.networks import SEED_SIZE, three_step_decoder
from auditor.models.architectures.branches import Branches
from auditor.models.card import Card
from defenses.image_deid.filters import pixelate
from defenses.retrain import seen

Drawn = Literal["clean", "pixelated", "blurred", "obfuscated"]
Reduction = Literal["mean", "sum"]

HEAD_TO_FOOT, SHOULDERS = 0.9, 0.6
"""Shares of a crop's height and width that a person covers."""


def deidentify(images: Tensor, how: Drawn, detail: int) -> Tensor:
    """Return what the decoder has to draw instead of images ``(B, 3, H, W)`` in [0, 1].

    Args:
        images: the originals.
        how: ``pixelated`` into blocks, ``blurred`` by a Gaussian, ``obfuscated`` by a box over the
            person in the picture's mean colour, or left ``clean``.
        detail: side of a block, and twice the Gaussian's deviation, in pixels.
    """
    if how == "pixelated":
        return pixelate(images, detail)
    if how == "blurred":
        size = 2 * math.ceil(1.5 * detail) + 1
        blurred: Tensor = gaussian_blur(images, [size, size], [detail / 2, detail / 2])
        return blurred
    return images if how == "clean" else _cover(images)


def _cover(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    top, left = round(height * (1 - HEAD_TO_FOOT) / 2), round(width * (1 - SHOULDERS) / 2)
    covered = images.clone()
    box = covered[:, :, top : height - top, left : width - left]
    box.copy_(images.mean((2, 3), keepdim=True).expand_as(box))
    return covered


class Decoding(nn.Module):
    """Squared error of a decoder that learns along; a `auditor.training.learner.Term`.

    The feature, filled up with zeros, is reshaped to ``(B, C, 8, 4)`` with the smallest C that
    holds it, and then three times up-sampled and convolved.

    Args:
        dim: length of the feature.
        card: how the extractor answers.
        how: what is drawn.
        detail: see `deidentify`.
        size: (height, width) of what is drawn.
        width: channels of the decoder.
        reduction: of the squared error over a picture's pixels; over pictures it is a mean.
        weight: λ2.
    """

    def __init__(
        self,
        dim: int,
        card: Card,
        how: Drawn,
        detail: int,
        size: tuple[int, int],
        width: int,
        reduction: Reduction,
        weight: float,
    ) -> None:
        super().__init__()
        self.card, self.how, self.detail, self.size = card, how, detail, size
        self.weight = weight * (3 * math.prod(size) if reduction == "sum" else 1)
        channels = -(-dim // math.prod(SEED_SIZE))
        self.missing = channels * math.prod(SEED_SIZE) - dim
        self.decode = three_step_decoder(channels, width, size)

    def draw(self, features: Tensor) -> Tensor:
        """Map features ``(B, D)`` to pictures ``(B, 3, H, W)``."""
        filled = F.pad(features, (0, self.missing))
        drawn: Tensor = self.decode(filled.unflatten(1, (-1, *SEED_SIZE)))
        return drawn

    def forward(self, views: Branches, images: Tensor, classes: Tensor) -> Tensor:
        """Equation 2, weighted."""
        small = F.interpolate(images, self.size, mode="bilinear", antialias=True)
        wanted = deidentify(small, self.how, self.detail)
        return self.weight * F.mse_loss(self.draw(seen(views, self.card)).float(), wanted)
