"""MGN: a whole, two halves and three thirds, each branch with the end of a ResNet to itself.

Wang et al., "Learning Discriminative Features with Multiple Granularities for Person
Re-Identification", ACM MM 2018. Parameters are named as in its public implementations.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from auditor.models.architectures.backbones import Stem, feature_map
from auditor.models.architectures.branches import Branches
from auditor.models.architectures.strong_baseline import GeM

GRANULARITIES = (1, 2, 3)
"""Stripes of the three branches; the first branch has none beside the whole."""

VECTORS = 8


class MGN(nn.Module):
    """Images ``(B, 3, H, W)``, usually 384 × 128, to eight vectors side by side.

    Args:
        dim: length of a vector.
        fastreid: fast-reid's form: generalised means in the place of maxima, no ReLU after the
            reduction, no down-sampling in the first branch, its own stem, and IBN.

    Attributes:
        feature_dim: ``8 · dim``.
    """

    def __init__(self, dim: int = 256, *, fastreid: bool = False) -> None:
        super().__init__()
        self.feature_dim = VECTORS * dim
        stem: Stem = "ceil pool" if fastreid else "torchvision"
        trunk: Any = feature_map("resnet50", stem, ibn=fastreid, last_stride=1 if fastreid else 2)
        begin = (trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool, trunk.layer1, trunk.layer2)
        self.backone = nn.Sequential(*begin, trunk.layer3[0])
        for branch in GRANULARITIES:
            end = nn.Sequential(*trunk.layer3[1:]), trunk.layer4
            self.add_module(f"p{branch}", copy.deepcopy(nn.Sequential(*end)))
            if branch > 1:  # branches with stripes keep the map's size
                first: Any = self.get_submodule(f"p{branch}.1.0")
                first.conv2.stride = first.downsample[0].stride = (1, 1)
        for vector in range(VECTORS):
            self.add_module(f"pool_{vector}", GeM() if fastreid else nn.AdaptiveMaxPool2d(1))
            self.add_module(f"reduction_{vector}", _reduction(dim, relu=not fastreid))

    def vectors(self, images: Tensor) -> list[Tensor]:
        """Return the three wholes, then two halves and three thirds, each ``(B, dim)``."""
        x = self.backone(images)
        maps = [self.get_submodule(f"p{branch}")(x) for branch in GRANULARITIES]
        stripes = [
            stripe
            for one, parts in zip(maps[1:], GRANULARITIES[1:], strict=True)
            for stripe in one.tensor_split(parts, dim=2)
        ]
        return [
            self.get_submodule(f"reduction_{i}")(self.get_submodule(f"pool_{i}")(seen)).flatten(1)
            for i, seen in enumerate([*maps, *stripes])
        ]

    def branches(self, images: Tensor) -> Branches:
        """Return triplets on the wholes, a classifier for each vector."""
        vectors = self.vectors(images)
        return Branches(tuple(vectors[: len(GRANULARITIES)]), tuple(vectors))

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        return torch.cat(self.vectors(images), dim=1)


def _reduction(dim: int, *, relu: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(2048, dim, 1, bias=False), nn.BatchNorm2d(dim)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))
