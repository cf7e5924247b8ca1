"""PCB: horizontal stripes, each trained to tell persons apart on its own.

Sun et al., "Beyond Part Models: Person Retrieval with Refined Part Pooling", ECCV 2018, section 3,
without the refined pooling. The reduction is shared by the stripes, as in torchreid, whose weights
load; torchreid's dropout before it is left out.
"""

from collections import OrderedDict
from typing import Literal

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
        descriptor: what retrieval uses. The paper tries both: the stripes as they are pooled (the
            better one, and torchreid's; each stripe at length one), or reduced.

    Attributes:
        feature_dim: ``parts`` times the backbone's channels, or times ``reduced``.
    """

    def __init__(
        self,
        backbone: Backbone,
        parts: int = 6,
        reduced: int = 256,
        *,
        descriptor: Literal["pooled", "reduced"] = "pooled",
    ) -> None:
        super().__init__()
        channels = backbone.channels
        self.feature_dim = parts * (channels if descriptor == "pooled" else reduced)
        self.descriptor = descriptor
        self.backbone = backbone
        self.pool = nn.AdaptiveAvgPool2d((parts, 1))
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv=nn.Conv2d(channels, reduced, 1, bias=False), bn=nn.BatchNorm2d(reduced)
        )
        layers["relu"] = nn.ReLU()
        self.reduce = nn.Sequential(layers)

    def branches(self, images: Tensor) -> Branches:
        """A classifier's view per stripe; the paper trains without triplets."""
        reduced = self.reduce(self.pool(self.backbone(images)))
        return Branches((), reduced.squeeze(3).unbind(2))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``.

        A channel's values for all stripes lie next to each other, as in torchreid.
        """
        stripes = self.pool(self.backbone(images))
        if self.descriptor == "reduced":
            stripes = self.reduce(stripes)
        return F.normalize(stripes, dim=1).flatten(1)
