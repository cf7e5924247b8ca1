"""Two extractors with a known answer: one that leaks everything, one that leaks nothing.

The *planted* leak is without noise: its pictures carry a band of coloured cells that spell the
person's attributes and an identity code, and its features have that band and a thumbnail. Attacks
whose best adversary on the faint plant (`auditor.certification.planting`) is not known are tried on
it. The *null* control ignores the picture except as a seed for noise: an attack that claims success
there fools itself.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.data.images import as_bytes
from auditor.types import Images, ReIDDataset, RunContext, Split, Target

BAND = 8
"""The band takes one BAND-th of the picture's height."""
CELLS = (2, 16)
"""Rows and columns of the band; each cell has three channels."""
CODE = CELLS[0] * CELLS[1] * 3
IDENTITY_BITS = 32
THUMBNAIL = (32, 16)


@dataclass(frozen=True)
class StampedImages:
    """Another source's pictures with a band of coloured cells across the top.

    Attributes:
        source: the pictures.
        codes: ``(N, CODE)`` in [0, 1].
    """

    source: Images
    codes: Tensor

    def __len__(self) -> int:
        return len(self.source)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """See `auditor.types.Images.load`."""
        images = self.source.load(indices, size).clone()
        height, width = size
        cells = self.codes[torch.as_tensor(indices, dtype=torch.long)].unflatten(1, (3, *CELLS))
        images[:, :, : height // BAND] = F.interpolate(cells, (height // BAND, width))
        return images


class PlantedLeak(nn.Module):
    """Features ``(B, 288)``: a random projection of a thumbnail, and the band as it is read."""

    feature_dim = 192 + CODE
    input_size = (64, 32)
    projection: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        projection = torch.randn(3 * THUMBNAIL[0] * THUMBNAIL[1], 192, generator=generator)
        self.register_buffer("projection", torch.linalg.qr(projection).Q)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, 64, 32)`` in [0, 1] to features."""
        thumbnail = F.adaptive_avg_pool2d(images, THUMBNAIL).flatten(1) - 0.5
        band = F.adaptive_avg_pool2d(images[:, :, : images.shape[2] // BAND], CELLS)
        return torch.cat([thumbnail @ self.projection, 2 * (band.flatten(1) - 0.5)], dim=1)


class NullExtractor(nn.Module):
    """Features ``(B, 128)`` of pure noise, seeded by the picture so that they are repeatable."""

    feature_dim = 128
    input_size = (32, 16)
    differentiable = False

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, 32, 16)`` in [0, 1] to features."""
        pixels = as_bytes(images).cpu().numpy()
        rows = []
        for picture in pixels:
            seed = int.from_bytes(hashlib.sha256(picture.tobytes()).digest()[:6], "big")
            rows.append(torch.randn(128, generator=torch.Generator().manual_seed(seed)))
        return torch.stack(rows).to(images.device)


def make_planted_target(data: ReIDDataset, ctx: RunContext) -> Target:
    """Return the planted leak over stamped pictures of ``data``."""
    stamped = replace(
        data,
        train=_stamp(data.train, data),
        query=_stamp(data.query, data),
        gallery=_stamp(data.gallery, data),
        auxiliary=_stamp(data.auxiliary, data),
    )
    return Target(PlantedLeak().to(ctx.device), stamped)


def make_null_target(data: ReIDDataset) -> Target:
    """Return the null extractor over the pictures of ``data`` as they are."""
    return Target(NullExtractor(), data)


def _stamp(split: Split, data: ReIDDataset) -> Split:
    return replace(split, images=StampedImages(split.images, _codes(split, data)))


def _codes(split: Split, data: ReIDDataset) -> Tensor:
    """Codes ``(N, CODE)``: one-hot attributes, as many as fit, then random bits per person."""
    parts = [
        F.one_hot(column.clamp_min(0), len(data.attribute_values[name])) * (column[:, None] >= 0)
        for name, column in sorted(split.attributes.items())
    ]
    spelled = torch.cat(parts, dim=1)[:, : CODE - IDENTITY_BITS] if parts else None
    bits = CODE - (0 if spelled is None else spelled.shape[1])
    people, person = split.pids.unique(return_inverse=True)
    table = torch.stack(
        [
            torch.randint(2, (bits,), generator=torch.Generator().manual_seed(int(pid) + 1))
            for pid in people
        ]
    )
    identity = table[person]
    return (identity if spelled is None else torch.cat([spelled, identity], dim=1)).float()
