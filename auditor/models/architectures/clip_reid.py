"""CLIP-ReID's image encoders: CLIP's transformer or ResNet, read before and after its projection.

Li et al., "CLIP-ReID: Exploiting Vision-Language Model for Image Re-identification without Concrete
Text Labels", AAAI 2023. The trunks are timm's; the text side plays no part in retrieval.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from auditor.models.architectures.backbones import unfuse
from auditor.models.architectures.branches import Branches
from auditor.models.architectures.strong_baseline import bn_neck
from auditor.models.architectures.transreid import OverlappingPatches


class Encoder(nn.Module, ABC):
    """Images ``(B, 3, H, W)`` to a vector and its projection, side by side.

    Args:
        width: length of the vector.
        projected: length of its projection.
        after_neck: whether features are read after the necks; published configurations do before.

    Attributes:
        feature_dim: length of both together.
    """

    def __init__(self, width: int, projected: int, *, after_neck: bool) -> None:
        super().__init__()
        self.neck, self.neck_proj = bn_neck(width), bn_neck(projected)
        self.after_neck = after_neck
        self.feature_dim = width + projected

    @abstractmethod
    def vectors(self, images: Tensor, sides: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the vector and its projection, before the necks.

        Args:
            images: normalised ``(B, 3, H, W)``.
            sides: ``(B,)`` numbers of the cameras or viewpoints; None: the mean embedding stands
                for all.
        """

    def branches(self, images: Tensor, sides: Tensor | None = None) -> Branches:
        """Return triplets before the necks, classifiers after them."""
        vector, projected = self.vectors(images, sides)
        return Branches((vector, projected), (self.neck(vector), self.neck_proj(projected)))

    def forward(self, images: Tensor, sides: Tensor | None = None) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``."""
        vector, projected = self.vectors(images, sides)
        if self.after_neck:
            vector, projected = self.neck(vector), self.neck_proj(projected)
        return torch.cat([vector, projected], dim=1)


class ClipReID(Encoder):
    """Reads ViT-B/16's class token.

    Args:
        size: (height, width) of the images; the position embedding is laid out for it.
        stride: of the patches.
        sides: cameras, viewpoints, or pairs of both that have an embedding of their own.
        after_neck: see `Encoder`.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        stride: int = 16,
        sides: int = 0,
        after_neck: bool = False,
    ) -> None:
        trunk = _transformer(size, stride)
        width, projected = trunk.embed_dim, 512
        super().__init__(width, projected, after_neck=after_neck)
        self.cls_token, self.pos_embed = trunk.cls_token, trunk.pos_embed
        self.patch_embed, self.norm_pre = trunk.patch_embed, trunk.norm_pre
        self.blocks, self.norm = trunk.blocks, trunk.norm
        self.proj = nn.Parameter(torch.randn(width, projected) * width**-0.5)
        self.side_embed = nn.Parameter(torch.zeros(sides, width)) if sides else None

    def vectors(self, images: Tensor, sides: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the class token and its projection."""
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


class ClipReIDResNet(Encoder):
    """Reads ResNet-50's last map, averaged and pooled by attention.

    Args:
        size: (height, width) of the images, multiples of 16; the position embedding is laid out
            for it.
        after_neck: see `Encoder`.
    """

    def __init__(self, size: tuple[int, int], *, after_neck: bool = False) -> None:
        trunk = _resnet()
        width, projected = trunk.num_features, 1024
        super().__init__(width, projected, after_neck=after_neck)
        self.stem = trunk.stem
        self.layer1, self.layer2, self.layer3, self.layer4 = trunk.stages
        self.pool = AttentionPool(width, (size[0] // 16) * (size[1] // 16), projected)

    def vectors(self, images: Tensor, sides: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the average and the pooled vector; there is no embedding of sides."""
        x = self.stem(images)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return x.mean((2, 3)), self.pool(x)


class AttentionPool(nn.Module):
    """Lets the average of a map attend to its pixels and to itself.

    timm's `AttentionPool2d` resamples its position embedding in every pass over a map that is not
    square, which cannot be exported.

    Args:
        channels: of the map.
        pixels: of the map.
        dim: length of the result.
        head_dim: channels that share an attention.
    """

    def __init__(self, channels: int, pixels: int, dim: int, head_dim: int = 64) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(pixels + 1, channels) * channels**-0.5)
        self.q, self.k, self.v = (nn.Linear(channels, channels) for _ in range(3))
        self.proj = nn.Linear(channels, dim)
        self.head_dim = head_dim

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, h, w)`` to ``(B, dim)``."""
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1) + self.pos_embed
        query = self._heads(self.q(tokens[:, :1]))
        key, value = self._heads(self.k(tokens)), self._heads(self.v(tokens))
        # not torch's fused attention, which is not differentiable twice
        weights = (query @ key.transpose(2, 3) * self.head_dim**-0.5).softmax(-1)
        pooled: Tensor = self.proj((weights @ value).flatten(1))
        return pooled

    def _heads(self, tokens: Tensor) -> Tensor:
        """Split ``(B, N, channels)`` into ``(B, heads, N, head_dim)``."""
        heads: Tensor = tokens.unflatten(2, (-1, self.head_dim))
        return heads.transpose(1, 2)


def _transformer(size: tuple[int, int], stride: int) -> Any:
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


def _resnet() -> Any:
    from timm.models.byobnet import ByobNet, model_cfgs

    usual: Any = model_cfgs["resnet50_clip"]
    *first, last = usual.blocks
    return ByobNet(replace(usual, blocks=(*first, replace(last, s=1)), head_type=""), num_classes=0)
