"""Channel and position attention over a backbone's map, summed.

Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019, section 3; used on ResNet-50
for re-identification. The attention is the one of the paper's equations: its published code turns
the channel similarities around before the softmax.
"""

import torch
from torch import Tensor, nn

from auditor.models.architectures.backbones import Backbone


class PositionAttention(nn.Module):
    """Each pixel attends to all pixels by the likeness of their projections (eq. 1 and 2).

    Args:
        channels: of the map.
        reduction: by how much the projections that are compared are shorter.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // reduction, 1)
        self.key = nn.Conv2d(channels, channels // reduction, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, h, w)`` to the same shape; at first the identity."""
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(dim=2)
        attended = (value @ weights.transpose(1, 2)).view_as(x)
        refined: Tensor = self.scale * attended + x
        return refined


class ChannelAttention(nn.Module):
    """Each channel attends to all channels by the likeness of their maps (eq. 3 and 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, h, w)`` to the same shape; at first the identity."""
        flat = x.flatten(2)
        weights = (flat @ flat.transpose(1, 2)).softmax(dim=2)
        return self.scale * (weights @ flat).view_as(x) + x


class DualAttention(Backbone):
    """A backbone whose map is reduced and refined by both attentions, side by side.

    Args:
        trunk: images to maps ``(B, trunk.channels, h, w)``.
        reduction: by how much the refined map has fewer channels.
    """

    def __init__(self, trunk: Backbone, reduction: int = 4) -> None:
        super().__init__()
        inputs = trunk.channels
        self.channels, self.stem = inputs // reduction, trunk.stem
        self.trunk = trunk
        self.position = nn.Sequential(
            _conv(inputs, self.channels),
            PositionAttention(self.channels),
            _conv(self.channels, self.channels),
        )
        self.channel = nn.Sequential(
            _conv(inputs, self.channels), ChannelAttention(), _conv(self.channels, self.channels)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to ``(B, channels, h, w)``."""
        x = self.trunk(images)
        refined: Tensor = self.position(x) + self.channel(x)
        return refined


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
