"""TransReID: a vision transformer with overlapping patches, side information and a jigsaw branch.

He et al., "TransReID: Transformer-based Object Re-Identification", ICCV 2021. The transformer is
timm's. Published weights load by name (see `auditor.models.names`), and retrieval uses the vectors
before the necks, as the published configurations do.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from auditor.models.architectures.backbones import InstanceBatchNorm, unfuse
from auditor.models.architectures.branches import Branches
from auditor.models.architectures.strong_baseline import bn_neck

GROUPS = 2
"""Into which the jigsaw deals the patches."""

SHIFT = 4
"""Patches that move from the front to the end; the paper's m = 5 counts the class token."""

PARTS = 4
SIDE_WEIGHT = 3.0
"""The paper's λ."""

PASS_PARTS = 3
PART_TOKENS = (
    *("cls_pos", *(f"part{i + 1}_pos" for i in range(PASS_PARTS))),
    *(f"part_token{i + 1}" for i in range(PASS_PARTS)),
)
"""PASS's own parameters: places of its first tokens, and the tokens of its parts."""


class OverlappingPatches(nn.Module):
    """Cuts an image into patches whose stride may be smaller than their side (section 3.1).

    Args:
        img_size: (height, width) of the images.
        patch_size: side of a patch.
        stride: from a patch to the next.
        in_chans: channels of the images.
        embed_dim: length of a token.
        bias: whether the projection has one.
        **ignored: what timm tells its own patches beside this.

    Attributes:
        num_patches: ``⌊(height − side) / stride + 1⌋ · ⌊(width − side) / stride + 1⌋``.
    """

    def __init__(
        self,
        img_size: tuple[int, int],
        patch_size: int = 16,
        *,
        stride: int,
        in_chans: int = 3,
        embed_dim: int = 768,
        bias: bool = True,
        **ignored: Any,
    ) -> None:
        super().__init__()
        rows, columns = ((side - patch_size) // stride + 1 for side in img_size)
        self.grid_size, self.num_patches = (rows, columns), rows * columns
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(B, in_chans, H, W)`` to ``(B, num_patches, embed_dim)``."""
        patches: Tensor = self.proj(images)
        return patches.flatten(2).transpose(1, 2)


class StemPatches(OverlappingPatches):
    """Patches cut from the map of three convolutions; two of them forget an image's style.

    Luo et al., "Self-Supervised Pre-Training for Transformer-Based Person Re-Identification", 2021.
    """

    def __init__(
        self,
        img_size: tuple[int, int],
        patch_size: int = 16,
        *,
        in_chans: int = 3,
        embed_dim: int = 768,
        **ignored: Any,
    ) -> None:
        super().__init__(img_size, patch_size, stride=patch_size)
        hidden, half = 64, patch_size // 2
        layers: list[nn.Module] = [nn.Conv2d(in_chans, hidden, 7, 2, 3, bias=False)]
        layers += [InstanceBatchNorm(hidden), nn.ReLU(inplace=True)]
        for norm in (InstanceBatchNorm(hidden), nn.BatchNorm2d(hidden)):
            layers += [nn.Conv2d(hidden, hidden, 3, 1, 1, bias=False), norm, nn.ReLU(inplace=True)]
        self.conv = nn.Sequential(*layers)
        self.proj = nn.Conv2d(hidden, embed_dim, half, half)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(B, in_chans, H, W)`` to ``(B, num_patches, embed_dim)``."""
        return super().forward(self.conv(images))


class TransReID(nn.Module):
    """Images ``(B, 3, H, W)`` to the class token, and with the jigsaw to four more.

    Args:
        size: (height, width) of the images; the position embedding is laid out for it.
        vit: a plain vision transformer of timm.
        stride: of the patches.
        jigsaw: whether four shuffled groups of patches are embedded beside the whole (section 3.2).
        sides: cameras, viewpoints, or pairs of both that have an embedding of their own (section
            3.3); 0: none has.
        drop_path: chance that a block's residual is skipped in training.
        stem: whether convolutions come before the patches, whose stride is then their side.
        gem: whether the patches' generalised mean is added to the class token.
        after_neck: whether features are read after the necks.

    Attributes:
        feature_dim: length of a token, times five with the jigsaw.
    """

    def __init__(
        self,
        size: tuple[int, int],
        vit: str = "vit_base_patch16_224",
        *,
        stride: int = 12,
        jigsaw: bool = True,
        sides: int = 0,
        drop_path: float = 0.1,
        stem: bool = False,
        gem: bool = False,
        after_neck: bool = False,
    ) -> None:
        super().__init__()
        patches = StemPatches if stem else partial(OverlappingPatches, stride=stride)
        trunk = _timm(vit, size, patches, drop_path)
        self.gem, self.after_neck = gem, after_neck
        self.cls_token, self.pos_embed = trunk.cls_token, trunk.pos_embed
        self.patch_embed = trunk.patch_embed
        self.side_embed = nn.Parameter(torch.zeros(sides, 1, trunk.embed_dim)) if sides else None
        if self.side_embed is not None:
            nn.init.trunc_normal_(self.side_embed, std=0.02)
        *blocks, last = trunk.blocks
        self.blocks = nn.ModuleList(blocks)
        self.whole = nn.Sequential(last, trunk.norm)
        self.parts = deepcopy(self.whole) if jigsaw else None
        vectors = 1 + (PARTS if jigsaw else 0)
        self.necks = nn.ModuleList(bn_neck(trunk.embed_dim) for _ in range(vectors))
        self.feature_dim = vectors * trunk.embed_dim

    def vectors(self, images: Tensor, sides: Tensor | None = None) -> list[Tensor]:
        """Return the whole and the parts, each ``(B, D)``, before the necks.

        Args:
            images: normalised ``(B, 3, H, W)``.
            sides: ``(B,)`` numbers of the cameras or viewpoints; None where they are unknown, as in
                an audit: then the mean embedding stands for all (the paper always knows them).
        """
        tokens = self._tokens(images, sides)
        for block in self.blocks:
            tokens = block(tokens)
        seen = self.whole(tokens)
        whole = seen[:, 0]
        if self.gem:
            whole = whole + generalised_mean(seen[:, 1:].transpose(1, 2))
        return [whole] if self.parts is None else [whole, *self._parts(tokens)]

    def branches(self, images: Tensor, sides: Tensor | None = None) -> Branches:
        """Return triplets before the necks, a classifier per vector after them."""
        vectors = self.vectors(images, sides)
        necks = [neck(vector) for neck, vector in zip(self.necks, vectors, strict=True)]
        return Branches(tuple(vectors), tuple(necks))

    def forward(self, images: Tensor, sides: Tensor | None = None) -> Tensor:
        """Map normalised images ``(B, 3, H, W)`` to features ``(B, feature_dim)``.

        The parts together weigh as much as the whole.
        """
        whole, *parts = self.vectors(images, sides)
        if self.after_neck:
            whole, *parts = (n(v) for n, v in zip(self.necks, (whole, *parts), strict=True))
        return torch.cat([whole, *(part / PARTS for part in parts)], dim=1)

    def _tokens(self, images: Tensor, sides: Tensor | None) -> Tensor:
        patches = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1)
        placed: Tensor = tokens + self.pos_embed
        if self.side_embed is None:
            return placed
        side = self.side_embed.mean(0) if sides is None else self.side_embed[sides]
        return placed + SIDE_WEIGHT * side

    def _parts(self, tokens: Tensor) -> list[Tensor]:
        assert self.parts is not None
        token, patches = tokens[:, :1], tokens[:, 1:]
        patches = patches[:, jigsaw_order(int(patches.shape[1])).to(tokens.device)]
        length = patches.shape[1] // PARTS  # the few left over are seen by the whole alone
        pieces = [patches[:, i * length : (i + 1) * length] for i in range(PARTS)]
        # one pass for all of them is faster than four
        together = torch.cat([torch.cat([token, piece], dim=1) for piece in pieces])
        return list(self.parts(together)[:, 0].chunk(PARTS))


class PASS(TransReID):
    """Images ``(B, 3, H, W)`` to the class token and the mean of three tokens of parts.

    Zhu et al., "PASS: Part-Aware Self-Supervised Pre-Training for Person Re-Identification", ECCV
    2022.

    Args:
        size: (height, width) of the images; the position embedding is laid out for it.
        vit: a plain vision transformer of timm.

    Attributes:
        feature_dim: twice the length of a token.
    """

    def __init__(self, size: tuple[int, int], vit: str = "vit_base_patch16_224") -> None:
        super().__init__(size, vit, stride=16, jigsaw=False)
        width = self.cls_token.shape[2]
        self.feature_dim = 2 * width
        self.necks = nn.ModuleList([bn_neck(self.feature_dim)])
        self.pos_embed = nn.Parameter(self.pos_embed[:, 1:].detach().clone())
        for name in PART_TOKENS:
            setattr(self, name, nn.Parameter(torch.zeros(1, 1, width)))

    def vectors(self, images: Tensor, sides: Tensor | None = None) -> list[Tensor]:
        """Return the one vector ``(B, feature_dim)`` before the neck."""
        patches = self.patch_embed(images)
        names = PART_TOKENS[: PASS_PARTS + 1]
        own = [self.cls_token, *(getattr(self, f"part_token{i + 1}") for i in range(PASS_PARTS))]
        own = [token + getattr(self, name) for token, name in zip(own, names, strict=True)]
        first = torch.cat(own, dim=1).expand(patches.shape[0], -1, -1)
        tokens = torch.cat([first, patches + self.pos_embed], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        seen = self.whole(tokens)
        return [torch.cat([seen[:, 0], seen[:, 1 : PASS_PARTS + 1].mean(1)], dim=1)]


def jigsaw_order(patches: int, shift: int = SHIFT, groups: int = GROUPS) -> Tensor:
    """Which patch goes where: the first ones move to the end, then groups are dealt like cards.

    >>> jigsaw_order(8, shift=2).tolist()
    [2, 6, 3, 7, 4, 0, 5, 1]
    """
    # whole numbers rather than tensors: the order is a constant of an exported network
    order = [(index + shift) % patches for index in range(patches)]
    each = patches // groups
    dealt = [order[group * each + index] for index in range(each) for group in range(groups)]
    return torch.tensor(dealt + order[groups * each :])


def generalised_mean(x: Tensor, p: float = 3.0, floor: float = 1e-6) -> Tensor:
    """Over the last axis; values below the floor count as the floor."""
    return x.clamp(min=floor).pow(p).mean(-1).pow(1 / p)


def _timm(
    name: str, size: tuple[int, int], patches: Callable[..., nn.Module], drop_path: float
) -> Any:
    # some seconds of import, paid only by those who ask for it
    import timm

    network = timm.create_model(
        name,
        pretrained=False,
        num_classes=0,
        img_size=size,
        embed_layer=patches,
        drop_path_rate=drop_path,
    )
    unfuse(network)
    return network
