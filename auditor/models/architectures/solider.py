"""SOLIDER's Swin transformer, whose stages are steered between appearance and meaning.

Chen et al., "Beyond Appearance: a Semantic Controllable Self-Supervised Learning Framework for
Human-Centric Visual Tasks", CVPR 2023, on Swin transformers (Liu et al., ICCV 2021) in
MMDetection's form: maps are padded before they are shifted, and a merged pixel's channels lie next
to each other. Attention is timm's; parameters are named as in SOLIDER, so its weights load.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.models.architectures.backbones import Backbone

WINDOW = 7
SEMANTIC_WEIGHT = 0.2
"""How much meaning counts beside appearance; the published configurations' choice for re-ID."""

SIZES = {
    "tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "small": (96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "base": (128, (2, 2, 18, 2), (4, 8, 16, 32)),
}
"""Channels after the patches, and the blocks and heads of the four stages."""


class Swin(Backbone):
    """Images ``(B, 3, H, W)`` to the last stage's map.

    Args:
        size: one of `SIZES`.
    """

    def __init__(self, size: str) -> None:
        super().__init__()
        first, depths, heads = SIZES[size]
        widths = [first * 2**i for i in range(len(depths))]
        self.channels = widths[-1]
        self.patch_embed = Patches(first)
        self.stages = nn.ModuleList(
            Stage(width, depth, head, merge=width != widths[-1])
            for width, depth, head in zip(widths, depths, heads, strict=True)
        )
        # only the last one reaches the features
        for number, width in enumerate(widths):
            self.add_module(f"norm{number}", nn.LayerNorm(width))
        after = [*widths[1:], widths[-1]]
        self.semantic_embed_w = nn.ModuleList(nn.Linear(2, width) for width in after)
        self.semantic_embed_b = nn.ModuleList(nn.Linear(2, width) for width in after)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to ``(B, channels, ⌈H / 32⌉, ⌈W / 32⌉)``."""
        x = self.patch_embed(images)
        steering = torch.tensor([SEMANTIC_WEIGHT, 1 - SEMANTIC_WEIGHT], device=x.device).to(x)
        last = x
        for number, stage in enumerate(self.stages):
            x, last = stage(x)
            gain = F.softplus(self.semantic_embed_w[number](steering))
            x = x * gain + self.semantic_embed_b[number](steering)
        normed: Tensor = self.get_submodule(f"norm{len(self.stages) - 1}")(last)
        return normed.permute(0, 3, 1, 2)


class Patches(nn.Module):
    """Cuts an image into patches of 4 × 4, and normalises their tokens."""

    def __init__(self, channels: int, side: int = 4) -> None:
        super().__init__()
        self.side = side
        self.projection = nn.Conv2d(3, channels, side, side)
        self.norm = nn.LayerNorm(channels)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to ``(B, ⌈H / 4⌉, ⌈W / 4⌉, channels)``."""
        rows, columns = images.shape[2:]
        images = F.pad(images, (0, -columns % self.side, 0, -rows % self.side))
        tokens: Tensor = self.norm(self.projection(images).permute(0, 2, 3, 1))
        return tokens


class Stage(nn.Module):
    """Blocks whose windows are shifted every other time, and the merging after them."""

    def __init__(self, channels: int, depth: int, heads: int, *, merge: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(channels, heads, shift=WINDOW // 2 if i % 2 else 0) for i in range(depth)
        )
        self.downsample = Merging(channels) if merge else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, h, w, channels)`` to what the next stage takes, and what the blocks give."""
        for block in self.blocks:
            x = block(x)
        return self.downsample(x), x


class Merging(nn.Module):
    """Makes one pixel of four, with twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, h, w, channels)`` to ``(B, ⌈h / 2⌉, ⌈w / 2⌉, 2 · channels)``."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        merged = F.pixel_unshuffle(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        out: Tensor = self.reduction(self.norm(merged))
        return out


class Block(nn.Module):
    """Attention within windows, then a perceptron, each with its residual."""

    def __init__(self, channels: int, heads: int, *, shift: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowedAttention(channels, heads, shift)
        self.norm2 = nn.LayerNorm(channels)
        self.ffn = FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, h, w, channels)`` to the same shape."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.ffn(self.norm2(x))
        return out


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        widening = nn.Sequential(nn.Linear(channels, ratio * channels), nn.GELU())
        self.layers = nn.Sequential(widening, nn.Linear(ratio * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(…, channels)`` to the same shape."""
        out: Tensor = self.layers(x)
        return out


class WindowedAttention(nn.Module):
    """timm's attention within windows of a map that was padded, then shifted."""

    def __init__(self, channels: int, heads: int, shift: int) -> None:
        super().__init__()
        # some seconds of import, paid only by those who ask for it
        from timm.models.swin_transformer import WindowAttention

        self.shift = shift
        self.w_msa: Any = WindowAttention(channels, heads, window_size=(WINDOW, WINDOW))
        self.w_msa.fused_attn = False

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, h, w, channels)`` to the same shape."""
        from timm.models.swin_transformer import window_partition, window_reverse

        rows, columns = x.shape[1:3]
        padded = F.pad(x, (0, 0, 0, -columns % WINDOW, 0, -rows % WINDOW))
        height, width = padded.shape[1:3]
        shifted = padded.roll((-self.shift, -self.shift), (1, 2))
        windows = window_partition(shifted, (WINDOW, WINDOW)).flatten(1, 2)
        mask = _mask((height, width), self.shift).to(x) if self.shift else None
        attended = self.w_msa(windows, mask=mask).unflatten(1, (WINDOW, WINDOW))
        back = window_reverse(attended, (WINDOW, WINDOW), height, width)
        out: Tensor = back.roll((self.shift, self.shift), (1, 2))[:, :rows, :columns]
        return out


def _mask(size: Sequence[int], shift: int) -> Tensor:
    """Return ``(windows, pixels, pixels)``: −100 between pixels that the shift made neighbours."""
    from timm.models.swin_transformer import window_partition

    regions = torch.zeros(1, *size, 1)
    slices = (slice(0, -WINDOW), slice(-WINDOW, -shift), slice(-shift, None))
    for number, (rows, columns) in enumerate((r, c) for r in slices for c in slices):
        regions[:, rows, columns] = number
    windows = window_partition(regions, (WINDOW, WINDOW)).flatten(1)
    return (windows[:, None] != windows[:, :, None]) * -100.0
