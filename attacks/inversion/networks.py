"""The inverter (features to picture) and its critic, both convolutional.

For a 64×32 picture and ``width = 32``::

    inverter   (B, D) ─linear─▶ (B, 256, 8, 4) ─up─▶ (B, 128, 16, 8) ─up─▶ (B, 64, 32, 16)
               ─up─▶ (B, 32, 64, 32) ─beside the linear guess─▶ (B, 35, 64, 32)
               ─conv, added to the linear guess─▶ (B, 3, 64, 32)
    critic     (B, 3, 64, 32) ─down ×3─▶ (B, 256, 8, 4) ─mean─▶ (B, 256)
               ─▶ realness given the feature (projection; Miyato & Koyama, ICLR 2018)
               ─▶ the feature it reads off the picture
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SEED_SIZE = (8, 4)
"""Height and width at which the inverter starts to draw."""


def doublings(size: tuple[int, int]) -> int:
    """Return how often `SEED_SIZE` doubles to reach ``size = (height, width)``.

    Raises:
        ValueError: if it never does.
    """
    height, width = size
    times = (height // SEED_SIZE[0]).bit_length() - 1
    if times < 1 or (SEED_SIZE[0] << times, SEED_SIZE[1] << times) != (height, width):
        raise ValueError(
            f"image_size {height}×{width} is not {SEED_SIZE[0]}×{SEED_SIZE[1]} doubled; "
            "choose 32×16, 64×32, 128×64 or 256×128"
        )
    return times


def _double(size: tuple[int, int]) -> tuple[int, int]:
    doublings(size)
    return size


DoubledSize = Annotated[tuple[int, int], AfterValidator(_double)]
"""(height, width) that `SEED_SIZE` reaches by doubling."""


def three_step_decoder(inputs: int, width: int, size: tuple[int, int]) -> nn.Sequential:
    """Three times up-sample and convolve, with two ReLUs: PEPR-Net's decoder (WACV 2024, Fig. 3).

    Args:
        inputs: channels of what is decoded, ``(B, inputs, *SEED_SIZE)``.
        width: channels of the first convolution; the second has half.
        size: (height, width) of the picture; see `doublings` for which are possible.
    """
    steps = [2.0, 2.0, (1 << doublings(size)) / 4]
    layers: list[nn.Module] = []
    for (inner, outer), step in zip(((inputs, width), (width, width // 2)), steps, strict=False):
        layers += [nn.Upsample(scale_factor=step), nn.Conv2d(inner, outer, 3, padding=1)]
        layers.append(nn.ReLU())
    layers += [nn.Upsample(scale_factor=steps[-1]), nn.Conv2d(width // 2, 3, 3, padding=1)]
    return nn.Sequential(*layers)


class Inverter(nn.Module):
    """Draws a picture from a feature vector.

    Args:
        feature_dim: D.
        size: (height, width) of the picture.
        width: channels at full resolution; doubles towards the seed.
        guess: features to the picture that is refined, such as a linear decoder's.
    """

    def __init__(
        self, feature_dim: int, size: tuple[int, int], width: int, guess: nn.Module
    ) -> None:
        super().__init__()
        self.guess = guess
        times = doublings(size)
        channels = width << times
        self.seed = nn.Linear(feature_dim, channels * SEED_SIZE[0] * SEED_SIZE[1])
        self.blocks = nn.Sequential(*(_Up(channels >> i) for i in range(times)))
        self.mix = nn.Conv2d(width + 3, width, 3, padding=1)
        self.paint = nn.Conv2d(width, 3, 3, padding=1)
        for parameter in self.paint.parameters():  # so that training starts at the linear guess
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """Standardised features ``(B, D)`` to pictures ``(B, 3, H, W)`` in [0, 1]."""
        seed = self.seed(features).unflatten(1, (-1, *SEED_SIZE))
        drawn = self.blocks(seed.contiguous(memory_format=torch.channels_last))
        guess = self.guess(features).clamp(0.02, 0.98)
        mixed = F.relu(self.mix(torch.cat([F.relu(drawn), guess], dim=1)))
        return torch.sigmoid(torch.logit(guess) + self.paint(mixed))


class _Up(nn.Module):
    """Twice the size, half the channels; the skip keeps early training from stalling."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.conv = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.skip = nn.Conv2d(channels, channels // 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.interpolate(F.relu(self.norm(images)), scale_factor=2.0)
        doubled: Tensor = self.conv(hidden) + F.interpolate(self.skip(images), scale_factor=2.0)
        return doubled


class Critic(nn.Module):
    """Tells pictures from reconstructions given the feature, and reads the feature back.

    Args:
        feature_dim: D.
        size: (height, width) of the picture.
        width: channels after the first layer; doubles towards the end.
    """

    def __init__(self, feature_dim: int, size: tuple[int, int], width: int) -> None:
        super().__init__()
        layers, channels = [spectral_norm(nn.Conv2d(3, width, 3, padding=1))], width
        for _ in range(doublings(size)):
            layers.append(spectral_norm(nn.Conv2d(channels, channels * 2, 4, 2, padding=1)))
            channels *= 2
        self.layers = nn.ModuleList(layers)
        self.realness = spectral_norm(nn.Linear(channels, 1))
        self.condition = spectral_norm(nn.Linear(feature_dim, channels, bias=False))
        self.read = nn.Linear(channels, feature_dim)

    def forward(self, images: Tensor, features: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Realness ``(B,)``, the feature read ``(B, D)``, and each layer's activations."""
        activations = []
        hidden = images.contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), 0.2)
            activations.append(hidden)
        pooled = hidden.mean((2, 3))
        realness = self.realness(pooled)[:, 0] + (pooled * self.condition(features)).sum(1)
        return realness, self.read(pooled), activations
