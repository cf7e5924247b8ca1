"""ISP: body parts that the network makes up itself, pooled apart.

Zhu et al., "Identity-Guided Human Semantic Parsing for Person Re-Identification", ECCV 2020. Two
deviations. Any backbone stands where the paper has HRNet, so the published weights do not load. The
paper keeps a map of part labels per training picture; here the clusters of all persons become one
prototype per part, by which the pixels of a picture are labelled however it was augmented.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.models.architectures.backbones import Backbone
from auditor.models.architectures.branches import Branches
from auditor.models.architectures.part_labels import person_parts, strength
from auditor.models.architectures.strong_baseline import bn_neck

PARSING_WEIGHT = 0.1
"""Of the pixels' loss; the published configuration's."""


class ISP(nn.Module):
    """Images ``(B, 3, H, W)`` to the parts, the foreground and the whole, side by side.

    Until `learn_parts` was called, training has no loss on pixels.

    Args:
        backbone: images to maps ``(B, channels, h, w)``.
        parts: of the body, beside the background.
        reduced: channels of the map that is pooled.

    Attributes:
        feature_dim: ``(parts + 2) * reduced``.
    """

    prototypes: Tensor
    threshold: Tensor

    def __init__(self, backbone: Backbone, parts: int = 6, reduced: int = 256) -> None:
        super().__init__()
        channels = backbone.channels
        self.feature_dim = (parts + 2) * reduced
        self.parts = parts
        self.backbone = backbone
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, reduced, 1), nn.BatchNorm2d(reduced), nn.ReLU()
        )
        self.parse = nn.Conv2d(reduced, 1 + parts, 1)
        self.part_neck = bn_neck(parts * reduced)
        self.foreground_neck = bn_neck(reduced)
        self.whole_neck = bn_neck(reduced)
        # made anew before each epoch, so no part of what is saved
        self.register_buffer("prototypes", torch.zeros(parts, reduced), persistent=False)
        self.register_buffer("threshold", torch.zeros(()), persistent=False)
        self.parts_known = False

    @torch.no_grad()
    def learn_parts(self, people: Iterable[Tensor], generator: torch.Generator) -> None:
        """Find the parts anew by clustering; to be called before each epoch, or every other one.

        Args:
            people: per person, normalised images ``(V, 3, H, W)`` as they are, not augmented.
            generator: where the clusters start.
        """
        training = self.training
        self.eval()
        sums = torch.zeros(self.prototypes.shape)
        thresholds = []
        for images in people:
            maps = self._map(images).cpu()
            found = person_parts(maps, self.parts, generator)
            thresholds.append(found.threshold)
            pixels = F.normalize(maps, dim=1).permute(0, 2, 3, 1)
            for part in range(self.parts):
                sums[part] += pixels[found.labels == part + 1].sum(0)
        self.prototypes.copy_(F.normalize(sums, dim=1))
        self.threshold.fill_(sum(thresholds) / max(1, len(thresholds)))
        self.parts_known = bool(thresholds)
        self.train(training)

    def labels(self, maps: Tensor) -> Tensor:
        """Return each pixel's part ``(B, h, w)`` by the nearest prototype; 0 is background."""
        likeness = torch.einsum("bchw,pc->bphw", F.normalize(maps, dim=1), self.prototypes)
        return (1 + likeness.argmax(1)) * (strength(maps) > self.threshold)

    def branches(self, images: Tensor) -> Branches:
        """Parts, foreground and whole before and after their necks, and the loss on pixels."""
        maps = self._map(images)
        scores = self.parse(maps)
        vectors = self._vectors(maps, scores)
        return Branches(vectors, self._necks(vectors), self._parsing_loss(maps.detach(), scores))

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        maps = self._map(images)
        return torch.cat(self._necks(self._vectors(maps, self.parse(maps))), dim=1)

    def _map(self, images: Tensor) -> Tensor:
        maps: Tensor = self.reduce(self.backbone(images))
        return maps

    def _vectors(self, maps: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        belief = scores.softmax(1)[:, 1:]
        size = maps.shape[2] * maps.shape[3]
        parts = torch.einsum("bchw,bphw->bpc", maps, belief) / size
        return parts.flatten(1), parts.sum(1), maps.mean((2, 3))

    def _necks(self, vectors: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        parts, foreground, whole = vectors
        return self.part_neck(parts), self.foreground_neck(foreground), self.whole_neck(whole)

    def _parsing_loss(self, maps: Tensor, scores: Tensor) -> Tensor | None:
        if not self.parts_known:
            return None
        return PARSING_WEIGHT * F.cross_entropy(scores, self.labels(maps))
