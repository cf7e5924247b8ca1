"""The strong baseline: a backbone, one pooled vector, and a batch-normalisation neck.

Luo et al., "Bag of Tricks and a Strong Baseline for Deep Person Re-identification", CVPRW 2019.
Triplets compare what is before the neck, the classifier sees what is after it; retrieval uses the
latter, unless a configuration says otherwise.
"""

import torch
from torch import Tensor, nn

from auditor.models.architectures.backbones import Backbone
from auditor.models.architectures.branches import Branches


class GeM(nn.Module):
    """Generalised mean over a map, its exponent learned (Radenović et al., TPAMI 2019, eq. 3).

    An exponent of 1 gives the mean, a large one the maximum.

    Args:
        p: the exponent.
        floor: the smallest value that counts.
        learned: whether the exponent is a parameter.
    """

    def __init__(self, p: float = 3.0, floor: float = 1e-6, *, learned: bool = True) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), p)) if learned else p
        self.floor = floor

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to ``(B, C, 1, 1)``.

        Values below the floor count as the floor.
        """
        powers = x.clamp(min=self.floor).pow(self.p)
        return powers.mean((2, 3), keepdim=True).pow(1 / self.p)


class StrongBaseline(nn.Module):
    """Images ``(B, 3, H, W)`` to one vector per image.

    Args:
        backbone: images to maps ``(B, channels, h, w)``.
        dim: length of a linear embedding between pooling and neck; None: there is none.
        pool: map to ``(B, channels, 1, 1)``; None: the average.
        bias: whether the embedding, and the neck, have a bias.
        relu: torchreid's form of the embedding, which has a bias and ends with a ReLU.
        after_neck: whether features are read after the neck.
        made_for: the code base whose weights alone may be loaded; empty: any that fit.

    Attributes:
        feature_dim: ``dim``, or else the backbone's channels.
    """

    def __init__(
        self,
        backbone: Backbone,
        dim: int | None = None,
        *,
        pool: nn.Module | None = None,
        bias: bool = False,
        relu: bool = False,
        after_neck: bool = True,
        made_for: str = "",
    ) -> None:
        super().__init__()
        channels = backbone.channels
        self.feature_dim = channels if dim is None else dim
        self.backbone, self.made_for = backbone, made_for
        self.after_neck = after_neck
        self.pool = nn.AdaptiveAvgPool2d(1) if pool is None else pool
        self.embed = nn.Identity() if dim is None else nn.Linear(channels, dim, bias=bias or relu)
        self.neck = bn_neck(self.feature_dim, free=bias or relu)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def pool_vectors(self, images: Tensor) -> Tensor:
        """Vectors ``(B, feature_dim)`` before the neck."""
        vectors: Tensor = self.embed(self.pool(self.backbone(images)).flatten(1))
        return vectors

    def branches(self, images: Tensor) -> Branches:
        """Return what triplets compare, and what the classifier sees."""
        before = self.pool_vectors(images)
        return Branches((before,), (self.relu(self.neck(before)),))

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        before = self.pool_vectors(images)
        features: Tensor = self.relu(self.neck(before)) if self.after_neck else before
        return features


def bn_neck(dim: int, *, free: bool = False) -> nn.BatchNorm1d:
    """Return a batch normalisation whose bias stays zero, so that classes part by angle.

    Args:
        dim: length of the vectors.
        free: whether the bias may be learned all the same.
    """
    neck = nn.BatchNorm1d(dim)
    neck.bias.requires_grad_(free)
    return neck
