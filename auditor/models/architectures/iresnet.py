"""iResNet: the residual network of face recognition, for aligned faces of 112 × 112.

Duta et al., "Improved Residual Networks for Image and Video Recognition", ICPR 2020, in the form of
ArcFace (Deng et al., CVPR 2019): normalisation first, PReLU, and a linear layer over the whole last
map. Parameters are named as in InsightFace, so its weights load.
"""

import torch
from torch import Tensor, nn

DEPTHS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
    "iresnet200": (6, 26, 60, 6),
}
WIDTHS = (64, 128, 256, 512)


class Block(nn.Module):
    """Two 3×3 convolutions; only the first is followed by an activation, none by a sum's."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, h, w)`` to ``(B, outputs, h / stride, w / stride)``."""
        out = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        out = self.bn3(self.conv2(out))
        summed: Tensor = out + self.downsample(x)
        return summed


class IResNet(nn.Module):
    """Images ``(B, 3, H, W)`` to features.

    Args:
        size: (height, width) of the images; the linear layer is laid out for it.
        depth: one of `DEPTHS`.
        feature_dim: length of the feature.
    """

    def __init__(self, size: tuple[int, int], depth: str, feature_dim: int = 512) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU(WIDTHS[0])
        inputs = (WIDTHS[0], *WIDTHS[:-1])
        rows, columns = size
        for number, (before, after) in enumerate(zip(inputs, WIDTHS, strict=True), start=1):
            rest = [Block(after, after, 1) for _ in range(DEPTHS[depth][number - 1] - 1)]
            self.add_module(f"layer{number}", nn.Sequential(Block(before, after, 2), *rest))
            rows, columns = -(-rows // 2), -(-columns // 2)
        self.bn2 = nn.BatchNorm2d(WIDTHS[-1])
        self.fc = nn.Linear(WIDTHS[-1] * rows * columns, feature_dim)
        self.features = nn.BatchNorm1d(feature_dim)
        self.features.weight.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        x = self.prelu(self.bn1(self.conv1(images)))
        for number in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        features: Tensor = self.features(self.fc(torch.flatten(self.bn2(x), 1)))
        return features
