"""HACNN: a small network that attends softly to pixels and channels, and hard to four regions.

Li et al., "Harmonious Attention Network for Person Re-Identification", CVPR 2018. Written from the
paper; parameters are named as in torchreid, so its weights load key for key. It is made for images
of 160 × 64.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REGIONS = 4
CHANNELS = (128, 256, 384)
REGION_SIZES = ((24, 28), (12, 14), (6, 7))
"""(height, width) to which a region is resized at each level."""


class ConvNormBias(nn.Module):
    """Convolution with a bias, batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        out: Tensor = self.bn(self.conv(x))
        return torch.relu(out)


class Streams(nn.Module):
    """Streams side by side, their channels one after the other."""

    def __init__(self, *streams: list[nn.Module]) -> None:
        super().__init__()
        for number, layers in enumerate(streams, start=1):
            self.add_module(f"stream{number}", nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to the streams' maps."""
        return torch.cat([stream(x) for stream in self.children()], dim=1)


def _inception(inputs: int, outputs: int) -> Streams:
    part = outputs // 4
    branches: list[list[nn.Module]] = [
        [ConvNormBias(inputs, part), ConvNormBias(part, part, 3)] for _ in range(3)
    ]
    return Streams(
        *branches,
        [nn.AvgPool2d(3, stride=1, padding=1), ConvNormBias(inputs, part)],
    )


def _reduction(inputs: int, outputs: int) -> Streams:
    part = outputs // 4
    return Streams(
        [ConvNormBias(inputs, part), ConvNormBias(part, part, 3, stride=2)],
        [
            ConvNormBias(inputs, part),
            ConvNormBias(part, part, 3),
            ConvNormBias(part, part, 3, stride=2),
        ],
        [nn.MaxPool2d(3, stride=2, padding=1), ConvNormBias(inputs, 2 * part)],
    )


class SpatialAttention(nn.Module):
    """Weighs pixels by the mean of their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNormBias(1, 1, 3, stride=2)
        self.conv2 = ConvNormBias(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, 1, H, W)``."""
        small = self.conv1(x.mean(1, keepdim=True))
        out: Tensor = self.conv2(_resize(small, (x.shape[2], x.shape[3])))
        return out


class ChannelAttention(nn.Module):
    """Weighs channels by the mean of their pixels."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.conv1 = ConvNormBias(channels, channels // reduction)
        self.conv2 = ConvNormBias(channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, 1, 1)``."""
        out: Tensor = self.conv2(self.conv1(x.mean((2, 3), keepdim=True)))
        return out


class SoftAttention(nn.Module):
    """Pixels and channels weighed together."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial_attn = SpatialAttention()
        self.channel_attn = ChannelAttention(channels)
        self.conv = ConvNormBias(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to weights of the same shape."""
        return torch.sigmoid(self.conv(self.spatial_attn(x) * self.channel_attn(x)))


class HardAttention(nn.Module):
    """Where four regions lie; they start as four stripes from top to bottom."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, 2 * REGIONS)
        nn.init.zeros_(self.fc.weight)
        with torch.no_grad():
            self.fc.bias.view(REGIONS, 2).copy_(
                torch.tensor([[0.0, y] for y in (-0.75, -0.25, 0.25, 0.75)])
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the centres ``(B, REGIONS, 2)`` as (x, y) in [-1, 1]."""
        return torch.tanh(self.fc(x.mean((2, 3)))).view(-1, REGIONS, 2)


class HarmoniousAttention(nn.Module):
    """Both kinds of attention on one map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.soft_attn = SoftAttention(channels)
        self.hard_attn = HardAttention(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighed map, and the regions' centres."""
        return x * self.soft_attn(x), self.hard_attn(x)


class HACNN(nn.Module):
    """Images ``(B, 3, H, W)`` to the whole's and the regions' features, each at length one.

    Args:
        dim: length of either.

    Attributes:
        feature_dim: twice ``dim``.
    """

    def __init__(self, dim: int = 512) -> None:
        super().__init__()
        self.feature_dim = 2 * dim
        self.conv = ConvNormBias(3, 32, 3, stride=2)
        inputs = (32, *CHANNELS[:-1])
        for level, (before, after) in enumerate(zip(inputs, CHANNELS, strict=True), start=1):
            inception = nn.Sequential(_inception(before, after), _reduction(after, after))
            self.add_module(f"inception{level}", inception)
            self.add_module(f"ha{level}", HarmoniousAttention(after))
            self.add_module(f"local_conv{level}", _reduction(before, after))
        self.fc_global = _embedding(CHANNELS[-1], dim)
        self.fc_local = _embedding(REGIONS * CHANNELS[-1], dim)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        x = self.conv(images)
        regions: list[Tensor] = []
        for level, size in enumerate(REGION_SIZES, start=1):
            below = x
            inner = self.get_submodule(f"inception{level}")(below)
            x, centres = self.get_submodule(f"ha{level}")(inner)
            seen = [_resize(_region(below, centres[:, i]), size) for i in range(REGIONS)]
            if regions:
                seen = [new + old for new, old in zip(seen, regions, strict=True)]
            regions = [self.get_submodule(f"local_conv{level}")(region) for region in seen]
        whole = self.fc_global(x.mean((2, 3)))
        parts = self.fc_local(torch.cat([region.mean((2, 3)) for region in regions], dim=1))
        return torch.cat([F.normalize(whole), F.normalize(parts)], dim=1)


def _region(x: Tensor, centres: Tensor) -> Tensor:
    """Resample a quarter of the map's height around ``centres (B, 2)`` to the map's size."""
    scale = torch.diag(torch.tensor([1.0, 1.0 / REGIONS], device=x.device)).to(x.dtype)
    theta = torch.cat([scale.expand(x.shape[0], 2, 2), centres[:, :, None]], dim=2)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def _embedding(inputs: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, dim), nn.BatchNorm1d(dim), nn.ReLU())
