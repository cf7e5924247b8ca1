"""The conditional VAE of PIS: what somebody looks like, apart from how they stand.

Every Gaussian here has unit variance, as the mixture of the paper's Eq. 2 has, so an encoder gives
means alone. Means come at several scales, coarsest first, each a map, not a vector: what is worn
above stays above.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COARSEST = 4
"""Height of the coarsest map; its width is half of that for a 2:1 picture."""


class Residual(nn.Module):
    """ELU and a 3×3 convolution beside a shortcut, optionally looking at something else too."""

    def __init__(self, channels: int, extra: int = 0) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(extra, channels, 1) if extra else None
        self.conv = nn.Conv2d(channels * (2 if extra else 1), channels, 3, padding=1)

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        """``(B, C, H, W)``, beside ``(B, extra, H, W)`` if that is given, to ``(B, C, H, W)``."""
        seen = x
        if self.reduce is not None and beside is not None:
            other = self.reduce(F.elu(beside)).expand(-1, -1, *x.shape[2:])
            seen = torch.cat([x, other], dim=1)
        changed: Tensor = self.conv(F.elu(seen))
        return x + changed


def halve(channels_in: int, channels: int) -> nn.Conv2d:
    """``(B, channels_in, H, W)`` to ``(B, channels, H / 2, W / 2)``, by a strided convolution."""
    return nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)


def double(channels_in: int, channels: int) -> nn.Sequential:
    """``(B, channels_in, H, W)`` to ``(B, channels, 2H, 2W)``, sub-pixel (Shi et al., 2016)."""
    return nn.Sequential(nn.Conv2d(channels_in, 4 * channels, 3, padding=1), nn.PixelShuffle(2))


class Encoder(nn.Module):
    """A picture of any kind to features at every resolution down to the coarsest.

    Args:
        channels: of the picture.
        widths: channels of the features, finest first; each further one halves the resolution.
        blocks: residual blocks at each resolution.
        patch: side of the squares of pixels that are folded into channels first.
    """

    def __init__(self, channels: int, widths: Sequence[int], blocks: int, patch: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(patch), nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)
        )
        self.halves = nn.ModuleList(halve(fine, coarse) for fine, coarse in pairwise(widths))
        self.stages = nn.ModuleList(
            nn.ModuleList(Residual(width) for _ in range(blocks)) for width in widths
        )

    def forward(self, picture: Tensor) -> list[list[Tensor]]:
        """``(B, channels, H, W)`` to the features after each block, finest resolution first."""
        x, features = self.stem(picture), []
        for level, stage in enumerate(self.stages):
            if level:
                x = self.halves[level - 1](x)
            kept = []
            for block in stage.children():
                x = block(x)
                kept.append(x)
            features.append(kept)
        return features


class Posterior(nn.Module):
    """F_φ: a picture and its pose to the means of what it looks like."""

    def __init__(
        self, encoder: Encoder, widths: Sequence[int], latent: int, scales: int, pooled: bool
    ) -> None:
        super().__init__()
        self.encoder, self.pooled = encoder, pooled
        coarse = list(widths)[::-1][:scales]
        self.doubles = nn.ModuleList(double(below, above) for below, above in pairwise(coarse))
        self.blocks = nn.ModuleList(Residual(width, width) for width in coarse)
        self.heads = nn.ModuleList(nn.Conv2d(width, latent, 3, padding=1) for width in coarse)

    def forward(self, images: Tensor, pose: Tensor) -> list[Tensor]:
        """Images ``(B, 3, H, W)`` in [0, 1], pose ``(B, pose, H, W)``: means, coarsest first."""
        features = self.encoder(torch.cat([2 * images - 1, pose], dim=1))[::-1]
        x, means = features[0][-1], []
        for scale, (block, head) in enumerate(zip(self.blocks, self.heads, strict=True)):
            if scale:
                x = self.doubles[scale - 1](x)
            x = block(x, features[scale][-1])
            means.append(_pool(head(F.elu(x)), self.pooled))
        return means


class Decoder(nn.Module):
    """D_θ, and the prior of E_ψ: features of a pose, and what to show in it, to a picture.

    The prior of a finer scale is conditioned on the coarser ones, as in VUNet.
    """

    def __init__(
        self,
        widths: Sequence[int],
        blocks: int,
        patch: int,
        latent: int,
        scales: int,
        pooled: bool,
    ) -> None:
        super().__init__()
        self.pooled = pooled
        coarse = list(widths)[::-1]
        self.doubles = nn.ModuleList(double(below, above) for below, above in pairwise(coarse))
        self.stages = nn.ModuleList(
            nn.ModuleList(Residual(width, width) for _ in range(blocks)) for width in coarse
        )
        self.priors = nn.ModuleList(
            nn.Conv2d(width, latent, 3, padding=1) for width in coarse[:scales]
        )
        self.merges = nn.ModuleList(Residual(width, latent) for width in coarse[:scales])
        self.last = nn.Sequential(
            nn.Conv2d(coarse[-1], 3 * patch**2, 3, padding=1), nn.PixelShuffle(patch)
        )

    def forward(
        self, structure: Sequence[Sequence[Tensor]], latents: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return what ``latents`` look like in a pose, and the means expected from the pose alone.

        Args:
            structure: features of the pose from `Encoder`, finest resolution first.
            latents: one per scale, coarsest first.
        """
        x, means = structure[-1][-1], []
        for level, stage in enumerate(self.stages):
            if level:
                x = self.doubles[level - 1](x)
            skips = structure[-1 - level][::-1]
            for block, skip in zip(stage.children(), skips, strict=True):
                x = block(x, skip)
            if level < len(self.priors):
                means.append(_pool(self.priors[level](F.elu(x)), self.pooled))
                x = self.merges[level](x, latents[level])
        images: Tensor = self.last(F.elu(x))
        return (images + 1) / 2, means


class ConditionalVae(nn.Module):
    """E_ψ, F_φ and D_θ after VUNet (Esser et al., CVPR 2018), written from the papers' facts.

    Differences: pictures keep their 2:1 shape instead of being padded to a square; the posterior
    sees the whole picture, not one crop per body part; its finer means do not wait for a sample of
    the coarser ones, so that mixing means is all that mixing takes.

    Args:
        pose: channels of a pose map.
        image_size: (height, width); the height is 4 times a power of two.
        width: channels at full resolution; they double with each halving up to four times that.
        blocks: residual blocks per resolution.
        patch: the finest maps have a picture's height divided by this; 1 in the papers.
        latent: channels of each latent map.
        scales: how many latent maps there are, from the coarsest resolution up.
        pooled: whether a latent is one vector for the whole picture instead of a map.
    """

    def __init__(
        self,
        *,
        pose: int,
        image_size: tuple[int, int],
        width: int,
        blocks: int,
        patch: int,
        latent: int,
        scales: int,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        height, breadth = (side // patch for side in image_size)
        levels = resolutions(image_size, patch)
        widths = [width * 2 ** min(level, 2) for level in range(levels)]
        self.structure = Encoder(pose, widths, blocks, patch)
        looking = Encoder(3 + pose, widths, blocks, patch)
        self.posterior = Posterior(looking, widths, latent, scales, pooled)
        self.decoder = Decoder(widths, blocks, patch, latent, scales, pooled)
        self.latent_numbers = sum(
            latent * (1 if pooled else (height >> down) * (breadth >> down))
            for down in range(levels - 1, levels - 1 - scales, -1)
        )

    def draw(self, latents: Sequence[Tensor], pose: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Pictures of ``latents`` in a pose ``(B, pose, H, W)``, and the means of the prior."""
        drawn: tuple[Tensor, list[Tensor]] = self.decoder(self.structure(pose), latents)
        return drawn


def _pool(mean: Tensor, pooled: bool) -> Tensor:
    """Return a map ``(B, C, h, w)`` as it is, or its mean over the picture ``(B, C, 1, 1)``."""
    return mean.mean((2, 3), keepdim=True) if pooled else mean


def resolutions(image_size: tuple[int, int], patch: int) -> int:
    """Return how many resolutions there are from ``image_size / patch`` down to the coarsest.

    Raises:
        ValueError: if it cannot be halved down to there.
    """
    height, width = (side // patch for side in image_size)
    levels = max(1, (height // COARSEST).bit_length())
    steps = 1 << (levels - 1)
    if (height * patch, width * patch) != tuple(image_size) or height != COARSEST * steps:
        raise ValueError(
            f"image_size {tuple(image_size)} must have a height of {COARSEST * patch} times a "
            f"power of two and a width that is a multiple of patch, {patch}"
        )
    if width % steps:
        raise ValueError(
            f"image_size: the width {image_size[1]} cannot be halved as often as needed"
        )
    return levels


def sample(means: Sequence[Tensor]) -> list[Tensor]:
    """Return a draw from the unit Gaussians around ``means``, by torch's global generator."""
    return [mean + torch.randn_like(mean) for mean in means]
