"""CLIP-ReID's image encoder: CLIP's vision transformer, read before and after its projection.

Li et al., "CLIP-ReID: Exploiting Vision-Language Model for Image Re-identification without Concrete
Text Labels", AAAI 2023. The transformer is timm's; the text side plays no part in retrieval.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from auditor.models.architectures.backbones import unfuse
from auditor.models.architectures.branches import Branches
from auditor.models.architectures.strong_baseline import bn_neck
from auditor.models.architectures.transreid import OverlappingPatches

PROJECTED = 512


class ClipReID(nn.Module):
    """Images ``(B, 3, H, W)`` to the class token and its projection, side by side.

    Args:
        size: (height, width) of the images; the position embedding is laid out for it.
        stride: of the patches.
        sides: cameras, viewpoints, or pairs of both that have an embedding of their own.
        after_neck: whether features are read after the necks; published configurations do before.

    Attributes:
        feature_dim: length of both together.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        stride: int = 16,
        sides: int = 0,
        after_neck: bool = False,
    ) -> None:
        super().__init__()
        trunk = _timm(size, stride)
        width = trunk.embed_dim
        self.cls_token, self.pos_embed = trunk.cls_token, trunk.pos_embed
        self.patch_embed, self.norm_pre = trunk.patch_embed, trunk.norm_pre
        self.blocks, self.norm = trunk.blocks, trunk.norm
        self.proj = nn.Parameter(torch.randn(width, PROJECTED) * width**-0.5)
        self.side_embed = nn.Parameter(torch.zeros(sides, width)) if sides else None
        self.neck, self.neck_proj = bn_neck(width), bn_neck(PROJECTED)
        self.after_neck = after_neck
        self.feature_dim = width + PROJECTED

    def vectors(self, images: Tensor, sides: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the class token and its projection, before the necks.

        Args:
            images: normalised ``(B, 3, H, W)``.
            sides: ``(B,)`` numbers of the cameras or viewpoints; None: the mean embedding stands
                for all.
        """
        patches = self.patch_embed(images)
        first = self.cls_token.expand(patches.shape[0], -1, -1)
        if self.side_embed is not None:
            side = self.side_embed.mean(0) if sides is None else self.side_embed[sides][:, None]
            first = first + side
        tokens = self.norm_pre(torch.cat([first, patches], dim=1) + self.pos_embed)
        for block in self.blocks:
            tokens = block(tokens)
        token = self.norm(tokens)[:, 0]
        return token, token @ self.proj

    def branches(self, images: Tensor, sides: Tensor | None = None) -> Branches:
        """Triplets before the necks, classifiers after them."""
        token, projected = self.vectors(images, sides)
        return Branches((token, projected), (self.neck(token), self.neck_proj(projected)))

    def forward(self, images: Tensor, sides: Tensor | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        token, projected = self.vectors(images, sides)
        if self.after_neck:
            token, projected = self.neck(token), self.neck_proj(projected)
        return torch.cat([token, projected], dim=1)


def _timm(size: tuple[int, int], stride: int) -> Any:
    # some seconds of import, paid only by those who ask for it
    import timm

    network = timm.create_model(
        "vit_base_patch16_clip_quickgelu_224",
        pretrained=False,
        num_classes=0,
        img_size=size,
        embed_layer=partial(OverlappingPatches, stride=stride),
    )
    unfuse(network)
    return network
