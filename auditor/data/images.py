"""Pictures in files and pictures in memory, both behind `auditor.types.Images`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from auditor.data.decoding import decode as decode  # plug-ins know it by this module
from auditor.data.kept_pictures import load_pictures
from auditor.types import Images, Selection

CHUNK = 256
"""Pictures decoded at once by `load_pixels`."""


def as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] of any shape as uint8, rounded as a file of pictures rounds them."""
    return images.mul(255).round().byte()


def eight_bit(images: Tensor) -> Tensor:
    """Images in [0, 1] as a file would hold them."""
    return images.clamp(0, 1).mul(255).round().div(255)


def load_pixels(images: Images, size: tuple[int, int]) -> Tensor:
    """Return all pictures as uint8 ``(N, 3, height, width)``: thousands of them stay in memory."""
    pixels = torch.empty((len(images), 3, *size), dtype=torch.uint8)
    for start in range(0, len(images), CHUNK):
        rows = range(start, min(start + CHUNK, len(images)))
        pixels[start : rows.stop] = as_bytes(images.load(rows, size))
    return pixels


@dataclass(frozen=True)
class FileImages:
    """Pictures decoded from files when asked for, and resized as the asked size says.

    A plain (height, width) means as re-ID code does: Pillow, bilinear; see
    `auditor.resizing.InputSize`.
    """

    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Images ``(len(indices), 3, height, width)`` in [0, 1].

        Raises:
            DataError: if a file cannot be decoded.
        """
        pixels = load_pictures([self.paths[index] for index in indices], size)
        return pixels.float().div_(255)


def are_files(images: Images) -> bool:
    """Return whether pictures are decoded as they lie in their files, all or some of them."""
    while isinstance(images, Selection):
        images = images.source
    return isinstance(images, FileImages)


@dataclass(frozen=True)
class JoinedImages:
    """Two sources' pictures, the second's after the first's."""

    first: Images
    second: Images

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Images ``(len(indices), 3, height, width)`` in [0, 1]."""
        border, height, width = len(self.first), *size
        images = torch.empty(len(indices), 3, height, width)
        for source, start, rows in (
            (self.first, 0, [row for row, i in enumerate(indices) if i < border]),
            (self.second, border, [row for row, i in enumerate(indices) if i >= border]),
        ):
            if rows:
                images[rows] = source.load([indices[row] - start for row in rows], size)
        return images


Pooling = Literal["mean", "quality"]
"""How the features of a tracklet's pictures become one; see `auditor.data.tracklets`."""


@dataclass(frozen=True)
class TrackletImages:
    """Tracklets: several pictures each, of which the one in the middle is shown.

    Attributes:
        source: the pictures of all tracklets.
        groups: the rows in ``source`` of each tracklet's pictures, at least one, in their order.
        pooling: how their features become one.
    """

    source: Images
    groups: Sequence[Sequence[int]]
    pooling: Pooling

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def middles(self) -> Tensor:
        """``(N,)`` the rows in ``source`` of the pictures that stand for the tracklets."""
        return torch.tensor([self.shown(index) for index in range(len(self))], dtype=torch.long)

    def shown(self, index: int) -> int:
        """Return the row in ``source`` of the picture that stands for a tracklet."""
        group = self.groups[index]
        return group[len(group) // 2]

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Images ``(len(indices), 3, height, width)`` in [0, 1], one of each tracklet."""
        return self.source.load([self.shown(index) for index in indices], size)


def file_of(images: Images, index: int) -> Path | None:
    """Return the file behind picture ``index``; None where it is in memory.

    A protection that keeps its pictures' order and calls what it protects ``source`` is seen
    through.
    """
    if isinstance(images, FileImages):
        return images.paths[index]
    if isinstance(images, Selection):
        return file_of(images.source, images.rows[index])
    if isinstance(images, JoinedImages):
        border = len(images.first)
        later = index >= border
        return file_of(images.second if later else images.first, index - border * later)
    if isinstance(images, TrackletImages):
        return file_of(images.source, images.shown(index))
    source: Images | None = getattr(images, "source", None)
    return None if source is None else file_of(source, index)
