"""LightMBN: an OSNet in three branches, for the whole, two halves and two groups of channels.

Herzog et al., "Lightweight Multi-Branch Network for Person Re-Identification", ICIP 2021.
Parameters are named as in its public implementation, so its weights load.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.models.architectures.branches import Branches
from auditor.models.architectures.osnet import OmniScaleBlock, OSNet
from auditor.models.architectures.strong_baseline import bn_neck

BRANCHES = ("global_branch", "partial_branch", "channel_branch")
CHANNELS, PARTS = 512, 2
REDUCED = 5
"""Vectors with a reduction of their own; the two groups of channels share one."""


class LightMBN(nn.Module):
    """Images ``(B, 3, H, W)``, usually 384 × 128, to seven vectors of length one side by side.

    Args:
        dim: length of a vector.

    Attributes:
        feature_dim: ``7 · dim``.
    """

    def __init__(self, dim: int = 512) -> None:
        super().__init__()
        self.feature_dim = (REDUCED + PARTS) * dim
        trunk = OSNet("osnet_x1_0")
        self.backone = nn.Sequential(trunk.conv1, trunk.maxpool, trunk.conv2, trunk.conv3[0])
        for branch in BRANCHES:
            end = nn.Sequential(trunk.conv3[1:], trunk.conv4, trunk.conv5)
            self.add_module(branch, copy.deepcopy(end))
        # the block behind which training drops the most active rows
        bottleneck = nn.ModuleDict({"drop_batch_bottleneck": OmniScaleBlock(CHANNELS, CHANNELS)})
        self.batch_drop_block = bottleneck
        for vector in range(REDUCED):
            self.add_module(f"reduction_{vector}", Neck(CHANNELS, dim))
        self.shared = nn.Sequential(
            nn.Conv2d(CHANNELS // PARTS, dim, 1, bias=False), nn.BatchNorm2d(dim), nn.ReLU()
        )
        for group in range(PARTS):
            self.add_module(f"reduction_ch_{group}", Neck(dim, None))

    def vectors(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Each vector before and after its neck: two wholes, the partial branch's, the groups'."""
        x = self.backone(images)
        whole, parts, groups = (self.get_submodule(branch)(x) for branch in BRANCHES)
        whole = self.batch_drop_block["drop_batch_bottleneck"](whole)
        pooled = [
            whole.mean((2, 3), keepdim=True),
            parts.amax((2, 3), keepdim=True),
            *F.adaptive_avg_pool2d(parts, (PARTS, 1)).chunk(PARTS, dim=2),
            whole.amax((2, 3), keepdim=True),
        ]
        channels = groups.mean((2, 3), keepdim=True).chunk(PARTS, dim=1)
        reduced = [self.get_submodule(f"reduction_{i}")(one) for i, one in enumerate(pooled)]
        return reduced + [
            self.get_submodule(f"reduction_ch_{i}")(self.shared(one))
            for i, one in enumerate(channels)
        ]

    def branches(self, images: Tensor) -> Branches:
        """Return triplets on the wholes before their necks, a classifier after each neck."""
        vectors = self.vectors(images)
        wholes = (vectors[0][0], vectors[4][0], vectors[1][0])
        return Branches(wholes, tuple(after for _, after in vectors))

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        return torch.cat([F.normalize(after) for _, after in self.vectors(images)], dim=1)


class Neck(nn.Module):
    """A 1×1 convolution, if any, and a batch normalisation."""

    def __init__(self, inputs: int, dim: int | None) -> None:
        super().__init__()
        if dim is not None:
            self.reduction = nn.Conv2d(inputs, dim, 1, bias=False)
        self.bn = bn_neck(dim or inputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, inputs, 1, 1)`` to vectors before and after the normalisation."""
        before = (self.reduction(x) if hasattr(self, "reduction") else x).flatten(1)
        return before, self.bn(before)
