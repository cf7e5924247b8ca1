"""MobileNetV2 as torchreid has it (Sandler et al., CVPR 2018), its parameters named as there.

torchvision's differs: its first block has no expansion, and it rounds widths to multiples of eight.
"""

from torch import Tensor, nn

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
          (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
"""Expansion, channels, blocks and first stride of each; table 2 of the paper."""

STEM, FEATURES = 32, 1280


class ConvNorm6(nn.Module):
    """Convolution, batch normalisation and ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class InvertedResidual(nn.Module):
    """Widens, filters each channel by itself, and narrows without an activation."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.conv1 = ConvNorm6(inputs, middle)
        self.dwconv2 = ConvNorm6(middle, middle, 3, stride, groups=middle)
        self.conv3 = nn.Sequential(
            nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        out: Tensor = self.conv3(self.dwconv2(self.conv1(x)))
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    """Images ``(B, 3, H, W)`` to the average of the last map.

    Args:
        width: multiplies all channels, rounded down; the features' only if above one.

    Attributes:
        feature_dim: 1280, times ``width`` if that is above one.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.feature_dim = int(FEATURES * max(width, 1.0))
        channels = int(STEM * width)
        self.conv1 = ConvNorm6(3, channels, 3, stride=2)
        for number, (expansion, base, count, stride) in enumerate(STAGES, start=2):
            outputs = int(base * width)
            blocks = [InvertedResidual(channels, outputs, expansion, stride)]
            blocks += [InvertedResidual(outputs, outputs, expansion, 1) for _ in range(count - 1)]
            self.add_module(f"conv{number}", nn.Sequential(*blocks))
            channels = outputs
        self.conv9 = ConvNorm6(channels, self.feature_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        x = images
        for layer in self.children():
            x = layer(x)
        return x.mean((2, 3))
