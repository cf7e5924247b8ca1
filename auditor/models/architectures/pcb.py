"""PCB: horizontal stripes, each trained to tell persons apart on its own.

Sun et al., "Beyond Part Models: Person Retrieval with Refined Part Pooling", ECCV 2018, section 3,
without the refined pooling. The reduction is shared by the stripes, as in torchreid, whose weights
load; torchreid's dropout before it is left out.
"""

from collections import OrderedDict
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.models.architectures.backbones import Backbone
from auditor.models.architectures.branches import Branches


class PCB(nn.Module):
    """Images ``(B, 3, H, W)`` to one vector made of a piece per stripe.

    Args:
        backbone: images to maps ``(B, channels, h, w)``.
        parts: stripes from top to bottom.
        reduced: length of a stripe's vector that its classifier sees.
        shared: whether one reduction serves all stripes; else each has a linear one without a ReLU.
        descriptor: what retrieval uses. The paper tries both: the stripes as they are pooled (the
            better one, and torchreid's; each stripe at length one), or reduced.
        made_for: the code base whose weights alone may be loaded; empty: any that fit.

    Attributes:
        feature_dim: ``parts`` times the backbone's channels, or times ``reduced``.
    """

    def __init__(
        self,
        backbone: Backbone,
        parts: int = 6,
        reduced: int = 256,
        *,
        shared: bool = True,
        descriptor: Literal["pooled", "reduced"] = "pooled",
        made_for: str = "",
    ) -> None:
        super().__init__()
        channels = backbone.channels
        self.feature_dim = parts * (channels if descriptor == "pooled" else reduced)
        self.descriptor = descriptor
        self.backbone = backbone
        self.pool = Stripes(parts)
        self.made_for = made_for
        self.reduce: nn.Module = (
            _reduction(channels, reduced) if shared else StripeReductions(parts, channels, reduced)
        )

    def branches(self, images: Tensor) -> Branches:
        """Return a classifier's view per stripe; the paper trains without triplets."""
        reduced = self.reduce(self.pool(self.backbone(images)))
        return Branches((), reduced.squeeze(3).unbind(2))

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``.

        A channel's values for all stripes lie next to each other, as in torchreid.
        """
        stripes = self.pool(self.backbone(images))
        if self.descriptor == "reduced":
            stripes = self.reduce(stripes)
        return F.normalize(stripes, dim=1).flatten(1)


class Stripes(nn.Module):
    """The mean of each of some stripes from top to bottom, which share a row where they must.

    As `nn.AdaptiveAvgPool2d` to ``(parts, 1)``, which ONNX has for some heights only.
    """

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to ``(B, C, parts, 1)``."""
        rows = int(x.shape[2])
        ends = [
            (i * rows // self.parts, -(-(i + 1) * rows // self.parts)) for i in range(self.parts)
        ]
        means = [x[:, :, start:end].mean((2, 3)) for start, end in ends]
        return torch.stack(means, dim=2)[..., None]


class StripeReductions(nn.ModuleList):
    """A linear layer and a normalisation per stripe."""

    def __init__(self, parts: int, channels: int, reduced: int) -> None:
        super().__init__(
            nn.Sequential(nn.Linear(channels, reduced), nn.BatchNorm1d(reduced))
            for _ in range(parts)
        )

    def forward(self, stripes: Tensor) -> Tensor:
        """Map ``(B, channels, parts, 1)`` to ``(B, reduced, parts, 1)``."""
        rows = stripes.squeeze(3).unbind(2)
        return torch.stack([one(row) for one, row in zip(self, rows, strict=True)], dim=2)[
            ..., None
        ]


def _reduction(channels: int, reduced: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(channels, reduced, 1, bias=False), bn=nn.BatchNorm2d(reduced)
    )
    layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)
