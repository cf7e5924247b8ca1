"""MLFN: which factors of a block are switched on is part of the feature.

Chang et al., "Multi-Level Factorisation Net for Person Re-Identification", CVPR 2018. Written from
the paper; parameters are named as in torchreid, so its weights load key for key.
"""

import torch
from torch import Tensor, nn

FACTORS = 32
STAGES = ((256, 3, (128, 64)), (512, 4, (256, 128)), (1024, 6, (512, 128)), (2048, 3, (512, 128)))
"""Channels, blocks and hidden sizes of the selection of each stage."""


class FactorBlock(nn.Module):
    """A grouped bottleneck; a selection module weighs its groups by what the image shows."""

    def __init__(self, inputs: int, outputs: int, stride: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        middle = outputs // 2
        self.fm_conv1 = nn.Conv2d(inputs, middle, 1, bias=False)
        self.fm_bn1 = nn.BatchNorm2d(middle)
        self.fm_conv2 = nn.Conv2d(middle, middle, 3, stride, 1, groups=FACTORS, bias=False)
        self.fm_bn2 = nn.BatchNorm2d(middle)
        self.fm_conv3 = nn.Conv2d(middle, outputs, 1, bias=False)
        self.fm_bn3 = nn.BatchNorm2d(outputs)
        layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1)]
        for narrow, wide in zip((inputs, *hidden), (*hidden, FACTORS), strict=True):
            layers += [nn.Conv2d(narrow, wide, 1), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
        layers[-1] = nn.Sigmoid()
        self.fsm = nn.Sequential(*layers)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs or stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, inputs, H, W)`` to the block's map and its selection ``(B, FACTORS, 1, 1)``."""
        selected = self.fsm(x)
        out = torch.relu(self.fm_bn1(self.fm_conv1(x)))
        out = torch.relu(self.fm_bn2(self.fm_conv2(out)))
        out = out * selected.repeat_interleave(out.shape[1] // FACTORS, dim=1)
        out = torch.relu(self.fm_bn3(self.fm_conv3(out)))
        return torch.relu(out + self.downsample(x)), selected


class MLFN(nn.Module):
    """Images ``(B, 3, H, W)`` to the mean of a projected map and the projected selections.

    Args:
        feature_dim: length of the feature.
    """

    def __init__(self, feature_dim: int = 1024) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        channels = 64
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        blocks = []
        for number, (outputs, count, hidden) in enumerate(STAGES):
            for index in range(count):
                stride = 2 if number and not index else 1
                blocks.append(FactorBlock(channels, outputs, stride, hidden))
                channels = outputs
        self.feature = nn.ModuleList(blocks)
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc_x = _projection(channels, feature_dim)
        self.fc_s = _projection(FACTORS * len(blocks), feature_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(images))))
        selections = []
        for block in self.feature:
            x, selected = block(x)
            selections.append(selected)
        both = self.fc_x(self.global_avgpool(x)) + self.fc_s(torch.cat(selections, dim=1))
        features: Tensor = (both / 2).flatten(1)
        return features


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
